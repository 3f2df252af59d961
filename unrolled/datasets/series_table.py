"""A table of series, long or wide, read into regular series with all that is wrong with them told by name and row."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import isinf

import numpy as np

from unrolled.datasets.grids import REPAIRS, TimedSeries, on_grid
from unrolled.datasets.problems import Problems
from unrolled.datasets.readers import Record
from unrolled.datasets.series_columns import SeriesColumns
from unrolled.datasets.stamps import Frequency, Numbers, inferred, named, parse, stamps_of
from unrolled.datasets.values import number, numbers, shown
from unrolled.errors import UserError

SHOWN = 20  # problems told together


@dataclass(frozen=True)
class SeriesSet:
    """Series on one grid. `columns`: what their channels are, targets first, one channel each where columns are series of
    their own. `notes`: what was repaired, in words.
    """

    columns: SeriesColumns
    frequency: Frequency
    series: tuple[TimedSeries, ...]
    notes: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Columns of each series' values."""
        return len(self.columns.read) if self.columns.together else 1

    @property
    def foretold(self) -> int:
        """How many of them, the first ones, are foretold."""
        return len(self.columns.targets) if self.columns.together else 1

    @property
    def steps(self) -> int:
        """Of all series together."""
        return sum(map(len, self.series))


@dataclass
class _Raw:
    """The rows of one id as they come: stamps as they stand, numbers row after row, lines."""

    stamps: list[object] = field(default_factory=list)
    numbers: array[float] = field(default_factory=lambda: array("d"))
    lines: array[int] = field(default_factory=lambda: array("l"))
    file: str = ""

    def origins(self) -> Sequence[str]:
        """`file:line` of each row, made when it is asked for."""
        return _Origins(self.file, self.lines)


class _Origins(Sequence[str]):
    def __init__(self, file: str, lines: Sequence[int]) -> None:
        self.file, self.lines = file, lines

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, at: int) -> str:  # type: ignore[override]
        return f"{self.file}:{self.lines[at]}"


def read_series(
    rows: Iterable[Record],
    columns: SeriesColumns,
    frequency: str | Frequency = "auto",
    what: str = "the data",
) -> SeriesSet:
    """The series of these rows. frequency: "auto", a name (`stamps.named`), or one known already.

    Raises UserError, all problems together: cells that are no numbers, infinite values, time stamps that can't be
    read, have mixed zones, come twice or are irregular, series that are missing throughout.
    """
    raw, notes = _read(rows, columns)
    if not raw:
        raise UserError(f"{what}: no row. Expected a time and a number in each.")
    at, problems = dict[str, Numbers](), list[str]()
    for name, one in raw.items():
        if columns.time is None:
            at[name] = np.arange(len(one.lines), dtype=np.float64)
        else:
            at[name] = stamps_of(one.stamps, one.origins(), columns.time, problems)
        if len(problems) >= SHOWN:
            break
    _raise(problems)
    known = frequency if isinstance(frequency, Frequency) else _frequency(frequency, columns, at, raw)
    for one in raw.values():
        one.stamps = []
    repairs = Counter[str]()
    made: list[TimedSeries] = []
    for name, one in raw.items():
        values = np.frombuffer(one.numbers, np.float64).reshape(len(one.lines), -1)
        series = on_grid(name, at.pop(name), values, one.origins(), known, repairs, problems)
        if len(problems) >= SHOWN:
            break
        if series is not None:
            made += _apart(series, columns, problems)
    _raise(problems)
    notes += [f"{many} {REPAIRS[kind]}" for kind, many in repairs.items() if many]
    return SeriesSet(columns, known, tuple(made), tuple(notes))


def _read(rows: Iterable[Record], columns: SeriesColumns) -> tuple[dict[str, _Raw], list[str]]:
    """The rows by id, numbers only. Raises UserError for cells that are none, and for infinite ones."""
    raw: dict[str, _Raw] = {}
    problems, notes = Problems(), list[str]()
    stamps: dict[object, object] = {}  # equal texts are one object, however many rows hold them
    for row in rows:
        if problems.found and problems.enough():
            break
        notes += [note for note in row.get("notes", ()) if note not in notes]
        name = "" if columns.id is None else _named(row, columns.id, problems)
        cells = [row.get(column) for column in columns.read]
        try:
            found = numbers(cells)
        except ValueError:
            _add(problems, row, columns, name)
            continue
        if any(map(isinf, found)):
            _add(problems, row, columns, name)
            continue
        one = raw.setdefault(name, _Raw())
        file, _, line = str(row["origin"]).rpartition(":")
        one.file = one.file or file
        one.lines.append(int(line) if line.isdigit() else len(one.lines) + 1)
        one.numbers.extend(found)
        if columns.time is not None:
            cell = row.get(columns.time)
            one.stamps.append(stamps.setdefault(cell, cell))
    problems.settle()
    return raw, notes


def _named(row: Record, id_: str, problems: Problems) -> str:
    if row.get(id_) in (None, ""):
        problems.add(f"{row['origin']}: column {id_!r} is empty. Expected the name of a series in every row.")
    return str(row.get(id_))


def _add(problems: Problems, row: Record, columns: SeriesColumns, name: str) -> None:
    """Every cell of a row that should be a finite number."""
    of = f" of series {name!r}" if name else ""
    for column in columns.read:
        try:
            found = number(row.get(column))
        except ValueError as error:
            problems.add(
                f"{row['origin']}: column {column!r}{of}: {error}. Expected a number, or nothing where it is missing."
            )
            continue
        if isinf(found):
            problems.add(
                f"{row['origin']}: column {column!r}{of} is {shown(row.get(column))}. Expected a finite "
                "number; leave the cell "
                "empty where the value is missing."
            )


def _frequency(asked: str, columns: SeriesColumns, at: dict[str, Numbers], raw: dict[str, _Raw]) -> Frequency:
    """The frequency, as asked or found in the longest series; its step 0 is the first stamp of all."""
    if columns.time is None or asked == "rows":
        return Frequency("rows", 1.0)
    first = min(float(stamps.min()) for stamps in at.values())
    if asked != "auto":
        return named(asked, first)
    longest = max(at, key=lambda name: len(at[name]))
    return replace(inferred(at[longest], parse(raw[longest].stamps[0]).date), anchor=first)


def _apart(series: TimedSeries, columns: SeriesColumns, problems: list[str]) -> list[TimedSeries]:
    """The series, or one for each of its columns; without what is missing at both ends. Those without a value are told."""
    if columns.together:
        parts = [series]
    else:
        several = len(columns.targets) > 1
        parts = [
            replace(
                series,
                name="/".join(filter(None, (series.name, column if several else ""))),
                values=series.values[:, [at]],
            )
            for at, column in enumerate(columns.targets)
        ]
    kept = []
    for part in parts:
        foretold = part.values[:, : len(columns.targets)] if columns.together else part.values
        there = np.flatnonzero(np.isfinite(foretold).any(1))
        if not len(there):
            problems.append(
                f"{part.origin}: {part.called} holds no value at all in {len(part)} rows: nothing can be "
                "foretold of it. Leave "
                "it out, or name other columns with target="
            )
            continue
        begin, end = int(there[0]), int(there[-1]) + 1
        kept.append(replace(part, first=part.first + begin, values=part.values[begin:end]))
    return kept


def _raise(problems: list[str]) -> None:
    if problems:
        more = f"\n... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise UserError("\n".join(problems[:SHOWN]) + more)
