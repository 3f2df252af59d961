"""Leaks across a split: rows that stand on both sides, ids in two parts, a column that gives the answer away.

Rows stream through `add`; what is kept of them is hashes and a few numbers. `findings` then says what was found, in words
with counts. Nothing is changed or refused here: that is the caller's to decide.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.duplicates import Index, key_of
from unrolled.datasets.labels import name_of
from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.split import PARTS

LEAST = 20  # rows on which a column must give the target away
CHANCE = 1e-6  # how likely that may be by chance
CELLS = 1 << 22  # columns x rows that are looked at for it: 64 MiB
SHINGLES = 1 << 21  # held at most: with what comparing them takes, 100 MB
LONG = 32  # characters from which a text can be nearly the same as another
SKETCH = 8  # numbers that stand for a series
WAVES = 1 << 16  # steps of a series up to which its waves are kept: 32 MB at most
CLOSE = 1e-4  # of their spread: nearer series are nearly the same
NEIGHBOURS = 4  # in the order of the sketch's first number, each compared with so many
SHOWN = 5  # rows named in a finding

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Finding:
    """One leak: `says` it in words; `rows` are the numbers of the first rows concerned, counted from 0 as added."""

    kind: Literal["identical", "near", "id", "target"]
    says: str
    count: int
    rows: tuple[int, ...]
    column: str = ""


@dataclass(frozen=True)
class Repeats:
    """Rows whose inputs stand in an earlier row: `identical`, `alike` but for spelling (`duplicates.key_of`), and about
    how many more that are nearly the same.
    """

    identical: int
    alike: int
    near: int


class Leaks:
    """Collects rows with their part ("train", "valid", "test"). `target`: its column; `ids`: columns that name a
    speaker, user, patient; `inputs`: the columns that a model reads, all but target and ids when not given.
    """

    def __init__(
        self, target: str | None = None, ids: Sequence[str] = (), inputs: Sequence[str] | None = None
    ) -> None:
        self.target, self.ids, self.inputs = target, tuple(ids), inputs
        self._parts = list(PARTS)  # in the order in which they are named
        self._part = array("B")
        self._rows, self._alike = array("Q"), array("Q")
        self._values: dict[str, array[int]] = {name: array("Q") for name in self.ids}
        self._texts = array("q")
        self._index = Index(SHINGLES)
        self._series: dict[tuple[int, ...], tuple[list[int], list[NDArray[np.float64]]]] = {}
        self._columns = Columns(target)

    def add(self, part: str, row: Mapping[str, Any]) -> None:
        """One row, in reading order."""
        number = len(self._part)
        if part not in self._parts:
            self._parts.append(part)
        self._part.append(self._parts.index(part))
        names = [name for name in (self.inputs or row) if name != self.target and name not in self.ids]
        self._rows.append(_hash([(name, _key(row.get(name))) for name in names]))
        self._alike.append(_hash([(name, key_of(row.get(name))) for name in names]))
        for name in self.ids:
            value = name_of(row.get(name))
            self._values[name].append(_hash(value) if value else 0)
        texts = [row[name] for name in names if isinstance(row.get(name), str) and len(row[name]) >= LONG]
        if texts:
            self._texts.append(number)
            self._index.add("\n".join(texts))
        for name in names:
            if isinstance(row.get(name), np.ndarray) and row[name].size >= SKETCH:
                numbers, sketches = self._series.setdefault(row[name].shape, ([], []))
                numbers.append(number)
                sketches.append(_sketch(row[name]))
        self._columns.add(row, {*self.ids})

    def findings(self) -> list[Finding]:
        """What was found, the gravest first: the target given away, ids, identical rows, near-identical ones."""
        part = np.array(self._part, np.uint8)
        rows = np.array(self._rows, np.uint64)
        found = self._columns.findings()
        for name in self.ids:
            found += self._shared_ids(name, np.array(self._values[name], np.uint64), part)
        same = _across(rows, part)
        if len(same):
            found.append(self._rows_finding("identical", "identical to", same, part))
        alike = _across(np.array(self._alike, np.uint64), part)
        near = np.setdiff1d(np.union1d(self._near(part), alike), same)
        if len(near):
            found.append(self._rows_finding("near", "nearly identical to", near, part))
        return found

    def repeats(self) -> Repeats:
        """How many rows stand there already, in whatever part."""
        everywhere = np.arange(len(self._part))
        identical, alike = len(everywhere) - len(set(self._rows)), len(everywhere) - len(set(self._alike))
        texts = sum(len(group) - 1 for group in self._groups)
        series = sum(
            int(_close(np.stack(sketches), everywhere[: len(sketches)]).sum()) // 2
            for _, sketches in self._series.values()
        )
        return Repeats(identical, alike - identical, max(0, texts + series - alike))

    @cached_property
    def _groups(self) -> list[list[int]]:
        return self._index.groups() if len(self._texts) > 1 else []

    def _shared_ids(self, name: str, values: Hashes, part: NDArray[np.uint8]) -> list[Finding]:
        known = np.flatnonzero(values)
        rows = known[_across(values[known], part[known])]
        if not len(rows):
            return []
        several = len(np.unique(values[rows]))
        says = (
            f"{several} value{'s' * (several != 1)} of the column {name!r} stand in more than one part "
            f"({self._counted(rows, part)}). Split by it: group={name}"
        )
        return [Finding("id", says, several, tuple(rows[:SHOWN].tolist()), name)]

    def _rows_finding(
        self, kind: Any, words: str, rows: NDArray[np.int64], part: NDArray[np.uint8]
    ) -> Finding:
        says = f"{len(rows)} rows are {words} a row of another part ({self._counted(rows, part)})"
        return Finding(kind, says, len(rows), tuple(rows[:SHOWN].tolist()))

    def _counted(self, rows: NDArray[np.int64], part: NDArray[np.uint8]) -> str:
        counts, sizes = (np.bincount(p, minlength=len(self._parts)) for p in (part[rows], part))
        return ", ".join(
            f"{counts[n]} of {sizes[n]} rows of {name}" for n, name in enumerate(self._parts) if counts[n]
        )

    def _near(self, part: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Rows with a near-duplicate in another part: texts by their shingles, series by their sketches."""
        found: list[int] = []
        for group in self._groups:
            rows = [self._texts[n] for n in group]
            if len({int(part[row]) for row in rows}) > 1:
                found += rows
        for numbers, sketches in self._series.values():
            at = np.array(numbers)
            found += at[_close(np.stack(sketches), part[at])].tolist()
        return np.unique(np.array(found, np.int64))


class Columns:
    """Values of scalar columns, as hashes, beside the target's: does one of them give the target away?"""

    def __init__(self, target: str | None) -> None:
        self.target = target
        self._hashes: dict[str, array[int]] = {}
        self._numbers: dict[str, array[float]] = {}
        self._count = 0

    def add(self, row: Mapping[str, Any], without: set[str]) -> None:
        """One row; rows beyond `CELLS` / columns aren't looked at."""
        if self.target is None or self._count * max(len(self._hashes), 1) > CELLS:
            return
        names = [
            n
            for n, value in row.items()
            if n not in without and not isinstance(value, (np.ndarray, list, dict))
        ]
        for name in names if not self._count else list(self._hashes):
            value = row.get(name)
            found, number = (_told if isinstance(value, str) and len(value) < LONG else _telling)(value)
            self._hashes.setdefault(name, array("Q")).append(found)
            self._numbers.setdefault(name, array("d")).append(number)
        self._count += 1

    def findings(self) -> list[Finding]:
        """One for each column that equals, or determines, the target."""
        if self.target not in self._hashes or self._count < LEAST:
            return []
        truth, number = (np.array(held[self.target]) for held in (self._hashes, self._numbers))
        found = []
        for name in self._hashes:
            if name == self.target:
                continue
            values = np.array(self._hashes[name], np.uint64)
            both = np.flatnonzero((values != 0) & (truth != 0))
            says = self._given_away(
                name, values[both], truth[both], np.array(self._numbers[name])[both], number[both]
            )
            if says:
                found.append(Finding("target", says, len(both), tuple(both[:SHOWN].tolist()), name))
        return found

    def _given_away(
        self, name: str, values: Hashes, truth: Hashes, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> str:
        if len(values) < LEAST or len(np.unique(truth)) < 2:
            return ""
        where = f"on all {len(values)} rows. Leave it out unless it is known at prediction time: it gives the answer away"
        if (values == truth).all():
            return f"the column {name!r} equals the target {self.target!r} {where}"
        if np.isfinite(x).all() and np.isfinite(y).all() and x.std() > 0 and len(np.unique(y)) >= LEAST:
            off = np.stack([x - x.mean(), y - y.mean()])
            if abs(off[0] @ off[1]) > (1 - 1e-9) * np.linalg.norm(off[0]) * np.linalg.norm(off[1]):
                return f"the column {name!r} is the target {self.target!r} but for unit and zero, {where}"
        if _determines(values, truth):
            return f"the value of the column {name!r} determines the target {self.target!r} {where}"
        return ""


def _determines(values: Hashes, truth: Hashes) -> bool:
    """Whether rows of one value always have one target, on enough rows to be no accident.

    Values that occur once say nothing, and where most do the column is no category. The chance that targets drawn at
    random would agree within every value is the product over values of sum_c p_c ^ n.
    """
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    repeated = counts[which] > 1
    if repeated.sum() < max(LEAST, len(values) / 2):
        return False
    _, label = np.unique(truth, return_inverse=True)
    low, high = np.full(len(counts), len(label)), np.full(len(counts), -1)
    np.minimum.at(low, which, label)
    np.maximum.at(high, which, label)
    if (low != high).any():
        return False
    logs = np.log(np.bincount(label) / len(label))
    several = counts[counts > 1]
    return bool(
        sum(
            np.logaddexp.reduce(n * logs) * k
            for n, k in zip(*np.unique(several, return_counts=True), strict=True)
        )
        < np.log(CHANCE)
    )


def _across(values: Hashes, part: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The rows whose value also stands in another part."""
    if not len(values):
        return np.zeros(0, np.int64)
    _, which = np.unique(values, return_inverse=True)
    low, high = np.full(which.max() + 1, 255), np.full(which.max() + 1, -1)
    np.minimum.at(low, which, part)
    np.maximum.at(high, which, part)
    return np.flatnonzero(low[which] != high[which])


def _close(sketches: NDArray[np.float64], part: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of (N, SKETCH) have a neighbour in another part that is within `CLOSE` of the spread in every number."""
    spread = sketches.std(0)
    scaled = np.divide(sketches, spread, out=np.zeros_like(sketches), where=spread > 0)
    found = np.zeros(len(scaled), bool)
    order = np.argsort(scaled[:, 0], kind="stable")
    for step in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
        left, right = order[:-step], order[step:]
        near = (np.abs(scaled[left] - scaled[right]) < CLOSE).all(1) & (part[left] != part[right])
        found[left[near]] = found[right[near]] = True
    return found


def _sketch(series: NDArray[Any]) -> NDArray[np.float64]:
    """(SKETCH,) sums of a series weighted by waves: small changes of the series change them little."""
    flat = series.astype(np.float64).ravel()
    there = np.isfinite(flat)
    if not there.all():
        flat[~there] = 0.0
    sums: NDArray[np.float64] = _waves(len(flat)) @ flat / np.sqrt(len(flat))
    return sums


def _waves(steps: int) -> NDArray[np.float64]:
    """(SKETCH, steps), those of short series worked out once."""
    if steps > WAVES:
        return _cosines(steps)
    return _short_waves(1 << (steps - 1).bit_length())[:, :steps]


def _cosines(steps: int) -> NDArray[np.float64]:
    waves: NDArray[np.float64] = np.cos(
        np.sqrt([2, 3, 5, 7, 11, 13, 17, 19])[:, None] * (1.0 + np.arange(steps))
    )
    return waves


_short_waves = lru_cache(maxsize=4)(_cosines)


def _key(value: Any) -> Hashable:
    """What is equal for identical values only."""
    if isinstance(value, np.ndarray):
        return value.shape, _hash(value.astype(np.float64).tobytes())
    return key_of(value) if isinstance(value, (MediaFile, Clip)) else name_of(value)


def _telling(value: Any) -> tuple[int, float]:
    """The hash of a short value, 0 of a missing or long one: a sentence that repeats has its answer each time, as it
    should. And its number, NaN where it is none.
    """
    name = name_of(value)
    return (_hash(name), _number(value)) if name and len(name) < LONG else (0, float("nan"))


_told = lru_cache(maxsize=1 << 14)(_telling)  # of texts


def _hash(value: object) -> int:
    """64 bits, never 0."""
    data = value if isinstance(value, (str, bytes)) else repr(value)
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") | 1


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return float("nan")
    return number if isfinite(number) else float("nan")
