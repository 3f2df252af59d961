"""Raw inputs -> vectors. An embedder may change the number of steps, so it returns the layout too."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from unrolled.layout import Layout, select
from unrolled.state import State


class TokenEmbedder(nn.Module):
    """A table of vectors, one a token: raw (B, T) int64 -> (B, T, width)."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.vocabulary, self.width = vocabulary, width
        self.table = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.table.weight, std=width**-0.5)

    def start(self, batch: int) -> State:
        return ()

    def forward(
        self, raw: Int[Tensor, "batch time"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State, Layout | None]:
        if layout is not None:
            raw = select(layout.valid, raw)
        return self.table(raw), state, layout


EMBEDDERS: dict[str, type[TokenEmbedder]] = {"tokens": TokenEmbedder}
