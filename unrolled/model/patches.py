"""Stretches of a series as tokens: what makes long look-backs cheap, and linear forecasters of the whole window."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import UserError, positive
from unrolled.kernels import Affine
from unrolled.layout import Layout
from unrolled.state import State

SMOOTHED = 25  # steps of DLinear's moving average


class SeriesPatchEmbedder(nn.Module):
    """Stretches of `size` steps, `stride` apart, become one vector each: raw (B, T, inputs) -> (B, tokens, width),
    counted back from the last step, what is left over at the beginning being left out (Nie et al. 2023, PatchTST,
    arXiv:2211.14730, sec. 3.1).

    map: "linear"; "none": the steps themselves, width = size * inputs; "decomposed": what is left when a moving average
    over 25 steps is taken off, and that average, width = 2 * size * inputs (Zeng et al. 2023, DLinear, arXiv:2205.13504,
    sec. 4, whose two linear maps are then the head's).

    Raises UserError for a stretch of another length than a patch's at least, for padding, and when asked for a state.
    """

    sides: ClassVar[int] = 3  # of raw: (batch, time, numbers)

    def __init__(
        self, inputs: int, width: int, *, size: int, stride: int | None = None,
        map: Literal["linear", "none", "decomposed"] = "linear",  # noqa: A002 - the key's name
    ) -> None:  # fmt: skip
        super().__init__()
        stride = size if stride is None else stride
        positive("SeriesPatchEmbedder", inputs=inputs, width=width, size=size, stride=stride)
        wanted = {"none": size * inputs, "decomposed": 2 * size * inputs}.get(map, width)
        if map not in ("linear", "none", "decomposed") or width != wanted:
            raise UserError(
                f"SeriesPatchEmbedder: map={map!r} and width={width}; expected a map of linear, none or decomposed, and "
                f"the width {wanted}."
            )
        self.inputs, self.width, self.size, self.stride, self.mode = inputs, width, size, stride, map
        self.map = Affine(size * inputs, width) if map == "linear" else None

    def tokens(self, steps: int) -> int:
        """How many tokens so many steps make."""
        return (steps - self.size) // self.stride + 1

    def start(self, batch: int) -> State:
        """Raises UserError."""
        raise UserError(
            "SeriesPatchEmbedder cannot stream: a token is made of several steps. Train with model.patch=1 and "
            "scale=series for a "
            "forecast after each step."
        )

    def accept(self, raw: Tensor) -> None:
        """Raises UserError unless `raw` holds `inputs` numbers a step, and enough steps for a patch."""
        fits = (
            isinstance(raw, Tensor)
            and raw.ndim == 3
            and raw.shape[2] == self.inputs
            and raw.is_floating_point()
        )
        if not fits or raw.shape[1] < self.size:
            got = f"{raw.dtype} {tuple(raw.shape)}" if isinstance(raw, Tensor) else type(raw).__name__
            raise UserError(
                f"SeriesPatchEmbedder: got {got}; it takes floating numbers (batch, time, {self.inputs}), "
                f"{self.size} steps at least."
            )

    def forward(
        self, raw: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch tokens width"], State, Layout | None]:
        if state is not None or layout is not None:
            raise UserError(
                "SeriesPatchEmbedder takes whole windows of one length, without state and without padding."
            )
        skipped = (raw.shape[1] - self.size) % self.stride
        patches = raw[:, skipped:].unfold(1, self.size, self.stride).flatten(2)  # (B, tokens, inputs * size)
        if self.mode == "decomposed":
            trend = smoothed(patches.view(*patches.shape[:2], self.inputs, self.size)).flatten(2)
            return torch.cat((patches - trend, trend), -1), None, None
        return (patches if self.map is None else self.map(patches)), None, None

    def within(self, raw: Float[Tensor, "batch time inputs"]) -> None:
        """Raises UserError for what isn't a finite number."""
        if not bool(raw.isfinite().all()):
            raise UserError(
                "SeriesPatchEmbedder: got numbers that are not finite. Expected the task's steps, in which gaps are filled."
            )


def smoothed(x: Float[Tensor, "*batch time"], over: int = SMOOTHED) -> Float[Tensor, "*batch time"]:
    """The mean of the `over` values around each, the first and the last repeated beyond the ends."""
    before = (over - 1) // 2
    flat = x.flatten(0, -2)[:, None]
    return F.avg_pool1d(F.pad(flat, (before, over - 1 - before), mode="replicate"), over, 1)[:, 0].view(
        x.shape
    )
