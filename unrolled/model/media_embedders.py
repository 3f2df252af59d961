"""Embedders of images' patches and of sounds' frames, as the families that were trained on them have them."""

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


class Numbers(nn.Module):
    """What embedders of numbers share: raw (B, T, inputs) float."""

    sides: ClassVar[int] = 3  # of raw: (batch, time, numbers)

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        positive(type(self).__name__, inputs=inputs, width=width)
        self.inputs, self.width = inputs, width

    def start(self, batch: int) -> State:
        return ()

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


class PatchEmbedder(Numbers):
    """A linear map of each patch's pixels, raw (B, T, inputs) -> (B, T, width). The last number of a step isn't a pixel:
    where it is 1 the step is no patch but one learned vector, in which attention gathers what is said of the whole
    (Dosovitskiy et al. 2021, arXiv:2010.11929, eq. 1, whose [class] stands first; where it stands is for positions to say).
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        positive("PatchEmbedder", pixels=inputs - 1)
        self.map = Affine(inputs - 1, width)
        self.token = nn.Parameter(torch.randn(width) * 0.02)

    def forward(
        self, raw: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State, Layout | None]:
        if layout is not None:
            raw = select(layout.valid, raw)
        x = self.map(raw[..., :-1])
        return torch.where(raw[..., -1:] > 0.5, self.token.to(x.dtype), x), state, layout


class FrameEmbedder(Numbers):
    """Two convolutions of 3 frames, the second of every other: raw (B, T, inputs) -> gelu(conv(gelu(conv(raw)))) (B, T / 2
    rounded up, width). Radford et al. 2022, arXiv:2212.04356, sec. 2.2.

    It sees what comes later and halves the steps, so it reads sources as a whole: a state is refused, and several documents
    in a row are.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.every = nn.Conv1d(inputs, width, 3, padding=1)
        self.other = nn.Conv1d(width, width, 3, stride=2, padding=1)

    def start(self, batch: int) -> State:
        """Raises UserError."""
        raise UserError("FrameEmbedder reads a sequence as a whole, so it can't stream.")

    def forward(
        self, raw: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State, Layout | None]:
        if state is not None:
            self.start(len(raw))
        if layout is None:
            x = F.gelu(self.every(raw.transpose(1, 2)))
            return F.gelu(self.other(x)).transpose(1, 2), None, None
        if layout.packed:
            raise UserError("FrameEmbedder: got rows of several documents; it takes one a row.")
        # What stands behind a row's end is zeros for each convolution, as it is behind a batch's.
        x = F.gelu(self.every(select(layout.valid, raw).transpose(1, 2)))
        x = select(layout.valid, x.transpose(1, 2)).transpose(1, 2)
        after = Layout.of_lengths((layout.lengths + 1) // 2, (raw.shape[1] + 1) // 2)
        return F.gelu(self.other(x)).transpose(1, 2), None, after
