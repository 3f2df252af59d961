"""How good forecasts are: errors beside those of the naive method, quantiles, coverage of the 80 % interval.

Every window is one item. MASE and RMSSE: Hyndman & Koehler 2006; sMAPE from 0 to 200 %, as in the M4 competition;
pinball loss and CRPS, here twice the mean pinball loss over the levels (Gneiting & Ranjan 2011, eq. 15), in units of
the naive error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import UserError
from unrolled.tasks.measures.bootstrap import Numbers, Statistic
from unrolled.tasks.measures.report import Measure, Report, headed, shown, table

INTERVAL = (0.1, 0.9)  # the levels between which 80 % should lie
BLOCKS = 6  # of time, at least, that intervals of a score draw from
SERIES = 20  # from which whole series are drawn


def mean_of(values: Numbers) -> Statistic:
    """The mean over windows."""
    return lambda weights: weights @ values / weights.sum(1)


def root_of(values: Numbers) -> Statistic:
    """The root of the mean over windows."""
    return lambda weights: np.sqrt(weights @ values / weights.sum(1))


MEASURES: dict[str, Measure] = {
    "mase": Measure("MASE", "", False, mean_of),
    "rmsse": Measure("RMSSE", "", False, root_of),
    "smape": Measure("sMAPE", "%", False, mean_of),
    "mae": Measure("MAE", "", False, mean_of),
    "mse": Measure("MSE", "", False, mean_of),
    "scaled_mae": Measure("MAE in deviations", "", False, mean_of),
    "scaled_mse": Measure("MSE in deviations", "", False, mean_of),
    "pinball": Measure("scaled pinball loss", "", False, mean_of),
    "crps": Measure("scaled CRPS", "", False, mean_of),
    "coverage": Measure("coverage of 80 %", "", True, mean_of),
    "width": Measure("scaled width of 80 %", "", False, mean_of),
}


@dataclass(frozen=True)
class ForecastReport(Report):
    """A report on forecasts. `by_horizon`: MASE and coverage of each step ahead."""

    kind: ClassVar[str] = "forecast"
    measures: ClassVar[dict[str, Measure]] = MEASURES

    by_horizon: dict[str, list[float]] = field(default_factory=dict)

    def body(self) -> list[str]:
        """A few of the steps ahead."""
        steps = len(self.by_horizon.get("mase", []))
        some = sorted({*np.linspace(0, steps - 1, 6).round().astype(int).tolist()}) if steps else []
        rows = [[str(at + 1), *(shown(each[at]) for each in self.by_horizon.values())] for at in some]
        return table(["steps ahead", *self.by_horizon], rows) if rows else []


def pinball(truth: Numbers, quantiles: Numbers, levels: Sequence[float]) -> Numbers:
    """truth (...), quantiles (..., Q) -> the loss at each level, (..., Q): max(level (y - q), (level - 1) (y - q))."""
    off = truth[..., None] - quantiles
    at = np.asarray(levels)
    return np.maximum(at * off, (at - 1) * off)


def naive_scale(values: Numbers, season: int) -> tuple[float, float]:
    """The mean absolute and the mean squared error of the seasonal naive method over one training series (T,), NaN where
    missing; of the naive method where it is shorter than a season, or repeats itself. NaN where that errs nowhere.
    """
    for apart in dict.fromkeys((season, 1)):
        off = values[apart:] - values[:-apart]
        off = off[np.isfinite(off)]
        if len(off) and np.abs(off).mean() > 0:
            return float(np.abs(off).mean()), float((off**2).mean())
    return float("nan"), float("nan")


class Tally:
    """Gathers forecasts, some windows at a time, into what each window adds to every measure: memory for no forecast."""

    def __init__(self, levels: Sequence[float], horizon: int) -> None:
        self.levels, self.horizon = tuple(levels), horizon
        self._rows: list[dict[str, Numbers]] = []
        self._groups: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._ahead = {name: np.zeros(horizon) for name in ("mase", "coverage", "count")}

    def add(
        self,
        truth: Numbers,
        point: Numbers,
        quantiles: Numbers,
        scales: tuple[Numbers, Numbers, Numbers],
        where: Any,
    ) -> None:
        """truth and point (B, K, H), quantiles (B, K, H, Q), truth NaN where missing. scales, (B, K) each: the mean
        absolute and squared naive error, and the deviation. where: the windows' series (B,) and places in time (B,).
        """
        known = np.isfinite(truth)
        y = np.where(known, truth, 0.0)
        error = np.where(known, point - y, 0.0)
        mase, rmsse, deviation = (each[..., None] for each in scales)
        low, high = (quantiles[..., self._at(level)] for level in INTERVAL)
        total = np.abs(y) + np.abs(np.where(known, point, 0.0))
        lost = pinball(y, quantiles, self.levels).mean(-1)
        inside = (low <= y) & (y <= high)
        each = {
            "mase": np.abs(error) / mase, "rmsse": error**2 / rmsse,
            "smape": 200 * np.divide(np.abs(error), total, out=np.zeros_like(error), where=total > 0),
            "mae": np.abs(error), "mse": error**2,
            "scaled_mae": np.abs(error) / deviation, "scaled_mse": (error / deviation) ** 2,
            "pinball": lost / mase, "crps": 2 * lost / mase, "coverage": inside.astype(np.float64), "width": (high -
            low) / mase,
        }  # fmt: skip
        count = known.sum((1, 2))
        kept = count > 0
        self._rows.append(
            {
                name: (np.where(known, one, 0.0).sum((1, 2)) / np.maximum(count, 1))[kept]
                for name, one in each.items()
            }
        )
        self._groups.append((np.asarray(where[0])[kept], np.asarray(where[1])[kept]))
        for name in ("mase", "coverage"):
            self._ahead[name] += np.where(known, each[name], 0.0).sum((0, 1))
        self._ahead["count"] += known.sum((0, 1))

    def _at(self, level: float) -> int:
        return min(range(len(self.levels)), key=lambda at: abs(self.levels[at] - level))

    def report(self, primary: str = "mase", seed: int = 0) -> ForecastReport:
        """The report. Raises UserError where no window had a known future."""
        if not sum(len(row["mase"]) for row in self._rows):
            raise UserError(
                "nothing to score: no window of this part has a known future. Give it more data, or another split=."
            )
        each = {name: np.concatenate([row[name] for row in self._rows]) for name in MEASURES}
        series, places = (np.concatenate([one[side] for one in self._groups]) for side in (0, 1))
        groups, says = blocks(series, places, self.horizon)
        made = {name: MEASURES[name].of(values) for name, values in each.items()}
        found = headed(MEASURES, primary, made, len(series), groups, seed, each)
        count = np.maximum(self._ahead["count"], 1)
        ahead = {name: (self._ahead[name] / count).tolist() for name in ("mase", "coverage")}
        return ForecastReport(**found, by_horizon=ahead, notes=[says])


def blocks(
    series: NDArray[np.int64], places: NDArray[np.int64], horizon: int
) -> tuple[NDArray[np.int64], str]:
    """What a score's interval draws: whole series where there are many; else stretches of time, all series' together,
    as long as the horizon where that leaves enough of them. (N,) numbers of it, and what they are, in words.
    """
    if len(np.unique(series)) >= SERIES:
        return series, "the interval draws whole series"
    first, last = int(places.min()), int(places.max())
    length = max(1, min(horizon, (last - first + 1) // BLOCKS))
    made = (places - first) // length
    short = (
        ""
        if length >= horizon
        else f", shorter than the horizon of {horizon}: the interval is too narrow rather than too wide"
    )
    return made, f"the interval draws stretches of {length} steps{short}"
