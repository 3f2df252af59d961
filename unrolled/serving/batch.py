"""The rows of a batch that sequences join and leave while the others go on: one state, one call a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unrolled.layout import Layout
from unrolled.state import Slots, State, grow, pick, put

if TYPE_CHECKING:
    from unrolled.model import Model

HELD = 64  # slots reserved at first by a model without a context
FIRST = 512  # at most, by one with a context: they grow as they are filled


class Batch:
    """`size` rows of one model, a power of two. What a row holds that nobody owns is of no account."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.fixed = model.fixed_state  # asked once: it builds a state to tell
        self.context: int | None = None if self.fixed else getattr(model.task, "context", None)
        self.size = 1
        self.state: State = self.begin(1)

    def begin(self, rows: int = 1, steps: int = HELD) -> State:
        """The state before the first of `steps` steps."""
        if self.fixed:
            return self.model.start(rows)
        return self.model.start(rows, max(steps, min(self.context or HELD, FIRST)))

    def read(self, pieces: Sequence[Sequence[Any]], state: State, used: int) -> tuple[Tensor, State]:
        """Reads pieces of several sequences, a row each, beside the batch -> (the predictions after their last steps, the
        state). used: steps that came before.
        """
        steps = pad_sequence([as_steps(piece) for piece in pieces], batch_first=True)
        if not self.fixed:
            state = grow(state, used + steps.shape[1])
        lengths = torch.tensor([len(piece) for piece in pieces])
        layout = None if len(pieces) == 1 else Layout.of_lengths(lengths, steps.shape[1])
        return self.model.read(steps, state, layout)

    def advance(self, steps: Tensor, reads: Sequence[bool], begins: Sequence[bool], most: int) -> Tensor:
        """One step of every row in one call: steps (size, 1) or (size, 1, D) -> predictions (size, ...).

        reads: rows that have a step; the others stay as they are. begins: of these, rows that forget what was before.
        most: steps in the fullest row, this one included.
        """
        if not self.fixed:
            self.state = grow(self.state, most)
        layout = None  # the dense way costs no masks
        if not all(reads) or any(begins):
            layout = Layout(torch.tensor(reads)[:, None], torch.tensor(begins)[:, None])
        prediction, self.state = self.model.read(steps, self.state, layout)
        return prediction

    def place(self, rows: Sequence[int | None], alone: State) -> None:
        """The rows of `alone` stand in `rows` from now on."""
        self.state = put(self.state, torch.tensor(rows), alone)

    def take(self, row: int) -> State:
        """A copy of one row's state."""
        return pick(self.state, torch.tensor([row]))

    def clear(self, row: int) -> None:
        """Nobody's row holds no slots, so that attention doesn't look at them."""
        _clear(self.state, row)

    def resize(self, size: int, kept: Sequence[int]) -> None:
        """`size` rows, of which the first are those of `kept`."""
        rows = [*kept, *[0] * (size - len(kept))]
        self.state, self.size = pick(self.state, torch.tensor(rows)), size
        for row in range(len(kept), size):
            self.clear(row)


def _clear(state: State, row: int) -> None:
    if isinstance(state, Slots):
        state.filled[row] = 0
        state.begin[row] = 0
    elif isinstance(state, tuple):
        for child in state:
            _clear(child, row)


def as_steps(values: Sequence[Any]) -> Tensor:
    """Ids or rows of numbers, one a step -> (T,) int64 or (T, D) float32."""
    if isinstance(values[0], int):
        return torch.tensor(values)
    return torch.from_numpy(np.stack(values))
