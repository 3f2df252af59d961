"""The feed-forward network: a mixer that looks at one token only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from unrolled.errors import UserError, positive
from unrolled.kernels import Affine
from unrolled.layout import Layout, select
from unrolled.mixer import Mixer, Reach, note
from unrolled.state import State

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "swiglu": F.silu,
}


class FeedForward(Mixer):
    """W_2 act(W_1 x), Vaswani et al. 2017, arXiv:1706.03762, eq. 2; `swiglu`: W_2 (silu(W_1 x) * V x), Shazeer 2020,
    arXiv:2002.05202, eq. 6.

    hidden: inner width, 4 x width unless given. `gelu_tanh`: GELU by its tanh formula (Hendrycks & Gimpel 2016,
    arXiv:1606.08415, sec. 2), which GPT-2 was trained with.
    """

    reach = Reach(0, 0)

    def __init__(
        self,
        width: int,
        *,
        inputs: int | None = None,
        hidden: int | None = None,
        activation: Literal["relu", "gelu", "gelu_tanh", "swiglu"] = "gelu",
        bias: bool = True,
    ) -> None:
        super().__init__(width, inputs=inputs)
        if activation not in ACTIVATIONS:
            raise UserError(f"FeedForward: activation is {activation!r}; known: {', '.join(ACTIVATIONS)}.")
        self.activation = activation
        hidden = 4 * width if hidden is None else hidden
        positive("FeedForward", hidden=hidden)
        self.widen = Affine(self.inputs, 2 * hidden if activation == "swiglu" else hidden, bias=bias)
        self.narrow = Affine(hidden, width, bias=bias)

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        if layout is not None:
            x = select(layout.valid, x)
        wide = self.widen(x)
        if self.activation == "swiglu":
            gate, value = wide.chunk(2, -1)
            wide = F.silu(gate) * value
        else:
            wide = ACTIVATIONS[self.activation](wide)
        note("hidden", wide)
        return self.narrow(wide), state
