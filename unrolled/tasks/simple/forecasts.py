"""Forecasts without a network: the last value, the value one season ago, the line through the past, a regression on
lags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np

from unrolled.datasets.series_windows import Packed, Windows
from unrolled.datasets.stamps import Numbers, Whole
from unrolled.tasks.conformal import shifted, shifts

LAGS = 64  # steps back that the regression sees, at most, where a season is shorter
RIDGE = 1e-3  # of the lags' mean square
PIECE = 4096  # windows at a time
LEARNT = 100_000  # windows that it learns from, evenly chosen of more
CALIBRATED = 4000


class Simple(Protocol):
    """A forecaster by rule."""

    name: str

    def points(self, data: Packed, series: Whole, origin: Whole) -> Numbers:
        """(B, H, K) what is foretold after these steps."""
        ...


@dataclass(frozen=True)
class Naive:
    """The last value, or (season > 1) the one a season before each step ahead."""

    horizon: int
    foretold: int
    season: int = 1

    @property
    def name(self) -> str:
        """For tables."""
        return "naive" if self.season == 1 else f"seasonal naive ({self.season})"

    def points(self, data: Packed, series: Whole, origin: Whole) -> Numbers:
        """(B, H, K)."""
        back = self.season - np.arange(self.horizon) % self.season - 1
        index = np.maximum(origin[:, None] - back, 0)
        found: Numbers = data.values[data.offsets[series][:, None] + index][..., : self.foretold]
        return found


@dataclass(frozen=True)
class Drift:
    """The line through a series' first and last value."""

    horizon: int
    foretold: int
    name: ClassVar[str] = "drift"

    def points(self, data: Packed, series: Whole, origin: Whole) -> Numbers:
        """(B, H, K)."""
        begin = data.offsets[series]
        first, last = (data.values[at][:, : self.foretold] for at in (begin, begin + origin))
        slope = (last - first) / np.maximum(origin, 1)[:, None]
        return last[:, None] + slope[:, None] * np.arange(1, self.horizon + 1)[:, None]


class LagRegression:
    """Ridge regression of every step ahead on the last values, all of them less the very last one; all series
    together, each in its own deviations.
    """

    name: ClassVar[str] = "linear regression on lags"

    def __init__(self, horizon: int, foretold: int, lags: int) -> None:
        self.horizon, self.foretold, self.lags = horizon, foretold, lags
        self.weights: Numbers = np.zeros((lags, horizon))

    def fit(self, windows: Windows) -> Self:
        """Learns from training windows."""
        chosen = np.arange(0, len(windows), max(1, -(-len(windows) // LEARNT)))
        gram, cross = np.zeros((self.lags, self.lags)), np.zeros((self.lags, self.horizon))
        for begin in range(0, len(chosen), PIECE):
            series, origin = windows.where(chosen[begin : begin + PIECE])
            x, last, scale = self._read(windows.data, series, origin)
            index = (windows.data.offsets[series] + origin)[:, None] + np.arange(1, self.horizon + 1)
            y = (windows.data.values[index][..., : self.foretold] - last[:, None]) / scale[:, None]
            known = windows.data.known[index][..., : self.foretold].all(1)  # (B, K)
            x, y = (np.swapaxes(each, 1, 2)[known] for each in (x, y))
            gram += x.T @ x
            cross += x.T @ y
        ridge = RIDGE * max(float(np.trace(gram)) / self.lags, 1e-12)
        self.weights = np.asarray(np.linalg.solve(gram + ridge * np.eye(self.lags), cross), np.float64)
        return self

    def points(self, data: Packed, series: Whole, origin: Whole) -> Numbers:
        """(B, H, K)."""
        x, last, scale = self._read(data, series, origin)
        said = np.einsum("blk,lh->bhk", x, self.weights)
        return np.asarray(said * scale[:, None] + last[:, None], np.float64)

    def _read(self, data: Packed, series: Whole, origin: Whole) -> tuple[Numbers, Numbers, Numbers]:
        """The lags (B, L, K) less the last value, that value (B, K), and the deviation (B, K)."""
        index = np.maximum(origin[:, None] + np.arange(-self.lags, 0), 0) + data.offsets[series][:, None]
        last = data.values[data.offsets[series] + origin][:, : self.foretold]
        scale = data.scales.deviation[series][:, : self.foretold]
        return (data.values[index][..., : self.foretold] - last[:, None]) / scale[:, None], last, scale


class Spread:
    """A rule with quantiles: those of its errors on windows that are neither learnt from nor scored."""

    def __init__(self, rule: Simple, windows: Windows, levels: Sequence[float]) -> None:
        self.rule, self.levels = rule, tuple(levels)
        chosen = np.arange(0, len(windows), max(1, -(-len(windows) // CALIBRATED)))
        series, origin = windows.where(chosen)
        data, horizon = windows.data, windows.horizon
        said = rule.points(data, series, origin)
        index = (data.offsets[series] + origin)[:, None] + np.arange(1, horizon + 1)
        k = said.shape[2]
        truth = np.where(data.known[index][..., :k], data.values[index][..., :k], np.nan)
        scale = data.scales.deviation[series][:, None, :k]
        off, none = (
            np.swapaxes(each, 1, 2).reshape(-1, horizon)
            for each in ((truth - said) / scale, np.zeros_like(said))
        )
        self.by = shifts(off, np.repeat(none[..., None], len(levels), -1), self.levels)

    def foretell(self, data: Packed, series: Whole, origin: Whole) -> tuple[Numbers, Numbers]:
        """point (B, K, H) and quantiles (B, K, H, Q)."""
        point = np.swapaxes(self.rule.points(data, series, origin), 1, 2)
        scale = data.scales.deviation[series][:, : point.shape[1], None, None]
        return point, shifted(point[..., None], self.by * scale)
