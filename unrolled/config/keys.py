"""The keys of a configuration: a frozen dataclass, seen flat (`model.hidden`) with type, default and help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from math import isfinite
from types import MappingProxyType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Key:
    """One leaf of a configuration."""

    name: str  # dotted
    type: Any
    default: Any  # MISSING where a value must be given
    help: str
    limits: Mapping[str, Any]  # at_least, above, below

    @property
    def required(self) -> bool:
        """True if there is no default."""
        return self.default is MISSING

    @property
    def environment(self) -> str:
        """The key as the end of an environment variable's name."""
        return self.name.upper().replace(".", "_")


def keys_of(kind: type) -> Mapping[str, Key]:
    """Every leaf key of a dataclass, nested ones dotted, in the order in which they were declared."""
    return MappingProxyType(_walk(kind, ""))


def _walk(kind: type, prefix: str, instance: Any = None) -> dict[str, Key]:
    """The leaves of `kind`; defaults come from `instance` where a parent's default is one."""
    found: dict[str, Key] = {}
    hints = get_type_hints(kind)
    for entry in fields(kind):
        name = prefix + key_of(entry)
        default = default_of(entry) if instance is None else getattr(instance, entry.name)
        parts = variants(hints[entry.name])
        for part in parts:
            for below, key in _walk(part, f"{name}.", default if isinstance(default, part) else None).items():
                earlier = found.get(below)
                found[below] = replace(earlier, type=earlier.type | key.type) if earlier else key
        if not parts:
            limits = {k: entry.metadata[k] for k in ("at_least", "above", "below") if k in entry.metadata}
            found[name] = Key(name, hints[entry.name], default, entry.metadata.get("help", ""), limits)
    return found


def key_of(entry: Field[Any]) -> str:
    """The key that a field is: its name, without the underscore behind a word that Python keeps for itself (`from_`)."""
    return entry.name.removesuffix("_")


def out_of_range(name: str, value: Any, limits: Mapping[str, Any]) -> str | None:
    """What is wrong with a number outside its field's limits, or one that isn't finite; None if it will do."""
    numbers = value if isinstance(value, (tuple, list)) else [value]
    if any(isinstance(one, float) and not isfinite(one) for one in numbers):
        return f"{name}={value} must be finite"
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    if "at_least" in limits and not value >= limits["at_least"]:
        return f"{name}={value} must be at least {limits['at_least']}"
    if "above" in limits and not value > limits["above"]:
        return f"{name}={value} must be above {limits['above']}"
    if "below" in limits and not value < limits["below"]:
        return f"{name}={value} must be below {limits['below']}"
    return None


def default_of(entry: Field[Any]) -> Any:
    """A field's default, made if need be; MISSING if it has none."""
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def variants(kind: Any) -> list[type]:
    """The dataclasses that a nested field may hold: one, several told apart by `kind`, or none (a leaf)."""
    if isinstance(kind, type) and is_dataclass(kind):
        return [kind]
    if get_origin(kind) in (Union, UnionType):
        parts = [p for p in get_args(kind) if p is not type(None)]
        if parts and all(isinstance(p, type) and is_dataclass(p) for p in parts):
            return parts
    return []


def shorthand(kind: type, name: str) -> str | None:
    """The key that `name=VALUE` means where `name` is a group: its `kind`, or what the metadata names."""
    hints = get_type_hints(kind)
    first, _, rest = name.partition(".")
    for entry in fields(kind):
        if key_of(entry) != first:
            continue
        for part in variants(hints[first]):
            if rest:
                inner = shorthand(part, rest)
                return inner and f"{first}.{inner}"
            target = entry.metadata.get("shorthand", "kind")
            if any(key_of(f) == target for f in fields(part)):
                return f"{first}.{target}"
    return None


def describe(kind: Any) -> str:
    """A type in words a user knows: 'whole number', 'one of a, b', 'list of number'."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in arguments)
    if origin in (Union, UnionType):
        named = [name for a in arguments if get_origin(a) is Literal for name in get_args(a)]
        others = [describe(a) for a in arguments if get_origin(a) is not Literal]
        others = [each for each in others if each not in named]
        return " or ".join([describe(Literal[tuple(named)])] * bool(named) + others)
    if origin in (list, tuple, set, frozenset) and arguments:
        if origin is tuple and Ellipsis not in arguments:
            return f"{len(arguments)} values [{', '.join(describe(a) for a in arguments)}]"
        return f"list of {describe(arguments[0])}"
    words = {
        bool: "true or false",
        int: "whole number",
        float: "number",
        str: "text",
        type(None): "none",
        dict: "table",
    }
    return words.get(origin or kind, getattr(origin or kind, "__name__", str(kind)))
