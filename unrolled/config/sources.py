"""Where values come from: files, the environment and the command line, each value with its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from unrolled.config.keys import Key
from unrolled.errors import MissingExtra, UserError

PAIR = re.compile(r"(?:--)?([A-Za-z_][\w.\-]*)=(.*)", re.DOTALL)
WORD = re.compile(r"--([A-Za-z_][\w.\-]*)")


@dataclass(frozen=True)
class Given:
    """One value that somebody gave, and where."""

    key: str
    value: Any
    source: str


def split_pairs(tokens: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """`key=value`, `--key=value` and `--key value` apart from bare words; the later of two values wins."""
    pairs: dict[str, str] = {}
    words: list[str] = []
    waiting = list(tokens)
    while waiting:
        token = waiting.pop(0)
        if found := PAIR.fullmatch(token):
            pairs[_name(found[1])] = found[2]
        elif found := WORD.fullmatch(token):
            if not waiting or waiting[0].startswith("--") or PAIR.fullmatch(waiting[0]):
                raise UserError(f"{token} needs a value: write {_name(found[1])}=VALUE.")
            pairs[_name(found[1])] = waiting.pop(0)
        elif token.startswith("-") and len(token) > 1 and not token[1].isdigit():
            raise UserError(f"unknown switch {token!r}. Values are written key=value.")
        else:
            words.append(token)
    return pairs, words


def _name(key: str) -> str:
    return key.replace("-", "_").removesuffix("_")


def from_table(values: Mapping[str, Any], source: str) -> list[Given]:
    """What a recipe or a Python call gave; nested tables and dataclasses are taken apart."""
    return [Given(key, value, source) for key, value in _flat(values)]


def from_pairs(pairs: Iterable[str]) -> list[Given]:
    """What the command line gave as `key=value`."""
    named, words = split_pairs(pairs)
    if words:
        raise UserError(f"got {words[0]!r}, expected key=value.")
    return [Given(key, value, "command line") for key, value in named.items()]


def from_environment(environ: Mapping[str, str], verb: str, keys: Mapping[str, Key]) -> list[Given]:
    """`UNROLLED_TRAIN_LR=1e-3` for the verb `train`. Unknown endings come back too, to be told."""
    prefix = f"UNROLLED_{verb.upper()}_"
    known = {key.environment: name for name, key in keys.items()}
    for name in keys:  # the groups too, for shorthands: UNROLLED_TRAIN_MODEL=lstm
        if group := name.rpartition(".")[0]:
            known.setdefault(group.upper().replace(".", "_"), group)
    return [
        Given(
            known.get(name.removeprefix(prefix), name.removeprefix(prefix).lower()),
            value,
            f"environment {name}",
        )
        for name, value in sorted(environ.items())
        if verb and name.startswith(prefix)
    ]


def read_file(path: str | Path) -> list[Given]:
    """The values of a TOML or YAML file, each with `file:line`. Raises UserError, MissingExtra."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"no configuration file {str(path)!r}. Give -c the path of a .toml file.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: byte {error.start} is not UTF-8. A configuration file is UTF-8 text."
        ) from None
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}).") from None
    if path.suffix in (".yaml", ".yml"):
        return _yaml(text, path)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f'{path}: not TOML: {error}. Texts need quotes, as in data = "irish".') from None
    lines = _toml_lines(text)
    return [Given(key, value, f"{path}:{lines.get(key, 1)}") for key, value in _flat(values)]


def _toml_lines(text: str) -> dict[str, int]:
    """Line numbers of plain `key = value` lines by dotted key; what it misses is reported as line 1."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if heading := re.match(r"\s*\[([\w.\-\" ]+)\]", line):
            table = heading[1].replace(" ", "").replace('"', "") + "."
        elif entry := re.match(r"\s*([\w.\-\"]+)\s*=", line):
            found[table + entry[1].replace('"', "")] = number
    return found


def _yaml(text: str, path: Path) -> list[Given]:
    try:
        import yaml
    except ImportError:
        raise MissingExtra("PyYAML", "yaml", f"reading {path} (TOML needs nothing)") from None
    try:
        values, tree = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}.") from None
    if values is None:
        return []
    if not isinstance(values, dict):
        raise UserError(f"{path}: got a {type(values).__name__}, expected keys with values.")
    lines: dict[str, int] = {}

    def note(node: Any, prefix: str) -> None:
        for key, value in node.value:
            lines[prefix + str(key.value)] = key.start_mark.line + 1
            if isinstance(value, yaml.MappingNode):
                note(value, f"{prefix}{key.value}.")

    note(tree, "")
    return [Given(key, value, f"{path}:{lines.get(key, 1)}") for key, value in _flat(values)]


def _flat(values: Mapping[Any, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        name = prefix + _name(str(key))
        if is_dataclass(value) and not isinstance(value, type):
            value = {f.name: getattr(value, f.name) for f in fields(value)}
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value
