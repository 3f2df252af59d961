"""Quantiles set right on data that wasn't learnt from: conformal calibration, level by level and step by step ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrolled.tasks.measures.bootstrap import Numbers

ENOUGH = 100  # errors for a shift of one step ahead; of fewer, steps beside it lend theirs


def shifts(truth: Numbers, quantiles: Numbers, levels: Sequence[float]) -> Numbers:
    """(H, Q) what is added to each quantile so that of the calibration windows a share of `level` lies below it.

    truth (N, H), NaN where missing, quantiles (N, H, Q), in deviations of each window. The shift at a level is that level's
    quantile of truth - quantile, rounded outwards to an order statistic as conformalised quantile regression does (Romano,
    Patterson & Candes 2019, arXiv:1905.03222, sec. 4, for each side apart). Where windows are few, steps ahead near to one
    another share their errors. 0 where there is none.
    """
    horizon, size = quantiles.shape[1:]
    found = np.zeros((horizon, size))
    known = np.isfinite(truth)
    count = known.sum(0)
    for step in range(horizon):
        reach = 0
        while count[max(0, step - reach) : step + reach + 1].sum() < ENOUGH and reach < horizon:
            reach += 1
        near = slice(max(0, step - reach), step + reach + 1)
        there = known[:, near]
        if not there.any():
            continue
        for at, level in enumerate(levels):
            off = np.sort((truth[:, near] - quantiles[:, near, at])[there])
            found[step, at] = off[_rank(len(off), level)]
    return found


def _rank(count: int, level: float) -> int:
    """The order statistic of a level: upwards above the middle, downwards below it."""
    place = np.ceil(level * (count + 1)) - 1 if level > 0.5 else np.floor(level * (count + 1)) - 1 if level < 0.5 else (count - 1) / 2
    return int(np.clip(place, 0, count - 1))


def shifted(quantiles: Numbers, by: Numbers) -> Numbers:
    """quantiles (N, H, Q) with the shifts (H, Q), in order."""
    return np.sort(quantiles + by, -1)
