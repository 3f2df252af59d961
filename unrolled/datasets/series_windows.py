"""Windows over many series by index arithmetic: no window is held, a batch is gathered when it is asked for.

The series are cut by time: training's targets end at the first cut, validation's at the second, so that what comes after a
cut says nothing to what is before it. Scales are those of the steps before the first cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.grids import carried
from unrolled.datasets.series_table import SeriesSet
from unrolled.datasets.stamps import Numbers, Whole
from unrolled.errors import UserError

SHARES = (0.7, 0.1, 0.2)  # of time, for training, validation and test
PARTS = ("train", "valid", "test")


class Scales(NamedTuple):
    """Centre and deviation of every channel of every series, (S, C) both, of the steps that training may see."""

    centre: Numbers
    deviation: Numbers


@dataclass(frozen=True)
class Packed:
    """All series one after the other. values (N, C): gaps filled by what was known before; known (N, C): what was there.
    offsets (S + 1,); first (S,): the place in time of each one's first step; ends (S, 2): steps of each that training, and
    training with validation, may see. fitted: scales that were fitted elsewhere.
    """

    values: Numbers
    known: NDArray[np.bool_]
    offsets: Whole
    first: Whole
    ends: Whole
    fitted: Scales | None = None

    @property
    def lengths(self) -> Whole:
        """Steps of each series."""
        return np.diff(self.offsets)

    @cached_property
    def scales(self) -> Scales:
        """Of each series' training steps. Of one without any, of all series together; of a constant one the deviation
        is 1.
        """
        if self.fitted is not None:
            return self.fitted
        count, channels = len(self.first), self.values.shape[1]
        centre, deviation = np.full((count, channels), np.nan), np.full((count, channels), np.nan)
        for at in range(count):
            part = slice(self.offsets[at], self.offsets[at] + self.ends[at, 0])
            rows = np.where(self.known[part], self.values[part], np.nan)
            there = np.isfinite(rows).any(0)
            if there.any():
                centre[at, there] = np.nanmean(rows[:, there], 0)
                deviation[at, there] = np.nanstd(rows[:, there], 0)
        for column in range(channels):
            missing = ~np.isfinite(centre[:, column])
            seen = ~missing
            centre[missing, column] = centre[seen, column].mean() if seen.any() else 0.0
            deviation[missing, column] = deviation[seen, column].mean() if seen.any() else 1.0
        tiny = deviation <= 1e-9 * np.maximum(np.abs(centre), 1e-12)
        return Scales(centre, np.where(tiny, 1.0, deviation))


def packed(found: SeriesSet, shares: Sequence[float] | None = None, by_series: bool = False) -> Packed:
    """The series of a table, cut at the moments before which `shares` of all steps lie; by_series: whole series are dealt
    to the parts instead, in order, for paths of which each has a clock of its own.
    """
    shares = shares or SHARES
    lengths = np.array([len(one) for one in found.series], np.int64)
    first = np.array([one.first for one in found.series], np.int64)
    if by_series:
        cuts = np.round(np.cumsum(shares)[:2] * len(lengths)).astype(np.int64)
        at = np.arange(len(lengths))[:, None]
        ends = np.where(at < cuts, lengths[:, None], 0)
    else:
        ends = np.clip(_cuts(first, lengths, shares) + 1 - first[:, None], 0, lengths[:, None])
    values = [one.values for one in found.series]
    return Packed(
        np.concatenate([carried(one) for one in values]), np.concatenate([np.isfinite(one) for one in values]),
        np.concatenate([[0], np.cumsum(lengths)]), first, ends,
    )  # fmt: skip


def _cuts(first: Whole, lengths: Whole, shares: Sequence[float]) -> Whole:
    """(1, 2) the last places in time of training and of validation."""
    low = int(first.min())
    begins = np.bincount(first - low, minlength=int((first + lengths).max()) - low + 1)
    stops = np.bincount(first + lengths - low, minlength=len(begins))
    steps = np.cumsum(np.cumsum(begins - stops))  # of all series up to each place
    wanted = np.cumsum(shares)[:2] * steps[-1]
    return np.asarray(np.searchsorted(steps, np.round(wanted))[None] + low, np.int64)


class Windows:
    """The windows of one part: number -> (series, origin), the origin being the last step that is known. Of a held-out part
    the look-back may reach into the part before it, the targets don't.
    """

    def __init__(self, data: Packed, lookback: int, horizon: int, part: str, stride: int = 1) -> None:
        self.data, self.lookback, self.horizon, self.stride = data, lookback, horizon, stride
        at = PARTS.index(part)
        ends = np.column_stack([np.zeros(len(data.first), np.int64), data.ends, data.lengths])
        self.begin = np.maximum(ends[:, at] - 1, lookback - 1)
        self._last = ends[:, at + 1] - 1 - horizon
        self._count()

    def _count(self) -> None:
        many = (self._last - self.begin) // self.stride + 1
        self.until = np.cumsum(np.maximum(many, 0) * (self._last >= self.begin))

    def latest(self, many: int, after: int) -> Windows:
        """The last `many` windows of each series, of those from step `after` in time on."""
        made = copy(self)
        made.begin = np.maximum.reduce([self.begin, self._last - many + 1, after - self.data.first])
        made._count()
        return made

    def __len__(self) -> int:
        return int(self.until[-1])

    def where(self, numbers: Whole) -> tuple[Whole, Whole]:
        """(B,) series, and origins within them, of windows with these numbers."""
        series = np.searchsorted(self.until, numbers, side="right")
        before = np.where(series > 0, self.until[series - 1], 0)
        return series, self.begin[series] + (numbers - before) * self.stride

    @property
    def counts(self) -> Whole:
        """(S,) windows of each series."""
        return np.diff(self.until, prepend=0)


def check_lengths(found: SeriesSet, data: Packed, lookback: int, horizon: int) -> None:
    """Raises UserError, for all series together, where one is shorter than a look-back and a horizon."""
    short = np.flatnonzero(data.lengths < lookback + horizon)
    if len(short):
        lines = [
            f"{found.series[at].origin}: {found.series[at].called} has {data.lengths[at]} steps, fewer "
            f"than lookback={lookback} + "
            f"horizon={horizon}"
            for at in short[:20]
        ]
        most = int(data.lengths[short].min())
        more = f"\n({len(short)} series are too short)" if len(short) > 20 else ""
        raise UserError(
            "\n".join(lines)
            + f"{more}\nLeave them out, or give lookback= and horizon= that add up to at most {most}."
        )
