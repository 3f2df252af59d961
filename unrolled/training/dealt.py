"""A table understood and dealt: what its columns are for, and which of its rows are for training, validation and test."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from unrolled.datasets.assemble import seconds
from unrolled.datasets.inputs import choose_input
from unrolled.datasets.long import long_of
from unrolled.datasets.parts import SHARES, deal
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import Long, Rows
from unrolled.datasets.split import PARTS
from unrolled.datasets.understand import Asked, Reading, columns, understand
from unrolled.errors import UserError, unknown
from unrolled.training.recipe import Recipe

NONE = 255  # in the place of a part: a row that is left out
LEAST_HELD = 20  # rows below which a validation part says more about itself than about the model


class Table(Protocol):
    """Records in a fixed order, as often as they are asked for: of files (`Rows`) or in memory (`Given`)."""

    notes: list[str]
    long: Long | None

    def __iter__(self) -> Iterator[Record]:
        """The records, from the first."""
        ...


@dataclass
class Given:
    """Records that are in memory."""

    records: Sequence[Record]
    notes: list[str] = field(default_factory=list)
    long: Long | None = None

    def __iter__(self) -> Iterator[Record]:
        """The records, from the first."""
        return iter(self.records)


@dataclass(frozen=True)
class Dealt:
    """Rows, how they are read, and the part that each belongs to."""

    rows: Table
    reading: Reading
    codec: str  # kind of the input's codec, "auto" of several columns
    places: bytes  # a number of `PARTS` for each row, or NONE
    notes: list[str]

    def of(self, part: str) -> Iterator[Record]:
        """The rows of `train`, `valid` or `test`, in reading order, read anew."""
        wanted = PARTS.index(part)
        return (row for row, place in zip(self.rows, self.places, strict=True) if place == wanted)


def deal_rows(path: Path, recipe: Recipe) -> Dealt:
    """Reads a table, finds out what it is and deals its rows. Raises UserError for what can't be read, and where a choice
    is open.
    """
    asked = Asked(None if recipe.task == "auto" else recipe.task, recipe.input, recipe.target, recipe.group)
    rows, steps = sequences(path, recipe, asked)
    reading = understand(columns(rows), asked, recipe.data, steps)
    kind: str = recipe.codec
    if kind == "auto" and len(reading.inputs) == 1:
        kind = (
            "items"
            if reading.task == "tag" and reading.kinds[0] == "text"
            else choose_input(reading.kinds[0])
        )
    places, notes = _places(rows, reading, recipe)
    if reading.left_out:
        notes.append(f"columns left out: {', '.join(reading.left_out)}")
    return Dealt(rows, reading, kind, places, notes)


def deal_given(
    records: Sequence[Record], reading: Reading, codec: str, share: float = 0.1, seed: int = 0
) -> Dealt:
    """Rows in memory, all for training but `share`, which is for validation: none where that is under `LEAST_HELD` rows.

    Every class keeps at least one row in training; rows of the same input stay together.
    """
    places = np.zeros(len(records), np.uint8)
    if share * len(records) >= LEAST_HELD:
        keys: list[Hashable] = [tuple(_key(row[name]) for name in reading.inputs) for row in records]
        labels = [str(row[reading.targets[0]]) for row in records] if reading.task == "classify" else None
        parts = deal(keys, labels, shares=(1 - share, share, 0.0), seed=seed)
        known = {labels[row] for row in parts.train} if labels else set()
        places[[row for row in parts.valid if not labels or labels[row] in known]] = PARTS.index("valid")
    return Dealt(Given(records), reading, codec, places.tobytes(), [])


def sequences(path: Path, recipe: Recipe, asked: Asked) -> tuple[Rows, tuple[str, ...]]:
    """The rows, gathered to sequences where they are steps, and which columns then say something of every step."""
    rows = Rows(path)
    long = long_of(rows, recipe.id, recipe.time, asked.inputs)
    if long is None:
        return rows, ()
    made = Rows(path, long)
    made.notes.append(
        f"the rows of one {long.id} are one sequence" + (f", by {long.time}" if long.time else "")
    )
    return made, (*(["series"] if long.values else []), *long.categories)


def _places(rows: Rows, reading: Reading, recipe: Recipe) -> tuple[bytes, list[str]]:
    """Each row's part, and what is to be said of it."""
    keys: list[Hashable] = []
    labels: list[Hashable] = []
    groups: list[Hashable] = []
    given: list[str] = []
    times: list[float] = []
    whole = bytearray()
    for row in rows:
        there = all(row.get(n) is not None for n in reading.inputs)
        there = there and (reading.several or not any(_blank(row.get(n)) for n in reading.targets))
        whole.append(there)
        if not there:
            continue
        keys.append(hash(tuple(_key(row[name]) for name in reading.inputs)))
        if reading.task == "classify" and not reading.several:
            labels.append(str(row[reading.targets[0]]))
        if reading.group:
            groups.append(row[reading.group])
        if reading.split:
            given.append(str(row[reading.split]))
        if recipe.time and rows.long is None:
            times.append(_seconds(row, recipe.time))
    if not keys:
        raise UserError(f"{recipe.data}: no row has both {reading.reads} and {reading.target}.")
    shares = recipe.split or SHARES
    if times:
        given, groups = _by_time(times, shares), []
    if recipe.held:
        given, groups = _held(recipe.held, reading, groups), []
    parts = deal(keys, labels or None, groups=groups or None, given=given or None, shares=shares)
    notes = [*parts.notes]
    if len(keys) < len(whole):
        notes.append(
            f"{len(whole) - len(keys)} rows have no {reading.target} or no {reading.reads}: left out"
        )
    numbers = np.flatnonzero(np.frombuffer(whole, np.uint8))
    places = np.full(len(whole), NONE, np.uint8)
    for place, part in enumerate(PARTS):
        places[numbers[parts.of(part)]] = place
    return places.tobytes(), notes


def _by_time(times: list[float], shares: Sequence[float]) -> list[str]:
    """The part of each row: the earliest are for training, the last ones the test. Rows of one moment stay together."""
    ordered = np.sort(np.array(times))
    borders = [ordered[min(len(times) - 1, round(len(times) * sum(shares[:n])))] for n in (1, 2)]
    return [PARTS[sum(time >= border for border in borders)] for time in times]


def _held(wanted: str, reading: Reading, groups: list[Hashable]) -> list[str]:
    """The part of each row where some groups are the test. Raises UserError for a group that there isn't."""
    if not reading.group:
        raise UserError(f"held={wanted}: say which column names the groups, as in group=speaker.")
    names = {name.strip() for name in wanted.split(",")}
    if missing := sorted(names - {str(group) for group in groups}):
        raise unknown(
            f"value of {reading.group} (held=)", missing[0], sorted({str(group) for group in groups})
        )
    return ["test" if str(group) in names else "train" for group in groups]


def _seconds(row: Record, column: str) -> float:
    try:
        return seconds(row.get(column))
    except ValueError as error:
        raise UserError(
            f"{row['origin']}: column {column!r}: {error}. Expected a number or an ISO date."
        ) from error


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value)


def _key(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    return tuple(value) if isinstance(value, list) else str(value)
