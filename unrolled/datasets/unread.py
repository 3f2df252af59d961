"""Rows of which it isn't clear what they are for, in plain words: commands that work, then what they look like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from unrolled.datasets.asked import OFFERED, Asked, Open, listed
from unrolled.datasets.assemble import seconds
from unrolled.datasets.columns import Column, columns
from unrolled.datasets.dealt import deal_rows
from unrolled.datasets.long import named
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import Rows
from unrolled.datasets.trial import spread, try_out
from unrolled.errors import UserError

TIMED = 500  # rows on which a time has to rise
TRIED = 5_000  # rows with which a command is tried


def unread(error: Open, rows: list[Record], asked: Asked, typed: Sequence[str] = ()) -> str:
    """What to say of rows for which `understand` raised this, when so much was `asked`: those of its commands that get as
    far as training, with the other keys that were `typed`. rows: as they stand in the file.
    """
    shaped = list(Rows(rows))
    found = columns(shaped)
    times = {c.name for c in found.values() if _rises(c, shaped)} - {*listed(asked.target)}
    working: list[Asked] = []
    for reading in error.readings:
        said = reading if asked.input else _without(reading, times)
        if said not in working and _works(said, error.data, rows, set() if asked.input else times):
            working.append(said)
        if len(working) == OFFERED:
            break
    like = _like(found, times)
    return "\n".join([error.with_commands(working, typed), *([f"  {like}"] if like else [])])


def _without(reading: Asked, times: set[str]) -> Asked:
    """The reading with no time among several columns that are read."""
    names = [name for name in listed(reading.input) if name not in times]
    return replace(reading, input=",".join(names)) if names else reading


def _like(found: dict[str, Column], times: set[str]) -> str:
    """What the columns look like, where that is a forecast."""
    time = next((name for name in found if name in times), None)
    numbers = [c.name for c in found.values() if c.kind == "number" and c.name not in (time, "id")]
    if time and numbers:
        return f"It looks like {_some(numbers)} over {time}, to be forecast: say task=forecast time={time}."
    return ""


def _rises(column: Column, rows: list[Record]) -> bool:
    """Whether a column is a time: it rises from row to row, or within stretches of rows that begin anew."""
    if column.kind not in ("number", "text", "category") or column.missing:
        return False
    try:
        times = [seconds(row.get(column.name)) for row in rows[:TIMED]]
    except ValueError:
        return False
    steps = [b - a for a, b in pairwise(times)]
    falls = sum(step < 0 for step in steps)
    rising = [step for step in steps if step > 0]
    if not rising or any(not math.isfinite(time) for time in times) or len(rising) + falls < len(steps):
        return False
    return falls * 4 <= len(steps) and max(rising) <= 100 * min(rising)


def _works(asked: Asked, data: str, rows: list[Record], times: set[str]) -> bool:
    """Whether training gets as far with this as to its first step, and reads or foretells no time."""
    id, _ = named([*rows[0]], None, None)
    some = rows[:TRIED] if id else spread(rows, TRIED)  # the steps of one sequence stand together
    try:
        dealt = deal_rows(Rows(some), asked, data)
        if not times.isdisjoint([*dealt.reading.inputs, *dealt.reading.targets]):
            return False
        try_out(dealt).check()
    except UserError:
        return False
    return True


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")
