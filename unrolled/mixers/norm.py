"""Norms: what brings a step's vector to a known size. A Core wraps its sublayers in them; alone one is a mixer that looks
at one token only.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrolled.errors import UserError, unknown
from unrolled.layout import Layout, select
from unrolled.mixer import Mixer, Reach
from unrolled.state import State

NormKind = Literal["layer", "rms"]


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4; in float32 at least."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        unit = wide * torch.rsqrt((wide * wide).mean(-1, keepdim=True) + self.eps)
        return unit.to(x.dtype) * self.weight


NORMS: dict[str, type[nn.LayerNorm] | type[RMSNorm]] = {"layer": nn.LayerNorm, "rms": RMSNorm}


def norm_of(kind: str, width: int, eps: float) -> nn.Module:
    """A norm over the last axis. Raises UserError for a kind that isn't in `NORMS`."""
    if kind not in NORMS:
        raise unknown("kind of norm", str(kind), NORMS)
    return NORMS[kind](width, eps=eps)


class Norm(Mixer):
    """A norm where no sublayer stands: BERT's between its positions and its first layer (Devlin et al. 2019,
    arXiv:1810.04805, as its code has it).

    of: "layer" (Ba et al. 2016, arXiv:1607.06450, eq. 4) or "rms".
    """

    reach = Reach(0, 0)
    sublayer = False

    def __init__(
        self, width: int, *, inputs: int | None = None, of: NormKind = "layer", eps: float = 1e-5
    ) -> None:
        super().__init__(width, inputs=inputs)
        if self.inputs != width:
            raise UserError(f"Norm keeps the width: width {width} must equal inputs {self.inputs}.")
        self.norm = norm_of(of, width, eps)

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        if layout is not None:
            x = select(layout.valid, x)
        return self.norm(x), state
