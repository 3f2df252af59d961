"""A stack of mixers is a mixer: norm, mixer, residual, tiled as the list says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import UserError
from unrolled.layout import Layout, select
from unrolled.mixer import Mixer, Reach
from unrolled.mixers.norm import NormKind, norm_of
from unrolled.state import Source, State

Norm = Literal["before", "after"]


class Core(Mixer):
    """Sublayers one after the other.

    norm: "before" (x + mixer(norm x), and a last norm; Xiong et al. 2020, arXiv:2002.04745, fig. 1b), "after"
    (norm(x + mixer x); Vaswani et al. 2017, sec. 3.1) or None; norm_kind: which, "layer" or "rms", and eps, its smallest
    variance. residual: add a mixer's input to its output where
    widths allow. dropout: probability of dropping a feature of each sublayer's output, input_dropout of the core's
    input; one mask a call for all time steps (Gal & Ghahramani 2016, arXiv:1512.05287, sec. 4), which also costs
    T times fewer random numbers.

    The door for all its layers: what doesn't fit and NaN in padding stop here, and what the layout implies is derived once.
    """

    guarded = True

    def __init__(
        self,
        mixers: Sequence[Mixer],
        *,
        norm: Norm | None = None,
        norm_kind: NormKind = "layer",
        eps: float = 1e-5,
        residual: bool = False,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        if not mixers:
            raise UserError("Core: got no mixers; it needs at least one.")
        super().__init__(mixers[-1].width, inputs=mixers[0].inputs)
        for number, (lower, upper) in enumerate(zip(mixers, mixers[1:], strict=False)):
            if lower.width != upper.inputs:
                raise UserError(
                    f"Core: layer {number} ({type(lower).__name__}) gives width {lower.width} and layer {number + 1} "
                    f"({type(upper).__name__}) takes {upper.inputs}. Make them equal."
                )
        if (
            norm not in ("before", "after", None)
            or not 0 <= min(dropout, input_dropout) <= max(dropout, input_dropout) < 1
        ):
            raise UserError(
                f"Core: got norm={norm!r}, dropout={dropout}, input_dropout={input_dropout}; norm is 'before', 'after' "
                "or None, dropouts lie in [0, 1)."
            )
        self.layers = nn.ModuleList(mixers)
        self.norm, self.residual, self.dropout, self.input_dropout = norm, residual, dropout, input_dropout
        sizes = [m.inputs if norm == "before" else m.width for m in mixers]
        wrapped = [norm is not None and m.sublayer for m in mixers]
        self.norms = nn.ModuleList(
            norm_of(norm_kind, n, eps) if on else nn.Identity() for n, on in zip(sizes, wrapped, strict=True)
        )
        self.final = norm_of(norm_kind, self.width, eps) if norm == "before" else nn.Identity()
        past, future = (sum(m.reach[side] for m in mixers) for side in (0, 1))
        self.reach = Reach(past, future)
        self.conditioned = any(m.conditioned for m in mixers)

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        return tuple(layer.start(batch, capacity, source) for layer in self.layers)  # type: ignore[operator]

    def check(self, state: State, batch: int) -> None:
        """Each layer looks at its own part, so that the message names the layer."""
        if not isinstance(state, tuple) or len(state) != len(self.layers):
            raise self._misfit(state, batch)
        for layer, part in zip(self.layers, state, strict=True):
            if part is not None:  # a conditioned model's layer that begins without
                layer.check(part, batch)  # type: ignore[operator]

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        if layout is not None:
            x = select(layout.valid, x)
        x = self._drop(x, self.input_dropout)
        after = []
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            x, new = self._sublayer(layer, norm, x, None if state is None else state[number], layout)  # type: ignore[arg-type]
            after.append(new)
        if self.norm == "before":
            x = self.final(x)
        return x, None if state is None else tuple(after)

    def _sublayer(
        self, layer: Mixer, norm: nn.Module, x: Tensor, state: State, layout: Layout | None
    ) -> tuple[Tensor, State]:
        y, after = layer.consume(norm(x) if self.norm == "before" else x, state, layout)
        if not layer.sublayer:
            return y, after
        y = self._drop(y, self.dropout)
        if self.residual and x.shape[-1] == y.shape[-1]:
            y = x + y
        return (norm(y) if self.norm == "after" else y), after

    def _drop(self, x: Tensor, share: float) -> Tensor:
        if not share or not self.training:
            return x
        return x * F.dropout(torch.ones_like(x[:, :1]), share)

    def flops(self, tokens: int) -> int:
        return sum(layer.flops(tokens) for layer in self.layers)  # type: ignore[operator]
