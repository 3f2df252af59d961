"""Series and pictures without their order: summary statistics, or all pixels, and a linear model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import UserError
from unrolled.tasks.simple.features import Dense
from unrolled.tasks.simple.linear import Linear, Targets, targets_of
from unrolled.tasks.simple.statistics import summarised

Numbers = NDArray[np.float64]

FARTHEST = 8.0  # deviations from training's mean, beyond which a value is pulled in
CELLS = 1 << 25  # features held while fitting: 256 MiB
PIECE = 1024  # items predicted at a time


class Summary:
    """Fifteen summary statistics a channel and the length (`statistics.EACH`), standardised; then logistic or ridge
    regression. For series (T, C) or (T,) of any length, NaN where missing.

    `classes`: how many there are, where the training targets may lack some. `notes` says what was left out.
    """

    name: ClassVar[str] = "summary statistics + linear model"

    def __init__(self, classes: int | None = None, seed: int = 0) -> None:
        self.classes, self.seed = classes, seed
        self.notes: list[str] = []

    def fit(self, values: Sequence[ArrayLike], targets: ArrayLike) -> Self:
        """Learns from series (N) and targets: classes (N,), labels (N, C) or numbers (N, K)."""
        goal, y = targets_of(targets, self.classes)
        self._begin(values[0])
        width = self._rows(values[:1]).shape[1]
        step = -(-len(values) * width // CELLS)
        self.notes = [f"learnt from one in {step} of {len(values)} items"] if step > 1 else []
        rows, y = self._rows(values[::step]), y[::step]
        known = np.isfinite(rows)
        count = np.maximum(known.sum(0), 1)
        self._mean = np.where(known, rows, 0.0).sum(0) / count
        deviation = np.sqrt((np.where(known, rows - self._mean, 0.0) ** 2).sum(0) / count)
        # A feature that varies by no more than rounding would be noise blown up.
        varies = deviation > 1e-9 * np.maximum(np.abs(self._mean), 1e-300)
        self._inverse = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
        self._model = Linear(self.seed).fit(Dense(self._standardised(rows)), Targets(goal, y))
        return self

    def predict(self, values: Sequence[ArrayLike]) -> Numbers:
        """(N, C) probabilities or (N, K) numbers."""
        pieces = [values[at : at + PIECE] for at in range(0, len(values), PIECE)]
        found = [self._model.predict(Dense(self._standardised(self._checked(piece)))) for piece in pieces]
        empty = np.zeros((0, len(self._model.shift)))
        return np.concatenate([empty, *found])

    def _standardised(self, rows: Numbers) -> Numbers:
        """0 where there is nothing, and near enough that no outlier outvotes all the rest."""
        far = (rows - self._mean) * self._inverse
        return np.clip(np.where(np.isfinite(far), far, 0.0), -FARTHEST, FARTHEST)

    def _checked(self, values: Sequence[ArrayLike]) -> Numbers:
        rows = self._rows(values)
        if rows.shape[1] != len(self._mean):
            raise UserError(
                f"{rows.shape[1]} statistics an item where training had {len(self._mean)}: other channels."
            )
        return rows

    def _begin(self, first: ArrayLike) -> None:
        """What the first training value fixes: nothing here."""

    def _rows(self, values: Sequence[ArrayLike]) -> Numbers:
        """(N, F) features, NaN where there is nothing."""
        return summarised(values)


class Flat(Summary):
    """Every number of inputs of one size, standardised; then logistic or ridge regression. For pictures and short series
    of fixed length.
    """

    name: ClassVar[str] = "all values + linear model"

    def _begin(self, first: ArrayLike) -> None:
        self._shape = np.shape(first)

    def _rows(self, values: Sequence[ArrayLike]) -> Numbers:
        arrays = [np.asarray(value, np.float64) for value in values]
        for at, array in enumerate(arrays):
            if array.shape != self._shape:
                raise UserError(
                    f"item {at} has shape {array.shape} where the first had {self._shape}. Expected one size; of others "
                    "take summary statistics."
                )
        return np.stack(arrays).reshape(len(arrays), -1)
