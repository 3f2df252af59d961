"""From logits to the next token: temperature, top-k, top-p; the likeliest tokens and their probabilities.

Nucleus (top-p) sampling: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrolled.errors import UserError

COLDEST = 1e-6  # below this the likeliest token is certain, and dividing by it would overflow
BLOCK = 256  # uniform numbers drawn at once for each row
BELOW = 1 - 2**-30  # the cumulated probabilities may end so much below 1


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


def pick_at(
    logits: Float[Tensor, "batch vocabulary"], draw: Draw, uniform: Float[Tensor, " batch"]
) -> Int[Tensor, " batch"]:
    """The token on which `uniform` (B,), at most BELOW, falls when the allowed tokens share [0, 1) by their probabilities.

    A pure function of its arguments, so that a sample doesn't depend on the rows it is drawn beside.
    """
    if draw.temperature < COLDEST:
        return logits.argmax(-1)
    if draw.temperature != 1:
        logits = logits / draw.temperature
    if draw.top_k is None and (draw.top_p is None or draw.top_p == 1):
        return _invert(logits.softmax(-1, dtype=torch.double), uniform)
    count = logits.shape[-1] if draw.top_k is None else min(draw.top_k, logits.shape[-1])
    best, ids = logits.topk(count, dim=-1)  # (B, k), the likeliest first
    probabilities = best.softmax(-1, dtype=torch.double)
    if draw.top_p is not None:
        # The mass of the likelier ones: while it is below p, the set still lacks this one.
        before = probabilities.cumsum(-1) - probabilities
        probabilities = torch.where(before < draw.top_p, probabilities, 0)
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    return ids.gather(-1, _invert(probabilities, uniform)[:, None])[:, 0]


def _invert(
    probabilities: Float[Tensor, "batch tokens"], uniform: Float[Tensor, " batch"]
) -> Int[Tensor, " batch"]:
    """The first index whose cumulated probability exceeds `uniform`; never an impossible one. In float64: a rare token is
    less than float32's rounding, and what BELOW leaves is more than all of float64's.
    """
    found = torch.searchsorted(probabilities.cumsum(-1), uniform.unsqueeze(1), right=True)
    return found.squeeze(1).clamp_(
        max=probabilities.shape[-1] - 1
    )  # of NaN: the last, until the caller notices


class Noise:
    """Uniform numbers below BELOW for `count` rows, or for rows of these names. Row i's depend on (seed, i) alone: not on
    how many rows there are.
    """

    def __init__(self, count: int | Iterable[int], seed: int, device: torch.device) -> None:
        named = range(count) if isinstance(count, int) else count
        self._generators = [_generator(seed, row) for row in named]
        self._device = device
        self._used = BLOCK

    def next(self, rows: Int[Tensor, " rows"] | None = None) -> Float[Tensor, " rows"]:
        """One number for each row, or for each of `rows`, in [0, BELOW)."""
        if self._used == BLOCK:
            self._block = torch.stack([_drawn(g) for g in self._generators], 1).to(
                self._device
            )  # (BLOCK, rows)
            self._used = 0
        self._used += 1
        numbers = self._block[self._used - 1]
        return numbers if rows is None else numbers[rows]


def noise_of(seed: int, row: int) -> Iterator[float]:
    """The numbers that one row of a `Noise` gets."""
    generator = _generator(seed, row)
    while True:
        yield from _drawn(generator).tolist()


def _generator(seed: int, row: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + row) % 2**63)


def _drawn(generator: torch.Generator) -> Float[Tensor, " block"]:
    return torch.rand(BLOCK, generator=generator, dtype=torch.double) * BELOW


def likeliest(logits: Float[Tensor, " vocabulary"], n: int) -> list[tuple[int, float]]:
    """The n likeliest tokens, the likeliest first: logits (V,) -> [(id, probability)]."""
    if n < 1:
        raise UserError(f"top={n}: expected a whole number of at least 1.")
    best = logits.double().softmax(-1).topk(min(n, logits.shape[-1]))
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
