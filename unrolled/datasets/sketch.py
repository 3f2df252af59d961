"""Pictures in characters of what a model sees: a waveform in one line, a spectrogram or an image in a few."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.pixels import resized

SHADES = " ░▒▓█"
BARS = "▁▂▃▄▅▆▇█"


def waveform(samples: NDArray[Any], columns: int = 60) -> str:
    """One line: the largest absolute value in each column's stretch of `samples (n,)`, of the loudest."""
    pieces = np.array_split(np.abs(samples), max(1, min(columns, len(samples))))
    peaks = np.array([piece.max(initial=0) for piece in pieces])
    return "".join(BARS[level] for level in _levels(peaks, 0.0, len(BARS)))


def sparkline(values: NDArray[Any], columns: int = 60) -> str:
    """One line from the lowest to the highest of `values (T,)`, means of stretches where there are more than columns;
    a dot where a value is missing.
    """
    pieces = np.array_split(np.asarray(values, np.float64), max(1, min(columns, len(values))))
    known = [piece[np.isfinite(piece)] for piece in pieces]
    means = np.array([piece.mean() if len(piece) else np.nan for piece in known])
    there = np.isfinite(means)
    low = float(means[there].min()) if there.any() else 0.0
    levels = _levels(np.where(there, means, low), low, len(BARS))
    return "".join(BARS[level] if known else "·" for level, known in zip(levels, there, strict=True))


def spectrogram(encoded: NDArray[Any], columns: int = 60, rows: int = 8) -> list[str]:
    """Lines from the highest band down, time to the right, of an encoded sound (T, bands)."""
    return shades(encoded.T[::-1], columns, rows)


def shades(values: NDArray[Any], columns: int = 60, rows: int = 8) -> list[str]:
    """Lines of light to dark characters for values (H, W), brought to at most `rows` x `columns`."""
    size = min(rows, values.shape[0]), min(columns, values.shape[1])
    small = resized(values[None, :, :, None], *size)[0, :, :, 0]
    return [
        "".join(SHADES[level] for level in line) for line in _levels(small, float(small.min()), len(SHADES))
    ]


def _levels(values: NDArray[Any], low: float, count: int) -> NDArray[np.int64]:
    span = float(values.max(initial=low)) - low
    return np.minimum((values - low) / (span or 1) * count, count - 1).astype(np.int64)
