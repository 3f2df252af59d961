"""Summary statistics of series of any length with missing values: one row of numbers a series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import UserError

Numbers = NDArray[np.float64]
Marks = NDArray[np.bool_]

EACH = (  # of one channel, in this order
    *("mean", "deviation", "slope", "lag-1 autocorrelation", "share missing", "first", "last"),
    *("mean of the first third", "mean of the middle third", "mean of the last third"),
    *("minimum", "lower quartile", "median", "upper quartile", "maximum"),
)
CELLS = 1 << 18  # values of one batch of series


def summarised(series: Sequence[ArrayLike]) -> Numbers:
    """(N, 15 C + 1): `EACH` of each channel, and the length. A series is (T, C) or (T,), NaN or Inf where missing.

    NaN stands where nothing was measured. Raises UserError for series of different numbers of channels.
    """
    arrays = [_two_dimensional(each) for each in series]
    channels = {array.shape[1] for array in arrays}
    if len(channels) > 1:
        raise UserError(
            f"series with {', '.join(map(str, sorted(channels)))} channels. Expected one number of them."
        )
    width = channels.pop() if channels else 0
    out = np.full((len(arrays), len(EACH) * width + 1), np.nan)
    order = sorted(range(len(arrays)), key=lambda n: len(arrays[n]))
    while order:
        longest = len(arrays[order[-1]])
        rows = [order.pop() for _ in range(min(len(order), max(1, CELLS // max(longest * width, 1))))]
        values = np.full((len(rows), longest, width), np.nan)
        for row, n in enumerate(rows):
            values[row, : len(arrays[n])] = arrays[n]
        out[rows] = _batch(values, np.array([len(arrays[n]) for n in rows]))
    return out


def _two_dimensional(value: ArrayLike) -> Numbers:
    array = np.asarray(value, np.float64)
    if array.ndim not in (1, 2):
        raise UserError(f"a series of shape {array.shape}. Expected (steps,) or (steps, channels).")
    return array[:, None] if array.ndim == 1 else array


def _batch(values: Numbers, lengths: NDArray[np.int64]) -> Numbers:
    """(B, T, C) padded with NaN, lengths (B,) -> (B, 15 C + 1)."""
    steps = np.arange(values.shape[1])[None, :, None]  # (1, T, 1)
    size = lengths[:, None, None]
    there = np.isfinite(values)
    x = np.where(there, values, 0.0)
    count = there.sum(1)  # (B, C)
    mean = _over(x.sum(1), count)
    centred = np.where(there, x - np.nan_to_num(mean)[:, None], 0.0)
    square = (centred**2).sum(1)
    found = [mean, np.sqrt(_over(square, count)), *_along(centred, there, steps, square)]
    found.append(1 - _over(count, size[:, 0]))
    found += _ends(x, there, steps)
    for third in range(3):
        part = there & (steps * 3 >= third * size) & (steps * 3 < (third + 1) * size)
        found.append(_over((x * part).sum(1), part.sum(1)))
    found += _quartiles(x, there, count)
    return np.concatenate([np.stack(found, 2).reshape(len(values), -1), lengths[:, None]], 1)


def _along(centred: Numbers, there: Marks, steps: NDArray[np.int64], square: Numbers) -> list[Numbers]:
    """The slope a step of the straight line through the values, and the correlation of neighbours."""
    middle = _over((steps * there).sum(1), there.sum(1))
    off = np.where(there, steps - np.nan_to_num(middle)[:, None], 0.0)
    slope = _over((off * centred).sum(1), (off**2).sum(1))
    neighbours = (centred[:, 1:] * centred[:, :-1]).sum(1)  # a missing value's centred is 0
    return [slope, _over(neighbours, square)]


def _ends(x: Numbers, there: Marks, steps: NDArray[np.int64]) -> list[Numbers]:
    """The first and the last value that is there."""
    some = there.any(1)
    if not x.shape[1]:
        return [np.full(some.shape, np.nan)] * 2
    first, last = there.argmax(1), np.where(there, steps, -1).max(1)
    picked = [np.take_along_axis(x, np.maximum(at, 0)[:, None], 1)[:, 0] for at in (first, last)]
    return [np.where(some, value, np.nan) for value in picked]


def _quartiles(x: Numbers, there: Marks, count: NDArray[np.int64]) -> list[Numbers]:
    """Minimum, quartiles and maximum, linear between neighbours."""
    if not x.shape[1]:
        return [np.full(count.shape, np.nan)] * 5
    ordered = np.sort(np.where(there, x, np.inf), 1)
    found = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        place = share * np.maximum(count - 1, 0)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, np.maximum(count - 1, 0))
        below, above = (np.take_along_axis(ordered, at[:, None], 1)[:, 0] for at in (low, high))
        known = count > 0
        below, above = np.where(known, below, 0.0), np.where(known, above, 0.0)
        found.append(np.where(known, below + (place - low) * (above - below), np.nan))
    return found


def _over(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Numbers:
    """part / whole, NaN where whole is 0."""
    out = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=out, where=whole != 0)
    return out
