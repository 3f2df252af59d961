"""Tagging: a class a step. Figures are of steps ("tokens") and whole sequences; sequences are resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from unrolled.errors import UserError
from unrolled.tasks.measures import classes as one
from unrolled.tasks.measures.bootstrap import Interval, Numbers, Statistic, Whole, difference
from unrolled.tasks.measures.report import Measure, headed


def sequence_accuracy(probabilities: Numbers, truth: Whole, sequence: Whole) -> Statistic:
    """Share of sequences all of whose steps are right. sequence (N,): the number of each step's sequence."""
    hit = probabilities.argmax(1) == truth
    first = np.flatnonzero(np.diff(sequence, prepend=-1))
    whole = np.logical_and.reduceat(hit, first).astype(np.float64)
    return lambda weights: weights[:, first] @ whole / weights[:, first].sum(1)


MEASURES: dict[str, Measure] = {
    "accuracy": Measure("token accuracy", "", True, one.accuracy),
    "macro_f1": one.MEASURES["macro_f1"],
    "balanced_accuracy": one.MEASURES["balanced_accuracy"],
    "sequence_accuracy": Measure("whole sequences right", "", True, sequence_accuracy),
    "log_loss": one.MEASURES["log_loss"],
    "calibration_error": one.MEASURES["calibration_error"],
}


@dataclass(frozen=True)
class TagReport(one.ClassReport):
    """A tagger's report: `items` are steps, `units` sequences (or groups of them)."""

    kind: ClassVar[str] = "tag"
    measures: ClassVar[dict[str, Measure]] = MEASURES

    sequences: int = 0

    def _counted(self) -> str:
        return f"{self.items} steps of {self.sequences} sequence{'s' * (self.sequences != 1)}"


def measure_tags(
    probabilities: Sequence[ArrayLike],
    truth: Sequence[ArrayLike],
    classes: Sequence[str],
    *,
    groups: Sequence[object] | None = None,
    primary: str = "accuracy",
    seed: int = 0,
) -> TagReport:
    """The report on one (T, C) of probabilities and one (T,) of class numbers a sequence; `groups` has one a sequence.

    Sequences without a step are left out, aloud. Raises UserError for no steps and shapes that don't fit.
    """
    p, y, sequence = _joined(probabilities, truth, len(classes))
    made = {name: _of(name, p, y, sequence) for name in MEASURES}
    units = _units(sequence, groups, len(truth))
    found = headed(MEASURES, primary, made, len(y), units, seed, {"accuracy": one.hits(p, y)})
    rest = one.per_class(p, y, classes)
    count = len(np.unique(sequence))
    if count < len(truth):
        rest["notes"] = [*rest["notes"], f"{len(truth) - count} sequences without a step are left out."]
    return TagReport(**found, **rest, sequences=count)


def paired_tags(
    name: str,
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    truth: Sequence[ArrayLike],
    *,
    groups: Sequence[object] | None = None,
    seed: int = 0,
) -> Interval:
    """first - second in the measure `name` on the same sequences, with the interval of the difference."""
    size = max(np.shape(p)[-1] for p in first) if len(first) else 1
    p, y, sequence = _joined(first, truth, size)
    q, _, _ = _joined(second, truth, size)
    units = _units(sequence, groups, len(truth))
    return difference(_of(name, p, y, sequence), _of(name, q, y, sequence), len(y), units, seed=seed)


def _of(name: str, probabilities: Numbers, truth: Whole, sequence: Whole) -> Statistic:
    if name == "sequence_accuracy":
        return sequence_accuracy(probabilities, truth, sequence)
    return MEASURES[name].of(probabilities, truth)


def _units(sequence: Whole, groups: Sequence[object] | None, count: int) -> ArrayLike:
    if groups is None:
        return sequence
    if len(groups) != count:
        raise UserError(f"{len(groups)} groups for {count} sequences. Expected one a sequence.")
    return np.asarray([str(group) for group in groups])[sequence]


def _joined(
    probabilities: Sequence[ArrayLike], truth: Sequence[ArrayLike], classes: int
) -> tuple[Numbers, Whole, Whole]:
    """All steps one after another, with the number of each one's sequence."""
    if len(probabilities) != len(truth):
        raise UserError(f"probabilities of {len(probabilities)} sequences, truth of {len(truth)}.")
    rows = [np.asarray(each, np.float64).reshape(-1, classes) for each in probabilities]
    labels = [np.asarray(each, np.int64).reshape(-1) for each in truth]
    for at, (row, label) in enumerate(zip(rows, labels, strict=True)):
        if len(row) != len(label):
            raise UserError(
                f"sequence {at}: {len(row)} predictions for {len(label)} tags. Expected one a step."
            )
    p, y = one.checked(
        np.concatenate([np.zeros((0, classes)), *rows]),
        np.concatenate([np.zeros(0, np.int64), *labels]),
        classes,
    )
    return p, y, np.repeat(np.arange(len(labels)), [len(label) for label in labels])
