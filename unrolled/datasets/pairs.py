"""Encoded pairs, and their batches: of similar length, with about as many tokens each, a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.collate import padded
from unrolled.datasets.sampler import Batch
from unrolled.datasets.spelling import BOUNDARY
from unrolled.datasets.store import Ragged
from unrolled.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """One part of a data set: sources (S,) ids or (S, D) numbers, and targets (T,) ids, without boundaries."""

    inputs: Ragged
    targets: Ragged

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each source."""
        return self.inputs.lengths

    @property
    def count(self) -> int:
        """Targets in all, each one's closing boundary included."""
        return int(self.targets.lengths.sum()) + len(self)

    def batch(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        """The pairs of these numbers, as `batch_of` puts them together."""
        return batch_of([self.inputs[i] for i in rows], [self.targets[i] for i in rows])


def batch_of(sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Batch:
    """Pairs padded on the right: x = 0 t1..tn, y = t1..tn 0. Lengths are None where nothing had to be padded."""
    end = np.array([BOUNDARY], np.int64)
    whole = [np.asarray(target, np.int64) for target in targets]
    x, lengths = padded([np.concatenate([end, target]) for target in whole])
    y, _ = padded([np.concatenate([target, end]) for target in whole])
    source, sizes = padded(list(map(_steps, sources)))
    return Batch(x, y, None, _if_ragged(lengths, x), source, _if_ragged(sizes, source))


class PairBundles:
    """Batches of pairs of similar length. `batch` is how many rows one has in the mean: few where they are long, many where
    they are short, each time a multiple of `accumulate`, so that batches have about as many tokens.

    How many rows each batch has is the same in each epoch; which of the rows of one length stand in it, which fewer than
    `accumulate` are left over, and the order of batches are drawn anew.
    """

    carried = False

    def __init__(self, pairs: Pairs, batch: int, seed: int = 0, accumulate: int = 1) -> None:
        if len(pairs) < accumulate:
            raise UserError(
                f"the training part holds {len(pairs)} pairs; expected at least {accumulate} (accumulate). Give it more "
                "data, or another split=."
            )
        self.pairs, self.seed = pairs, seed
        self.batch_size = max(accumulate, min(batch, len(pairs)) // accumulate * accumulate)
        self.notes: list[str] = []
        if len(pairs) < batch:
            self.notes.append(
                f"{len(pairs)} training pairs fill no batch of {batch}: training on {self.batch_size}"
            )
        self._sizes = np.stack([pairs.inputs.lengths, pairs.targets.lengths + 1])  # (2, N)
        self._order = np.lexsort((self._sizes[0], self._sizes[1]))
        self._borders = _cut(self._sizes[:, self._order], self.batch_size, accumulate)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass: fewer than `accumulate` rows are left over, other ones in each epoch."""
        return len(self._borders) - 1

    def batch(self, step: int) -> Batch:
        """The batch of a step counted from 0 over all epochs."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order, places = _drawn(
            self.seed, epoch, self._sizes.tobytes(), self.steps_per_epoch, self._borders[-1]
        )
        place = places[within]
        return self.pairs.batch(order[self._borders[place] : self._borders[place + 1]])


@lru_cache(maxsize=2)
def _drawn(
    seed: int, epoch: int, sizes: bytes, steps: int, kept: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An epoch's order of `kept` of the rows, by length and by chance where that is equal, and of its batches; kept for the
    next.
    """
    draw = np.random.default_rng([seed, epoch])
    sources, targets = np.frombuffer(sizes, np.int64).reshape(2, -1)
    shuffled = draw.permutation(len(sources))[:kept]
    order = shuffled[np.lexsort((sources[shuffled], targets[shuffled]))]
    return order, draw.permutation(steps)


def _cut(sizes: NDArray[np.int64], batch: int, accumulate: int) -> list[int]:
    """Where batches begin and the last one ends, in rows sorted by length (2, N): each has at most the tokens, padding
    included, that `batch` rows have in the mean, but at least `accumulate` rows.
    """
    most = batch * float(sizes.sum(0).mean())
    sources, targets = sizes.tolist()
    borders, at, count = [0], 0, len(sources)
    while at + accumulate <= count:
        longest = [0, 0]
        end = at
        while end < count:
            longest = [max(longest[0], sources[end]), max(longest[1], targets[end])]
            if end - at >= accumulate and sum(longest) * (end - at + 1) > most:
                break
            end += 1
        at += (end - at) // accumulate * accumulate
        borders.append(at)
    return borders


def _steps(row: np.ndarray) -> np.ndarray:
    return np.asarray(row, np.int64) if row.dtype.kind in "iu" else row


def _if_ragged(lengths: Tensor, padded_rows: Tensor) -> Tensor | None:
    return lengths if bool((lengths != padded_rows.shape[1]).any()) else None
