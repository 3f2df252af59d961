"""Regression: one or several numbers an item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from unrolled.errors import UserError
from unrolled.tasks.measures.bootstrap import Interval, Numbers, Statistic, difference, value_of
from unrolled.tasks.measures.ranking import macro, ratio
from unrolled.tasks.measures.report import Measure, Report, headed, shown, table


def absolute(predicted: Numbers, truth: Numbers) -> Statistic:
    """MAE: the mean absolute error."""
    error = np.abs(predicted - truth)
    return lambda weights: weights @ error / weights.sum(1)


def root_mean_square(predicted: Numbers, truth: Numbers) -> Statistic:
    """RMSE: the root of the mean squared error."""
    error = (predicted - truth) ** 2
    return lambda weights: np.sqrt(weights @ error / weights.sum(1))


def determination(predicted: Numbers, truth: Numbers) -> Statistic:
    """R2: 1 - squared errors / squared distances from the truth's own mean; NaN where the truth is constant."""
    error, centred = (predicted - truth) ** 2, truth - truth.mean()

    def over(weights: Numbers) -> Numbers:
        # About the resample's mean: squares about another one would lose digits where that is far away.
        mean = weights @ centred / weights.sum(1)
        spread = weights @ centred**2 - mean**2 * weights.sum(1)
        scale = weights @ centred**2
        return 1 - ratio(weights @ error, np.where(spread > 1e-12 * scale, spread, 0.0))

    return over


def median_absolute(predicted: Numbers, truth: Numbers) -> Statistic:
    """The median absolute error: half of the items are nearer."""
    error = np.abs(predicted - truth)
    order = np.argsort(error, kind="stable")
    ordered = error[order]

    def over(weights: Numbers) -> Numbers:
        below, half = np.cumsum(weights[:, order], 1), weights.sum(1, keepdims=True) / 2
        middle: Numbers = (ordered[(below < half).sum(1)] + ordered[(below <= half).sum(1)]) / 2
        return middle

    return over


MEASURES: dict[str, Measure] = {
    "mae": Measure("MAE", "", False, absolute),
    "rmse": Measure("RMSE", "", False, root_mean_square),
    "r2": Measure("R2", "", True, determination),
    "median_absolute_error": Measure("median absolute error", "", False, median_absolute, quick=False),
}


@dataclass(frozen=True)
class NumberReport(Report):
    """A regression report. `targets`: each one's measures by name; the report's own are their means."""

    kind: ClassVar[str] = "regress"
    measures: ClassVar[dict[str, Measure]] = MEASURES

    targets: dict[str, dict[str, float]] = field(default_factory=dict)

    def body(self) -> list[str]:
        """A row a target, where there are several."""
        if len(self.targets) < 2:
            return []
        rows = [[name, *(shown(found[m]) for m in MEASURES)] for name, found in self.targets.items()]
        return table(["target", *(measure.words for measure in MEASURES.values())], rows)


def measure_numbers(
    predicted: ArrayLike,
    truth: ArrayLike,
    targets: Sequence[str] = ("target",),
    *,
    groups: ArrayLike | None = None,
    primary: str = "rmse",
    seed: int = 0,
) -> NumberReport:
    """The report on predicted (N, K) and true (N, K) numbers, in the targets' own units; (N,) is one target.

    Raises UserError for no items, shapes that don't fit, and anything that isn't a finite number.
    """
    p, y = _checked(predicted, truth, len(targets))
    each = [{m: MEASURES[m].of(p[:, k], y[:, k]) for m in MEASURES} for k in range(len(targets))]
    made = {m: macro([one[m] for one in each]) for m in MEASURES}
    rows = {
        str(name): {m: value_of(one[m], len(y)) for m in MEASURES}
        for name, one in zip(targets, each, strict=True)
    }
    constant = [name for name, row in rows.items() if np.isnan(row["r2"])]
    notes = (
        [f"R2 is undefined for {', '.join(constant)}: the truth is one value throughout."] if constant else []
    )
    found = headed(MEASURES, primary, made, len(y), groups, seed, {"mae": np.abs(p - y).mean(1)})
    return NumberReport(**found, targets=rows, notes=notes)


def paired_numbers(
    name: str,
    first: ArrayLike,
    second: ArrayLike,
    truth: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Interval:
    """first - second in the measure `name` (mean over targets) on the same items, with the difference's interval."""
    columns = 1 if np.ndim(truth) == 1 else np.shape(truth)[1]
    one, y = _checked(first, truth, columns)
    two, _ = _checked(second, truth, columns)
    of = MEASURES[name].of
    made = [macro([of(p[:, k], y[:, k]) for k in range(columns)]) for p in (one, two)]
    return difference(made[0], made[1], len(y), groups, seed=seed)


def _checked(predicted: ArrayLike, truth: ArrayLike, targets: int) -> tuple[Numbers, Numbers]:
    p, y = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if not y.size:
        raise UserError("nothing to score: 0 items. Expected at least 1: give this part more data (split=).")
    p, y = (each[:, None] if each.ndim == 1 else each for each in (p, y))
    if p.shape != y.shape or y.ndim != 2 or y.shape[1] != targets:
        raise UserError(
            f"predictions of shape {p.shape} and truth of shape {y.shape} for {targets} targets. Expected (items, "
            "targets) twice."
        )
    for what, values in (("prediction", p), ("true value", y)):
        wrong = np.flatnonzero(~np.isfinite(values).all(1))
        if len(wrong):
            raise UserError(
                f"{what} of item {wrong[0]} is {values[wrong[0]].tolist()} ({len(wrong)} such items). Expected finite "
                "numbers."
            )
    return p, y
