"""A rolling-origin backtest: from each moment of a part what comes is foretold with what was known by then, and no more.

The weights stay; the quantiles move along: at each moment they are set right on the latest errors that were known
(`conformal.rolling`), beginning with those of the part before. Where forecasts are too many to hold, they stay as they
were set once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from unrolled.datasets.series_windows import Windows
from unrolled.datasets.stamps import Numbers, Whole
from unrolled.tasks.conformal import RECENT, rolling, shifted
from unrolled.tasks.forecast import Forecast, Foretold

if TYPE_CHECKING:
    from unrolled.model import Model

HELD = 20_000_000  # numbers of all forecasts' quantiles, held at once
OFTEN = 4  # times a horizon that the quantiles are set anew

Step = tuple[Whole, Whole, Numbers, Foretold]


def backtest(model: Model, windows: Windows, before: Windows) -> Iterator[Step]:
    """Series, origins, what came (B, K, H) and what was foretold, some windows at a time, in the order of time. before: the
    windows of the part before it, whose last ones set the first quantiles.
    """
    task: Forecast = model.task
    many = (len(windows) + len(before)) * task.horizon * len(task.levels) * task.framing.foretold
    if task.shifts is None or many > HELD:
        yield from task.each(model, windows)
        return
    plain = replace(task, shifts=None)
    steps = [*plain.each(model, before), *plain.each(model, windows)]
    series, origin, truth, point, quantiles, deviation = _joined(steps)
    places = windows.data.first[series] + origin
    order = np.argsort(places, kind="stable")
    scale = deviation[..., None, None]
    k = truth.shape[1]
    off = ((truth[..., None] - quantiles) / scale)[order]  # (N, K, H, Q)
    off = off.reshape(-1, *off.shape[2:])
    known = np.repeat(places[order], k)
    scored = np.flatnonzero(np.arange(len(places)) >= sum(len(step[0]) for step in steps) - len(windows))
    every = max(1, task.horizon // OFTEN)
    begun = places[scored].min()
    turns = (places[scored] - begun) // every
    for turn in np.unique(turns):
        rows = scored[turns == turn]
        by = rolling(off, known, int(begun + turn * every), task.levels)
        said = shifted(quantiles[rows], by * scale[rows])
        best = said[..., len(task.levels) // 2] if task.distribution == "quantiles" else point[rows]
        yield series[rows], origin[rows], truth[rows], Foretold(best, said, deviation[rows])


def settled_now(model: Model, windows: Windows, now: int) -> Forecast:
    """The task with quantiles set right on the latest of these windows, as known at step `now`; as it is where there
    is none.
    """
    task: Forecast = model.task
    if task.shifts is None or not len(windows):
        return task
    last = [step for step in replace(task, shifts=None).each(model, windows)]
    series, origin, truth, _, quantiles, deviation = _joined(last)
    places = windows.data.first[series] + origin
    order = np.argsort(places, kind="stable")
    off = ((truth[..., None] - quantiles) / deviation[..., None, None])[order]
    by = rolling(off.reshape(-1, *off.shape[2:]), np.repeat(places[order], truth.shape[1]), now, task.levels)
    return replace(task, shifts=tuple(map(tuple, by.tolist())))


def _joined(steps: list[Step]) -> tuple[Whole, Whole, Numbers, Numbers, Numbers, Numbers]:
    """All steps' series, origins, truth, points, quantiles and deviations."""
    series, origin, truth = (np.concatenate([step[at] for step in steps]) for at in range(3))
    said = [step[3] for step in steps]
    point, quantiles, deviation = (np.concatenate([one[at] for one in said]) for at in range(3))
    return series, origin, truth, point, quantiles, deviation


__all__ = ["RECENT", "backtest", "settled_now"]
