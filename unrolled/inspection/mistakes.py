"""Whether probabilities mean what they say, and who is taken for whom, with examples."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import UserError
from unrolled.inspection.finding import Finding
from unrolled.inspection.held_out import ROWS as LOOKED
from unrolled.inspection.held_out import STEPS as LOOKED_STEPS
from unrolled.inspection.held_out import Held, between, held_out
from unrolled.inspection.subject import Subject
from unrolled.report import Heatmap, LineChart, Section, Series, Table
from unrolled.tasks.measures.classes import calibration_error
from unrolled.training.resume import same_data
from unrolled.training.rows import rows_of

BINS = 10
EXAMPLES = 12
ROWS, STEPS = 64, 256  # of a text whose next tokens are judged


class Answers(NamedTuple):
    """probabilities (N, C), the true class of each (N,), what was read, and the classes' names."""

    said: NDArray[np.float64]
    truth: NDArray[np.int64]
    shown: list[str]
    names: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Bin:
    """Answers of which the model was this sure: how many, how sure in the mean, and what share of them is right."""

    count: int
    sure: float
    right: float


@dataclass(frozen=True, kw_only=True)
class Calibration(Finding):
    """error: the mean gap between how sure and how right, weighted by how many.

    Guo et al. 2017, arXiv:1706.04599, eq. 3.
    """

    title = "Calibration"

    answers: int = 0
    sure: float = 0.0
    right: float = 0.0
    error: float = 0.0
    bins: list[Bin] = field(default_factory=list)

    def lines(self) -> list[str]:
        rows = [f"sure {one.sure:.2f}  right {one.right:.2f}  of {one.count:,}" for one in self.bins]
        return [
            *rows,
            "",
            f"error     {self.error:.3f}: the mean gap",
            f"in all    sure {self.sure:.3f}, right {self.right:.3f}",
        ]

    def lead(self) -> str:
        gap = self.sure - self.right
        how = (
            "too sure of itself"
            if gap > 0.02
            else "surer than it admits"
            if gap < -0.02
            else "as sure as it is right"
        )
        sure = f"{self.sure:.0%} sure in the mean"
        return f"The model is {how}: {sure}, and right in {self.right:.0%} of {self.answers:,} answers."

    def blocks(self) -> list[Section]:
        chart = LineChart(
            [
                Series("this model", [one.sure for one in self.bins], [one.right for one in self.bins]),
                Series("as sure as right", [0.0, 1.0], [0.0, 1.0]),
            ],
            "share that is right", "how sure it was", title="Sure and right", y_range=(0, 1),
            caption="Answers in ten groups by the probability of the likeliest. Below the straight line it is too sure.",
        )  # fmt: skip
        table = Table(
            ["sure", "right", "answers"], [[one.sure, one.right, one.count] for one in self.bins],
            f"The mean gap, weighted by how many, is {self.error:.3f}.", title="In numbers", notes=self.notes,
        )  # fmt: skip
        return [chart, table]


@dataclass(frozen=True)
class Mistake:
    """A wrong answer: what was read, what it is, what was said, how sure."""

    read: str
    truth: str
    said: str
    sure: float


@dataclass(frozen=True, kw_only=True)
class Confusion(Finding):
    """counts: [truth][said]; mistakes: the surest wrong answers."""

    title = "Confusion"

    classes: list[str] = field(default_factory=list)
    counts: list[list[int]] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)

    def _pairs(self) -> list[tuple[str, str, int]]:
        pairs = [
            (self.classes[t], self.classes[s], n)
            for t, row in enumerate(self.counts)
            for s, n in enumerate(row)
            if n and s != t
        ]
        return sorted(pairs, key=lambda pair: -pair[2])

    def lines(self) -> list[str]:
        rows = [f"{n:>6,}  {truth} taken for {said}" for truth, said, n in self._pairs()[:EXAMPLES]]
        examples = [f"{m.sure:.2f} sure of {m.said}, is {m.truth}: {m.read[:90]}" for m in self.mistakes[:5]]
        return [*(rows or ["no mistakes"]), *(["", *examples] if examples else [])]

    def lead(self) -> str:
        pairs = self._pairs()
        total = sum(map(sum, self.counts))
        if not pairs:
            return f"No mistake in {total:,} answers."
        truth, said, count = pairs[0]
        wrong = sum(n for _, _, n in pairs)
        return f"{wrong:,} of {total:,} answers are wrong; most often “{truth}” is taken for “{said}” ({count:,} times)."

    def blocks(self) -> list[Section]:
        shares = [[n / max(sum(row), 1) for n in row] for row in self.counts]
        chart = Heatmap(
            shares, self.classes, self.classes, title="Who is taken for whom", low=0.0, high=1.0,
            row_label="what it is", column_label="what was said", caption="The share of each row's answers.",
        )  # fmt: skip
        rows: list[list[Any]] = [[m.read[:200], m.truth, m.said, m.sure] for m in self.mistakes]
        table = Table(
            ["what was read", "it is", "said", "sure"], rows, "Wrong answers, the surest first.",
            title="The surest mistakes", notes=self.notes,
        )  # fmt: skip
        return [chart, table]


def calibration(on: Subject) -> Calibration:
    """Of classes, as the run says them (its temperature applied), or of a writer's next tokens."""
    if on.run.recipe.task == "generate":
        sure, right, notes = next_tokens(*_stretches(on))
    else:
        found = _classes(on)
        sure, right, notes = (
            found.said.max(1),
            (found.said.argmax(1) == found.truth).astype(float),
            found.notes,
        )
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = [
        Bin(int(here.sum()), float(sure[here].mean()), float(right[here].mean()))
        for b in range(BINS)
        if (here := place == b).any()
    ]
    return Calibration(
        answers=len(sure), sure=float(sure.mean()), right=float(right.mean()),
        error=float(calibration_error(sure[:, None], (right == 0).astype(np.int64))(np.ones((1, len(sure))))[0]),
        bins=bins, notes=notes,
    )  # fmt: skip


def confusion(on: Subject) -> Confusion:
    """Of a run that answers with one class a row."""
    found = _classes(on)
    said = found.said.argmax(1)
    size = len(found.names)
    counts = np.zeros((size, size), int)
    np.add.at(counts, (found.truth, said), 1)
    wrong = np.flatnonzero(said != found.truth)
    surest = wrong[np.argsort(-found.said[wrong, said[wrong]], kind="stable")][:EXAMPLES]
    mistakes = [
        Mistake(
            found.shown[i], found.names[found.truth[i]], found.names[said[i]], float(found.said[i, said[i]])
        )
        for i in surest
    ]
    return Confusion(classes=found.names, counts=counts.tolist(), mistakes=mistakes, notes=found.notes)


def _classes(on: Subject) -> Answers:
    """Every row of a part of the run's data."""
    task = on.model.task
    if task.kind != "classify":
        raise UserError(f"of runs that answer with one class a row; this one's task is {task.kind}.")
    material = rows_of(on.run)
    same_data(on.run, material.facts)
    examples = material.examples(on.split)
    said = np.asarray(task.predict(on.model, examples.inputs))
    shown = [_text(task.codec, examples.inputs[i], i) for i in range(len(examples))]
    truth = np.asarray(examples.targets, np.int64).reshape(-1)
    return Answers(said, truth, shown, list(task.answers.names), [f"{len(said)} rows of the {on.split} part"])


def _text(codec: Any, steps: NDArray[Any], number: int) -> str:
    """What was read, as far as words can say it: with spaces between words, without between characters."""
    if steps.ndim == 1 and hasattr(codec, "token_text"):
        return between(codec).join(codec.token_text(int(i)) for i in steps)
    return f"row {number + 1} of the part: {len(steps)} steps"


def _stretches(on: Subject) -> tuple[Held, int]:
    """What a writer's next tokens are judged on, and how many steps have a next one that is known."""
    if on.text:
        held = on.held()
        return held, held.batch.x.shape[1] - 1
    rows, steps = (ROWS if on.rows == LOOKED else on.rows), (STEPS if on.steps == LOOKED_STEPS else on.steps)
    held = held_out(on.run, on.model, rows, steps, on.split)
    return held, held.batch.x.shape[1]


def next_tokens(held: Held, steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """How sure the likeliest next token is at each of the first steps, 1 where it is the right one, and notes. Row by row:
    what a large vocabulary says of all of them at once is gigabytes.
    """
    sure, right = [], []
    for row in range(len(held.batch.x)):
        one = held.batch._replace(x=held.batch.x[row : row + 1], y=held.batch.y[row : row + 1])
        said = replace(held, batch=one).predict()[0, :steps].double()
        most, which = said.max(-1)
        sure.append((most - said.logsumexp(-1)).exp().numpy())
        right.append((which == one.y[0, :steps]).double().numpy())
    return np.concatenate(sure), np.concatenate(right), held.notes
