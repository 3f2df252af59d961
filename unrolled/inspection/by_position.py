"""How good answers are, by how much was read before: what context is worth to this model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import log

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import UserError
from unrolled.inspection.finding import Finding
from unrolled.inspection.subject import Subject
from unrolled.report import LineChart, Section, Series, Table
from unrolled.tasks.score import nats
from unrolled.training.corpus import prepare
from unrolled.training.resume import same_data
from unrolled.training.rows import prepare_rows

RESAMPLES = 500
READ = 200_000  # tokens that are scored, evenly chosen documents of more
PARTS = 10  # of a sequence that is answered early


@dataclass(frozen=True)
class Stretch:
    """Places `begin` <= t < `end` (of answers: the share of the sequence that was read, in percent): the mean, its 95 %
    interval over documents, and how many steps it is of.
    """

    begin: int
    end: int
    value: float
    low: float
    high: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class ByPosition(Finding):
    """unit: of the values; better: whether less or more is good."""

    title = "By position"

    unit: str = ""
    better: str = "lower"
    places: str = ""
    stretches: list[Stretch] = field(default_factory=list)

    def lines(self) -> list[str]:
        rows = [
            f"{f'{one.begin} to {one.end - 1}' if one.end - one.begin > 1 else one.begin:>14}  {one.value:7.4f} "
            f"({one.low:.4f} to {one.high:.4f})  {one.steps:,}"
            for one in self.stretches
        ]
        return [f"{self.places:>14}  {self.unit}, 95 % interval, steps", *rows]

    def lead(self) -> str:
        total = sum(one.steps for one in self.stretches)
        told = [one for one in self.stretches if one.steps >= total / 50] or self.stretches
        first, last = told[0], told[-1]
        name = f"{self.unit[:1].upper()}{self.unit[1:]}"
        if first.low <= last.high and last.low <= first.high:
            return f"{name}: {first.value:.2f} near the beginning and {last.value:.2f} at the end, no clear difference."
        moved = "falls" if last.value < first.value else "rises"
        settled = next(one for one in told if one.low <= last.high and last.low <= one.high)
        return (
            f"{name} {moved} from {first.value:.2f} to {last.value:.2f} as more is read; from {settled.begin} on "
            f"({self.places}) little changes."
        )

    def blocks(self) -> list[Section]:
        middles = [(one.begin + one.end - 1) / 2 for one in self.stretches]
        text = self.better == "lower"
        chart = LineChart(
            [
                Series(
                    self.unit, [m + 1 for m in middles] if text else middles, [one.value for one in self.stretches],
                    [one.low for one in self.stretches], [one.high for one in self.stretches],
                )
            ],
            self.unit, self.places, title="What more context is worth", x_log=text,
            caption="The band is the 95 % interval of the mean, documents resampled.",
        )  # fmt: skip
        rows: list[list[str | float | int | None]] = [
            [f"{one.begin} – {one.end - 1}", one.value, one.low, one.high, one.steps]
            for one in self.stretches
        ]
        table = Table(
            [self.places, self.unit, "from", "to", "steps"], rows, "Held-out data, every step once.",
            title="In numbers", notes=self.notes,
        )  # fmt: skip
        return [chart, table]


def by_position(on: Subject) -> ByPosition:
    """Of a run that goes on with text: bits a token by its place in the document. Of one that answers with a class, step
    by step: the share of right answers by how much of the sequence was read.
    """
    if on.run.recipe.task == "generate":
        return _of_text(on)
    if on.model.task.kind not in ("classify",) or on.model.reach.future:
        raise UserError(
            "position: of runs that go on with text, and of causal ones that answer with a class."
        )
    return _of_answers(on)


def _of_text(on: Subject) -> ByPosition:
    recipe = on.run.recipe
    corpus = prepare(recipe.data, recipe.codec, recipe.split, on.run.path.parent)
    same_data(on.run, corpus.facts)
    documents = list(corpus.part(on.split).each())
    step = max(1, sum(map(len, documents)) // READ)
    found = [each / log(2) for each in nats(on.model, documents[::step], on.model.task.context)]
    longest = max(map(len, found))
    edges = [0, 1, 2, 4]
    while edges[-1] < longest:
        edges.append(edges[-1] * 2)
    edges[-1] = min(edges[-1], longest)
    note = f"{len(found)} documents of the {on.split} part"
    context = on.model.task.context
    more = (
        [] if on.model.fixed_state else [f"read in windows of {context} tokens: further back nothing is seen"]
    )
    return ByPosition(
        unit="bits a token", better="lower", places="tokens read before", stretches=stretches(found, edges),
        notes=[note, *more],
    )  # fmt: skip


def _of_answers(on: Subject) -> ByPosition:
    material = prepare_rows(replace(on.run.recipe, vectors=None))
    same_data(on.run, material.facts)
    examples = material.examples(on.split)
    said = on.model.task.predict_every(on.model, list(examples.inputs))
    truth = np.asarray(examples.targets).reshape(-1)
    right = [(steps.argmax(1) == wanted).astype(float) for steps, wanted in zip(said, truth, strict=True)]
    tenths = [
        np.array([each[max(0, -(-len(each) * n // PARTS) - 1)] for n in range(1, PARTS + 1)])
        for each in right
    ]
    found = stretches(tenths, list(range(PARTS + 1)))
    scale = 100 // PARTS
    shares = [replace(one, begin=(one.begin + 1) * scale, end=(one.begin + 1) * scale + 1) for one in found]
    return ByPosition(
        unit="share of right answers", better="higher", places="% of the sequence read", stretches=shares,
        notes=[f"{len(right)} sequences of the {on.split} part"],
    )  # fmt: skip


def stretches(found: list[NDArray[np.float64]], edges: list[int], seed: int = 0) -> list[Stretch]:
    """The means between edges, with intervals: documents resampled (Efron and Tibshirani 1993, chapter 13)."""
    draw = np.random.default_rng(seed)
    made = []
    for begin, end in zip(edges, edges[1:], strict=False):
        parts = [each[begin:end] for each in found if len(each) > begin]
        if not parts or end <= begin:
            continue
        sums, counts = (np.array([f(part) for part in parts], float) for f in (np.sum, len))
        picked = draw.integers(len(parts), size=(RESAMPLES, len(parts)))
        low, high = np.quantile(sums[picked].sum(1) / counts[picked].sum(1), [0.025, 0.975])
        mean = float(sums.sum() / counts.sum())
        made.append(Stretch(begin, end, mean, float(low), float(high), int(counts.sum())))
    return made
