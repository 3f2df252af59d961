"""Classification: one class an item. Everything is computed from probabilities (N, C) and class numbers (N,)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import UserError
from unrolled.tasks.measures import ranking
from unrolled.tasks.measures.bootstrap import Interval, Numbers, Statistic, Whole, difference
from unrolled.tasks.measures.ranking import mean_defined, ratio
from unrolled.tasks.measures.report import Measure, Report, headed, short, shown, table

BINS = 15  # of the calibration error: the number Guo et al. use
LEAST = float(np.finfo(np.float64).eps)  # a probability of 0 counts as this in the log loss
DECIDED = ("accuracy", "balanced_accuracy", "macro_f1")  # they look at the class that is said only
CELLS = 1 << 22  # of a matrix of marks, 32 MiB
SQUARE = 12  # classes up to which the confusion matrix is printed
ROWS = 30  # classes printed in the table, the worst ones


@dataclass(frozen=True)
class ClassRow:
    """One class: NaN where a figure is 0 / 0 (never predicted, or absent from the truth)."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


def hits(probabilities: Numbers, truth: Whole) -> Numbers:
    """(N,) 1 where the most probable class is the true one."""
    hit: Numbers = (probabilities.argmax(1) == truth).astype(np.float64)
    return hit


def accuracy(probabilities: Numbers, truth: Whole) -> Statistic:
    """Share of items whose most probable class is the true one."""
    hit = hits(probabilities, truth)
    return lambda weights: weights @ hit / weights.sum(1)


def balanced_accuracy(probabilities: Numbers, truth: Whole) -> Statistic:
    """The mean recall of the classes that occur in the truth."""
    count = _counter(probabilities, truth)

    def over(weights: Numbers) -> Numbers:
        right, _, support = count(weights)
        return mean_defined(ratio(right, support))

    return over


def macro_f1(probabilities: Numbers, truth: Whole) -> Statistic:
    """The mean F1 of the classes that occur in the truth or among the predictions."""
    count = _counter(probabilities, truth)

    def over(weights: Numbers) -> Numbers:
        right, predicted, support = count(weights)
        return mean_defined(ratio(2 * right, predicted + support))

    return over


def log_loss(probabilities: Numbers, truth: Whole) -> Statistic:
    """Mean nats of the true class; a probability of 0 counts as 2.2e-16."""
    nats = -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], LEAST))
    return lambda weights: weights @ nats / weights.sum(1)


def brier(probabilities: Numbers, truth: Whole) -> Statistic:
    """Brier 1950: squared distance to the truth, summed over classes; halved for two classes, as is usual there."""
    true = probabilities[np.arange(len(truth)), truth]
    squares = np.einsum("nc,nc->n", probabilities, probabilities) - 2 * true + 1
    squares = np.maximum(squares, 0) / (2 if probabilities.shape[1] == 2 else 1)
    return lambda weights: weights @ squares / weights.sum(1)


def calibration_error(probabilities: Numbers, truth: Whole) -> Statistic:
    """Expected calibration error: |accuracy - confidence| over 15 bins of equal width, weighted by their items.

    Guo et al. 2017, arXiv:1706.04599, eq. 3 to 5: bin m holds confidences in ((m - 1) / M, m / M].
    """
    confidence = probabilities.max(1)
    over_sure = (probabilities.argmax(1) == truth) - confidence
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    return lambda weights: np.abs(sums_by(bins, weights * over_sure, BINS)).sum(1) / weights.sum(1)


def one_against_rest(make: Any, probabilities: Numbers, truth: Whole) -> Statistic:
    """A ranking measure a class, averaged over those where it is defined; two classes: of the second one alone."""
    chosen = [1] if probabilities.shape[1] == 2 else np.unique(truth).tolist()
    return ranking.macro([make(probabilities[:, c], truth == c) for c in chosen])


MEASURES: dict[str, Measure] = {
    "macro_f1": Measure("macro F1", "", True, macro_f1),
    "accuracy": Measure("accuracy", "", True, accuracy),
    "balanced_accuracy": Measure("balanced accuracy", "", True, balanced_accuracy),
    "auroc": Measure("AUROC", "", True, partial(one_against_rest, ranking.auroc), quick=False),
    "auprc": Measure("AUPRC", "", True, partial(one_against_rest, ranking.average_precision), quick=False),
    "log_loss": Measure("log loss", "nats", False, log_loss),
    "brier": Measure("Brier score", "", False, brier),
    "calibration_error": Measure("calibration error", "", False, calibration_error),
}


@dataclass(frozen=True)
class ClassReport(Report):
    """A classifier's report: with a row a class and the confusion matrix, [truth][predicted]."""

    kind: ClassVar[str] = "classify"
    measures: ClassVar[dict[str, Measure]] = MEASURES

    classes: list[ClassRow] = field(default_factory=list)
    confusion: list[list[int]] = field(default_factory=list)

    def body(self) -> list[str]:
        """The table of classes, and the confusion matrix of up to 12."""
        return class_table(self.classes) + (self._square() if len(self.classes) <= SQUARE else [])

    def _square(self) -> list[str]:
        names = [row.name for row in self.classes]
        width = max(3, (100 - 20) // len(names) - 2)
        rows = [[name, *map(str, counts)] for name, counts in zip(names, self.confusion, strict=True)]
        return table(["truth \\ predicted", *(short(name, width) for name in names)], rows, name_width=18)


def measure_classes(
    probabilities: ArrayLike,
    truth: ArrayLike,
    classes: Sequence[str],
    *,
    groups: ArrayLike | None = None,
    primary: str = "macro_f1",
    decided: ArrayLike | None = None,
    seed: int = 0,
) -> ClassReport:
    """The report on probabilities (N, C) and class numbers (N,), with intervals over items or `groups` (N,).

    `decided` (N,): the classes that are said, where these aren't the likeliest. Raises UserError for no items, shapes
    that don't fit, probabilities that aren't, and a class number outside.
    """
    p, y = checked(probabilities, truth, len(classes))
    said = p if decided is None else np.eye(len(classes))[np.asarray(decided)]
    made = {name: measure.of(said if name in DECIDED else p, y) for name, measure in MEASURES.items()}
    found = headed(MEASURES, primary, made, len(y), groups, seed, {"accuracy": hits(said, y)})
    return ClassReport(**found, **per_class(said, y, classes))


def paired_classes(
    name: str,
    first: ArrayLike,
    second: ArrayLike,
    truth: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Interval:
    """first - second in the measure `name` (of `MEASURES`) on the same items, with the interval of the difference."""
    one, y = checked(first, truth, np.shape(first)[-1])
    two, _ = checked(second, truth, one.shape[1])
    of = MEASURES[name].of
    return difference(of(one, y), of(two, y), len(y), groups, seed=seed)


def checked(probabilities: ArrayLike, truth: ArrayLike, classes: int) -> tuple[Numbers, Whole]:
    """Probabilities in float64 and the truth, looked over; UserError for anything else.

    Rows that add up to 1 but for rounding stay as they are: dividing would part equal probabilities.
    """
    p, y = np.asarray(probabilities, np.float64), np.asarray(truth)
    if not y.size:
        raise UserError("nothing to score: 0 items. Expected at least 1: give this part more data (split=).")
    if p.shape != (len(y), classes) or y.ndim != 1 or classes < 1:
        raise UserError(
            f"probabilities of shape {p.shape} and truth of shape {y.shape} for {classes} classes. Expected "
            "(items, classes) and (items,)."
        )
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= classes:
        raise UserError(f"truth from {y.min()} to {y.max()}: expected whole numbers from 0 to {classes - 1}.")
    wrong = np.flatnonzero(~(np.abs(p.sum(1) - 1) < 1e-3) | (p < 0).any(1))
    if len(wrong):
        raise UserError(
            f"the probabilities of item {wrong[0]} ({len(wrong)} in all) are {p[wrong[0]][:8].tolist()}: expected "
            "numbers from 0 to 1 that add up to 1."
        )
    return p, y.astype(np.int64)


def per_class(probabilities: Numbers, truth: Whole, classes: Sequence[str]) -> dict[str, Any]:
    """The class rows, the confusion matrix and what to say about classes without items."""
    names, size = list(map(str, classes)), len(classes)
    predicted = probabilities.argmax(1)
    confusion = np.bincount(truth * size + predicted, minlength=size * size).reshape(size, size)
    right, support, chosen = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    return {
        "classes": class_rows(names, right, chosen, support),
        "confusion": confusion.tolist(),
        "notes": _absent(names, support, chosen),
    }


def class_rows(
    names: Sequence[str], right: NDArray[Any], chosen: NDArray[Any], support: NDArray[Any]
) -> list[ClassRow]:
    """A row a class from counts (C,): rightly predicted, predicted at all, in the truth."""
    figures = [
        ratio(right * k, whole) for k, whole in ((1.0, chosen), (1.0, support), (2.0, chosen + support))
    ]
    columns = [*(each.tolist() for each in figures), support.tolist(), chosen.tolist()]
    return [ClassRow(name, *row) for name, *row in zip(names, *columns, strict=True)]


def class_table(rows: Sequence[ClassRow]) -> list[str]:
    """The rows as a table; of many classes the worst."""
    printed = list(rows)
    if len(rows) > ROWS:
        printed = sorted(rows, key=lambda row: (not row.support, row.f1 if row.f1 == row.f1 else 2.0))[:ROWS]
    cells = [
        [row.name, *(_figure(x) for x in (row.precision, row.recall, row.f1)), str(row.support)]
        for row in printed
    ]
    more = [f"({len(rows) - ROWS} classes with a better F1 are left out here)"] if len(rows) > ROWS else []
    return table(["class", "precision", "recall", "F1", "support"], cells) + more


def sums_by(codes: Whole, weights: Numbers, size: int) -> Numbers:
    """(R, N) -> (R, size): the weights of the items of each code (N,)."""
    if len(codes) * size <= CELLS:
        return weights @ _marks(codes, size)
    rows = len(weights)
    flat = codes[None, :] + size * np.arange(rows)[:, None]
    found: Numbers = np.bincount(flat.ravel(), weights.ravel(), rows * size).astype(np.float64)
    return found.reshape(rows, size)


def _marks(codes: Whole, size: int) -> Numbers:
    """(N, size): 1 in the column of each item's code. Products with it take a tenth of the time of counting."""
    marks = np.zeros((len(codes), size))
    marks[np.arange(len(codes)), codes] = 1
    return marks


def _counter(probabilities: Numbers, truth: Whole) -> Any:
    predicted, size = probabilities.argmax(1), probabilities.shape[1]
    hit = predicted == truth
    marks: Numbers | None = None
    if 3 * len(truth) * size <= CELLS:
        of_truth = _marks(truth, size)
        marks = np.concatenate((of_truth * hit[:, None], _marks(predicted, size), of_truth), 1)

    def count(weights: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """(R, C) each: rightly predicted, predicted at all, in the truth."""
        if marks is not None:
            right, chosen, support = np.split(weights @ marks, 3, 1)
            return right, chosen, support
        return (
            sums_by(truth, weights * hit, size),
            sums_by(predicted, weights, size),
            sums_by(truth, weights, size),
        )

    return count


def _figure(value: float) -> str:
    return "-" if value != value else shown(value)


def _absent(names: Sequence[str], support: NDArray[Any], chosen: NDArray[Any]) -> list[str]:
    gone = [name for name, count in zip(names, support, strict=True) if not count]
    if not gone:
        return []
    listed = ", ".join(short(name, 20) for name in gone[:8]) + (", ..." if len(gone) > 8 else "")
    wrongly = int(chosen[support == 0].sum())
    return [
        f"{len(gone)} of {len(names)} classes do not occur in the truth ({listed}): no recall, no AUROC of their own; "
        f"{wrongly} item{'s were' if wrongly != 1 else ' was'} called one of them."
    ]
