"""Whether the rows of a table are steps of longer sequences, and what its columns are then."""

from __future__ import annotations

from collections.abc import Iterable

from unrolled.datasets.readers import Record
from unrolled.datasets.rows import Long
from unrolled.datasets.understand import BESIDE, SPLIT, Column
from unrolled.errors import unknown

IDS = ("id", "sequence", "sequence_id", "series_id", "session", "case", "case_id", "unit", "track")
TIMES = ("time", "timestamp", "date", "datetime", "t", "step", "second", "seconds", "day", "frame")
LEAST = 2.0  # rows an id, in the mean, from which they are steps


def long_of(
    rows: Iterable[Record],
    id: str | None = "auto",
    time: str | None = None,
    inputs: tuple[str, ...] = (),
    targets: tuple[str, ...] = (),
) -> Long | None:
    """How rows make sequences; None where each is one by itself. Unless `id` says so, a column called id (session,
    case ...) does where one called time (date, step ...) stands beside it, ids come up again, and no step holds a text.

    `inputs`: the columns to read of each step; none: all that vary within an id. `targets`: what is foretold; where it
    varies, each step has its own. Raises UserError for a column that isn't there.
    """
    if id is None:
        return None
    asked = id != "auto"
    count = 0
    for row in rows:
        if not count:
            names = [name for name in row if name not in BESIDE]
            id, time = named(names, id if asked else None, time)
            if id is None or not (asked or time):
                return None
            found = {name: Column(name) for name in names}
            varying: set[str] = set()
            first: dict[object, Record] = {}
        count += 1
        assert id is not None
        before = first.setdefault(row.get(id), row)
        for name, column in found.items():
            column.see(row.get(name))
        if before is not row:
            varying.update(n for n in names if n not in varying and row.get(n) != before.get(n))
    if not count or (not asked and count < LEAST * len(first)):
        return None
    assert id is not None
    if missing := [name for name in inputs if name not in found]:
        raise unknown("column (input=)", missing[0], names)
    steps = [
        n for n in names if n not in (id, time) and (n in varying or n in inputs) and found[n].kind != "empty"
    ]
    if not asked and any(found[n].kind == "text" for n in steps):
        return None
    constants = tuple(n for n in names if n not in (id, time) and n not in steps)
    numbers = tuple(
        n for n in steps if found[n].kind == "number" and n not in targets and (not inputs or n in inputs)
    )
    others = tuple(n for n in steps if found[n].kind != "number" or n in targets)
    return Long(id, time, numbers, others, constants)


def named(names: list[str], id: str | None, time: str | None) -> tuple[str | None, str | None]:
    """The columns that name a row's sequence and its place in it. Raises UserError for an asked one that isn't there."""
    for key, name in (("id", id), ("time", time)):
        if name is not None and name not in names:
            raise unknown(f"column ({key}=)", name, names)
    found = id or next((n for n in names if n.lower() in IDS), None)
    return found, time or next((n for n in names if n.lower() in TIMES and n not in (found, SPLIT)), None)
