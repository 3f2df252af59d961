"""Embedders that need a sequence as a whole: they change how many steps it has."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import UserError, positive
from unrolled.kernels import Affine
from unrolled.layout import Layout, select
from unrolled.state import State


class WholeEmbedder(nn.Module):
    """What they share: raw (B, T, inputs) float -> vectors (B, T', width), and no state: they can't stream."""

    sides: ClassVar[int] = 3  # of raw: (batch, time, numbers)

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        positive(type(self).__name__, inputs=inputs, width=width)
        self.inputs, self.width = inputs, width

    def start(self, batch: int) -> State:
        """Raises UserError: nothing of a sequence is known before its end."""
        raise UserError(f"{type(self).__name__} reads a sequence as a whole, so it can't stream.")

    def accept(self, raw: Tensor) -> None:
        """Raises UserError unless `raw` holds `inputs` numbers a step."""
        fits = isinstance(raw, Tensor) and raw.ndim == 3 and raw.shape[2] == self.inputs
        if not fits or not raw.is_floating_point():
            got = f"{raw.dtype} {tuple(raw.shape)}" if isinstance(raw, Tensor) else type(raw).__name__
            raise UserError(
                f"{type(self).__name__}: got {got}; it takes floating numbers of shape (batch, time, {self.inputs})."
            )

    def within(self, raw: Float[Tensor, "batch time inputs"]) -> None:
        """Raises UserError for what isn't a finite number."""
        if not bool(raw.isfinite().all()):
            raise UserError(f"{type(self).__name__}: got numbers that are not finite (NaN or infinite).")

    def forward(
        self, raw: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State, Layout | None]:
        if state is not None:
            self.start(len(raw))
        if layout is None:
            return self.embedded(raw, None), None, None
        if layout.packed:
            raise UserError(f"{type(self).__name__}: got rows of several documents; it takes one a row.")
        lengths = layout.lengths
        after = Layout.of_lengths(self.longer(lengths), int(self.longer(torch.tensor(raw.shape[1]))))
        return self.embedded(select(layout.valid, raw), layout), None, after

    def longer(self, lengths: Tensor) -> Tensor:
        """How many steps become of so many."""
        raise NotImplementedError

    def embedded(self, raw: Tensor, layout: Layout | None) -> Tensor:
        """raw, zeros in its padding, -> (B, T', width)."""
        raise NotImplementedError


class PatchEmbedder(WholeEmbedder):
    """A linear map of each patch's pixels, and one learned vector behind the last, in which attention gathers what is said
    of the whole: raw (B, T, inputs) -> (B, T + 1, width). Dosovitskiy et al. 2021, arXiv:2010.11929, eq. 1, whose [class]
    stands first; where it stands is its position's to say.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.map = Affine(inputs, width)
        self.token = nn.Parameter(torch.randn(width) * 0.02)

    def longer(self, lengths: Tensor) -> Tensor:
        return lengths + 1

    def embedded(self, raw: Tensor, layout: Layout | None) -> Tensor:
        x = self.map(raw)
        token = self.token.expand(len(raw), 1, -1)
        whole = torch.cat([x, token.to(x.dtype)], 1)
        if layout is None:
            return whole
        last = torch.arange(whole.shape[1], device=raw.device) == layout.lengths[:, None]
        return torch.where(last[..., None], token, whole)


class FrameEmbedder(WholeEmbedder):
    """Two convolutions of 3 frames, the second of every other: raw (B, T, inputs) -> gelu(conv(gelu(conv(raw)))) (B, T / 2
    rounded up, width). Radford et al. 2022, arXiv:2212.04356, sec. 2.2.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.every = nn.Conv1d(inputs, width, 3, padding=1)
        self.other = nn.Conv1d(width, width, 3, stride=2, padding=1)

    def longer(self, lengths: Tensor) -> Tensor:
        return (lengths + 1) // 2

    def embedded(self, raw: Tensor, layout: Layout | None) -> Tensor:
        x = F.gelu(self.every(raw.transpose(1, 2)))
        if layout is not None:  # what stands behind a row's end is zeros for each convolution
            x = select(layout.valid, x.transpose(1, 2)).transpose(1, 2)
        return F.gelu(self.other(x)).transpose(1, 2)
