"""Intervals that know two sources of chance: which seed, and which held-out documents or rows.

95 % interval of a mean over S seeds: the t-interval of the seeds' scores (Student 1908, S - 1 degrees of freedom) and
the bootstrap over these units of their mean (Efron and Tibshirani 1993, chapter 6), added in quadrature; with one seed
the units' alone. A difference between two models is taken unit by unit and seed by seed first. A simple rival has no
seeds: its interval is the units'.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np
from jaxtyping import Float

from unrolled.tasks.task import RESAMPLES
from unrolled.tasks.units import Numbers, Units

NORMAL = 1.959964  # 97.5 % quantile
STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)  # df 1 to 10


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def interval(sums: Float[np.ndarray, "seeds units"], held_out: Units) -> Interval:
    """The score of one model, or of a difference between two: sums (S, U) of the units (nats of a document, 1 for a row
    that is right), and what they weigh -> mean over seeds and interval.
    """
    each = sums.sum(1) / held_out.weights.sum() * held_out.scale  # (S,)
    seeds = len(each)
    by_seed = student(seeds - 1) * float(each.std(ddof=1)) / sqrt(seeds) if seeds > 1 else 0.0
    by_document = NORMAL * held_out.scale * _deviation(sums.mean(0), held_out.weights)
    half = hypot(by_seed, by_document)
    mean = float(each.mean())
    return Interval(mean, mean - half, mean + half)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t; beyond the table, its expansion about the normal's (Fisher and Cornish 1960)."""
    if freedom <= len(STUDENT):
        return STUDENT[freedom - 1]
    z = NORMAL
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term * float(freedom) ** -power for power, term in enumerate(terms, 1))


def _deviation(sums: Numbers, weights: Numbers, seed: int = 0) -> float:
    """Standard deviation, over resampled units, of what a unit of weight adds."""
    rng = np.random.default_rng(seed)
    count = len(weights)
    if count < 2:
        return 0.0
    means = []
    for _ in range(RESAMPLES // 100):  # a hundred at a time: a resample of many documents is large
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=100)
        means.append((drawn @ sums) / np.maximum(drawn @ weights, 1))
    return float(np.concatenate(means).std(ddof=1))
