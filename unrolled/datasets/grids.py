"""The rows of one series put on the steps of a frequency: what was out of order, doubled or missing is repaired by rule and
counted.

The rules: rows are put in order; a row that repeats another says nothing; of an hour that a local clock repeats in
autumn the mean counts; a stamp between two steps moves to the nearer one; a step without a row is missing. Other rows
of one moment are an error, and so is a series of which too many stamps lie between the steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.datasets.stamps import Frequency, Numbers, Whole, fall_back, spring_forward

NEAR = 0.02  # share of a step that a stamp may lie beside it without being told; of months more
MONTH_ENDS = 0.13
MOST_MOVED = 0.1  # share of a series' stamps that may lie between the steps


@dataclass(frozen=True)
class TimedSeries:
    """`values` (T, C) float64 at steps `first`, `first + 1` ..., NaN where missing. `origin`: the file and line of its
    first row; `name`: "" of the only one.
    """

    name: str
    origin: str
    first: int
    values: Numbers

    def __len__(self) -> int:
        return len(self.values)

    @property
    def called(self) -> str:
        """For messages."""
        return f"series {self.name!r}" if self.name else "the series"


REPAIRS = {
    "unsorted": "rows stood out of order: sorted by time",
    "repeated": "rows repeat another one: left out",
    "autumn": "hours come up twice, as where a clock goes back in autumn: their mean counts",
    "moved": "time stamps lie between two steps: moved to the nearer one",
    "spring": "hours are missing where a clock goes forward in spring: taken as missing values",
    "missing": "steps have no row: taken as missing values",
}


def on_grid(
    name: str,
    at: Numbers,
    values: Numbers,
    origins: Sequence[str],
    frequency: Frequency,
    repairs: Counter[str],
    problems: list[str],
) -> TimedSeries | None:
    """One series. at (N,) stamps, values (N, C), origins (N,) `file:line`. What was repaired is counted in `repairs`; what
    can't be goes into `problems`, and None is returned.
    """
    if frequency.kind == "rows":
        return TimedSeries(name, origins[0], 0, values)
    called = TimedSeries(name, "", 0, values).called
    order = np.argsort(at, kind="stable")
    repairs["unsorted"] += int((np.diff(at) < 0).sum())
    places, off = frequency.places(at[order])
    near = MONTH_ENDS if frequency.kind == "months" else NEAR
    between = off > near
    if between.mean() > MOST_MOVED:
        worst = int(order[int(np.argmax(off))])
        problems.append(
            f"{origins[worst]}: {called} is irregular: {int(between.sum())} of its {len(at)} time stamps "
            "lie between the steps "
            f"of {frequency.words} data, this one by {100 * off.max():.0f} % of a step. Say how far apart steps are "
            "(frequency=15min), or that a row is a step (frequency=rows)."
        )
        return None
    repairs["moved"] += int(between.sum())
    kept = _once(places, values[order], [origins[i] for i in order], (called, frequency), repairs, problems)
    if kept is None:
        return None
    places, rows = kept
    full = np.full((int(places[-1] - places[0]) + 1, values.shape[1]), np.nan)
    full[places - places[0]] = rows
    gone = np.setdiff1d(np.arange(places[0], places[-1] + 1), places)
    leaps = sum(spring_forward(frequency, int(place)) for place in gone) if len(gone) < 1000 else 0
    repairs["spring"] += leaps
    repairs["missing"] += len(gone) - leaps
    return TimedSeries(name, origins[0], int(places[0]), full)


def _once(
    places: Whole,
    values: Numbers,
    origins: list[str],
    of: tuple[str, Frequency],
    repairs: Counter[str],
    problems: list[str],
) -> tuple[Whole, Numbers] | None:
    """Each step once. places (N,) rising."""
    called, frequency = of
    again = np.flatnonzero(np.diff(places) == 0) + 1
    if not len(again):
        return places, values
    values, keep = values.copy(), np.ones(len(places), bool)
    for row in again.tolist():
        keep[row] = False
        before = row - 1
        while not keep[before]:
            before -= 1
        if np.array_equal(values[row], values[before], equal_nan=True):
            repairs["repeated"] += 1
        elif fall_back(frequency, int(places[row])):
            repairs["autumn"] += 1
            values[before] = (values[before] + values[row]) / 2
        else:
            problems.append(
                f"{origins[row]}: {called} has a second row for {frequency.stamp(int(places[row]))} (the first: "
                f"{origins[before]}), with other values. Keep one of them; or name the column that tells "
                "the series apart: id="
            )
            if len(problems) >= 20:
                return None
    return None if problems else (places[keep], values[keep])


def carried(values: Numbers) -> Numbers:
    """Values (T, C) with each gap filled by what was last known before it: nothing from after a gap is used. 0 where
    nothing was known yet.
    """
    known = np.isfinite(values)
    at = np.where(known, np.arange(len(values))[:, None], 0)
    np.maximum.accumulate(at, axis=0, out=at)
    filled = np.take_along_axis(values, at, axis=0)
    return np.where(np.isfinite(filled), filled, 0.0)
