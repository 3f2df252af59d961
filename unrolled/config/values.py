"""From text to typed values: sizes (`64k`), lists (`[1,2]`), none; pydantic for the rest.

`k M G` are thousands, `Ki Mi Gi` powers of 1024.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from unrolled.config.keys import describe
from unrolled.errors import nearest

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SIZES = {"k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
NOTHING = ("none", "null", "")


class NotThat(ValueError):
    """A value that a type can't take; the message says what was got and what was expected."""


def parse(kind: Any, value: Any) -> Any:
    """`value` (text, or what a file or Python gave) as the type `kind`. Raises NotThat."""
    try:
        return _parse(kind, value)
    except NotThat:
        hint = ""
        words = [str(a) for k in (kind, *get_args(kind)) if get_origin(k) is Literal for a in get_args(k)]
        if isinstance(value, str) and (likely := nearest(value, words)):
            hint = f". Did you mean {likely!r}?"
        raise NotThat(f"got {value!r}, expected {describe(kind)}{hint}") from None


def _parse(kind: Any, value: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return guess(value) if isinstance(value, str) else value
    if origin in (Union, UnionType):
        return _either(arguments, value)
    if origin in (list, tuple) and isinstance(value, (str, list, tuple)):
        return _sequence(origin, arguments, items(value) if isinstance(value, str) else value)
    if kind is dict or origin is dict:
        return _table(kind, value)
    if isinstance(value, bool) and kind in (int, float):
        raise NotThat
    if kind in (int, float) and isinstance(value, str):
        value = size(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is str and isinstance(value, Path):
        return str(value)
    return _checked(kind, value)


def _either(kinds: tuple[Any, ...], value: Any) -> Any:
    """The first type that takes the value; plain text last, since it takes everything."""
    named = {name for kind in kinds if get_origin(kind) is Literal for name in get_args(kind)}
    nothing = value is None or (isinstance(value, str) and value.lower() in NOTHING and value not in named)
    if type(None) in kinds and nothing:
        return None
    for kind in sorted((k for k in kinds if k is not type(None)), key=lambda k: k is str):
        try:
            return _parse(kind, value)
        except NotThat:
            continue
    raise NotThat


def _sequence(origin: Any, kinds: tuple[Any, ...], given: list[Any] | tuple[Any, ...]) -> Any:
    if origin is tuple and kinds and Ellipsis not in kinds:
        if len(kinds) != len(given):
            raise NotThat
        return tuple(_parse(kind, one) for kind, one in zip(kinds, given, strict=True))
    return origin(_parse(kinds[0] if kinds else Any, one) for one in given)


def _table(kind: Any, value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise NotThat from None
    return _checked(kind, value)


def _checked(kind: Any, value: Any) -> Any:
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_python(value)
    except ValidationError:
        raise NotThat from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def size(text: str) -> str | int | float:
    """'64k' -> 64000, '1.5M' -> 1500000, '8Ki' -> 8192; other text as it is."""
    found = re.fullmatch(r"\s*([-+]?[\d_]*\.?\d+)\s*([kKmMgG]i?)\s*", text)
    if not found:
        return text
    number = float(found[1].replace("_", "")) * SIZES[found[2].lower()]
    return int(number) if number == int(number) else number


def items(text: str) -> list[Any]:
    """'[1,2]', '1,2' or '["a, b", "c"]' -> its items; '' and '[]' -> none."""
    text = text.strip()
    if text.startswith("["):
        try:
            return list(json.loads(text))
        except ValueError:
            text = text[1:-1] if text.endswith("]") else text[1:]
    return [one.strip().strip("\"'") for one in text.split(",") if one.strip()]


def guess(text: str) -> Any:
    """The likeliest value of text whose type nothing fixes: JSON, a size, none, or the text itself."""
    if text.lower() in NOTHING:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return size(text)
