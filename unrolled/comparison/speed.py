"""How fast a run was, and whether it stayed so: read from its metrics, so that a resumed race knows it too."""

from __future__ import annotations

from typing import NamedTuple

from unrolled.training.budget import WARM_UP_STEPS
from unrolled.training.run import Run


class Pace(NamedTuple):
    """`spread`: how much faster or slower the second half of the time went, as a share of the whole; None if unknown."""

    tokens_per_second: float | None
    spread: float | None


def pace_of(run: Run, tokens_a_step: int) -> Pace:
    """A run's tokens a second of optimizer steps, its warm-up steps left out."""
    clock = dict(sorted((row["step"], row["seconds"]) for row in run.metrics if "seconds" in row))
    return pace([(s, t) for s, t in clock.items() if s >= WARM_UP_STEPS], tokens_a_step)


def pace(clock: list[tuple[int, float]], tokens_a_step: int) -> Pace:
    """From (step, seconds) in order."""
    if len(clock) < 2 or clock[-1][1] <= clock[0][1]:
        return Pace(None, None)
    whole = _rate(clock[0], clock[-1])
    half = (clock[0][1] + clock[-1][1]) / 2
    middle = min(clock[1:-1], key=lambda point: abs(point[1] - half), default=None)
    if middle is None or not clock[0][1] < middle[1] < clock[-1][1]:
        return Pace(whole * tokens_a_step, None)
    spread = abs(_rate(middle, clock[-1]) - _rate(clock[0], middle)) / whole
    return Pace(whole * tokens_a_step, spread)


def _rate(a: tuple[int, float], b: tuple[int, float]) -> float:
    return (b[0] - a[0]) / (b[1] - a[1])
