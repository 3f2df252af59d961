"""What decoding returns, how it is scored, and the rules of what may be written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unrolled.errors import NumericalFailure, UserError

BOUNDARY = 0  # the first input of every sequence; written, it closes it
NOTHING = -1  # stands where a row has written nothing yet


@dataclass(frozen=True)
class Hypothesis:
    """One decoded sequence.

    tokens: what was written, a forced prefix included, the closing 0 not. log_likelihood: nats of all of it and of the
    closing 0 under the model itself, whatever drew or forbade tokens. score: that over the length penalty; what beams are
    ranked by. A hypothesis as long as `longest` allows was closed there whether the model would have or not.
    """

    tokens: tuple[int, ...]
    score: float
    log_likelihood: float


def penalty(length: float, strength: float) -> float:
    """What a log-likelihood is divided by: ((5 + |Y|) / 6)^strength (Wu et al. 2016, arXiv:1609.08144, eq. 14, without the
    coverage term). |Y|: tokens with the closing 0; strength 0 ranks by likelihood alone, 1 almost by the mean a token.
    """
    return float(((5 + length) / 6) ** strength)


@dataclass
class Rules:
    """Which tokens may come next in each of R rows; all steps are counted from the end of the forced prefix.

    soonest (R,): steps before which no row may close; left (R,): steps after which it must. forbidden: ids never
    written; sequences: grouped by length, (n, m) ids that never stand side by side. recent (R, m - 1): what each row
    wrote last, where there are sequences. Where all else is forbidden a row may close before its time.
    """

    soonest: Int[Tensor, " rows"]
    left: Int[Tensor, " rows"]
    forbidden: Int[Tensor, " ids"]
    sequences: list[Int[Tensor, "sequences length"]]
    recent: Int[Tensor, "rows past"]

    def __post_init__(self) -> None:
        self._until = int(self.soonest.max()) if len(self.soonest) else 0
        self._from = int(self.left.min()) if len(self.left) else 0

    def pick(self, rows: Int[Tensor, " picked"]) -> Rules:
        """The rules of these rows, in this order."""
        soonest, left, recent = self.soonest[rows], self.left[rows], self.recent[rows]
        return Rules(soonest, left, self.forbidden, self.sequences, recent)

    def wrote(self, ids: Int[Tensor, " rows"]) -> None:
        """Takes note of what each row wrote."""
        if self.sequences:
            self.recent = torch.cat([self.recent[:, 1:], ids[:, None]], 1)

    def reorder(self, origin: NDArray[np.int64]) -> None:
        """Each row (R,) goes on from another one of the same limits."""
        if self.sequences:
            self.recent = self.recent[torch.from_numpy(origin).to(self.recent.device)]

    def mask(self, scores: Float[Tensor, "rows vocabulary"], step: int) -> Float[Tensor, "rows vocabulary"]:
        """The scores with -inf where a token is not allowed; the same tensor where all are."""
        if len(self.forbidden):
            scores = scores.index_fill(1, self.forbidden, -torch.inf)
        for group in self.sequences:
            before = self.recent[:, self.recent.shape[1] - group.shape[1] + 1 :]
            met = (before[:, None] == group[None, :, :-1]).all(2)  # (R, n)
            ban = scores.new_zeros(()).where(~met, -torch.inf)
            scores = scores + torch.zeros_like(scores).index_add_(1, group[:, -1], ban)
        if step >= self._from:
            spent = (self.left <= step)[:, None].expand(-1, scores.shape[1] - 1)
            scores = torch.cat([scores[:, :1], scores[:, 1:].masked_fill(spent, -torch.inf)], 1)
        if step < self._until:
            stuck = scores[:, 1:].amax(1) == -torch.inf if scores.shape[1] > 1 else True
            early = (self.soonest > step) & ~torch.as_tensor(stuck, device=scores.device)
            scores = torch.cat([scores[:, :1].masked_fill(early[:, None], -torch.inf), scores[:, 1:]], 1)
        return scores


def split_forbidden(
    forbidden: Iterable[int | Sequence[int]], vocabulary: int
) -> tuple[list[int], list[list[int]]]:
    """Forbidden tokens and forbidden sequences. Raises UserError for 0, which closes, and for what isn't a token."""
    alone: list[int] = []
    sequences: list[list[int]] = []
    for entry in forbidden:
        ids = [int(entry)] if not isinstance(entry, Sequence) else [int(token) for token in entry]
        if not ids or not all(0 < token < vocabulary for token in ids):
            raise UserError(
                f"forbidden: got {entry!r}; expected tokens 1 ... {vocabulary - 1}, or sequences of them (0 closes; "
                "shortest= is what delays it)."
            )
        if len(ids) == 1:
            alone += ids
        else:
            sequences.append(ids)
    return alone, sequences


def not_a_number() -> NumericalFailure:
    """The error for predictions that are NaN."""
    return NumericalFailure(
        "the model's prediction is not a number (NaN): nothing can be decoded. Its weights left the finite numbers in "
        "training; decode with an earlier checkpoint."
    )


def padded(prefixes: list[list[int]], device: torch.device) -> tuple[Int[Tensor, "rows steps"], list[int]]:
    """The boundary and the prefixes as a rectangle, and how much of each row is real."""
    width = max(map(len, prefixes), default=0)
    padded = [[BOUNDARY, *one, *[BOUNDARY] * (width - len(one))] for one in prefixes]
    ids = torch.tensor(padded, dtype=torch.long, device=device).view(len(prefixes), 1 + width)
    return ids, [1 + len(one) for one in prefixes]
