"""Paths without a network: straight on as in the last step, or turning on as in the last two; and how far off they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unrolled.datasets.series_windows import Packed
from unrolled.datasets.stamps import Numbers, Whole
from unrolled.errors import UserError


@dataclass(frozen=True)
class ConstantVelocity:
    """The last step again and again."""

    horizon: int
    foretold: int
    name: ClassVar[str] = "constant velocity"

    def points(self, data: Packed, series: Whole, origin: Whole) -> Numbers:
        """(B, H, K)."""
        at = data.offsets[series] + origin
        last, before = data.values[at][:, : self.foretold], data.values[at - 1][:, : self.foretold]
        ahead = np.arange(1, self.horizon + 1)[:, None]
        return np.asarray(last[:, None] + (last - before)[:, None] * ahead, np.float64)


@dataclass(frozen=True)
class ConstantTurn:
    """The last step, turned at each further one as the last was turned against the one before it. In a plane."""

    horizon: int
    name: ClassVar[str] = "constant turn"

    def points(self, data: Packed, series: Whole, origin: Whole) -> Numbers:
        """(B, H, 2)."""
        at = data.offsets[series] + origin
        here, before, first = (data.values[at - back][:, :2] @ [1, 1j] for back in range(3))
        step, earlier = here - before, before - first
        both = np.abs(step) * np.abs(earlier)
        turn = np.divide(step * earlier.conj(), both, out=np.ones_like(step), where=both > 0)
        steps = step[:, None] * turn[:, None] ** np.arange(1, self.horizon + 1)
        path = here[:, None] + np.cumsum(steps, 1)
        return np.stack([path.real, path.imag], -1)


def displacement(truth: Numbers, point: Numbers) -> tuple[float, float]:
    """ADE and FDE: how far the paths (N, K, H) are apart, in the mean over all steps and at the last one (Pellegrini
    et al. 2009).

    Raises UserError for shapes that differ.
    """
    if truth.shape != point.shape or truth.ndim != 3:
        raise UserError(
            f"paths of shape {truth.shape} and {point.shape}; expected (paths, coordinates, steps) twice."
        )
    apart = np.sqrt(((truth - point) ** 2).sum(1))
    return float(np.nanmean(apart)), float(np.nanmean(apart[:, -1]))
