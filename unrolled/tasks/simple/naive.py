"""What can be said without looking: the share of each class, the mean, a token's most frequent tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import UserError
from unrolled.tasks.simple.linear import targets_of

Numbers = NDArray[np.float64]


class Majority:
    """The share of each class, or label, in training as its probability, whatever the input."""

    name: ClassVar[str] = "majority class"

    def __init__(self, classes: int | None = None) -> None:
        self.classes = classes

    def fit(self, values: Sequence[Any], targets: ArrayLike) -> Self:
        """Learns from classes (N,) or labels (N, C); the values are not looked at."""
        goal, y = targets_of(targets, self.classes)
        if goal == "numbers":
            raise UserError(
                "the majority class of real numbers: expected classes. Of numbers the naive rival is the mean."
            )
        self._row = y.mean(0)
        return self

    def predict(self, values: Sequence[Any]) -> Numbers:
        """(N, C) the same row for each."""
        return np.tile(self._row, (len(values), 1))


class MeanOf:
    """The mean of each target in training, whatever the input."""

    name: ClassVar[str] = "mean"

    def fit(self, values: Sequence[Any], targets: ArrayLike) -> Self:
        """Learns from numbers (N,) or (N, K); the values are not looked at."""
        self._row = targets_of(np.asarray(targets, np.float64)).values.mean(0)
        return self

    def predict(self, values: Sequence[Any]) -> Numbers:
        """(N, K) the same row for each."""
        return np.tile(self._row, (len(values), 1))


class MajorityTag:
    """The shares of the tags that a token has in training; of a token it hasn't seen, and of numbers, those of all steps.

    `classes`: how many tags there are, where the training targets may lack some.
    """

    name: ClassVar[str] = "most frequent tag of the token"

    def __init__(self, classes: int | None = None) -> None:
        self.classes = classes

    def fit(self, values: Sequence[ArrayLike], targets: Sequence[ArrayLike]) -> Self:
        """Learns from inputs (T,) of token ids, or (T, C) of numbers, and tags (T,) a sequence."""
        tags = np.concatenate([np.zeros(0, np.int64), *(np.asarray(each, np.int64) for each in targets)])
        if not len(tags):
            raise UserError("nothing to learn from: no sequence has a step.")
        size = self.classes or int(tags.max()) + 1
        self._overall = np.bincount(tags, minlength=size) / len(tags)
        tokens = np.concatenate([_tokens(each) for each in values])
        if len(tokens) != len(tags):
            raise UserError(f"{len(tokens)} steps and {len(tags)} tags. Expected one tag a step.")
        self._known, which = np.unique(tokens, return_inverse=True)
        counts = np.bincount(which * size + tags, minlength=len(self._known) * size).reshape(-1, size)
        self._shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        return self

    def predict(self, values: Sequence[ArrayLike]) -> list[Numbers]:
        """(T, C) a sequence."""
        return [self._of(_tokens(each)) for each in values]

    def _of(self, tokens: NDArray[np.int64]) -> Numbers:
        at = np.minimum(np.searchsorted(self._known, tokens), len(self._known) - 1)
        return np.where((self._known[at] == tokens)[:, None], self._shares[at], self._overall)


def _tokens(value: ArrayLike) -> NDArray[np.int64]:
    """(T,) ids; one and the same for every step of numbers."""
    array = np.asarray(value)
    if array.ndim == 1 and np.issubdtype(array.dtype, np.integer):
        return array.astype(np.int64)
    return np.zeros(len(array), np.int64)
