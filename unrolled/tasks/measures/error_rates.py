"""Error rates: edits a character, a word, or any symbol of what was wanted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.tasks.measures.edits import edit_distance

Numbers = NDArray[np.float64]


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
