"""Which tokens stand in which batch: pure functions of (seed, step), so that resuming needs one integer.

The pairs (token i, token i + 1) of a token file form a circle, since the file begins and ends with a
boundary. Both ways of feeding turn that circle by a random offset each epoch, so that what one epoch's
rounding leaves out comes in another.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.spelling import BOUNDARY
from unrolled.datasets.tokens import TokenFile
from unrolled.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


class Batch(NamedTuple):
    """One optimizer step's data."""

    x: Tensor  # (B, T) ids or (B, T, D) numbers
    y: Tensor  # (B, T), (B,) or (B, K)
    start: Tensor | None = (
        None  # (B, T) bool: where documents begin; None: nowhere but at each row's first step
    )
    lengths: Tensor | None = None  # (B,) real steps of each row; None: all
    source: Tensor | None = None  # (B, S) ids or (B, S, D) numbers that a `Seq2Seq` reads first
    source_lengths: Tensor | None = None  # (B,) real steps of each source; None: all


class Feed:
    """What both samplers share: the circle of pairs, and a batch cut to what a small corpus can fill (said in
    `notes`).
    """

    carried: ClassVar[bool]  # a row goes on where the same row of the batch before ended

    def __init__(self, tokens: NDArray[Any] | TokenFile, batch: int, length: int, seed: int = 0) -> None:
        array = np.asarray(tokens.tokens if isinstance(tokens, TokenFile) else tokens)
        if batch < 1 or length < 1:
            raise UserError(f"batch and length must be at least 1, got batch={batch} length={length}.")
        if len(array) < 3:
            raise UserError(
                f"the training data holds {max(len(array) - 2, 0)} tokens; expected at least 1. Give it more."
            )
        if array[0] != BOUNDARY or array[-1] != BOUNDARY:
            raise ValueError("a token array begins and ends with the document boundary 0")
        self.tokens = array
        self.pairs = len(array) - 1
        self.seed = seed
        self.length = min(length, self.pairs)
        self.batch_size = min(batch, self.pairs // self.length)
        self.notes: list[str] = []
        if (self.batch_size, self.length) != (batch, length):
            self.notes.append(
                f"{self.pairs} tokens fill no batch of {batch} x {length} (that takes {batch * length}): "
                f"training on {self.batch_size} x {self.length} instead"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the tokens."""
        raise NotImplementedError

    def _begins(self, epoch: int, step: int) -> NDArray[np.int64]:
        """(batch,) where on the circle each row of this batch begins."""
        raise NotImplementedError

    def _fresh(self, step: int) -> bool:
        """Whether the rows of this batch begin anew, not where those of the batch before ended."""
        raise NotImplementedError

    def batch(self, step: int) -> Batch:
        """x, y int64 and start bool, each (B, T), of a step counted from 0 over all epochs."""
        import torch

        epoch, within = divmod(step, self.steps_per_epoch)
        at = (self._begins(epoch, within)[:, None] + np.arange(self.length)) % self.pairs  # (B, T)
        x = self.tokens[at].astype(np.int64)
        y = self.tokens[at + 1].astype(np.int64)
        start = x == BOUNDARY
        if self._fresh(within):
            start[:, 0] = True
        return Batch(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(start))

    def _draw(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch])


class Streams(Feed):
    """Contiguous lanes for carried state: row b goes on at every step where it ended at the step before,
    through its own stretch of the corpus. The first token of a lane in an epoch has start=True, and so has
    every boundary.
    """

    carried = True

    @property
    def steps_per_epoch(self) -> int:
        return self.pairs // self.batch_size // self.length

    def _begins(self, epoch: int, step: int) -> NDArray[np.int64]:
        lanes = np.arange(self.batch_size) * (self.pairs // self.batch_size)
        offset = int(self._draw(epoch).integers(self.pairs))
        return np.asarray(lanes + offset + step * self.length, np.int64)

    def _fresh(self, step: int) -> bool:
        return step == 0


class Windows(Feed):
    """Windows without state, in random order: each epoch cuts the circle into windows and shuffles them.
    Every row starts.
    """

    carried = False

    @property
    def steps_per_epoch(self) -> int:
        return self.pairs // self.length // self.batch_size

    def _begins(self, epoch: int, step: int) -> NDArray[np.int64]:
        offset, order = _shuffled(self.seed, epoch, self.pairs, self.pairs // self.length)
        rows = order[step * self.batch_size : (step + 1) * self.batch_size]
        return np.asarray(rows * self.length + offset, np.int64)

    def _fresh(self, step: int) -> bool:
        return True


@lru_cache(maxsize=4)
def _shuffled(seed: int, epoch: int, pairs: int, windows: int) -> tuple[int, NDArray[np.int64]]:
    """An epoch's offset and the order of its windows: kept for the next steps, never changed."""
    draw = np.random.default_rng([seed, epoch])
    offset = int(draw.integers(pairs))
    return offset, draw.permutation(windows)
