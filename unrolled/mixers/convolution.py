"""Causal convolution along time: an output sees the last `kernel` inputs, `dilation` apart, of its own document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrolled.errors import UserError, positive
from unrolled.kernels import affine
from unrolled.layout import Layout, select
from unrolled.mixer import Mixer, Reach, note
from unrolled.mixers.remember import extend
from unrolled.state import Source, State, Tail

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "none": lambda x: x,
}


class CausalConv(Mixer):
    """y_t = act(b + sum_k W_k x_{t - (kernel - 1 - k) dilation}). A stack with growing dilation is a TCN.

    Bai, Kolter & Koltun 2018, arXiv:1803.01271, sec. 3.2-3.3 (van den Oord et al. 2016, arXiv:1609.03499, eq. 2).
    Inputs before a document's start count as zeros. depthwise: one weight a tap and channel instead of a matrix.
    """

    def __init__(
        self,
        width: int,
        *,
        inputs: int | None = None,
        kernel: int = 3,
        dilation: int = 1,
        activation: Literal["relu", "tanh", "none"] = "none",
        depthwise: bool = False,
    ) -> None:
        super().__init__(width, inputs=inputs)
        if depthwise and self.inputs != width:
            raise UserError(
                f"CausalConv: depthwise keeps its width; got width={width}, inputs={self.inputs}."
            )
        positive(type(self).__name__, kernel=kernel, dilation=dilation)
        if activation not in ACTIVATIONS:
            raise UserError(f"CausalConv: activation is {activation!r}; known: {', '.join(ACTIVATIONS)}.")
        self.kernel, self.dilation, self.activation = kernel, dilation, activation
        self.reach = Reach(past=(kernel - 1) * dilation)
        self.depthwise = depthwise
        # taps in order, the oldest first
        shape = (kernel, width) if depthwise else (width, kernel * self.inputs)
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(width))
        if depthwise:
            nn.init.normal_(self.weight, std=kernel**-0.5)
        else:
            nn.init.xavier_uniform_(self.weight)

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        return Tail((self.zeros(batch, int(self.reach.past), self.inputs),), self.count(batch))

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        time, past = x.shape[1], int(self.reach.past)
        if layout is not None:
            x = select(layout.valid, x)
        past_and_new = extend(self.start(x.shape[0]) if state is None else state, (x,), layout)
        (full,) = past_and_new.items
        if state is not None:  # the tail may still hold another document
            full = select(past_and_new.alive, full)
        taps = []
        for back in range(past, -1, -self.dilation):
            tap = full[:, past - back : past - back + time]
            if back and layout is not None:  # zeros stand before a start
                mine, theirs = (past_and_new.segment[:, i : i + time] for i in (past, past - back))  # type: ignore[index]
                tap = select(mine == theirs, tap)
            taps.append(tap)
        if self.depthwise:
            y = sum((tap * weight for tap, weight in zip(taps, self.weight, strict=True)), self.bias)
        else:
            y = affine(torch.cat(taps, 2).to(x.dtype), self.weight, self.bias)
        y = ACTIVATIONS[self.activation](y)
        note("output", y)
        return y, None if state is None else past_and_new.tail
