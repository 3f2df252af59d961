"""Numbers to standardised numbers: series of channels with a mask of what is missing, and regression targets."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.datasets.moments import Floats, Moments, finite
from unrolled.errors import UserError

FARTHEST = 1e4  # deviations: beyond them a value is pulled in, or one bad reading would fill a whole state
NORMAL_QUARTILES = 1.3489795003921634  # between the quartiles of a normal distribution of deviation 1


class Gaps(NamedTuple):
    """What isn't a finite number in a value: both count as missing."""

    missing: int
    infinite: int


class Values:
    """Series (T, C), (T,) or single numbers -> (T, 2 C) float32: standardised channels, then 1 where one is missing.

    A missing value (NaN, Inf or beyond 1e100) is 0 under a mask of 1; a channel that is constant in training is 0 always.
    `robust`: median and interquartile range instead of mean and deviation, for data with outliers. `notes` says after
    fitting what was missing, infinite or constant.
    """

    kind: ClassVar[str] = "values"

    def __init__(self, robust: bool = False) -> None:
        self.robust = robust
        self.centre, self.inverse = np.zeros(0), np.zeros(0)  # (C,), 1 / scale
        self.steps: tuple[int, int] | None = None  # of the shortest and the longest in training
        self.notes: list[str] = []

    @property
    def channels(self) -> int:
        """Channels of a series."""
        return len(self.centre)

    @property
    def size(self) -> int:
        """Width of what `encode` gives: the channels twice."""
        return 2 * self.channels

    def fit(self, values: Iterable[ArrayLike]) -> Self:
        """Learns centre and scale of each channel from training, in one pass. Raises UserError where there is no number."""
        moments: Moments | None = None
        shortest, longest = sys.maxsize, 0
        for value in values:
            rows = _series(value)
            shortest, longest = min(shortest, len(rows)), max(longest, len(rows))
            moments = moments or Moments(rows.shape[1], quartiles=self.robust)
            if rows.shape[1] != moments.channels:
                raise UserError(f"a series of {rows.shape[1]} channels after one of {moments.channels}.")
            moments.add(rows)
        if moments is None or not moments.count.any():
            raise UserError("no number in the training data: all values are missing. Expected at least one.")
        self.centre, scale = _standard(moments, self.robust)
        self.inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        self.steps = shortest, longest
        self.notes = _notes(moments)
        return self

    def encode(self, value: ArrayLike, origin: str = "") -> NDArray[np.float32]:
        """(T, 2 C). Raises UserError, naming `origin` (file:line), for another number of channels or words."""
        if not np.size(value):
            return np.zeros((0, self.size), np.float32)
        rows = self._rows(value, origin)
        there = finite(rows)
        off = np.where(there, rows, self.centre) - self.centre
        scaled = np.clip(off * self.inverse, -FARTHEST, FARTHEST)
        return np.concatenate((scaled, ~there), 1).astype(np.float32)

    def decode(self, encoded: ArrayLike) -> Floats:
        """(T, 2 C) -> (T, C) in the data's units, NaN where missing."""
        rows = np.asarray(encoded, np.float64)
        scale = np.divide(1.0, self.inverse, out=np.zeros_like(self.inverse), where=self.inverse > 0)
        values = rows[..., : self.channels] * scale + self.centre
        return np.where(rows[..., self.channels :] > 0.5, np.nan, values)

    def gaps(self, value: ArrayLike) -> Gaps:
        """How many values of a series count as missing."""
        rows = _series(value)
        return Gaps(int(np.isnan(rows).sum()), int((~finite(rows) & ~np.isnan(rows)).sum()))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`; floats keep every digit."""
        numbers = {"centre": self.centre.tolist(), "inverse": self.inverse.tolist()}
        return {"kind": self.kind, "robust": self.robust, "steps": self.steps} | numbers

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        made = cls(bool(saved["robust"]))
        made.centre, made.inverse = (np.array(saved[key], np.float64) for key in ("centre", "inverse"))
        if saved.get("steps"):  # older files don't say
            shortest, longest = map(int, saved["steps"])
            made.steps = shortest, longest
        return made

    def _rows(self, value: ArrayLike, origin: str) -> Floats:
        where = f"{origin}: " if origin else ""
        try:
            rows = _series(value)
        except UserError as error:
            raise UserError(f"{where}{error}") from error
        if rows.shape[1] != self.channels:
            raise UserError(f"{where}{rows.shape[1]} channels where training had {self.channels}.")
        return rows


class Numbers:
    """Regression targets: a number, or K of them -> (K,) float32 with mean 0 and deviation 1 in training, and back."""

    kind: ClassVar[str] = "numbers"

    def __init__(self) -> None:
        self.mean, self.deviation = np.zeros(0), np.zeros(0)
        self.notes: list[str] = []

    @property
    def size(self) -> int:
        """How many numbers a target has."""
        return len(self.mean)

    def fit(self, values: Iterable[object]) -> Self:
        """Learns from the training split. Raises UserError for none, and for anything that isn't a finite number."""
        moments: Moments | None = None
        for value in values:
            row = _target(value, "training")
            moments = moments or Moments(len(row))
            if len(row) != moments.channels:
                raise UserError(f"a target of {len(row)} numbers after one of {moments.channels}.")
            moments.add(row[None])
        if moments is None:
            raise UserError("the training data hold no target. Expected at least one number.")
        self.mean = moments.mean
        self.deviation = np.where(moments.deviation > 0, moments.deviation, 1.0)
        constant = np.flatnonzero(moments.deviation == 0).tolist()
        self.notes = [f"target {k} is {self.mean[k]:g} in all of training" for k in constant]
        return self

    def encode(self, value: object, origin: str = "") -> NDArray[np.float32]:
        """(K,). Raises UserError, naming `origin` (file:line), for a missing or infinite target."""
        row = _target(value, origin)
        if len(row) != self.size:
            raise UserError(f"{_at(origin)}a target of {len(row)} numbers where training had {self.size}.")
        return np.asarray((row - self.mean) / self.deviation, np.float32)

    def decode(self, encoded: ArrayLike) -> Floats:
        """(..., K) -> (..., K) in the target's own unit."""
        return np.asarray(encoded, np.float64) * self.deviation + self.mean

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`; floats keep every digit."""
        return {"kind": self.kind, "mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        made = cls()
        made.mean, made.deviation = (np.array(saved[key], np.float64) for key in ("mean", "deviation"))
        return made


def _series(value: ArrayLike) -> Floats:
    """(T, C): a number is one step of one channel, (T,) one channel; None is missing."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"expected numbers, got {value!r:.60}.") from error
    if array.ndim > 2:
        raise UserError(f"a series of shape {array.shape}. Expected (steps,) or (steps, channels).")
    return array if array.ndim == 2 else array.reshape(-1, 1)


def _target(value: object, origin: str) -> Floats:
    try:
        row = np.asarray(value, np.float64).reshape(-1)
    except (TypeError, ValueError):
        row = np.full(1, np.nan)
    if not len(row) or not finite(row).all():
        raise UserError(
            f"{_at(origin)}the target is {value!r:.60}. Expected a finite number in every row that is learnt or scored."
        )
    return row


def _standard(moments: Moments, robust: bool) -> tuple[Floats, Floats]:
    """Centre and scale of each channel. Where the quartiles are one value, the deviation has to serve."""
    if not robust:
        return moments.mean, moments.deviation
    low, median, high = moments.quartiles()
    spread = np.nan_to_num((high - low) / NORMAL_QUARTILES)
    return np.nan_to_num(median), np.where(spread > 0, spread, moments.deviation)


def _notes(moments: Moments) -> list[str]:
    def channels(marks: NDArray[np.bool_]) -> str:
        return ", ".join(map(str, np.flatnonzero(marks).tolist()[:10])) + (
            ", ..." if marks.sum() > 10 else ""
        )

    notes = []
    if moments.missing.any():
        notes.append(f"{moments.missing.sum()} missing values, marked as such")
    if moments.infinite.any():
        notes.append(f"{moments.infinite.sum()} infinite values (or beyond 1e100), counted as missing")
    if (empty := moments.count == 0).any():
        notes.append(f"channels without a single value: {channels(empty)}")
    if (constant := (moments.deviation == 0) & (moments.count > 0)).any():
        notes.append(f"constant channels, which say nothing: {channels(constant)}")
    return notes


def _at(origin: str) -> str:
    return f"{origin}: " if origin else ""
