"""Puts the sources together, in order, and builds the dataclass; all problems are told at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from unrolled.config.keys import Key, default_of, describe, key_of, keys_of, out_of_range, shorthand, variants
from unrolled.config.sources import Given, from_environment, from_pairs, from_table, read_file
from unrolled.config.values import NotThat, guess, parse
from unrolled.config.writing import flat
from unrolled.errors import UserError, nearest

T = TypeVar("T")
SHOWN = 20  # problems told at once


class OutOfRange(ValueError):
    """A number of the right type outside its key's limits; the message names the key."""


@dataclass(frozen=True)
class Resolved(Generic[T]):
    """A configuration, and for each dotted key where its value came from ("default" if nobody gave one)."""

    value: T
    provenance: Mapping[str, str]

    def changed(self) -> dict[str, str]:
        """The keys that somebody set, with their sources."""
        return {key: source for key, source in self.provenance.items() if source != "default"}


def resolve(
    cls: type[T],
    *,
    pairs: Iterable[str] | Mapping[str, Any] = (),
    files: Iterable[str | Path] = (),
    environ: Mapping[str, str] = os.environ,
    verb: str = "",
    recipe: tuple[str, Mapping[str, Any]] | None = None,
) -> Resolved[T]:
    """The configuration `cls` from all its sources; a later source wins.

    pairs: `["lr=3e-4"]` or `{"lr": 3e-4}`; verb: whose environment variables count (UNROLLED_TRAIN_*), none
    if empty; recipe: (name, values). Raises UserError that names every problem with its place.
    """
    known = keys_of(cls)
    given = from_table(recipe[1], f"recipe {recipe[0]}") if recipe else []
    given += [one for path in files for one in read_file(path)]
    given += from_environment(environ, verb, known)
    given += from_table(pairs, "Python") if isinstance(pairs, Mapping) else from_pairs(pairs)
    problems: list[str] = []
    values: dict[str, Any] = {}
    provenance = dict.fromkeys(known, "default")
    for one in given:
        target = _target(cls, one, known)
        if target is None:
            problems.append(_unknown(one, known))
            continue
        try:
            _store(values, target, one, known)
            provenance[target] = one.source
        except NotThat as wrong:
            problems.append(f"{one.key}: {wrong} ({one.source})")
        except OutOfRange as wrong:
            problems.append(f"{wrong} ({one.source})")
    _raise(problems)
    built = _build(cls, "", values, problems)
    _raise(problems)
    assert isinstance(built, cls)
    # Of a key with several variants only those of the chosen one.
    return Resolved(built, {key: provenance[key] for key in flat(built)})


def _target(cls: type, one: Given, known: Mapping[str, Key]) -> str | None:
    """The leaf that a given key means: itself, a group's shorthand, or an entry of a free table."""
    if one.key in known:
        return one.key
    if any(name.startswith(one.key + ".") for name in known):
        return shorthand(cls, one.key)
    return next(
        (name for name, key in known.items() if one.key.startswith(name + ".") and _is_table(key.type)), None
    )


def _is_table(kind: Any) -> bool:
    return kind is dict or get_origin(kind) is dict


def _store(values: dict[str, Any], target: str, one: Given, known: Mapping[str, Key]) -> None:
    if target != one.key and one.key.startswith(target + "."):
        value = guess(one.value) if isinstance(one.value, str) else one.value
        before = values.get(target, known[target].default)
        table = dict(before) if isinstance(before, Mapping) else {}
        values[target] = table | {one.key.removeprefix(target + "."): value}
    else:
        value = parse(known[target].type, one.value)
        if wrong := out_of_range(target, value, known[target].limits):
            raise OutOfRange(wrong)
        values[target] = value


def _build(kind: type, prefix: str, values: Mapping[str, Any], problems: list[str]) -> Any:
    """An instance of `kind` from the dotted values below `prefix`; None where it can't be made."""
    hints, arguments = get_type_hints(kind), {}
    for entry in fields(kind):
        name = prefix + key_of(entry)
        inside = {key: value for key, value in values.items() if key.startswith(name + ".")}
        if inside:
            default = values.get(name, default_of(entry))
            part = _variant(variants(hints[entry.name]), inside.get(f"{name}.kind"), default)
            allowed = {f"{name}.{key}" for key in keys_of(part)}
            problems += [f"{key}: {part.__name__} has no such key" for key in inside if key not in allowed]
            base = (
                {f"{name}.{key_of(f)}": getattr(default, f.name) for f in fields(part)}
                if type(default) is part
                else {}
            )
            arguments[entry.name] = _build(part, f"{name}.", base | inside, problems)
        elif name in values:
            arguments[entry.name] = values[name]
        elif default_of(entry) is MISSING:
            problems.append(f"{name}: a value is needed, {describe(hints[entry.name])}. Write {name}=VALUE")
    if problems:
        return None
    try:
        return kind(**arguments)
    except ValueError as error:
        problems.append(str(error).rstrip("."))
        return None


def _variant(parts: list[type], wanted: Any, default: Any) -> type:
    """The dataclass meant: the one whose `kind` has the wanted value, else the default's, else the first."""
    for part in parts:
        hint = get_type_hints(part).get("kind")
        if get_origin(hint) is Literal and wanted in get_args(hint):
            return part
    return type(default) if type(default) in parts else parts[0]


def _unknown(one: Given, known: Mapping[str, Key]) -> str:
    groups = {name.rpartition(".")[0] for name in known} - {""}
    meant = {name.rpartition(".")[2]: name for name in known} | {name: name for name in (*groups, *known)}
    likely = nearest(one.key, meant)
    hint = f"did you mean {meant[likely]!r}?" if likely else f"known: {', '.join(known)}"
    return f"unknown key {one.key!r} ({one.source}): {hint}"


def _raise(problems: list[str]) -> None:
    if len(problems) == 1:
        raise UserError(problems[0] + ("" if problems[0].endswith(("?", ".")) else "."))
    if problems:
        more = [f"... and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise UserError(f"{len(problems)} problems:\n" + "\n".join(f"  {p}" for p in problems[:SHOWN] + more))
