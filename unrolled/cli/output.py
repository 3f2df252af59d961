"""A result on stdout: for a person, for a script (`-q`) or as one JSON document (`--json`)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1  # goes up when a field of a document changes its meaning or goes away


def document(verb: str, result: Any) -> str:
    """The one JSON document of a verb. What JSON can't say (NaN, infinity) is null."""
    body = plain(result)
    named = body if isinstance(body, dict) else {"result": body}
    return json.dumps({"schema_version": SCHEMA_VERSION, "verb": verb, **named}, ensure_ascii=False, indent=2)


def plain(value: Any) -> Any:
    """A result as dicts, lists and scalars. Raises TypeError for what has no such form."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if callable(to_dict := getattr(value, "to_dict", None)):
        return plain(to_dict())
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if callable(item := getattr(value, "item", None)):  # a numpy or torch scalar
        return plain(item())
    raise TypeError(f"no JSON form for {type(value).__name__}")
