"""What each independent piece of held-out data adds to a score: what intervals resample, and what is paired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.tasks.task import BLOCK, FEW

Numbers = NDArray[np.float64]


class Units(NamedTuple):
    """`sums` and `weights`, (U,) both, of each document, block of a long one, row, or sequence of tags; the same pieces in
    the same order whoever is scored. The score is scale x sums.sum() / weights.sum().
    """

    sums: Numbers
    weights: Numbers
    scale: float = 1.0

    @property
    def value(self) -> float:
        """The score that they make."""
        return self.scale * float(self.sums.sum()) / float(self.weights.sum())


def grouped(each: Numbers, unit: NDArray[np.int64]) -> Units:
    """Units from what each item adds to a mean: each (N,), and the number of the unit that it belongs to, (N,)."""
    return Units(np.bincount(unit, each).astype(np.float64), np.bincount(unit).astype(np.float64))


def pieces_of(tokens: Sequence[int]) -> list[int]:
    """Into how many blocks of about BLOCK tokens each document is cut: one, unless fewer than FEW documents are."""
    return [max(1, round(count / BLOCK)) if len(tokens) < FEW else 1 for count in tokens]


def cut(nats: Sequence[Numbers], pieces: Sequence[int]) -> tuple[Numbers, Numbers]:
    """Nats and tokens, (U,) both, of each document's `pieces`: the same for everybody, whatever its tokens are."""
    blocks = [b for n, count in zip(nats, pieces, strict=True) for b in np.array_split(n, count)]
    return np.array([b.sum(dtype=np.float64) for b in blocks]), np.array([float(len(b)) for b in blocks])
