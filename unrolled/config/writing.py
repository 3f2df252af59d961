"""A configuration for people: as TOML with sources, explained, compared, and as a schema."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from unrolled.config.keys import describe, key_of, keys_of
from unrolled.errors import unknown


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """A dataclass or nested table as dotted keys and values."""
    pairs = (
        value.items()
        if isinstance(value, Mapping)
        else [(key_of(f), getattr(value, f.name)) for f in fields(value)]
    )
    found: dict[str, Any] = {}
    for name, inner in pairs:
        nested = isinstance(inner, Mapping) if isinstance(value, Mapping) else is_dataclass(inner)
        found.update(flat(inner, f"{prefix}{name}.") if nested else {f"{prefix}{name}": inner})
    return found


def to_toml(value: Any, provenance: Mapping[str, str] | None = None) -> str:
    """The text of config.toml: every key, then where its value came from. `resolve` reads it back.

    TOML has no null: a key that is None by default is a comment, any other None the text "none".
    """
    provenance = provenance or {}
    known = keys_of(type(value)) if is_dataclass(value) else {}
    tables: dict[str, list[tuple[str, str]]] = {"": []}
    for key, inner in flat(value).items():
        table, _, name = key.rpartition(".")
        unset = inner is None and (key not in known or known[key].default is None)
        entry = (
            (f"# {name} is not set", "")
            if unset
            else (f"{name} = {toml_value(inner)}", provenance.get(key, ""))
        )
        tables.setdefault(table, []).append(entry)
    blocks = []
    for table, entries in tables.items():
        width = max((len(line) for line, source in entries if source), default=0)
        lines = [f"[{table}]"] if table else []
        for line, source in entries:
            lines.append(f"{line:<{min(width, 48)}}  # {' '.join(source.split())}" if source else line)
        blocks.append("\n".join(lines))
    return "\n\n".join(block for block in blocks if block) + "\n"


def toml_value(value: Any) -> str:
    """One value as TOML."""
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return (
            repr(value)
            if math.isfinite(value)
            else ("nan" if math.isnan(value) else "inf" if value > 0 else "-inf")
        )
    if isinstance(value, (str, Path)):
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {toml_value(v)}" for k, v in value.items()) + "}"
    raise TypeError(f"a configuration can't hold {type(value).__name__}")


def explain(cls: type, key: str, value: Any = None, provenance: Mapping[str, str] | None = None) -> str:
    """What a key is: help, type, limits, default; with a configuration also its value and its source."""
    known = keys_of(cls)
    group = [name for name in known if name.startswith(key + ".")]
    if key not in known and group:
        return "\n\n".join(explain(cls, name, value, provenance) for name in group)
    if key not in known:
        raise unknown("key", key, known)
    one = known[key]
    words = {"at_least": "at least", "above": "above", "below": "below"}
    limits = "".join(f", {words[name]} {limit}" for name, limit in one.limits.items())
    lines = [f"{key}: {one.help}" if one.help else key, f"  type     {describe(one.type)}{limits}"]
    lines.append(f"  default  {'must be given' if one.required else show(one.default)}")
    if value is not None:
        source = (provenance or {}).get(key, "default")
        lines.append(f"  value    {show(flat(value).get(key))}  (from {source})")
    return "\n".join(lines)


def show(value: Any) -> str:
    """A value as one would type it after `key=`."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(show(one) for one in value)}]"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def diff(a: Any, b: Any) -> list[tuple[str, Any, Any]]:
    """The keys in which two configurations (or tables) differ, with both values; None where one lacks it."""
    left, right = flat(a), flat(b)
    return [(k, left.get(k), right.get(k)) for k in {**left, **right} if left.get(k) != right.get(k)]


def schema(cls: type) -> dict[str, Any]:
    """Every key with its type in words, default, help and limits, as plain data."""
    return {
        name: {
            "type": describe(key.type),
            "default": None if key.required else key.default,
            "required": key.required,
            "help": key.help,
            **key.limits,
        }
        for name, key in keys_of(cls).items()
    }
