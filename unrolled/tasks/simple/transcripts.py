"""What can be said of a sound without a sequence model: the text of the sound most alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from unrolled.errors import UserError

PIECE = 256  # test sounds compared at a time


class NearestText:
    """The text of the training sequence whose mean step, each number scaled by its deviation, is nearest."""

    name: ClassVar[str] = "text of the sound with the nearest mean spectrum"

    def fit(self, values: Sequence[np.ndarray], targets: Sequence[str]) -> Self:
        """Learns from steps (T, D) and texts. Raises UserError for none."""
        if not len(values):
            raise UserError("nothing to learn from: no sequence.")
        means = _means(values)
        self._scale = np.maximum(means.std(0), 1e-9)
        self._means, self._texts = means / self._scale, list(targets)
        return self

    def predict(self, values: Sequence[np.ndarray]) -> list[str]:
        """The nearest one's text for each."""
        found: list[str] = []
        for at in range(0, len(values), PIECE):
            here = _means(values[at : at + PIECE]) / self._scale
            # |a - b|^2 = |a|^2 - 2ab + |b|^2, of which |a|^2 is the same for all b.
            far = (self._means**2).sum(1) - 2 * here @ self._means.T
            found += [self._texts[number] for number in far.argmin(1)]
        return found


def _means(values: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([np.asarray(steps, np.float64).mean(0) for steps in values])
