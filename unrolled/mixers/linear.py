"""Gated linear recurrences: gates read the input only, so the state is a linear scan and training is parallel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.kernels import Affine
from unrolled.layout import Layout, select
from unrolled.mixer import Mixer, listening, note
from unrolled.mixers.scan import linear_scan, linear_scan_reference
from unrolled.state import Source, State, last


class MinGRU(Mixer):
    """z = sigmoid(W_z x), h~ = W_h x, h' = (1 - z) h + z h~.

    Feng et al. 2024, "Were RNNs All We Needed?", arXiv:2410.01201, sec. 3.1 (the GRU without its dependence on
    the hidden state, without tanh). expansion: the state is that many times as wide as the output, which is then a
    linear map of it (sec. 3.1.3, "state expansion"). The recurrence and its state are kept in float32 at least.

    The update gate's bias begins spread from -4 to 2, so that units remember from about 1 to 55 tokens (the idea of
    chrono initialisation, Tallec & Ollivier 2018, arXiv:1804.11188, sec. 2).
    """

    def __init__(self, width: int, *, inputs: int | None = None, expansion: float = 1.0) -> None:
        super().__init__(width, inputs=inputs)
        if expansion < 1:
            raise UserError(f"MinGRU: expansion is {expansion}; the state can't be narrower than the output.")
        self.expansion = expansion
        self.state_width = round(width * expansion)
        self.gates = Affine(self.inputs, 2 * self.state_width)
        self.out = nn.Identity() if expansion == 1 else Affine(self.state_width, width)
        for linear in (self.gates, self.out):
            if isinstance(linear, nn.Linear):
                nn.init.xavier_uniform_(linear.weight)
                nn.init.zeros_(linear.bias)
        self.gates.bias.data[: self.state_width] = torch.linspace(-4, 2, self.state_width)

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        return self.zeros(batch, self.state_width, dtype=self.wide)

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        if layout is not None:
            x = select(layout.valid, x)
        before = self.start(x.shape[0]) if state is None else state
        z, candidate = self.gates(x).to(before.dtype).chunk(2, -1)
        z = z.sigmoid()
        a, b = 1 - z, z * candidate
        if layout is not None:
            a, b = select(~layout.start, a), select(layout.valid, b)
            a = torch.where(layout.valid[..., None], a, 1.0)
        scan = linear_scan_reference if listening() else linear_scan
        note("update", z)
        note("candidate", candidate)
        h = scan(a, b, before)
        return self.out(h.to(x.dtype)), None if state is None else last(h)
