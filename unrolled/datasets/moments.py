"""Mean, deviation and quartiles of channels in one pass over any number of rows, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HUGE = 1e100  # beyond it a value is a code for something else, and its square would leave the finite numbers
TOGETHER = 1 << 17  # values that are taken in at once
KEPT = 1 << 18  # rows kept for the quartiles before only every second is


def finite(values: Floats) -> NDArray[np.bool_]:
    """Where there is a number to reckon with."""
    return np.abs(values) <= HUGE


class Moments:
    """Of C channels. Missing values (NaN) and infinite ones (Inf, or beyond 1e100) are left out and counted, per channel.

    Means and squares of blocks are merged as in Chan, Golub and LeVeque 1983, "Algorithms for computing the sample
    variance", eq. 2.1 for more than one value: no sum of squares, so that a large mean costs no digits.
    """

    def __init__(self, channels: int, quartiles: bool = False) -> None:
        self.channels = channels
        self._count, self._missing, self._infinite = (np.zeros(channels, np.int64) for _ in range(3))
        self._mean = np.zeros(channels)
        self._square = np.zeros(channels)  # summed squared distances from the mean
        self._low, self._high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self._waiting: list[
            Floats
        ] = []  # short blocks, taken in together: numpy's calls cost more than their sums
        self._room = TOGETHER
        self._held: list[Floats] | None = [] if quartiles else None
        self._rows, self._every, self._seen = 0, 1, 0

    def add(self, rows: NDArray[Any]) -> None:
        """(T, C) more rows."""
        if not len(rows):
            return
        values = rows.astype(np.float64)  # a copy: the caller may write over its own
        if self._held is not None:
            self._keep(values)
        self._waiting.append(values)
        self._room -= values.size
        if self._room <= 0:
            self._take_in()

    @property
    def count(self) -> NDArray[np.int64]:
        """(C,) numbers that were reckoned with."""
        self._take_in()
        return self._count

    @property
    def missing(self) -> NDArray[np.int64]:
        """(C,) NaNs."""
        self._take_in()
        return self._missing

    @property
    def infinite(self) -> NDArray[np.int64]:
        """(C,) infinite values, and those beyond 1e100."""
        self._take_in()
        return self._infinite

    @property
    def mean(self) -> Floats:
        """(C,) 0 where there is no number."""
        self._take_in()
        return self._mean

    @property
    def deviation(self) -> Floats:
        """(C,) the deviation of the population; exactly 0 for a constant channel."""
        self._take_in()
        return np.where(self._low < self._high, np.sqrt(self._square / np.maximum(self._count, 1)), 0.0)

    def _take_in(self) -> None:
        """Reckons with what waits. Where all is finite, which the range tells, nothing has to be left out."""
        if not self._waiting:
            return
        columns = np.ascontiguousarray(
            np.concatenate(self._waiting).T
        )  # (C, T): sums along memory are quicker
        self._waiting, self._room = [], TOGETHER
        low, high = columns.min(1), columns.max(1)
        if (low >= -HUGE).all() and (high <= HUGE).all():  # False for NaN too
            self._merge(np.full(len(low), columns.shape[1]), columns.mean(1), low, high, columns)
        else:
            self._add_there(columns)

    def _add_there(self, columns: Floats) -> None:
        """The finite ones among the values."""
        there, missing = finite(columns), np.isnan(columns)
        count = there.sum(1)
        self._missing += missing.sum(1)
        self._infinite += (~there & ~missing).sum(1)
        mean = np.where(there, columns, 0.0).sum(1) / np.maximum(count, 1)
        low, high = np.where(there, columns, np.inf).min(1), np.where(there, columns, -np.inf).max(1)
        self._merge(count, mean, low, high, np.where(there, columns, mean[:, None]))

    def _merge(
        self, count: NDArray[np.int64], mean: Floats, low: Floats, high: Floats, columns: Floats
    ) -> None:
        """A block of `count` values a channel: mean and range, and all (C, T), with the mean for what is left out."""
        away = columns - mean[:, None]
        share = count / np.maximum(self._count + count, 1)
        off = mean - self._mean
        self._square += np.einsum("ct,ct->c", away, away) + off * off * (self._count * share)
        self._mean += off * share
        self._count += count
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)

    def quartiles(self) -> tuple[Floats, Floats, Floats]:
        """(C,) each: lower quartile, median, upper quartile; of more than 262,144 rows, of evenly spaced ones."""
        rows = np.concatenate(self._held or [np.zeros((0, self.channels))])
        found = np.full((3, rows.shape[1]), np.nan)
        for channel, column in enumerate(rows.T):
            known = column[finite(column)]
            if len(known):
                found[:, channel] = np.percentile(known, [25, 50, 75])
        return found[0], found[1], found[2]

    def _keep(self, rows: Floats) -> None:
        """Every `_every`-th row of all that were seen, however they were cut into blocks."""
        assert self._held is not None
        self._held.append(rows[-self._seen % self._every :: self._every].copy())
        self._seen += len(rows)
        self._rows += len(self._held[-1])
        while self._rows > KEPT:
            together = np.concatenate(self._held)[::2].copy()
            self._held, self._rows, self._every = [together], len(together), self._every * 2
