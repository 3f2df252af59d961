"""From logits to the next token: temperature, top-k, top-p; the likeliest tokens and their probabilities.

Nucleus (top-p) sampling: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrolled.errors import UserError

COLDEST = 1e-6  # below this the likeliest token is certain
HOTTEST = 1e6  # above this all tokens are alike, and the product with the noise could overflow
BLOCK = 2**14  # numbers drawn at once for each row
TINY = 2**-25  # for 0, where the noise would be -inf; near 1 it is finite, so an impossible token stays so


@dataclass(frozen=True)
class Draw:
    """How the next token is drawn; checked when it is made.

    temperature: divides the logits; 0 always takes the likeliest token. top_k: only the k likeliest may be
    drawn. top_p: only the smallest set of likeliest tokens whose probability reaches p (after temperature and
    top_k).
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(
                f"temperature={self.temperature}: expected a number from 0 (always the likeliest) upwards; "
                "1 draws from the model's own probabilities."
            )
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k={self.top_k}: expected a whole number of at least 1, or leave it out.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p}: expected a share above 0 and up to 1, or leave it out.")


def choose(
    logits: Float[Tensor, "batch vocabulary"], draw: Draw, noise: Float[Tensor, "batch vocabulary"]
) -> Int[Tensor, " batch"]:
    """The token that a draw from the tempered probabilities gives: argmax (logits / temperature + noise), where the noise
    is Gumbel's (Maddison et al. 2014, arXiv:1411.0030, sec. 2). Nothing is normalised or summed.

    A pure function of its arguments, so that a sample doesn't depend on the rows it is drawn beside.
    """
    if draw.temperature < COLDEST:
        return logits.argmax(-1)
    if draw.top_k is not None or (draw.top_p is not None and draw.top_p < 1):
        logits = _allowed(logits, draw)
    scores = logits.add(noise, alpha=min(draw.temperature, HOTTEST))
    return scores.argmax(-1)


def _allowed(logits: Float[Tensor, "batch vocabulary"], draw: Draw) -> Float[Tensor, "batch vocabulary"]:
    """The logits, -inf where top_k or top_p forbid a token."""
    count = logits.shape[-1] if draw.top_k is None else min(draw.top_k, logits.shape[-1])
    best, ids = logits.topk(count, dim=-1)  # (B, k), the likeliest first
    if draw.top_p is not None:
        probabilities = (best / draw.temperature).softmax(-1)
        # The mass of the likelier ones: while it is below p, the set still lacks this one.
        before = probabilities.cumsum(-1) - probabilities
        best = best.masked_fill(before >= draw.top_p, -torch.inf)
    return torch.full_like(logits, -torch.inf).scatter(-1, ids, best)


class Noise:
    """Gumbel noise for `count` rows of a vocabulary. Row i's depends on (seed, i) alone: not on how many rows there are."""

    def __init__(self, count: int, vocabulary: int, seed: int, device: torch.device) -> None:
        self._generators = [
            torch.Generator().manual_seed((seed * 1_000_003 + row) % 2**63) for row in range(count)
        ]
        self._device = device
        self._steps = max(1, BLOCK // vocabulary)
        self._shape = self._steps, vocabulary
        self._used = self._steps

    def next(self, rows: Int[Tensor, " rows"] | None = None) -> Float[Tensor, "rows vocabulary"]:
        """The next step's, of every row or of `rows`."""
        if self._used == self._steps:
            drawn = [torch.rand(self._shape, generator=generator) for generator in self._generators]
            uniform = torch.stack(drawn, 1).clamp_(min=TINY)
            self._block = uniform.log_().neg_().log_().neg_().to(self._device)
            self._used = 0
        self._used += 1
        noise = self._block[self._used - 1]
        return noise if rows is None else noise[rows]


def likeliest(logits: Float[Tensor, " vocabulary"], n: int) -> list[tuple[int, float]]:
    """The n likeliest tokens, the likeliest first: logits (V,) -> [(id, probability)]."""
    if n < 1:
        raise UserError(f"top={n}: expected a whole number of at least 1.")
    best = logits.double().softmax(-1).topk(min(n, logits.shape[-1]))
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
