"""From a CTC model's steps to symbols: the likeliest path collapsed, in pieces too, and prefix beam search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import exp, inf, log1p
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unrolled.layout import Layout
from unrolled.model.ctc import BLANK
from unrolled.running.hypotheses import not_a_number


class Collapsed(NamedTuple):
    """`symbols`: of each row those that these steps add. `last (B,)`: each row's symbol at its latest step, all that
    collapsing further steps needs to know.
    """

    symbols: list[list[int]]
    last: Int[Tensor, " batch"]


def collapse(
    path: Int[Tensor, "batch time"],
    last: Int[Tensor, " batch"] | None = None,
    layout: Layout | None = None,
) -> Collapsed:
    """What a path of symbols, one a step, says: runs become one symbol, then blanks go (Graves et al. 2006, eq. 2's B).

    `last`: the row's symbol before these steps; without it every row begins. Padding adds nothing; a start in a row's
    first step begins it anew. For every cut path = a ++ b: collapse(a) ++ collapse(b, collapse(a).last) ==
    collapse(path).
    """
    before = path.new_full((len(path),), BLANK) if last is None else last
    if path.shape[1] == 0:
        return Collapsed([[] for _ in path], before)
    fresh = before
    if layout is not None:
        fresh = torch.where(layout.start[:, 0], BLANK, before)
    said = (path != BLANK) & (path != torch.cat([fresh[:, None], path[:, :-1]], 1))
    newest = path[:, -1]
    if layout is not None:
        said, newest = said & layout.valid, layout.at_last(path, before)
    return Collapsed([row[kept].tolist() for row, kept in zip(path, said, strict=True)], newest)


def likeliest_path(
    scores: Float[Tensor, "batch time symbols"], layout: Layout | None = None
) -> Int[Tensor, "batch time"]:
    """The likeliest symbol of each step: what greedy decoding collapses. Raises NumericalFailure where a real step's scores
    are NaN, which would be heard as silence.
    """
    lost = scores.isnan().any(-1)
    if bool((lost if layout is None else lost & layout.valid).any()):
        raise not_a_number()
    return scores.argmax(-1)


class Transcript(NamedTuple):
    """Symbols, and the natural logarithm of the likelihood found for them: of all their paths that the beam kept."""

    symbols: tuple[int, ...]
    log_likelihood: float


def prefix_beam_search(log_probabilities: NDArray[np.float64], beam: int = 8) -> list[Transcript]:
    """The likeliest texts of one sequence, the best first: at most `beam` of them.

    log_probabilities: (T, symbols), of each step, 0 being the blank. Paths with the same text so far are one prefix; for
    each the likelihood of those that end with a blank and of those that don't is kept (Hannun et al. 2014,
    arXiv:1408.2873, alg. 1, without a language model). A beam that holds all prefixes is exact. Raises NumericalFailure
    where one is NaN.
    """
    if beam < 1:
        raise ValueError(f"beam={beam}: expected at least 1")
    if np.isnan(log_probabilities).any():
        raise not_a_number()
    kept: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -inf)}
    for step in log_probabilities.tolist():
        kept = _widest(_extended(kept, step), beam)
    ranked = sorted(kept.items(), key=lambda entry: (-_either(*entry[1]), entry[0]))
    return [Transcript(prefix, _either(*ends)) for prefix, ends in ranked]


def _extended(
    kept: dict[tuple[int, ...], tuple[float, float]], step: Sequence[float]
) -> dict[tuple[int, ...], tuple[float, float]]:
    """Each prefix as it stays and with each symbol behind it: (ends with a blank, ends with its last symbol)."""
    blank: defaultdict[tuple[int, ...], float] = defaultdict(lambda: -inf)
    other: defaultdict[tuple[int, ...], float] = defaultdict(lambda: -inf)
    for prefix, (ends_blank, ends_symbol) in kept.items():
        total = _either(ends_blank, ends_symbol)
        blank[prefix] = _either(blank[prefix], total + step[BLANK])
        for symbol, score in enumerate(step):
            if symbol == BLANK or score == -inf:
                continue
            longer = (*prefix, symbol)
            if prefix and symbol == prefix[-1]:  # a repeat is the same symbol, unless a blank stood between
                other[prefix] = _either(other[prefix], ends_symbol + score)
                other[longer] = _either(other[longer], ends_blank + score)
            else:
                other[longer] = _either(other[longer], total + score)
    ends = {prefix: (blank[prefix], other[prefix]) for prefix in {**blank, **other}}
    return {prefix: both for prefix, both in ends.items() if max(both) > -inf}


def _widest(
    found: dict[tuple[int, ...], tuple[float, float]], beam: int
) -> dict[tuple[int, ...], tuple[float, float]]:
    if len(found) <= beam:
        return found
    best = sorted(found, key=lambda prefix: (-_either(*found[prefix]), prefix))[:beam]
    return {prefix: found[prefix] for prefix in best}


def _either(a: float, b: float) -> float:
    """log(exp a + exp b)."""
    high, low = (a, b) if a >= b else (b, a)
    return high if low == -inf else high + log1p(exp(low - high))
