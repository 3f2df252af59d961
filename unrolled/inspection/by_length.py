"""What a sequence-to-sequence model writes, judged by how long its source was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.pairs import Pairs
from unrolled.layout import Layout
from unrolled.model import Seq2Seq
from unrolled.running.decode import decode

ROWS = 256  # decoded at once


@dataclass(frozen=True)
class Judged:
    """Pairs beside what was written for them: (N,) each. `exact`: all of it is right; `symbols`: the share of places where
    what is wanted was written, of as many places as the longer of both has.
    """

    lengths: NDArray[np.int64]  # steps of the source
    exact: NDArray[np.bool_]
    symbols: NDArray[np.float64]

    def within(self, low: int, high: int) -> Judged:
        """Those whose source has `low` to `high` steps."""
        kept = (self.lengths >= low) & (self.lengths <= high)
        return Judged(self.lengths[kept], self.exact[kept], self.symbols[kept])

    def __len__(self) -> int:
        return len(self.lengths)


def judge(model: Seq2Seq, pairs: Pairs) -> Judged:
    """Decodes greedily what the model writes for each source, and holds it against the target."""
    said = written(model, pairs)
    wanted = [pairs.targets[i].tolist() for i in range(len(pairs))]
    return Judged(
        np.asarray(pairs.lengths),
        np.array([list(one) == other for one, other in zip(said, wanted, strict=True)], bool),
        np.array([places(one, other) for one, other in zip(said, wanted, strict=True)], float),
    )


def written(model: Seq2Seq, pairs: Pairs) -> list[tuple[int, ...]]:
    """The tokens that the model writes for each pair's source, greedily; at most twice as many as the source has and 10."""
    order = np.argsort(pairs.lengths, kind="stable")
    said: list[tuple[int, ...]] = [()] * len(pairs)
    for at in range(0, len(order), ROWS):
        rows = order[at : at + ROWS]
        batch = pairs.batch(rows)
        assert batch.source is not None
        layout = None
        if batch.source_lengths is not None:
            layout = Layout.of_lengths(batch.source_lengths, batch.source.shape[1])
        longest = [2 * int(pairs.lengths[row]) + 10 for row in rows]
        state = model.read_source(batch.source, layout, capacity=max(longest) + 1)
        for row, (best,) in zip(rows, decode(model, state, longest=longest), strict=True):
            said[row] = best.tokens
    return said


def places(said: Sequence[int], wanted: Sequence[int]) -> float:
    """The share of places that hold what is wanted; 1 where both are empty."""
    most = max(len(said), len(wanted))
    return sum(a == b for a, b in zip(said, wanted, strict=False)) / most if most else 1.0
