"""Records reshaped once it is known what their columns mean: numbered columns to one series a row, rows of one id
to one record. Everything streams; problems of the data are raised together.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from unrolled.datasets.problems import Problems
from unrolled.datasets.values import LARGEST, Record, number, numbers, series, shown
from unrolled.errors import UserError

FEWEST = 4  # numbered columns that make a series
NUMBERED = re.compile(r"(.*?)(\d+)")
PAIR = re.compile(r"(.*?)(\d+)x(\d+)")  # 1x1, 1x2, ...: row and column of a picture
MONTH = re.compile(r"\d{4}-\d{2}")
MOST_VALUES = 100_000_000  # cells that are held of an unsorted long table: 400 MB

Key = tuple[int, ...]


def numbered(columns: Iterable[str]) -> dict[str, list[str]]:
    """The columns that are one series a row: stem -> columns in numeric order.

    At least `FEWEST` with numbers that leave no gap (p00..p63, x1..x12, t_0..t_99, 1990..2020), or the complete
    rows and columns of a grid (p00..p77, 1x1..28x28).
    """
    found: dict[str, dict[str, Key]] = defaultdict(dict)
    for name in columns:
        if match := PAIR.fullmatch(name) or NUMBERED.fullmatch(name):
            found[match[1]][name] = tuple(map(int, match.groups()[1:]))
    result = {}
    for stem, keys in found.items():
        ordered = sorted(keys, key=lambda name: keys[name])
        if len(ordered) >= FEWEST and (_gapless(list(keys.values())) or grid(ordered) is not None):
            result[stem] = ordered
    return result


def grid(columns: Sequence[str]) -> tuple[int, int] | None:
    """(rows, columns) of numbered columns that name both: 1x1..28x28, or two digits each with a gap, p00..p77.
    None for any other names, a plain count too.
    """
    matches = [PAIR.fullmatch(name) or NUMBERED.fullmatch(name) for name in columns]
    texts = [match.groups()[1:] for match in matches if match]
    if len(texts) < len(columns) or len({len(text) for text in texts}) != 1:
        return None
    if len(texts[0]) == 1:
        if {len(text[0]) for text in texts} != {2} or _gapless([(int(text[0]),) for text in texts]):
            return None
        texts = [tuple(text[0]) for text in texts]
    pairs = {(int(row), int(column)) for row, column in texts}
    rows, across = sorted({row for row, _ in pairs}), sorted({column for _, column in pairs})
    steady = all(_gapless([(n,) for n in numbers]) and len(numbers) > 1 for numbers in (rows, across))
    complete = len(pairs) == len(texts) == len(rows) * len(across)
    return (len(rows), len(across)) if steady and complete else None


def _gapless(keys: Sequence[Key]) -> bool:
    numbers = [key[0] for key in keys if len(key) == 1]
    return len(set(numbers)) == len(keys) == max(numbers, default=0) - min(numbers, default=0) + 1


def gather(
    records: Iterable[Record], stem: str, columns: Sequence[str], name: str = "series"
) -> Iterator[Record]:
    """Each record with its numbered columns as one value `name`: float32 (T, 1), NaN where a cell is missing.

    Raises UserError, all together, for cells that are no numbers, with line and column.
    """
    problems = Problems()
    for record in records:
        if problems.found and problems.enough():
            break
        try:
            values = series(list(map(record.get, columns)))[:, None]
        except ValueError:
            _add_cells(problems, record, columns, f"one of the series {stem}*")
            continue
        if not problems.found:
            kept = dict(record)
            for column in columns:
                kept.pop(column, None)
            kept[name] = values
            yield kept
    problems.settle()


def _add_cells(problems: Problems, record: Record, columns: Sequence[str], expected: str) -> None:
    """Every cell of a record that should be a number and isn't."""
    for column in columns:
        try:
            series([record.get(column)])
        except ValueError as error:
            if not problems.full:
                problems.add(
                    f"{record['origin']}: column {column!r}: {error}. Expected a number, {expected}."
                )


@dataclass
class _Group:
    """The rows of one id so far: times, numbers row after row, and a list for each column of categories."""

    first: Record
    times: array[float] = field(default_factory=lambda: array("d"))
    numbers: array[float] = field(default_factory=lambda: array("f"))
    categories: list[list[str | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Columns:
    id: str
    time: str | None
    values: Sequence[str]
    constants: Sequence[str]
    categories: Sequence[str]


def group_rows(
    records: Iterable[Record] | Callable[[], Iterable[Record]],
    id: str,
    time: str | None,
    values: Sequence[str],
    constants: Sequence[str] = (),
    categories: Sequence[str] = (),
) -> Iterator[Record]:
    """The rows of each id as one record: `{id, "series": float32 (T, C), each constant, each column of categories as
    a list of T texts, "origin" of its first row}`, by time (numbers or ISO dates; None: the file's order).

    Give a function that returns the records anew, and a table whose ids stand together streams: it is read twice.
    From plain records all ids are held, as 4 bytes a number, up to `MOST_VALUES` cells. Ids that do not stand
    together are said in `notes`.

    Raises UserError, all together with their lines: no id, no time, no number, a constant that varies.
    """
    columns = _Columns(id, time, values, constants, categories)
    if callable(records):
        if _apart(records(), id) is None:
            yield from _streamed(records(), columns)
            return
        records = records()
    yield from _collected(records, columns)


def _apart(records: Iterable[Record], id: str) -> Record | None:
    """The first row that comes back to an id after rows of another one."""
    last: object = None
    seen: set[object] = set()
    for record in records:
        own = record.get(id)
        if own == last or own is None:
            continue
        if own in seen:
            return record
        seen.add(own)
        last = own
    return None


def _streamed(records: Iterable[Record], columns: _Columns) -> Iterator[Record]:
    problems = Problems()
    group: _Group | None = None
    for record in records:
        if problems.found and problems.enough():
            break
        if group is not None and record.get(columns.id) not in (None, group.first[columns.id]):
            if not problems:
                yield _closed(group, columns)
            group = None
        group = _joined(group, record, columns, problems)
    problems.settle()
    if group is not None:
        yield _closed(group, columns)


def _collected(records: Iterable[Record], columns: _Columns) -> Iterator[Record]:
    problems = Problems()
    groups: dict[object, _Group] = {}
    apart: Record | None = None
    last: object = None
    room = MOST_VALUES
    for record in records:
        if problems.found and problems.enough():
            break
        own = record.get(columns.id)
        if apart is None and own != last and own in groups:
            apart = record
        last = own
        joined = _joined(groups.get(own), record, columns, problems)
        if joined is not None:
            groups[own] = joined
        room -= len(columns.values) + len(columns.categories) + 2
        if room < 0:
            raise UserError(
                f"{record['origin']}: more than {MOST_VALUES:,} cells before the last id is complete. Sort the file by "
                f"{columns.id!r}, so that each id's rows stand together."
            )
    problems.settle()
    if apart is not None:
        note = f"{apart['origin']}: the rows of {columns.id} {apart[columns.id]!r} do not stand together: all were held"
        next(iter(groups.values())).notes.append(note)
    for own in list(groups):
        yield _closed(groups.pop(own), columns)


def _joined(group: _Group | None, record: Record, columns: _Columns, problems: Problems) -> _Group | None:
    """The group with one row more; a problem instead of it leaves the group as it is."""
    where = record["origin"]
    if record.get(columns.id) is None:
        problems.add(f"{where}: column {columns.id!r} is empty. Expected an id in every row.")
        return group
    if group is None:
        group = _Group(record, categories=[[] for _ in columns.categories])
    for name in columns.constants:
        if record.get(name) != group.first.get(name):
            problems.add(
                f"{where}: column {name!r} is {shown(record.get(name))}, but {shown(group.first.get(name))} at "
                f"{group.first['origin']}, for the same {columns.id} {record[columns.id]!r}. Expected one value an id."
            )
    try:
        found = numbers(list(map(record.get, columns.values)))
        if not max(map(abs, found), default=0.0) <= LARGEST and any(map(_beyond, found)):
            raise ValueError
    except ValueError:
        _add_cells(problems, record, columns.values, f"a value of {columns.id} {record[columns.id]!r}")
        return group
    try:
        at = float(len(group.times)) if columns.time is None else seconds(record.get(columns.time))
    except ValueError as error:
        problems.add(f"{where}: column {columns.time!r}: {error}. Expected a number or an ISO date.")
        return group
    group.times.append(at)
    group.numbers.extend(found)
    for kept, name in zip(group.categories, columns.categories, strict=True):
        cell = record.get(name)
        kept.append(cell if cell is None or isinstance(cell, str) else str(cell))
    group.notes += record.get("notes", [])
    return group


def _beyond(value: float) -> bool:
    return LARGEST < abs(value) < math.inf


def _closed(group: _Group, columns: _Columns) -> Record:
    times = np.array(group.times)
    order = np.argsort(times, kind="stable")
    values = np.array(group.numbers, np.float32).reshape(len(times), len(columns.values))
    record: Record = {
        "origin": group.first["origin"],
        columns.id: group.first[columns.id],
        "series": values[order],
    }
    record |= {name: group.first.get(name) for name in columns.constants}
    for kept, name in zip(group.categories, columns.categories, strict=True):
        record[name] = [kept[place] for place in order]
    if group.notes:
        record["notes"] = group.notes
    return record


def seconds(value: Any) -> float:
    """A time to sort by: a number as it is, an ISO date or date with time (2010-01, 2010-01-31T08:00) as seconds
    since 1970, UTC where it names no zone. Raises ValueError for anything else, also for a missing one.
    """
    try:
        found = number(value)
    except ValueError:
        found = math.nan
        if isinstance(value, str):
            try:
                when = datetime.fromisoformat(f"{value}-01" if MONTH.fullmatch(value) else value.strip())
                return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
            except ValueError:
                pass
    if not math.isfinite(found):
        raise ValueError("no time" if value is None else f"{shown(value)} is no time")
    return found
