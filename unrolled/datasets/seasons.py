"""After how many steps series repeat themselves, told by training's steps alone."""

from __future__ import annotations

import numpy as np

from unrolled.datasets.series_windows import Packed
from unrolled.datasets.stamps import Frequency, Numbers

LOOKED_AT = 20  # series
LONGEST = 400  # steps of a season that no calendar names
LIKE = 0.3  # correlation with the past a season ago, from which it counts


def season_of(data: Packed, frequency: Frequency) -> tuple[int, str]:
    """The season in steps, 1 where there is none, and why."""
    series = [part for at in range(len(data.first)) if len(part := _part(data, at)) >= 8][:LOOKED_AT]
    if not series:
        return 1, "training is too short to show a season"
    named = [many for many in frequency.seasons if all(2 * many <= len(one) for one in series)]
    if named:
        likes = {many: float(np.mean([_like(one, many) for one in series])) for many in named}
        kept = [many for many in named if likes[many] > LIKE]
        if kept:
            errs = {
                many: np.mean(
                    [np.abs(one[many:] - one[:-many]).mean() / (one.std() or 1.0) for one in series]
                )
                for many in kept
            }
            best = min(kept, key=lambda many: float(errs[many]))
            return (
                best,
                f"{frequency.words} data that repeat after {best} steps (correlation {likes[best]:.2f})",
            )
        return 1, f"{frequency.words} data that don't repeat after {', '.join(map(str, named))} steps"
    shortest = min(map(len, series))
    curve = np.mean([_autocorrelation(one, min(LONGEST, shortest // 3)) for one in series], 0)
    peaks = [
        lag
        for lag in range(2, len(curve) - 1)
        if curve[lag - 1] < curve[lag] >= curve[lag + 1] and curve[lag] > LIKE
    ]
    if not peaks:
        return 1, "no season stands out in training"
    best = max(peaks, key=lambda lag: curve[lag])
    return best, f"training is most like itself {best} steps ago (correlation {curve[best]:.2f})"


def likeness(data: Packed, season: int) -> float:
    """The mean correlation of training's steps with those a season ago, each series less its line; 0 without a season."""
    series = [part for at in range(len(data.first)) if len(part := _part(data, at)) >= 2 * season][:LOOKED_AT]
    return float(np.mean([_like(one, season) for one in series])) if series and season > 1 else 0.0


def _part(data: Packed, at: int) -> Numbers:
    """The first channel of a series' training steps, less its line."""
    values = data.values[data.offsets[at] : data.offsets[at] + data.ends[at, 0], 0]
    if len(values) < 3:
        return values
    time = np.arange(len(values)) - (len(values) - 1) / 2
    slope = float((time * (values - values.mean())).sum() / (time**2).sum())
    return np.asarray(values - values.mean() - slope * time, np.float64)


def _like(one: Numbers, lag: int) -> float:
    """The correlation of a series with itself `lag` steps ago; 0 of a constant one."""
    both = one[lag:] - one[lag:].mean(), one[:-lag] - one[:-lag].mean()
    scale = float(np.sqrt((both[0] ** 2).sum() * (both[1] ** 2).sum()))
    return float((both[0] * both[1]).sum()) / scale if scale > 0 else 0.0


def _autocorrelation(one: Numbers, most: int) -> Numbers:
    return np.array([1.0, *(_like(one, lag) for lag in range(1, max(most, 2)))])
