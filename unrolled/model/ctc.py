"""The head of connectionist temporal classification: symbols without their places in time (CTC)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import positive
from unrolled.kernels import Affine
from unrolled.layout import Layout, select

BLANK = 0  # says nothing; no codec gives this id to a symbol of a text


class CTCHead(nn.Module):
    """Scores for the symbols and the blank of each step: (..., width) -> logits (..., symbols).

    A path of symbols, one a step, stands for the text that is left when runs become one symbol and blanks go; a text's
    likelihood is the sum over its paths (Graves et al. 2006, "Connectionist Temporal Classification", eq. 2-4).
    symbols: the size of the text's codec, whose id 0 is the blank.
    """

    def __init__(self, width: int, symbols: int) -> None:
        super().__init__()
        positive("CTCHead", width=width, symbols=symbols)
        self.width, self.symbols = width, symbols
        self.scores = Affine(width, symbols)
        nn.init.xavier_uniform_(self.scores.weight)
        nn.init.zeros_(self.scores.bias)

    def forward(self, y: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch symbols"]:
        return self.scores(y)  # type: ignore[no-any-return]

    def loss(
        self,
        prediction: Float[Tensor, "batch time symbols"],
        target: Int[Tensor, "batch length"],
        layout: Layout | None = None,
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Total of minus the log-likelihoods in nats, in float32 at least, and how many symbols the texts have.

        target: ids with zeros on the right. A text that needs more steps than there are has no path: it adds nothing to
        either, and no gradient.
        """
        each, fits = text_nats(prediction, target, layout)
        lengths = (target != BLANK).sum(1)
        return torch.where(fits, each, each.new_zeros(())).sum(), torch.where(fits, lengths, 0).sum()


def text_nats(
    prediction: Float[Tensor, "batch time symbols"],
    target: Int[Tensor, "batch length"],
    layout: Layout | None = None,
) -> tuple[Float[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """Minus the log-likelihood of each text, 0 where it has no path, and which have one."""
    batch, time = prediction.shape[:2]
    if layout is not None:
        prediction = select(layout.valid, prediction)
        steps = layout.lengths
    else:
        steps = torch.full((batch,), time, device=prediction.device)
    lengths = (target != BLANK).sum(1)
    fits = steps >= steps_needed(target)
    scores = prediction.to(torch.promote_types(prediction.dtype, torch.float32)).log_softmax(-1)
    each = F.ctc_loss(
        scores.transpose(0, 1), target, steps, lengths, BLANK, reduction="none", zero_infinity=True
    )
    return each, fits


def steps_needed(target: Int[Tensor, "batch length"]) -> Int[Tensor, " batch"]:
    """Steps of the shortest path of each text: one a symbol, and a blank between two that are the same."""
    repeats = (target[:, 1:] == target[:, :-1]) & (target[:, 1:] != BLANK)
    return (target != BLANK).sum(1) + repeats.sum(1)
