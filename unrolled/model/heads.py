"""Vectors -> predictions: pointwise in time, without state. The loss is a total and a count, never a mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn, tensor
from torch.nn import functional as F

from unrolled.errors import UserError, positive
from unrolled.kernels import Affine
from unrolled.layout import Layout
from unrolled.model.ctc import CTCHead
from unrolled.model.forecasters import ForecastHead

FARTHEST = (
    1e4  # standardised: what lies beyond counts as this in a loss, or one answer would outweigh all others
)


class TokenHead(nn.Module):
    """Scores for the next token: (..., width) -> logits (..., vocabulary).

    tied: the embedder's table read backwards (Press & Wolf 2017, arXiv:1608.05859); widths that differ are bridged by a
    linear map to the table's width. smoothing: the share of a target that is spread over all tokens (Szegedy et al. 2016,
    arXiv:1512.00567, sec. 7), in training only. closes: the row of the table whose score says that a document ends, where
    documents begin with one token and end with another; it changes places with row 0.
    """

    def __init__(
        self,
        width: int,
        vocabulary: int,
        *,
        tied: nn.Embedding | None = None,
        smoothing: float = 0.0,
        bias: bool = True,
        closes: int = 0,
    ) -> None:
        super().__init__()
        positive("TokenHead", width=width, vocabulary=vocabulary)
        if not 0 <= smoothing < 1:
            raise UserError(f"TokenHead: smoothing={smoothing}; it lies in [0, 1).")
        if not 0 <= closes < vocabulary:
            raise UserError(f"TokenHead: closes={closes}; it is one of the {vocabulary} tokens.")
        self.smoothing, self.closes = smoothing, closes
        if tied is not None and tied.num_embeddings != vocabulary:
            raise UserError(
                f"TokenHead: tied to a table of {tied.num_embeddings} tokens, vocabulary={vocabulary}; make them equal."
            )
        self.width, self.vocabulary = width, vocabulary
        table_width = width if tied is None else tied.embedding_dim
        self.bridge = None if table_width == width else Affine(width, table_width)
        self.scores = Affine(table_width, vocabulary, bias=bias)
        if bias:
            nn.init.zeros_(self.scores.bias)
        if tied is None:
            nn.init.xavier_uniform_(self.scores.weight)
        else:
            self.scores.weight = tied.weight

    def forward(self, y: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch vocabulary"]:
        scores: Tensor = self.scores(y if self.bridge is None else self.bridge(y))
        if not self.closes:
            return scores
        at = self.closes
        parts = (scores[..., at : at + 1], scores[..., 1:at], scores[..., :1], scores[..., at + 1 :])
        return torch.cat(parts, -1)

    def loss(
        self,
        prediction: Float[Tensor, "batch time vocabulary"],
        target: Int[Tensor, "batch time"],
        layout: Layout | None = None,
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Total cross entropy in nats over real tokens, in float32 at least, and how many there are."""
        if layout is not None:
            prediction, target = prediction[layout.valid], target[layout.valid]
        scores = prediction.reshape(-1, self.vocabulary)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        smoothing = self.smoothing if self.training else 0.0
        total = F.cross_entropy(scores, target.reshape(-1), reduction="sum", label_smoothing=smoothing)
        return total, tensor(target.numel(), device=total.device)


class LabelHead(nn.Module):
    """Scores for classes: (..., width) -> logits (..., classes). What was said after a sequence's last step is its answer,
    and earlier steps' are early answers; stepwise: every step has a label of its own.

    smoothing: the share of a target that is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567, sec. 7).
    weights: of each class in the loss, 1 unless given. several: any number of classes may hold, each by itself.
    """

    weight: Tensor

    def __init__(
        self,
        width: int,
        classes: int,
        *,
        stepwise: bool = False,
        several: bool = False,
        smoothing: float = 0.0,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        positive("LabelHead", width=width, classes=classes)
        if not 0 <= smoothing < 1 or (weights is not None and len(weights) != classes):
            raise UserError(
                f"LabelHead: got smoothing={smoothing}, {classes} classes and weights={weights}; smoothing lies in [0, 1) "
                "and each class has one weight."
            )
        self.width, self.classes, self.stepwise, self.several = width, classes, stepwise, several
        self.smoothing = smoothing
        self.scores = Affine(width, classes)
        nn.init.xavier_uniform_(self.scores.weight)
        nn.init.zeros_(self.scores.bias)
        weight = torch.ones(classes) if weights is None else torch.tensor(weights)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, y: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch classes"]:
        return self.scores(y)  # type: ignore[no-any-return]

    def loss(
        self, prediction: Float[Tensor, "batch time classes"], target: Tensor, layout: Layout | None = None
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Total cross entropy in nats, in float32 at least, and how many labels there are. target: (B,) classes, (B, C)
        zeros and ones where several hold, (B, T) where stepwise.
        """
        if self.stepwise:
            scores = prediction.flatten(0, 1) if layout is None else prediction[layout.valid]
            target = target.flatten() if layout is None else target[layout.valid]
        else:
            scores = ends(prediction, layout)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        weight = self.weight.to(scores.dtype)
        if self.several:
            wanted = target.to(scores.dtype) * (1 - self.smoothing) + self.smoothing / 2
            total = F.binary_cross_entropy_with_logits(scores, wanted, weight, reduction="sum")
        else:
            total = F.cross_entropy(scores, target, weight, reduction="sum", label_smoothing=self.smoothing)
        return total, tensor(len(target), device=total.device)


class NumberHead(nn.Module):
    """Numbers: (..., width) -> (..., targets), the answer after a sequence's last step."""

    def __init__(self, width: int, targets: int) -> None:
        super().__init__()
        positive("NumberHead", width=width, targets=targets)
        self.width, self.targets = width, targets
        self.values = Affine(width, targets)
        nn.init.xavier_uniform_(self.values.weight)
        nn.init.zeros_(self.values.bias)

    def forward(self, y: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch targets"]:
        return self.values(y)  # type: ignore[no-any-return]

    def loss(
        self,
        prediction: Float[Tensor, "batch time targets"],
        target: Float[Tensor, "batch targets"],
        layout: Layout | None = None,
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Half the squared error: minus the log-likelihood of a Gaussian of deviation 1, but for its constant."""
        values = ends(prediction, layout)
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        wanted = target.to(values.dtype).clamp(-FARTHEST, FARTHEST)
        total = F.mse_loss(values, wanted, reduction="sum") / 2
        return total, tensor(len(target), device=total.device)


class VectorHead(nn.Module):
    """The core's own vectors: (..., width) -> (..., width). For what was trained to represent, and answers nothing yet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        positive("VectorHead", width=width)
        self.width = width

    def forward(self, y: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        return y

    def loss(
        self, prediction: Tensor, target: Tensor, layout: Layout | None = None
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Raises UserError: vectors alone are neither right nor wrong."""
        raise UserError("this model has no head that answers, so no loss: give it one for your task first.")


def ends(prediction: Float[Tensor, "batch time size"], layout: Layout | None) -> Float[Tensor, "batch size"]:
    """What stands at each row's last real step."""
    return prediction[:, -1] if layout is None else layout.at_last(prediction, prediction[:, 0])


Head = TokenHead | LabelHead | NumberHead | CTCHead | VectorHead | ForecastHead
HEADS: dict[str, type[Head]] = {
    "tokens": TokenHead, "labels": LabelHead, "numbers": NumberHead, "ctc": CTCHead,
    "vectors": VectorHead, "forecast": ForecastHead,
}  # fmt: skip
