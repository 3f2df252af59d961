"""Quantiles set right on data that wasn't learnt from: conformal calibration, level by level and step by step ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrolled.tasks.measures.bootstrap import Numbers, Whole

ENOUGH = 100  # errors for a shift of one step ahead; of fewer, steps beside it lend theirs


RECENT = 400  # origins whose errors count where the shifts move along with time


def shifts(truth: Numbers, quantiles: Numbers, levels: Sequence[float]) -> Numbers:
    """(H, Q) what is added to each quantile so that of the calibration windows a share of `level` lies below it.

    truth (N, H), NaN where missing, quantiles (N, H, Q), in deviations of each window. The shift at a level is that level's
    quantile of truth - quantile, rounded outwards to an order statistic as conformalised quantile regression does (Romano,
    Patterson & Candes 2019, arXiv:1905.03222, sec. 4, for each side apart). Where windows are few, steps ahead near to one
    another share their errors. 0 where there is none.
    """
    off = truth[..., None] - quantiles
    horizon = off.shape[1]
    return _shifts(off, [slice(0, len(off))] * horizon, levels)


def _shifts(off: Numbers, rows: Sequence[slice], levels: Sequence[float]) -> Numbers:
    """off (N, H, Q) errors; rows: those that count at each step ahead."""
    horizon, size = off.shape[1:]
    found = np.zeros((horizon, size))
    count = np.array([np.isfinite(off[part, step, 0]).sum() for step, part in enumerate(rows)])
    for step in range(horizon):
        reach = 0
        while count[max(0, step - reach) : step + reach + 1].sum() < ENOUGH and reach < horizon:
            reach += 1
        near = range(max(0, step - reach), min(horizon, step + reach + 1))
        each = np.concatenate([off[rows[at], at] for at in near])
        each = np.sort(each[np.isfinite(each[:, 0])], axis=0)
        for at, level in enumerate(levels if len(each) else ()):
            found[step, at] = each[_rank(len(each), level), at]
    return found


def rolling(off: Numbers, places: Whole, now: int, levels: Sequence[float]) -> Numbers:
    """`shifts` from what is known at step `now`: of each step ahead h the errors of the last RECENT origins whose step came
    true by then, place + h <= now. off (N, H, Q), places (N,) rising, H counted from 1.
    """
    rows = []
    for ahead in range(1, off.shape[1] + 1):
        until = int(np.searchsorted(places, now - ahead, side="right"))
        rows.append(
            slice(
                int(np.searchsorted(places, places[until - 1] - RECENT, side="right")) if until else 0, until
            )
        )
    return _shifts(off, rows, levels)


def _rank(count: int, level: float) -> int:
    """The order statistic of a level: upwards above the middle, downwards below it."""
    place = (
        np.ceil(level * (count + 1)) - 1
        if level > 0.5
        else np.floor(level * (count + 1)) - 1
        if level < 0.5
        else (count - 1) / 2
    )
    return int(np.clip(place, 0, count - 1))


def shifted(quantiles: Numbers, by: Numbers) -> Numbers:
    """quantiles (N, H, Q) with the shifts (H, Q), in order."""
    return np.sort(quantiles + by, -1)
