"""Stop `order`: a bag of frames against networks that read them in order, where order is all there is."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from unrolled.datasets.examples import Bundles, Examples
from unrolled.datasets.store import Ragged
from unrolled.datasets.synthetic import DIRECTIONS, ball
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import drill
from unrolled.model import Model, answering, build
from unrolled.report import Heatmap, IntervalChart, IntervalRow, Table

CLIPS, HELD_OUT, STEPS, WIDTH, SEEDS, SHOWN = 2000, 800, 400, 64, 3, 8
PIXELS = 16  # a side
BAG, RNN, GRU = "bag of frames", "RNN", "GRU"
KINDS = {BAG: "bag", RNN: "rnn", GRU: "gru"}
IN_ORDER, SHUFFLED, TESTED = "in order", "shuffled", "in order, then tested on shuffled clips"


def run(size: float, broken: bool = False) -> Outcome:
    """Says in which of 8 directions a ball crosses. `broken`: every clip's frames are shuffled, in training and test."""
    few = size < 0.5
    train, test = clips(128 if few else CLIPS, 0), clips(64 if few else HELD_OUT, 1)
    mixed = [shuffled(part, seed) for seed, part in enumerate((train, test))]
    found: dict[tuple[str, str], list[float]] = {}
    seconds = 0.0
    steps = max(2, round(STEPS * size))
    seen = {SHUFFLED: mixed} if broken else {IN_ORDER: [train, test], SHUFFLED: mixed}
    for name in KINDS:
        for how, (learned, asked) in seen.items():
            for seed in range(1 if few else SEEDS):
                model, took = trained(KINDS[name], learned, steps, seed)
                seconds += took
                found.setdefault((name, how), []).append(accuracy(model, asked))
                if name == GRU and how == IN_ORDER:
                    found.setdefault((name, TESTED), []).append(accuracy(model, mixed[1]))
    mean = {key: float(np.mean(values)) for key, values in found.items()}
    first = (GRU, SHUFFLED if broken else IN_ORDER)
    figures = [
        Figure(f"{name}, frames {how}: held-out accuracy", mean[name, how])
        for name, how in [first, *(key for key in mean if key != first)]
    ]
    said = (
        f"{sum(map(len, found.values())) - len(found.get((GRU, TESTED), []))} networks of {WIDTH} units on {len(train):,} "
        f"clips, {steps} steps each, {seconds:.0f} s in all; each seed draws other first weights"
    )
    return Outcome([strip(train, mixed[0]), chart(found), table(mean)], figures, said)


@lru_cache(maxsize=4)
def clips(count: int, seed: int) -> Examples:
    """Clips of 16 frames, each frame one step of 256 numbers in [0, 1], and their directions."""
    made = list(ball(count, seed))
    names = list(DIRECTIONS)
    return Examples(
        Ragged.of((row["frames"].reshape(len(row["frames"]), -1) / 255).astype(np.float32) for row in made),
        [np.array(names.index(row["label"])) for row in made],
    )


def shuffled(examples: Examples, seed: int) -> Examples:
    """The same clips, the frames of each in an order drawn for it alone."""
    draw = np.random.default_rng(seed)
    clips = Ragged.of(draw.permutation(clip) for clip in examples.inputs)
    return Examples(clips, examples.targets)


def trained(kind: str, examples: Examples, steps: int, seed: int) -> tuple[Model, float]:
    """A network of this kind and the seconds it took."""
    torch.manual_seed(seed)
    reads = {"kind": "values", "inputs": PIXELS * PIXELS}
    pool = "mean" if kind == "bag" else "last"
    model = build(
        answering(kind, reads, {"kind": "labels", "classes": len(DIRECTIONS)}, width=WIDTH, pool=pool)
    )
    feed = Bundles(examples, 32, seed)

    def loss(step: int) -> tuple[Tensor, int]:
        batch = feed.batch(step)
        total, count = model.head.loss(model(batch.x)[0], batch.y)
        return total / count, len(batch.x)

    return model, drill(model, loss, steps, limit=6, lr=5e-3, unit="clips").seconds


def accuracy(model: Model, examples: Examples) -> float:
    """The share of clips whose direction is named after the last frame."""
    batch = examples.batch(range(len(examples)))
    with torch.no_grad():
        said = model(batch.x)[0][:, -1].argmax(-1)
    return float((said == batch.y).double().mean())


def strip(train: Examples, mixed: Examples) -> Heatmap:
    """The first frames of a clip, in order and, below, of the same clip shuffled."""
    rows = []
    for clip in (train.inputs[0], mixed.inputs[0]):
        frames = clip[:SHOWN].reshape(-1, PIXELS, PIXELS)
        gap = np.full((PIXELS, 1), np.nan)
        rows.append(np.concatenate([part for frame in frames for part in (frame, gap)], 1)[:, :-1])
    picture = np.concatenate([rows[0], np.full((2, rows[0].shape[1]), np.nan), rows[1]])
    direction = list(DIRECTIONS)[int(train.targets[0])]
    return Heatmap(
        [[None if np.isnan(value) else float(value) for value in row] for row in picture],
        title="The same pictures, in order and shuffled",
        low=0.0,
        high=1.0,
        caption=f"The first {SHOWN} of a clip's frames: above as they follow one another (the ball goes {direction}), "
        "below shuffled. The ball visits every place once whatever its direction: without order the frames tell nothing.",
    )


def chart(found: dict[tuple[str, str], list[float]]) -> IntervalChart:
    """Accuracy of every network, a dot a seed, beside chance."""
    rows = [
        IntervalRow(f"{name}, {'tested shuffled' if how == TESTED else how}", values)
        for (name, how), values in found.items()
    ]
    return IntervalChart(
        rows,
        "held-out accuracy (more is better)",
        title="Who can tell the direction?",
        caption="A dot a seed. A guess among eight directions is right once in eight times.",
        references=[("chance", 1 / len(DIRECTIONS))],
        highlight=max(range(len(rows)), key=lambda i: float(np.mean(rows[i].values))),
    )


def table(mean: dict[tuple[str, str], float]) -> Table:
    """The same in figures."""
    hows = [how for how in (IN_ORDER, SHUFFLED, TESTED) if any(key[1] == how for key in mean)]
    return Table(
        ["network", *(f"trained {how}" for how in hows)],
        [[name, *(mean.get((name, how)) for how in hows)] for name in KINDS],
        f"Share of held-out clips whose direction is named; chance is {1 / len(DIRECTIONS)}.",
    )
