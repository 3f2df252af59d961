"""Sequences with what is to be said of them, encoded; and their batches, a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.augment import MOVING, Changes, augmented
from unrolled.datasets.collate import padded
from unrolled.datasets.sampler import Batch
from unrolled.datasets.store import Ragged
from unrolled.errors import UserError

POOL = (
    16  # batches whose rows are sorted by length together: little padding, and still a new mixture each epoch
)


@dataclass(frozen=True)
class Examples:
    """One part of a data set. Inputs (T,) ids or (T, D) float32; targets: a number or vector each, also as one array; or
    one a step; or, ragged, ids from 1, as many as there happen to be.
    """

    inputs: Ragged
    targets: Sequence[np.ndarray]
    stepwise: bool = False
    ragged: bool = False

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each input."""
        return self.inputs.lengths

    @property
    def count(self) -> int:
        """Targets in all."""
        return int(self.lengths.sum()) if self.stepwise else len(self)

    def batch(
        self,
        rows: Sequence[int] | NDArray[np.int64],
        change: Callable[[np.ndarray, int], np.ndarray] | None = None,
    ) -> Batch:
        """The examples of these numbers, padded on the right. `lengths` is None where nothing had to be padded. change:
        what is done to an input (with its number) first.
        """
        import torch

        inputs = [self.inputs[i] for i in rows]
        if change is not None:
            inputs = [change(x, int(i)) for x, i in zip(inputs, rows, strict=True)]
        x, lengths = padded(inputs)
        targets = [self.targets[i] for i in rows]
        y = padded(targets)[0] if self.stepwise or self.ragged else torch.from_numpy(np.stack(targets))
        ragged = bool((lengths != x.shape[1]).any())
        return Batch(x, y, lengths=lengths if ragged else None)


class Bundles:
    """Batches of examples of similar length: each epoch shuffles, sorts within pools of batches, and shuffles those.

    changes: augmentations with their settings, drawn anew each epoch as a function of (seed, epoch, example).
    """

    carried = False

    def __init__(self, examples: Examples, batch: int, seed: int = 0, changes: Changes = ()) -> None:
        if not len(examples):
            raise UserError("the training part holds no examples. Give it more data, or another split=.")
        if examples.stepwise and (moving := [name for name, _ in changes if name in MOVING]):
            raise UserError(
                f"augment={moving[0]}: it moves or drops steps, and each step has a tag of its own."
            )
        self.examples, self.seed, self.changes = examples, seed, changes
        self.batch_size = min(batch, len(examples))
        self.notes = (
            [f"{len(examples)} training examples fill no batch of {batch}: training on {self.batch_size}"]
            if self.batch_size < batch
            else []
        )
        self._lengths = examples.lengths.tobytes()

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass; what is left over comes in another epoch's."""
        return len(self.examples) // self.batch_size

    def batch(self, step: int) -> Batch:
        """The batch of a step counted from 0 over all epochs."""
        epoch, within = divmod(step, self.steps_per_epoch)
        rows = _dealt(self.seed, epoch, self.batch_size, self._lengths)[within]
        if not self.changes:
            return self.examples.batch(rows)

        def change(x: np.ndarray, number: int) -> np.ndarray:
            return augmented(x, self.changes, seed=self.seed, epoch=epoch, sample=number)

        return self.examples.batch(rows, change)


@lru_cache(maxsize=2)
def _dealt(seed: int, epoch: int, batch: int, lengths: bytes) -> NDArray[np.int64]:
    """(steps, batch) numbers of examples; kept for the epoch's other steps."""
    draw = np.random.default_rng([seed, epoch])
    size = np.frombuffer(lengths, np.int64)
    order = draw.permutation(len(size))
    pools = [order[at : at + POOL * batch] for at in range(0, len(order), POOL * batch)]
    order = np.concatenate([pool[np.argsort(size[pool], kind="stable")] for pool in pools])
    steps = len(size) // batch
    begin = int(draw.integers(len(size) - steps * batch + 1))  # what is left out isn't always the longest
    return draw.permutation(order[begin : begin + steps * batch].reshape(steps, batch))
