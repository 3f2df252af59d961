"""Mean, deviation, range and quartiles of channels in one pass over any number of rows, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HUGE = 1e100  # beyond it a value is a code for something else, and its square would leave the finite numbers
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
        self.count = np.zeros(channels, np.int64)
        self.missing = np.zeros(channels, np.int64)
        self.infinite = np.zeros(channels, np.int64)
        self.mean = np.zeros(channels)
        self.square = np.zeros(channels)  # summed squared distances from the mean
        self.low, self.high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self._held: list[Floats] | None = [] if quartiles else None
        self._rows, self._every, self._seen = 0, 1, 0

    def add(self, rows: Floats) -> None:
        """(T, C) more rows."""
        there = finite(rows)
        count = there.sum(0)
        self.missing += np.isnan(rows).sum(0)
        self.infinite += (~there & ~np.isnan(rows)).sum(0)
        mean = np.where(there, rows, 0.0).sum(0) / np.maximum(count, 1)
        square = (np.where(there, rows - mean, 0.0) ** 2).sum(0)
        total = np.maximum(self.count + count, 1)
        off = np.where(count > 0, mean - self.mean, 0.0)
        self.square += square + off * off * (self.count * (count / total))
        self.mean += off * (count / total)
        self.count += count
        self.low = np.minimum(self.low, np.where(there, rows, np.inf).min(0, initial=np.inf))
        self.high = np.maximum(self.high, np.where(there, rows, -np.inf).max(0, initial=-np.inf))
        if self._held is not None:
            self._keep(rows)

    @property
    def deviation(self) -> Floats:
        """(C,) the deviation of the population; exactly 0 for a constant channel."""
        return np.where(self.low < self.high, np.sqrt(self.square / np.maximum(self.count, 1)), 0.0)

    def quartiles(self) -> tuple[Floats, Floats, Floats]:
        """(C,) each: lower quartile, median, upper quartile; of more than 262,144 rows, of evenly spaced ones."""
        rows = np.concatenate(self._held or [np.zeros((0, len(self.count)))])
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
