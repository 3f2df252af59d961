"""Vectors -> predictions: pointwise in time, without state. The loss is a total and a count, never a mean."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn, tensor
from torch.nn import functional as F

from unrolled.errors import UserError, positive
from unrolled.kernels import Affine
from unrolled.layout import Layout


class TokenHead(nn.Module):
    """Scores for the next token: (..., width) -> logits (..., vocabulary).

    tied: the embedder's table read backwards (Press & Wolf 2017, arXiv:1608.05859); widths that differ are bridged by a
    linear map to the table's width.
    """

    def __init__(self, width: int, vocabulary: int, *, tied: nn.Embedding | None = None) -> None:
        super().__init__()
        positive("TokenHead", width=width, vocabulary=vocabulary)
        if tied is not None and tied.num_embeddings != vocabulary:
            raise UserError(
                f"TokenHead: tied to a table of {tied.num_embeddings} tokens, vocabulary={vocabulary}; make them equal."
            )
        self.width, self.vocabulary = width, vocabulary
        table_width = width if tied is None else tied.embedding_dim
        self.bridge = None if table_width == width else Affine(width, table_width)
        self.scores = Affine(table_width, vocabulary)
        nn.init.zeros_(self.scores.bias)
        if tied is None:
            nn.init.xavier_uniform_(self.scores.weight)
        else:
            self.scores.weight = tied.weight

    def forward(self, y: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch vocabulary"]:
        return self.scores(y if self.bridge is None else self.bridge(y))  # type: ignore[no-any-return]

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
        total = F.cross_entropy(scores, target.reshape(-1), reduction="sum")
        return total, tensor(target.numel(), device=total.device)


HEADS: dict[str, type[TokenHead]] = {"tokens": TokenHead}
