"""How well scores rank the positive items above the others, ties counted half: AUROC and average precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unrolled.tasks.measures.bootstrap import Numbers, Statistic


def auroc(scores: Numbers, positive: NDArray[np.bool_]) -> Statistic:
    """The chance that a positive item outranks a negative one, ties half (Mann and Whitney 1947; Hanley and McNeil 1982).

    scores (N,), positive (N,). NaN where one of the two sorts is missing.
    """
    order, starts = _ranked(scores)
    sign = positive[order]

    def over(weights: Numbers) -> Numbers:
        ordered = weights[:, order]
        up = np.add.reduceat(ordered * sign, starts, axis=1)  # (R, distinct scores), best first
        down = np.add.reduceat(ordered * ~sign, starts, axis=1)
        above = np.cumsum(up, 1) - up / 2  # positives at or above each score, ties half
        return ratio((above * down).sum(1), up.sum(1) * down.sum(1))

    return over


def average_precision(scores: Numbers, positive: NDArray[np.bool_]) -> Statistic:
    """AUPRC as average precision: the sum over distinct scores of (recall's step) x precision, nothing interpolated.

    scores (N,), positive (N,). NaN where there is no positive item.
    """
    order, starts = _ranked(scores)
    sign = positive[order]

    def over(weights: Numbers) -> Numbers:
        ordered = weights[:, order]
        up = np.add.reduceat(ordered * sign, starts, axis=1)
        every = np.add.reduceat(ordered, starts, axis=1)
        precision = np.cumsum(up, 1) / np.maximum(np.cumsum(every, 1), 1e-300)
        return ratio((up * precision).sum(1), up.sum(1))

    return over


def macro(statistics: list[Statistic]) -> Statistic:
    """The mean of those that are defined; NaN where none is."""

    def over(weights: Numbers) -> Numbers:
        return mean_defined(np.stack([statistic(weights) for statistic in statistics], 1))

    return over


def ratio(part: Numbers, whole: Numbers) -> Numbers:
    """part / whole, NaN where whole is 0."""
    out = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=out, where=whole != 0)
    return out


def mean_defined(values: Numbers) -> Numbers:
    """(R, K) -> (R,) the mean of what is not NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0.0).sum(1), known.sum(1).astype(np.float64))


def _ranked(scores: Numbers) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The order from the highest score down, and where in it each distinct score begins."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    return order, np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
