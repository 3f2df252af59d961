"""What a record holds, and cells to numbers once somebody has decided that they are numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Record = dict[str, Any]
Series = NDArray[np.float32]  # (T,) or (T, C)

RESERVED = frozenset({"origin", "notes", "continues"})  # what a reader itself says in a record
MISSING = frozenset({"", "?", "-", ".", "na", "n/a", "#n/a", "nan", "null", "none"})  # in small letters
LARGEST = float(np.finfo(np.float32).max)
SHOWN_CHARACTERS = 40


class _Small(dict[str, float]):
    """Text -> number of what comes up again and again (grey values, counts): looked up in a tenth of the time."""

    def __missing__(self, text: str) -> float:
        value = float(text)
        if len(self) < 10_000:
            self[text] = value
        return value


SMALL = _Small()
SHORT = 3  # characters a cell on average, up to which looking up pays


def number(value: object) -> float:
    """A cell as a number, NaN where it is missing (None or one of `MISSING`). Raises ValueError in words."""
    if value is None:
        return math.nan
    if not isinstance(value, str):
        if not isinstance(value, (bool, int, float, np.number)):
            raise ValueError(f"{shown(value)} is no number")
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{shown(value)} is too large") from None
    try:
        found = float(value)
    except ValueError:
        if value.strip().lower() in MISSING:
            return math.nan
        comma = " (a decimal comma? write a point)" if re.fullmatch(r"\s*[-+]?\d+,\d+\s*", value) else ""
        raise ValueError(f"{shown(value)} is no number{comma}") from None
    if "_" in value:  # Python's own digit grouping
        raise ValueError(f"{shown(value)} is no number")
    return found


def numbers(cells: Sequence[Any]) -> list[float]:
    """`number` of each of these cells."""
    try:
        joined = "".join(cells)  # fails unless all are texts, as in most rows: several times as fast
        if "_" not in joined:
            short = len(joined) <= SHORT * len(cells)
            return list(map(SMALL.__getitem__ if short else float, cells))
    except (TypeError, ValueError):
        pass
    return [number(cell) for cell in cells]


def series(cells: Sequence[Any]) -> Series:
    """Cells as (n,) float32; NaN and infinities stay. Raises ValueError for what is no number, and for a finite one
    beyond float32.
    """
    return narrowed(np.array(numbers(cells), np.float64))


def narrowed(wide: NDArray[Any]) -> Series:
    """An array of numbers as float32. Raises ValueError for a finite number beyond float32."""
    try:
        with np.errstate(over="raise"):
            return wide.astype(np.float32)
    except FloatingPointError:
        beyond = wide[np.isfinite(wide) & (np.abs(wide) > LARGEST)]
        raise ValueError(f"{float(beyond[0])!r} is beyond the numbers of float32 (3.4e38)") from None


def sequence(items: list[Any]) -> Series | list[str | None]:
    """A list as a value: numbers (T,) float32, equally long lists of numbers (T, C), texts as they are.

    None among numbers is NaN. Raises ValueError in words for every other list.
    """
    kinds = set(map(type, items))
    if kinds == {float}:
        return narrowed(np.array(items))
    if kinds <= {int, float, bool, type(None)}:
        return series(items)
    if kinds <= {str, type(None)}:
        return items
    if kinds != {list}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            f"a list that holds {names}; expected numbers, texts or equally long lists of numbers"
        )
    widths = sorted(set(map(len, items)))
    if len(widths) > 1:
        raise ValueError(f"its steps hold unequal numbers of values ({widths[0]} to {widths[-1]})")
    return series([_plain(item) for step in items for item in step]).reshape(len(items), widths[0])


def _plain(item: object) -> object:
    if isinstance(item, str):
        raise ValueError(f"{shown(item)} is a text inside a list of lists; expected numbers")
    return item


def renamed(names: Iterable[str]) -> dict[str, str]:
    """Column -> the name it has in a record: as it is, or with underscores behind it where a reader's own
    entry (`RESERVED`) has that name.
    """
    found: dict[str, str] = {}
    taken = RESERVED | set(names)
    for name in names:
        free = name
        while name in RESERVED and free in taken:
            free += "_"
        found[name] = free
    return found


def renaming(file: str, names: dict[str, str]) -> list[str]:
    """What `renamed` changed, in words."""
    changed = {old: new for old, new in names.items() if old != new}
    return [f"{file}: the column {old!r} is called {new!r} here" for old, new in changed.items()]


def shown(value: object) -> str:
    """A value for a message, cut to a few words."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
