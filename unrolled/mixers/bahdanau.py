"""A GRU that looks at its source before every step: the context enters the cell."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unrolled.errors import UserError
from unrolled.layout import Layout, select
from unrolled.mixer import Mixer, Reach
from unrolled.mixers.cross import CrossAttention
from unrolled.mixers.recurrent import GRU, RNNState
from unrolled.state import Memory, Source, State


class BahdanauState(NamedTuple):
    """The cell's hidden state (B, width) and what it may look back at."""

    hidden: Tensor
    memory: Memory


class Bahdanau(Mixer):
    """c_t = additive attention of s_{t-1} to the source, s_t = GRU([x_t; c_t], s_{t-1}), y_t = tanh(W [c_t; s_t])
    (Bahdanau et al. 2015, arXiv:1409.0473, sec. 3.1 and app. A.1.2, A.2.2; the output layer's maxout is left out).

    source: the width of what it reads. Step by step, since what it looks for depends on what it found.
    """

    reach = Reach()
    conditioned = True

    def __init__(self, width: int, *, inputs: int | None = None, source: int | None = None) -> None:
        super().__init__(width, inputs=inputs)
        source = width if source is None else source
        self.attention = CrossAttention(width, inputs=width, source=source, score="additive", merge="tanh")
        self.cell = GRU(width, inputs=self.inputs + source)

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        return BahdanauState(self.zeros(batch, self.width), self.attention.start(batch, capacity, source))

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        if state is None:
            raise UserError("Bahdanau reads a source: give it the state of start(batch, source=...).")
        if layout is not None:
            x = select(layout.valid, x)
        hidden, memory = state
        outputs = []
        for t in range(x.shape[1]):
            if layout is not None:
                hidden = torch.where(layout.start[:, t, None], torch.zeros_like(hidden), hidden)
            context, after = self._step(x[:, t], hidden.to(x.dtype), memory)
            if layout is not None:
                after = torch.where(layout.valid[:, t, None], after, hidden)
            hidden = after
            outputs.append(torch.tanh(self.attention.out(torch.cat([context, after], 1))))
        return torch.stack(outputs, 1), BahdanauState(hidden.to(state.hidden.dtype), memory)

    def _step(self, x: Tensor, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """One step -> the context (B, source), the hidden state after it."""
        query = self.attention.query(hidden)[:, None, None]  # type: ignore[misc]
        context = self.attention.look(query, memory)[:, 0, 0]
        _, after = self.cell.consume(torch.cat([x, context], 1)[:, None], RNNState(hidden))
        return context, after.hidden
