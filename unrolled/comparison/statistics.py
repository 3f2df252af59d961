"""Intervals that know two sources of chance: which seed, and which held-out documents.

95 % interval of a mean over S seeds: the t-interval of the seeds' scores (Student 1908, S - 1 degrees of freedom) and
the bootstrap over documents of their mean (Efron and Tibshirani 1993, chapter 6), added in quadrature; with one seed
the documents' alone. A difference between two models is taken document by document and seed by seed first. The n-gram
has no seeds: its interval is the documents'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, log, sqrt

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from unrolled.tasks.task import BLOCK, FEW, RESAMPLES

NORMAL = 1.959964  # 97.5 % quantile
STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)  # df 1 to 10
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class HeldOut:
    """What was scored: `tokens` (U,) of each document, or block where documents are few; characters, bytes in all."""

    tokens: Numbers
    characters: int
    bytes: int

    @property
    def scale(self) -> float:
        """Nats a token -> bits a character."""
        return float(self.tokens.sum()) / (log(2) * max(self.characters, 1))


def pieces_of(tokens: Sequence[int]) -> list[int]:
    """Into how many blocks of about BLOCK tokens each document is cut: one, unless fewer than FEW documents are."""
    return [max(1, round(count / BLOCK)) if len(tokens) < FEW else 1 for count in tokens]


def units(nats: Sequence[Numbers], pieces: Sequence[int]) -> tuple[Numbers, Numbers]:
    """Nats and tokens, (U,) both, of each document's `pieces`: the same for everybody, whatever its tokens are."""
    blocks = [b for n, count in zip(nats, pieces, strict=True) for b in np.array_split(n, count)]
    return np.array([b.sum(dtype=np.float64) for b in blocks]), np.array([float(len(b)) for b in blocks])


def interval(nats: Float[np.ndarray, "seeds units"], held_out: HeldOut) -> Interval:
    """Bits per character of one model, or of a difference between two: nats (S, U) -> mean over seeds and interval."""
    each = nats.sum(1) / held_out.tokens.sum() * held_out.scale  # (S,)
    seeds = len(each)
    by_seed = student(seeds - 1) * float(each.std(ddof=1)) / sqrt(seeds) if seeds > 1 else 0.0
    by_document = NORMAL * held_out.scale * _deviation(nats.mean(0), held_out.tokens)
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


def _deviation(nats: Numbers, tokens: Numbers, seed: int = 0) -> float:
    """Standard deviation, over resampled documents, of nats a token."""
    rng = np.random.default_rng(seed)
    count = len(tokens)
    if count < 2:
        return 0.0
    means = []
    for _ in range(RESAMPLES // 100):  # a hundred at a time: a resample of many documents is large
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=100)
        means.append((drawn @ nats) / np.maximum(drawn @ tokens, 1))
    return float(np.concatenate(means).std(ddof=1))
