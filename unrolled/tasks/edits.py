"""Edit distance and the error rates made of it: characters, words, or any symbols."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def edit_distance(said: Sequence[Hashable], truth: Sequence[Hashable]) -> int:
    """The fewest symbols to insert, delete or replace so that one becomes the other (Levenshtein 1966).

    Bit-parallel over the truth's symbols, one column of the table in two integers of any length: Hyyrö 2001, "Explaining
    and Extending the Bit-parallel Approximate String Matching Algorithm of Myers", fig. 7, for whole strings.
    """
    if not truth or not said:
        return len(truth) + len(said)
    places: dict[Hashable, int] = {}
    for place, symbol in enumerate(truth):
        places[symbol] = places.get(symbol, 0) | 1 << place
    full, lowest = (1 << len(truth)) - 1, 1 << (len(truth) - 1)
    up, down, distance = full, 0, len(truth)  # where the column rises and falls by one; its last cell
    for symbol in said:
        match = places.get(symbol, 0)
        across = ((match & up) + up ^ up) | match
        rises, falls = down | ~(across | up) & full, up & across
        distance += bool(rises & lowest) - bool(falls & lowest)
        rises, falls = (rises << 1 | 1) & full, falls << 1 & full
        keeps = match | down
        up, down = falls | ~(keeps | rises) & full, rises & keeps
    return distance


def characters(text: str) -> Sequence[str]:
    """A text's characters: what CER counts. White space around it isn't part of it."""
    return text.strip()


def words(text: str) -> Sequence[str]:
    """A text's words between white space: what WER counts."""
    return text.split()


class Edits(NamedTuple):
    """`errors (N,)`: of each text; `lengths (N,)`: symbols of its truth. Any number of texts' rate is the ratio of sums."""

    errors: Numbers
    lengths: Numbers

    @property
    def rate(self) -> float:
        """Errors a symbol of truth; above 1 where more was said than there is. NaN where all truths are empty."""
        total = float(self.lengths.sum())
        return float(self.errors.sum()) / total if total else float("nan")


def edits(
    said: Sequence[str], truth: Sequence[str], cut: Callable[[str], Sequence[Hashable]] = characters
) -> Edits:
    """The errors of texts beside their truths, in the symbols that `cut` gives. Raises ValueError for unequal numbers."""
    pairs = [(cut(one), cut(other)) for one, other in zip(said, truth, strict=True)]
    errors = np.array([edit_distance(one, other) for one, other in pairs], np.float64)
    return Edits(errors, np.array([len(other) for _, other in pairs], np.float64))
