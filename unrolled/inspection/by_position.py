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
from unrolled.training.resume import same_data
from unrolled.training.rows import corpus_of, rows_of

RESAMPLES = 500
READ = 200_000  # tokens that are scored, evenly chosen documents of more
FEW = 8  # documents: of fewer, blocks are resampled
BLOCKS = 16  # about so many, then
BLOCKS_SAY = (
    "so few documents that blocks of their steps are resampled: the intervals say nothing of other documents"
)
PARTS = 10  # of a sequence that is answered early


@dataclass(frozen=True)
class Stretch:
    """Places `begin` <= t < `end` (of answers: the share of the sequence that was read, in percent): the mean, its 95 %
    interval over documents (None of a single one), and how many steps it is of.
    """

    begin: int
    end: int
    value: float
    low: float | None
    high: float | None

    def apart(self, other: Stretch) -> bool:
        """Whether both have intervals, and these share nothing."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return False
        return self.low > other.high or other.low > self.high

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
            f"({_span(one)})  {one.steps:,}"
            for one in self.stretches
        ]
        return [f"{self.places:>14}  {self.unit}, 95 % interval, steps", *rows]

    def lead(self) -> str:
        total = sum(one.steps for one in self.stretches)
        told = [one for one in self.stretches if one.steps >= total / 50] or self.stretches
        first, last = told[0], told[-1]
        name = f"{self.unit[:1].upper()}{self.unit[1:]}"
        if not first.apart(last):
            return f"{name}: {first.value:.2f} near the beginning and {last.value:.2f} at the end, no clear difference."
        moved = "falls" if last.value < first.value else "rises"
        settled = next(one for one in told if not one.apart(last))
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
                    [one.low for one in self.stretches],
                    [one.high for one in self.stretches],
                )
            ],
            self.unit, self.places, title="What more context is worth", x_log=text,
            caption="The band is the 95 % interval of the mean, documents (of few, blocks of them) resampled.",
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


def _span(one: Stretch) -> str:
    return "unknown" if one.low is None or one.high is None else f"{one.low:.4f} to {one.high:.4f}"


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
    corpus = corpus_of(on.run)
    same_data(on.run, corpus.facts)
    documents = list(corpus.part(on.split).each())
    chosen, cut = within(documents, READ)
    found = [each / log(2) for each in nats(on.model, chosen, on.model.task.context)]
    longest = max(map(len, found))
    edges = [0, 1, 2, 4]
    while edges[-1] < longest:
        edges.append(edges[-1] * 2)
    edges[-1] = min(edges[-1], longest)
    note = f"{len(found)} document{'' if len(found) == 1 else 's'} of the {on.split} part{cut}"
    alone = [BLOCKS_SAY] if len(found) < FEW else []
    context = on.model.task.context
    more = (
        [] if on.model.fixed_state else [f"read in windows of {context} tokens: further back nothing is seen"]
    )
    return ByPosition(
        unit="bits a token", better="lower", places="tokens read before", stretches=stretches(found, edges),
        notes=[note, *alone, *more],
    )  # fmt: skip


def _of_answers(on: Subject) -> ByPosition:
    material = rows_of(on.run)
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


def within(documents: list[NDArray[np.int64]], most: int) -> tuple[list[NDArray[np.int64]], str]:
    """Documents evenly chosen, and of those what is left cut from their beginning, so that at most `most` tokens are read;
    and how they were cut.
    """
    chosen = documents[:: max(1, sum(map(len, documents)) // most)]
    if sum(map(len, chosen)) <= most:
        return chosen, ""
    size = max(1, most // len(chosen))
    return [each[:size] for each in chosen], f", the first {size:,} tokens of each"


def stretches(found: list[NDArray[np.float64]], edges: list[int], seed: int = 0) -> list[Stretch]:
    """The means between edges, with intervals: documents resampled (Efron and Tibshirani 1993, chapter 13), of few
    documents blocks of their neighbouring steps (section 8.6).
    """
    draw = np.random.default_rng(seed)
    made = []
    for begin, end in zip(edges, edges[1:], strict=False):
        parts = [each[begin:end] for each in found if len(each) > begin]
        if not parts or end <= begin:
            continue
        if len(found) < FEW:
            size = -(-sum(map(len, parts)) // BLOCKS)
            parts = [part[at : at + size] for part in parts for at in range(0, len(part), size)]
        sums, counts = (np.array([f(part) for part in parts], float) for f in (np.sum, len))
        picked = draw.integers(len(parts), size=(RESAMPLES, len(parts)))
        low, high = np.quantile(sums[picked].sum(1) / counts[picked].sum(1), [0.025, 0.975])
        mean, count = float(sums.sum() / counts.sum()), int(counts.sum())
        low, high = (float(low), float(high)) if len(parts) > 1 else (None, None)
        made.append(Stretch(begin, end, mean, low, high, count))
    return made
