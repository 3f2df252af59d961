"""The mean and deviation that a codec scales by, and how it saves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unrolled.datasets.moments import Floats, Moments
from unrolled.errors import UserError

LEAST = 1e-6  # deviation, relative to the mean's size or 1, below which a value counts as constant


def scale_of(moments: Moments) -> tuple[Floats, Floats]:
    """Mean and deviation to scale by; the deviation is 1 for a column that is constant, which scaling then leaves at 0."""
    mean, deviation = moments.mean, moments.deviation
    varies = deviation > LEAST * np.maximum(np.abs(mean), LEAST)
    return mean, np.where(varies, deviation, 1.0)


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
