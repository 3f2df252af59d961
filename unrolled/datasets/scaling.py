"""Mean and deviation of training values, gathered piece by piece, and how a codec saves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import UserError

Floats = NDArray[np.float64]
LEAST = 1e-6  # deviation, relative to the mean's size or 1, below which a value counts as constant


class Moments:
    """Running mean and deviation of each column, exact in one pass (T. F. Chan, G. H. Golub, R. J. LeVeque, 1979)."""

    def __init__(self, width: int) -> None:
        self.count, self.mean, self._squares = 0, np.zeros(width), np.zeros(width)

    def add(self, rows: NDArray[Any]) -> None:
        """Takes in (n, width) values."""
        if not len(rows):
            return
        values = rows.astype(np.float64, copy=False)
        mean = values.mean(0)
        shift, total = mean - self.mean, self.count + len(values)
        self._squares = (
            self._squares + ((values - mean) ** 2).sum(0) + shift**2 * self.count * len(values) / total
        )
        self.mean = self.mean + shift * len(values) / total
        self.count = total

    @property
    def deviation(self) -> Floats:
        """The standard deviation; 1 for a column that is constant, which scaling then leaves at 0."""
        deviation = np.sqrt(self._squares / max(self.count, 1))
        return np.where(deviation > LEAST * np.maximum(np.abs(self.mean), LEAST), deviation, 1.0)


def scale_to(mean: Floats, deviation: Floats) -> dict[str, list[float]]:
    """Mean and deviation as plain data for JSON."""
    return {"mean": mean.tolist(), "deviation": deviation.tolist()}


def scale_from(saved: Mapping[str, Any], width: int) -> tuple[Floats, Floats]:
    """What `scale_to` wrote. Raises UserError where it isn't `width` finite numbers, deviations above 0."""
    mean, deviation = (np.asarray(saved[name], np.float64) for name in ("mean", "deviation"))
    whole = all(part.shape == (width,) and np.isfinite(part).all() for part in (mean, deviation))
    if not whole or not (deviation > 0).all():
        raise UserError(
            f"the saved {saved.get('kind')} codec is damaged: expected {width} means and deviations > 0."
        )
    return mean, deviation
