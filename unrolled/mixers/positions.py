"""Positions as a mixer that counts: the count is its state, so nothing above it passes positions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrolled.errors import UserError, positive
from unrolled.layout import Layout, positions, select
from unrolled.mixer import Mixer, Reach
from unrolled.state import Source, State


class LearnedPositions(Mixer):
    """x + table[position in its document]: Gehring et al. 2017, arXiv:1705.03122, sec. 3.1.

    length: the longest document it can count; offset: rows of the table before the one of position 0, which nothing reads
    (RoBERTa's begin after its padding's). Raises UserError beyond it.
    """

    reach = Reach(0, 0)
    sublayer = False

    def __init__(self, width: int, *, inputs: int | None = None, length: int = 1024, offset: int = 0) -> None:
        super().__init__(width, inputs=inputs)
        positive("LearnedPositions", length=length)
        if self.inputs != width:
            raise UserError(
                f"LearnedPositions adds to its input: width {width} must equal inputs {self.inputs}."
            )
        if not isinstance(offset, int) or offset < 0:
            raise UserError(f"LearnedPositions: offset is {offset!r}; it must be a whole number, at least 0.")
        self.length, self.offset = length, offset
        self.table = nn.Parameter(torch.randn(offset + length, width) * 0.02)

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        return self.count(batch)

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        before = self.count(x.shape[0]) if state is None else state
        index = positions(layout, before, x.shape[1])
        if layout is not None:
            x, index = select(layout.valid, x), select(layout.valid, index)
        if not torch.compiler.is_compiling() and index.numel() and int(index.max()) >= self.length:
            raise UserError(
                f"a document reached position {int(index.max())}; LearnedPositions counts to {self.length - 1}. "
                "Use length=... when building it, or rotary positions, which have no end."
            )
        y = x + self.table[index + self.offset if self.offset else index]
        if state is None:
            return y, None
        return y, before + x.shape[1] if layout is None else layout.after(before)

    def flops(self, tokens: int) -> int:
        return 0  # the table is looked up, not multiplied
