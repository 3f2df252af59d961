"""The rivals that a trained model has to beat: naive ones, and strong simple ones that fit in seconds without torch.

All share one protocol: `fit(values, targets)` and `predict(values)`, targets being whole numbers (N,) for classes, whole
numbers (N, C) for several labels, real ones for numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

from numpy.typing import ArrayLike

from unrolled.tasks.simple.mixed import Mixed
from unrolled.tasks.simple.naive import Majority, MajorityTag, MeanOf
from unrolled.tasks.simple.series import Flat, Summary
from unrolled.tasks.simple.texts import MostFrequent
from unrolled.tasks.simple.transcripts import NearestText
from unrolled.tasks.simple.words import WordGrams

__all__ = [
    "SIMPLE", "Flat", "Majority", "MajorityTag", "MeanOf", "Mixed", "MostFrequent", "NearestText", "Simple", "Summary",
    "WordGrams",
]  # fmt: skip


class Simple(Protocol):
    """A rival. `name`: its row's name in tables."""

    name: ClassVar[str]

    def fit(self, values: Sequence[Any], targets: Any) -> Self:
        """Learns from N values and their targets; the same data give the same numbers."""

    def predict(self, values: Sequence[Any]) -> ArrayLike | Sequence[ArrayLike]:
        """Probabilities (N, C), numbers (N, K), or for tags (T, C) a sequence."""


SIMPLE: dict[str, type[Simple]] = {
    "majority": Majority,
    "mean": MeanOf,
    "majority_tag": MajorityTag,
    "word_grams": WordGrams,
    "summary": Summary,
    "flat": Flat,
    "mixed": Mixed,
}
