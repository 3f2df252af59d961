"""Several labels an item: each is there (1) or not (0), predicted where its probability is at least the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import UserError
from unrolled.tasks.measures import ranking
from unrolled.tasks.measures.bootstrap import Numbers, Statistic
from unrolled.tasks.measures.classes import ClassRow, class_rows, class_table
from unrolled.tasks.measures.ranking import mean_defined, ratio
from unrolled.tasks.measures.report import Measure, Report, headed, short

Truth = NDArray[np.bool_]
THRESHOLD = 0.5


def micro_f1(chosen: Truth, truth: Truth) -> Statistic:
    """F1 over all labels of all items together; NaN where there is no label and none predicted."""
    right, both = _sums(chosen & truth), _sums(chosen) + _sums(truth)
    return lambda weights: ratio(2 * (weights @ right), weights @ both)


def macro_f1(chosen: Truth, truth: Truth) -> Statistic:
    """The mean F1 of the labels that occur in the truth or among the predictions."""
    right, both = (chosen & truth).astype(np.float64), chosen.astype(np.float64) + truth
    return lambda weights: mean_defined(ratio(2 * (weights @ right), weights @ both))


def subset_accuracy(chosen: Truth, truth: Truth) -> Statistic:
    """Share of items whose labels are all right."""
    hit = (chosen == truth).all(1).astype(np.float64)
    return lambda weights: weights @ hit / weights.sum(1)


def macro_average_precision(probabilities: Numbers, truth: Truth) -> Statistic:
    """The mean average precision of the labels that occur in the truth."""
    there = [c for c in range(truth.shape[1]) if truth[:, c].any()]
    made = [ranking.average_precision(probabilities[:, c], truth[:, c]) for c in there]
    return ranking.macro(made) if made else lambda weights: np.full(len(weights), np.nan)


MEASURES: dict[str, Measure] = {
    "macro_f1": Measure("macro F1", "", True, macro_f1),
    "micro_f1": Measure("micro F1", "", True, micro_f1),
    "subset_accuracy": Measure("all labels right", "", True, subset_accuracy),
    "auprc": Measure("AUPRC", "", True, macro_average_precision, quick=False),
}


@dataclass(frozen=True)
class LabelReport(Report):
    """A multi-label report, with a row a label."""

    kind: ClassVar[str] = "labels"
    measures: ClassVar[dict[str, Measure]] = MEASURES

    labels: list[ClassRow] = field(default_factory=list)
    threshold: float = THRESHOLD

    def body(self) -> list[str]:
        """The table of labels."""
        return class_table(self.labels)


def measure_labels(
    probabilities: ArrayLike,
    truth: ArrayLike,
    labels: Sequence[str],
    *,
    threshold: float = THRESHOLD,
    groups: ArrayLike | None = None,
    primary: str = "macro_f1",
    seed: int = 0,
) -> LabelReport:
    """The report on probabilities (N, C) and truth (N, C) of 0 and 1. Raises UserError for what is neither."""
    p, y = _checked(probabilities, truth, len(labels))
    chosen = p >= threshold
    made = {name: measure.of(p if name == "auprc" else chosen, y) for name, measure in MEASURES.items()}
    right, support, predicted = (chosen & y).sum(0), y.sum(0), chosen.sum(0)
    rows = class_rows(list(map(str, labels)), right, predicted, support)
    found = headed(MEASURES, primary, made, len(y), groups, seed)
    return LabelReport(**found, labels=rows, threshold=threshold, notes=_absent(rows))


def _checked(probabilities: ArrayLike, truth: ArrayLike, labels: int) -> tuple[Numbers, Truth]:
    p, y = np.asarray(probabilities, np.float64), np.asarray(truth)
    if not len(y):
        raise UserError("nothing to score: 0 items. Expected at least 1: give this part more data (split=).")
    if p.shape != (len(y), labels) or y.shape != p.shape:
        raise UserError(
            f"probabilities of shape {p.shape} and truth of shape {y.shape} for {labels} labels. Expected (items, "
            "labels) twice."
        )
    if not np.isin(y, (0, 1)).all():
        raise UserError("the truth of several labels holds other values than 0 and 1.")
    if not ((p >= 0) & (p <= 1)).all():
        raise UserError(f"probabilities from {p.min()} to {p.max()}: expected numbers from 0 to 1.")
    return p, y.astype(bool)


def _sums(marks: Truth) -> Numbers:
    counts: Numbers = marks.sum(1).astype(np.float64)
    return counts


def _absent(rows: list[ClassRow]) -> list[Any]:
    gone = [short(row.name, 20) for row in rows if not row.support]
    listed = ", ".join(gone[:8]) + (", ..." if len(gone) > 8 else "")
    return [f"{len(gone)} of {len(rows)} labels do not occur in the truth ({listed})."] if gone else []
