"""A table understood and dealt: what its columns are for, and which of its rows are for training, validation and test."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.datasets import sets
from unrolled.datasets.aligned import line_aligned
from unrolled.datasets.assemble import seconds
from unrolled.datasets.characters import Characters
from unrolled.datasets.duplicates import key_of
from unrolled.datasets.inputs import choose_input, codec_for, suits
from unrolled.datasets.labels import Labels, MultiLabels, Tags, name_of, pieces
from unrolled.datasets.long import long_of
from unrolled.datasets.parts import SHARES, Parts, deal
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import SERIES, Long, Rows
from unrolled.datasets.split import PARTS
from unrolled.datasets.stacked import StackedMel
from unrolled.datasets.standard import Numbers
from unrolled.datasets.understand import ANSWERS, SEPARATOR, Asked, Reading, columns, listed, understand
from unrolled.errors import UserError, unknown

LEAST_HELD = 20  # rows below which a validation part says more about itself than about the model
NONE = 255  # in the place of a part: a row that is left out


@dataclass(frozen=True)
class Dealt:
    """Rows, how they are read, and the part that each belongs to."""

    rows: Rows
    reading: Reading
    codec: str  # kind of the input's codec, "auto" of several columns
    places: bytes  # a number of `PARTS` for each row, or NONE
    notes: list[str]

    def parted(self) -> Iterator[tuple[str, Record]]:
        """(part, row) of every row that is in one, in reading order, read anew: one pass for all that asks for several."""
        return (
            (PARTS[place], row) for row, place in zip(self.rows, self.places, strict=True) if place != NONE
        )

    def of(self, part: str) -> Iterator[Record]:
        """The rows of `train`, `valid` or `test`, in reading order, read anew."""
        wanted = PARTS.index(part)
        return (row for row, place in zip(self.rows, self.places, strict=True) if place == wanted)

    def count(self, part: str) -> int:
        """How many rows a part has."""
        return self.places.count(PARTS.index(part))

    def codecs(self) -> tuple[Any, Any]:
        """New codecs of what is read and of what is foretold, not fitted yet."""
        reading = self.reading
        read = codec_for(reading.inputs, reading.kinds, self.codec, self.rows.long is not None)
        return read, self.answers()

    def answers(self) -> Any:
        """A new codec of what is foretold, not fitted yet."""
        if self.reading.task == "regress":
            return Numbers()
        if self.reading.task == "transcribe":
            return Characters()
        several, tagged = self.reading.several, self.reading.task == "tag"
        return (MultiLabels if several else Tags if tagged else Labels)()

    def fewer(self, count: int, seed: int) -> Dealt:
        """With `count` training rows: of classes evenly many of each, as far as there are; else drawn evenly. Raises
        UserError where there aren't so many.
        """
        places = np.frombuffer(self.places, np.uint8).copy()
        here = np.flatnonzero(places == PARTS.index("train"))
        if count > len(here):
            raise UserError(f"samples={count}: there are {len(here)} training rows.")
        order = np.random.default_rng([seed, count]).permutation(len(here))
        if self.reading.task == "tag" or self.reading.several:
            raise UserError(
                "samples= is for one class or number a row: here a rare name could be left without a row."
            )
        if self.reading.task == "classify":
            names = np.array([str(self.answer(row)) for row in self.of("train")])[order]
            if count < len(np.unique(names)):
                raise UserError(
                    f"samples={count}: there are {len(np.unique(names))} classes, and each needs a row."
                )
            turn = np.zeros(len(here), np.int64)  # the how-manieth of its class each is
            for name in np.unique(names):
                turn[names == name] = np.arange((names == name).sum())
            order = order[np.argsort(turn, kind="stable")]
        places[here[order[count:]]] = NONE
        return replace(
            self,
            places=places.tobytes(),
            notes=[*self.notes, f"{count} of {len(here)} training rows are used"],
        )

    def pairs(self, part: str) -> Iterator[tuple[Any, Any]]:
        """What is read and what is written of each row of a part."""
        return ((self.value(row), self.answer(row)) for row in self.of(part))

    def value(self, row: Record) -> Any:
        """What the codec reads of a row."""
        return value_of(row, self.reading.inputs, self.reading.task == "tag")

    def value_in(self, row: Record, name: str) -> Any:
        """What the codec of one of several columns reads of a row."""
        return value_of(row, (name,), self.reading.task == "tag")

    def answer(self, row: Record) -> Any:
        """What a row says is to be foretold."""
        values = [row.get(name) for name in self.reading.targets]
        if self.reading.task == "transcribe":
            return str(values[0])
        return values[0] if len(values) == 1 else values


def value_of(row: Record, inputs: Sequence[str], stepwise: bool) -> Any:
    """The one column that is read, or a dict of several; None where all are missing. stepwise: texts cut into words."""
    values = [row.get(name) for name in inputs]
    values = list(map(pieces, values)) if stepwise else values
    if len(values) == 1:
        return values[0]
    return None if all(value is None for value in values) else dict(zip(inputs, values, strict=True))


def deal_rows(rows: Rows, asked: Asked, data: str, own: Mapping[str, str] | None = None) -> Dealt:
    """Finds out what a table is and deals its rows. own: what a named set says of its columns, where the user is silent.

    Raises UserError for what can't be read, and where a choice is open.
    """
    rows, reading = understood(rows, asked, data, own or {})
    return dealt_as(rows, reading, asked, data)


def understood(rows: Rows, asked: Asked, data: str, own: Mapping[str, str]) -> tuple[Rows, Reading]:
    """The rows, gathered to sequences where they are steps, and how they are read."""
    own = {key: value for key, value in own.items() if getattr(asked, key) == getattr(Asked(), key)}
    said = replace(asked, **dict[str, Any](own))
    rows, steps = _sequences(rows, said)
    said = _of_sequences(said, rows.long)
    reading = understand(columns(rows), said, data, steps)
    why = tuple((key, value, f"what {data} is for") for key, value in own.items())
    return rows, replace(reading, why=(*why, *reading.why))


def dealt_as(rows: Rows, reading: Reading, asked: Asked, data: str) -> Dealt:
    """Rows dealt to their parts, as their reading says."""
    codec = asked.codec
    if codec == "auto" and len(reading.inputs) == 1 and reading.task != "translate":
        words = reading.task == "tag" and reading.kinds[0] == "text"
        heard = reading.task == "transcribe"
        codec = "items" if words else StackedMel.kind if heard else choose_input(reading.kinds[0])
    if reading.task != "translate":
        suits(codec, reading)
    found = _Found()
    whole = np.fromiter((found.take(row, reading, asked) for row in rows), bool)
    if not found.keys:
        raise UserError(f"{data}: no row has both {reading.reads} and {reading.target}.")
    places, notes = _places(whole, found, reading, asked)
    if reading.left_out:
        notes.append(f"columns left out: {', '.join(reading.left_out)}")
    if asked.held:  # they are kept apart by name, and the others' rows are dealt one by one
        reading = replace(reading, group=None)
    return Dealt(rows, reading, codec, places, notes)


def deal_given(
    records: list[Record], reading: Reading, codec: str, share: float = 0.1, seed: int = 0
) -> Dealt:
    """Rows in memory, all for training but `share`, which is for validation: none where that is under `LEAST_HELD` rows.

    Every class keeps at least one row in training; rows of the same input stay together.
    """
    places = np.zeros(len(records), np.uint8)
    if share * len(records) >= LEAST_HELD:
        keys: list[Hashable] = [tuple(key_of(row[name]) for name in reading.inputs) for row in records]
        labels = [str(row[reading.targets[0]]) for row in records] if reading.task == "classify" else None
        parts = deal(keys, labels, shares=(1 - share, share, 0.0), seed=seed)
        known = {labels[row] for row in parts.train} if labels else set()
        places[[row for row in parts.valid if not labels or labels[row] in known]] = PARTS.index("valid")
    return Dealt(Rows.ready(records, None), reading, codec, places.tobytes(), [])


def own_of(path: Path) -> Mapping[str, str]:
    """What a named set says of its columns, and that files line by line are translations; of other data nothing."""
    wanted = sets.of(path)
    if wanted:
        return wanted.reads
    return {"task": "translate"} if line_aligned(path) else {}


def _sequences(rows: Rows, asked: Asked) -> tuple[Rows, tuple[str, ...]]:
    """The rows, gathered to sequences where they are steps, and which columns then say something of every step."""
    inputs, targets = (listed(names) for names in (asked.input, asked.target))
    own = next((n for n in next(iter(rows), {}) if n.lower() in ANSWERS), None)
    long = long_of(rows, asked.id, asked.time, inputs, targets or ((own,) if own else ()))
    if long is None:
        return rows, ()
    made = rows.gathered(long)
    made.notes.append(
        f"the rows of one {long.id} are one sequence" + (f", by {long.time}" if long.time else "")
    )
    return made, (*([SERIES] if long.values else []), *long.categories)


def _of_sequences(asked: Asked, long: Long | None) -> Asked:
    """What was asked for, with the series in the place of the columns that it gathers."""
    if long is None or asked.input is None:
        return asked
    names = [SERIES if name in long.values else name for name in listed(asked.input)]
    return replace(asked, input=",".join(dict.fromkeys(names)))


@dataclass
class _Found:
    """What dealing has to know of each row that has an input and an answer. Keys are hashes, to hold no data; of equal
    names and groups one is held.
    """

    keys: array[int] = field(default_factory=lambda: array("q"))
    labels: list[Hashable] = field(default_factory=list)
    groups: list[Hashable] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    names: list[tuple[str, ...]] = field(default_factory=list)  # classes, labels or tags of a row
    _seen: dict[Hashable, Any] = field(default_factory=dict)

    def take(self, row: Record, reading: Reading, asked: Asked) -> bool:
        """Whether the row has all that it needs; if so, notes what it says."""
        if all(row.get(name) is None for name in reading.inputs):
            return False
        if not reading.several and any(_blank(row.get(name)) for name in reading.targets):
            return False
        self.keys.append(hash(tuple(key_of(row.get(name)) for name in reading.inputs)))
        if reading.task not in ("regress", "translate", "transcribe"):
            names = tuple(sorted({*names_in(row.get(reading.targets[0]), reading)}))
            self.names.append(self._one(names))
        if reading.task == "classify" and not reading.several:
            self.labels.append(self._one(str(row[reading.targets[0]])))
        if reading.group:
            self.groups.append(self._one(row.get(reading.group)))
        if (
            reading.split and asked.shares is None and asked.group == "auto"
        ):  # what is asked for stands above it
            self.given.append(self._one(str(row.get(reading.split))))
        if asked.time and asked.time in row:  # where rows were gathered by it, it is in none
            self.times.append(_seconds(row, asked.time))
        return True

    def _one(self, value: Any) -> Any:
        """The first of all texts, or tuples of them, that are equal to this one; any other value as it is."""
        return self._seen.setdefault(value, value) if isinstance(value, (str, tuple)) else value


def _places(whole: np.ndarray, found: _Found, reading: Reading, asked: Asked) -> tuple[bytes, list[str]]:
    """Each row's part, and what is to be said of it."""
    shares = asked.shares or SHARES
    given, groups, notes = found.given, found.groups, list[str]()
    said = "split as the data gives it"
    if asked.group == "auto" and 0 < len({*groups}) < len(PARTS) and not given and not asked.held:
        notes.append(f"{reading.group} has too few values to part rows by: they are dealt one by one")
        groups = []
    if found.times:
        given, groups, said = _by_time(found.times, shares), [], f"the last rows by {asked.time} are the test"
    if asked.held:
        given, groups = _held(asked.held, reading, groups), []
        said = f"the rows of {asked.held} are the test; validation rows are some of the others'"
    loosely = any(kind in ("text", "category") for kind in reading.kinds)
    parts = deal(
        found.keys,
        found.labels or None,
        groups=groups or None,
        given=given or None,
        shares=shares,
        loosely=loosely,
        said=said,
    )
    notes += parts.notes
    if left := len(whole) - len(found.keys):
        notes.append(f"{left} rows have no {reading.target} or no {reading.reads}: left out")
    if not given and found.names:
        parts, moved = _every_name_in_training(parts, found.names, groups or found.keys)
        notes += moved
    numbers = np.flatnonzero(whole)
    places = np.full(len(whole), NONE, np.uint8)
    for place, part in enumerate(PARTS):
        places[numbers[parts.of(part)]] = place
    return places.tobytes(), notes


def _every_name_in_training(
    parts: Parts, names: list[tuple[str, ...]], units: Sequence[Hashable]
) -> tuple[Parts, list[str]]:
    """Rows of a class, label or tag that training would never see go to training, with the others of their unit."""
    known = {name for row in parts.train for name in names[row]}
    gone = set()
    others = (*parts.valid, *parts.test)
    for row in others:
        if not known.issuperset(names[row]):
            known.update(names[row])
            gone.add(units[row])
    moved = [row for row in others if units[row] in gone]
    if not moved:
        return parts, []
    valid, test = ([row for row in part if units[row] not in gone] for part in (parts.valid, parts.test))
    if not valid or not test:
        raise UserError(
            f"{len(known)} classes in {len(names)} rows: too few of each for training, validation and test. If these are "
            "numbers, say task=regress; else name another target=."
        )
    note = f"{len(moved)} rows are for training, which would lack a class of theirs"
    return Parts(sorted([*parts.train, *moved]), valid, test, parts.notes), [note]


def names_in(value: Any, reading: Reading) -> Iterator[str]:
    """The classes, labels or tags that an answer names."""
    if reading.task == "tag":
        value = pieces(value)
    elif reading.several and isinstance(value, str):
        value = value.split(SEPARATOR)
    listed = isinstance(value, (list, tuple, np.ndarray))
    return (name for each in (value if listed else [value]) if (name := name_of(each)))


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
    known = sorted({str(group) for group in groups})
    if missing := sorted(names - {*known}):
        raise unknown(f"value of {reading.group} (held=)", missing[0], known)
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
