"""Gated linear recurrences: gates read the input only, so the state is a linear scan and training is parallel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrolled.layout import Layout, select
from unrolled.mixer import Mixer, listening, note
from unrolled.mixers.scan import linear_scan, linear_scan_reference
from unrolled.state import Source, State


class MinGRU(Mixer):
    """z = sigmoid(W_z x), h~ = W_h x, h' = (1 - z) h + z h~.

    Feng et al. 2024, "Were RNNs All We Needed?", arXiv:2410.01201, sec. 3.1 (the GRU without its dependence on
    the hidden state, without tanh). The update gate's bias begins at `gate_bias`: below 0 the state is slow to change.
    """

    def __init__(self, width: int, *, inputs: int | None = None, gate_bias: float = 0.0) -> None:
        super().__init__(width, inputs=inputs)
        self.gates = nn.Linear(self.inputs, 2 * width)
        nn.init.xavier_uniform_(self.gates.weight)
        nn.init.zeros_(self.gates.bias)
        self.gates.bias.data[:width] = gate_bias

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        return self.zeros(batch, self.width)

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        if layout is not None:
            x = select(layout.valid, x)
        z, candidate = self.gates(x).chunk(2, -1)
        z = z.sigmoid()
        a, b = 1 - z, z * candidate
        if layout is not None:
            a, b = select(~layout.start, a), select(layout.valid, b)
            a = torch.where(layout.valid[..., None], a, 1.0)
        h = self.zeros(len(x), self.width) if state is None else state
        scan = linear_scan_reference if listening() else linear_scan
        y = scan(a, b, h.to(b.dtype))
        for name, value in (("update", z), ("candidate", candidate), ("hidden", y)):
            note(name, value)
        return y, None if state is None else y[:, -1].to(state.dtype).contiguous()
