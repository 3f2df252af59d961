"""Stop `transfer`: what a network has learnt elsewhere, measured in labels, in steps and in what it ends with."""

from __future__ import annotations

import csv
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from unrolled.datasets import samples
from unrolled.datasets.examples import Bundles, Examples
from unrolled.datasets.store import Ragged
from unrolled.datasets.words import Words
from unrolled.layout import Layout
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import drill
from unrolled.model import Model, answering, build
from unrolled.model.weights import load_weights, weights_of
from unrolled.report import LineChart, Series, Table
from unrolled.tasks.answer import answers

ELSEWHERE, HERE = ("amazon", "imdb"), "yelp"  # where it learns first, and where it is then put to work
HELD_OUT, LABELS, SEEDS = 400, (10, 30, 100, 600), 2
WIDTH, FIRST, STEPS, BATCH, EVERY = 64, 300, 120, 16, 20


class Learnt(NamedTuple):
    """Held-out accuracy after the last step, and after each `EVERY` steps."""

    accuracy: float
    along: list[float]


def run(size: float, broken: bool = False) -> Outcome:
    """Learns opinions on things and films, then on restaurants from few labels, beside a network that starts from nothing.
    `broken`: what was learnt first is dealt anew within each matrix before it is carried over.
    """
    first, here, held, codec = data()
    seeds = range(1 if size < 0.5 else SEEDS)
    labels = LABELS if size >= 0.5 else LABELS[1:3]
    steps = max(2, round(STEPS * size))
    start, seconds = fresh(codec, 0), 0.0
    seconds += learn(start, first, max(2, round(FIRST * size)), 0, None)[1]
    carried = weights_of(dealt(start) if broken else start)
    found: dict[tuple[str, int], list[Learnt]] = {}
    for count in labels:
        for seed in seeds:
            few = drawn(here, count, seed)
            for name in ("fine-tuned", "from scratch"):
                model = fresh(codec, seed)
                if name == "fine-tuned":
                    load_weights(model, carried, "what was learnt elsewhere")
                learnt, took = learn(model, few, steps, seed, held)
                seconds += took
                found.setdefault((name, count), []).append(learnt)
    mean = {key: float(np.mean([one.accuracy for one in each])) for key, each in found.items()}
    little, most = labels[min(1, len(labels) - 1)], labels[-1]
    figures = [
        Figure(f"less data: held-out accuracy with {little} labels, fine-tuned", mean["fine-tuned", little]),
        Figure(f"the same from scratch with {little} labels", mean["from scratch", little]),
        Figure("faster: share of scratch's steps until its last accuracy", sooner(found, most, steps)),
        Figure(f"better: with {most} labels, fine-tuned", mean["fine-tuned", most]),
        Figure(f"the same from scratch with {most} labels", mean["from scratch", most]),
    ]
    said = (
        f"a GRU of {WIDTH} units on {len(first):,} sentences on things and films, then {len(found) * len(seeds)} "
        f"networks for {steps} steps each on sentences on restaurants, {seconds:.0f} s in all"
    )
    return Outcome([by_labels(found, labels), by_steps(found, most), table(mean, labels)], figures, said)


@lru_cache(maxsize=1)
def data() -> tuple[Examples, Examples, Examples, Words]:
    """Opinions from elsewhere, opinions from here to learn from, held-out ones from here, and the codec of their words,
    fitted on elsewhere's: words that were never met there are one and the same unknown word here.
    """
    with samples.resolve("sentiment").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    away = [row for row in rows if row["source"] in ELSEWHERE]
    near = [row for row in rows if row["source"] == HERE]
    order = np.random.default_rng(0).permutation(len(near))
    codec = Words().fit(row["text"] for row in away)

    def examples(of: list[dict[str, str]]) -> Examples:
        return Examples(
            Ragged.of(codec.encode(row["text"]) for row in of),
            [np.array(int(row["label"] == "positive")) for row in of],
        )

    held, left = order[:HELD_OUT], order[HELD_OUT:]
    return examples(away), examples([near[i] for i in left]), examples([near[i] for i in held]), codec


def drawn(examples: Examples, count: int, seed: int) -> Examples:
    """So many of the examples."""
    chosen = np.random.default_rng([seed, count]).permutation(len(examples))[:count].tolist()
    return Examples(Ragged.of(examples.inputs[i] for i in chosen), [examples.targets[i] for i in chosen])


def fresh(codec: Words, seed: int) -> Model:
    """A network that has learnt nothing."""
    torch.manual_seed(seed)
    reads = {"kind": "tokens", "vocabulary": codec.size}
    spec = answering("gru", reads, {"kind": "labels", "classes": 2}, width=WIDTH, pool="max", dropout=0.3)
    return build(spec)


@torch.no_grad()
def dealt(model: Model) -> Model:
    """The model with the numbers of each matrix dealt anew: as large as before, and nothing learnt."""
    draw = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.copy_(weight.flatten()[torch.randperm(weight.numel(), generator=draw)].view_as(weight))
    return model


def learn(
    model: Model, examples: Examples, steps: int, seed: int, held: Examples | None
) -> tuple[Learnt, float]:
    """Trains all weights; what it came to on `held`, and the seconds it took."""
    feed = Bundles(examples, min(BATCH, len(examples)), seed)
    along: list[float] = []

    def loss(step: int) -> tuple[Tensor, int]:
        if held is not None and step % EVERY == 0:
            along.append(accuracy(model, held))
            model.train()
        batch = feed.batch(step)
        layout = None if batch.lengths is None else Layout.of_lengths(batch.lengths, batch.x.shape[1])
        total, count = model.head.loss(model(batch.x, None, layout)[0], batch.y, layout)
        return total / count, len(batch.x)

    took = drill(model, loss, steps, limit=6, lr=3e-3, unit="sentences").seconds
    last = 0.0 if held is None else accuracy(model, held)
    return Learnt(last, [*along, last]), took


def accuracy(model: Model, examples: Examples) -> float:
    """The share of sentences that are told right."""
    said = answers(model.eval(), list(examples.inputs)).argmax(1)
    return float((said == np.array(examples.targets).reshape(-1)).mean())


def sooner(found: dict[tuple[str, int], list[Learnt]], count: int, steps: int) -> float:
    """The share of the steps after which the fine-tuned network is as good as the other at its end; 1 where it never is."""
    mine, other = (
        np.mean([one.along for one in found[name, count]], axis=0) for name in ("fine-tuned", "from scratch")
    )
    reached = np.flatnonzero(mine >= other[-1])
    return min(1.0, EVERY * float(reached[0]) / steps) if len(reached) else 1.0


def by_labels(found: dict[tuple[str, int], list[Learnt]], labels: tuple[int, ...]) -> LineChart:
    """Accuracy against labels."""
    series = []
    for name in ("fine-tuned", "from scratch"):
        each = np.array([[one.accuracy for one in found[name, count]] for count in labels])
        series.append(
            Series(name, [float(n) for n in labels], each.mean(1).tolist(), each.min(1).tolist(), each.max(1).tolist())
        )  # fmt: skip
    return LineChart(
        series, y_label="held-out accuracy (more is better)", x_label="labelled sentences on restaurants",
        title="Less data", caption=f"Bands reach from the worst to the best of {each.shape[1]} seeds. 0.5 is guessing.",
    )  # fmt: skip


def by_steps(found: dict[tuple[str, int], list[Learnt]], count: int) -> LineChart:
    """Accuracy against steps, with the most labels."""
    series = []
    for name in ("fine-tuned", "from scratch"):
        each = np.mean([one.along for one in found[name, count]], axis=0)
        series.append(Series(name, [float(EVERY * n) for n in range(len(each))], each.tolist()))
    return LineChart(
        series, y_label="held-out accuracy (more is better)", x_label="steps on restaurants",
        title="Faster, and better in the end", caption=f"With {count} labels, the mean of the seeds. At step 0 the carried "
        "weights already tell restaurants apart, though they have met none.",
    )  # fmt: skip


def table(mean: dict[tuple[str, int], float], labels: tuple[int, ...]) -> Table:
    """Every mean."""
    rows: list[list[str | float | None]] = [
        [count, f"{mean['fine-tuned', count]:.3f}", f"{mean['from scratch', count]:.3f}"] for count in labels
    ]
    return Table(
        ["labels", "fine-tuned", "from scratch"],
        rows,
        "Held-out accuracy, the mean of the seeds.",
        title="All of it",
    )
