"""Bootstrap intervals of any measure over items, groups of items or sequences.

A measure is a function of how often each item counts: weights (R, N) -> values (R,). All ones give the measure itself; a
resample with replacement gives one bootstrap replicate, so a score and its interval come from the same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import UserError

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]
Statistic = Callable[[Numbers], Numbers]

RESAMPLES = 1000
FEWEST = 200  # resamples, however many the items
WORK = 1 << 28  # resamples x items, above which there are fewer resamples
CHUNK = 1 << 21  # weights held at a time: 16 MiB


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % percentile interval (Efron and Tibshirani 1993, ch. 13), from `resamples` resamples of
    `units` (items, or groups).
    """

    value: float
    low: float
    high: float
    units: int
    resamples: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0: of a difference, whether it is more than chance."""
        return self.low > 0 or self.high < 0


def value_of(statistic: Statistic, items: int) -> float:
    """The measure itself: every item counts once."""
    return float(statistic(np.ones((1, items)))[0])


def resamples_for(items: int) -> int:
    """How many resamples are drawn: fewer where items are very many, since their interval is narrow anyway."""
    return int(np.clip(WORK // max(items, 1), FEWEST, RESAMPLES))


def interval(
    statistic: Statistic,
    items: int,
    groups: ArrayLike | None = None,
    *,
    resamples: int | None = None,
    seed: int = 0,
) -> Interval:
    """The measure with its interval. `groups` (N,): items of one group (speaker, sequence) are drawn together.

    Raises UserError for no items, and for groups of another number than the items.
    """
    return intervals({"": statistic}, items, groups, resamples=resamples, seed=seed)[""]


def difference(
    first: Statistic,
    second: Statistic,
    items: int,
    groups: ArrayLike | None = None,
    *,
    resamples: int | None = None,
    seed: int = 0,
) -> Interval:
    """first - second on the same items, both scored on the same resamples: the paired difference."""
    return interval(
        lambda weights: first(weights) - second(weights), items, groups, resamples=resamples, seed=seed
    )


def intervals(
    statistics: Mapping[str, Statistic],
    items: int,
    groups: ArrayLike | None = None,
    *,
    resamples: int | None = None,
    seed: int = 0,
) -> dict[str, Interval]:
    """Several measures on the same resamples. A resample in which a measure is undefined (NaN) is left out of it;
    where fewer than two units or no resample are left, low and high are NaN.
    """
    unit = units_of(items, groups)
    units, count = int(unit.max()) + 1, resamples or resamples_for(items)
    values = {name: value_of(statistic, items) for name, statistic in statistics.items()}
    found: dict[str, list[Numbers]] = {name: [] for name in statistics}
    if units > 1:
        for weights in _draws(unit, units, count, seed):
            for name, statistic in statistics.items():
                found[name].append(statistic(weights))
    return {
        name: Interval(values[name], *_bounds(np.concatenate([np.zeros(0), *found[name]])), units, count)
        for name in statistics
    }


def units_of(items: int, groups: ArrayLike | None) -> Whole:
    """(N,) the number of the unit that each item is drawn with."""
    if items < 1:
        raise UserError("nothing to score: 0 items. Expected at least 1: give this part more data (split=).")
    if groups is None:
        return np.arange(items)
    named = np.asarray(groups)
    if named.shape != (items,):
        raise UserError(f"groups of shape {named.shape} for {items} items. Expected one group an item.")
    unit: Whole = np.unique(named, return_inverse=True)[1].astype(np.int64)
    return unit


def _draws(unit: Whole, units: int, count: int, seed: int) -> Iterator[Numbers]:
    """Weights (R, N) of `count` resamples in all, a few at a time; each is a function of (seed, its number)."""
    rng = np.random.default_rng(seed)
    plain = units == len(unit) and bool((unit == np.arange(units)).all())
    rows = max(1, CHUNK // max(len(unit), units))
    for begin in range(0, count, rows):
        many = min(rows, count - begin)
        drawn = rng.integers(units, size=(many, units)) + units * np.arange(many)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=many * units).reshape(many, units).astype(np.float64)
        yield weights if plain else weights[:, unit]


def _bounds(values: Numbers) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
