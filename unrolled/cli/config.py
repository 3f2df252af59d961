"""`unrolled config show | explain | schema | diff`: the settings of a run, before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import UserError, unknown

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled config show model=lstm lr=3e-4 > mine.toml",
    "unrolled train -c mine.toml",
    "unrolled config explain lr",
    "unrolled config diff @last mine.toml",
    "unrolled config schema --json",
)
WORDS = ("action", "of", "and")
SWITCHES = ()
ACTIONS = {"show": (0, 1), "explain": (1, 1), "schema": (0, 0), "diff": (1, 2)}  # how many words each takes


@dataclass(frozen=True)
class Shown:
    """The settings of a run, or those a `train` with these arguments would have."""

    values: dict[str, Any]
    sources: dict[str, str]
    toml: str


@dataclass(frozen=True)
class Explained:
    """What a key is."""

    key: str
    text: str


@dataclass(frozen=True)
class Schema:
    """Every key with type, default and help."""

    keys: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Difference:
    """The keys in which two settings differ, with both values."""

    a: str
    b: str
    keys: dict[str, tuple[Any, Any]]


def keys() -> type | None:
    """Those of `train`, which it shows."""
    from unrolled.training.recipe import Recipe

    return Recipe


def run(arguments: Arguments) -> Any:
    """Does what the first word says; `show` where there is none."""
    action, *words = arguments.words or ("show",)
    if action not in ACTIONS:
        raise unknown("action of config", action, ACTIONS)
    least, most = ACTIONS[action]
    if not least <= len(words) <= most:
        wanted = f"{least} or {most} words" if least < most else f"{least} word{'s' * (least != 1)}"
        raise UserError(f"config {action} takes {wanted}, got {len(words)}.")
    if action == "show":
        return _show(arguments, words)
    if action == "explain":
        from unrolled.config import explain

        resolved = _resolved(arguments)
        return Explained(words[0], explain(_recipe(), words[0], resolved.value, resolved.provenance))
    if action == "schema":
        from unrolled.config import schema

        return Schema(schema(_recipe()))
    return _diff(arguments, words)


def _recipe() -> type[Any]:
    from unrolled.training.recipe import Recipe

    return Recipe


def _resolved(arguments: Arguments) -> Any:
    import os

    from unrolled.config import resolve

    typed = [f"{key}={value}" for key, value in arguments.pairs.items()]
    return resolve(_recipe(), pairs=typed, files=arguments.files, environ=os.environ, verb="train")


def _show(arguments: Arguments, words: list[str]) -> Shown:
    from unrolled.config import flat, to_toml

    if words:
        path = _file(words[0])
        values, sources = _read(path)
        return Shown(values, sources, path.read_text(encoding="utf-8").rstrip("\n"))
    resolved = _resolved(arguments)
    return Shown(
        flat(resolved.value),
        dict(resolved.provenance),
        to_toml(resolved.value, resolved.provenance).rstrip("\n"),
    )


def _diff(arguments: Arguments, words: list[str]) -> Difference:
    from unrolled.config import diff, flat

    names = [*words, "defaults"] if len(words) == 1 else words
    sides = [
        flat(_resolved(arguments).value) if name == "defaults" else _read(_file(name))[0] for name in names
    ]
    return Difference(names[0], names[1], {key: (a, b) for key, a, b in diff(*sides)})


def _file(name: str) -> Path:
    """A configuration file's own path, or the config.toml of a run."""
    path = Path(name)
    if path.is_file():
        return path
    from unrolled.training.run import Run

    return Run.open(name).path / "config.toml"


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A file's settings, typed, on top of the defaults."""
    from unrolled.config import flat, resolve

    resolved = resolve(_recipe(), files=[path])
    return flat(resolved.value), dict(resolved.provenance)


def show(result: Any) -> str:
    """For a person: TOML, an explanation, or a table."""
    from unrolled.config.writing import show as typed

    if isinstance(result, Shown):
        return result.toml
    if isinstance(result, Explained):
        return result.text
    if isinstance(result, Schema):
        return "\n".join(f"{name}: {key['type']}. {key['help']}" for name, key in result.keys.items())
    if not result.keys:
        return f"{result.a} and {result.b} have the same settings"
    rows = [("", result.a, result.b), *((key, typed(a), typed(b)) for key, (a, b) in result.keys.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{key:<{widths[0]}}  {a:<{widths[1]}}  {b}" for key, a, b in rows)


def brief(result: Any) -> str:
    """For a script: the same without words around it."""
    return "\n".join(result.keys) if isinstance(result, (Schema, Difference)) else show(result)
