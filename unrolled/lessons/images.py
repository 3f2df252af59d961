"""Stop `images-as-sequences`: a picture read row by row, the answers on the way, and what the state still holds."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.datasets.examples import Bundles, Examples
from unrolled.datasets.rows import Rows
from unrolled.datasets.samples import resolve
from unrolled.datasets.store import Ragged
from unrolled.inspection.geometry import plane
from unrolled.layout import Layout
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import drill
from unrolled.model import Model, answering, build
from unrolled.report import Dot, Heatmap, LineChart, Scatter, Section, Series

ROWS, WIDTH, STEPS, BRIGHTEST, HELD_OUT = 8, 128, 600, 16, 5  # every 5th picture is held out
EVERY, LAST = "asked after every row", "asked at the end only"
RIDGE = 1.0  # of the linear read-out
PLOTTED = 150  # states on the map

Array = NDArray[np.float32]


def run(size: float, broken: bool = False) -> Outcome:
    """Names digits read as 8 rows. `broken`: the state is erased before every row."""
    (x, y), (test, wanted) = digits()
    right, said = {}, []
    for how in (LAST, EVERY):
        model, done = trained(x, y, how == EVERY, broken, size)
        answers, states = read(model, test, broken)
        right[how] = (answers.argmax(-1) == wanted[:, None]).mean(0)
        said.append(f"{how}: {done}")
    right = {how: right[how] for how in (EVERY, LAST)}
    probed = slice(None if size >= 0.5 else 300)
    seen = read(model, x[probed], broken)[1]
    kept = {
        row: [known(seen[:, t], x[probed, row], states[:, t], test[:, row]) for t in range(ROWS)]
        for row in (0, 3)
    }
    rest, test_rest = x[:, 1:].reshape(len(x), -1), test[:, 1:].reshape(len(test), -1)
    guessed = known(rest, x[:, 0], test_rest, test[:, 0])
    figures = [
        *(Figure(f"held-out accuracy after all {ROWS} rows, {how}", float(right[how][-1])) for how in right),
        *(
            Figure(f"held-out accuracy after {n} rows, {how}", float(right[how][n - 1]))
            for n in (3, 5)
            for how in right
        ),
        Figure("first row: share of its variance a linear map reads from the state, after 1 row", kept[0][0]),
        Figure(f"first row: the same after {ROWS} rows", kept[0][-1]),
        Figure("first row: the same from the other rows' pixels, without any memory", guessed),
    ]
    chosen = telling(answers, wanted)
    sections: list[Section] = [
        curves(right, wanted, len(y)),
        *one(test[chosen], answers[chosen], int(wanted[chosen])),
        memory(kept, guessed),
        *(states_map(states[:, n - 1], wanted, n) for n in (3, ROWS)),
    ]
    return Outcome(sections, figures, f"a GRU of {WIDTH} units. {'; '.join(said)}")


@lru_cache(maxsize=1)
def digits() -> tuple[tuple[Array, NDArray[np.int64]], tuple[Array, NDArray[np.int64]]]:
    """Training and held-out digits: pictures (N, 8, 8) in [0, 1], a row a step, and which digit each is."""
    rows = list(Rows(resolve("digits")))
    order = np.random.default_rng(0).permutation(len(rows))
    x = np.stack([rows[i]["series"] for i in order]).astype(np.float32) / BRIGHTEST
    y = np.array([int(rows[i]["label"]) for i in order])
    held = np.arange(len(y)) % HELD_OUT == 0
    return (x[~held], y[~held]), (x[held], y[held])


def trained(x: Array, y: NDArray[np.int64], every: bool, erased: bool, size: float) -> tuple[Model, str]:
    """A GRU that answers at every step; `every`: and is taught to, else its last answer alone counts."""
    torch.manual_seed(0)
    head = {"kind": "labels", "classes": 10, "stepwise": every}
    model = build(
        answering("gru", {"kind": "values", "inputs": ROWS}, head, width=WIDTH, stepwise=True, dropout=0.1)
    )
    targets = [np.full(ROWS, digit) if every else np.array(digit) for digit in y]
    feed = Bundles(Examples(Ragged.of(x), targets, stepwise=every), 32)

    def loss(step: int) -> tuple[Tensor, int]:
        batch = feed.batch(step)
        total, count = model.head.loss(model(batch.x, None, layout(batch.x, erased))[0], batch.y)
        return total / count, len(batch.x)

    return model, str(drill(model, loss, max(2, round(STEPS * size)), limit=25, lr=5e-3, unit="digits"))


def layout(x: Tensor, erased: bool) -> Layout | None:
    """`erased`: every row begins a document, which forgets."""
    start = torch.ones(x.shape[:2], dtype=torch.bool)
    return Layout(torch.ones_like(start), start) if erased else None


def read(model: Model, x: Array, erased: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What is said after each row, (N, 8, 10) logits, and the state there, (N, 8, units)."""
    raw = torch.from_numpy(x)
    with torch.no_grad():
        embedded, _, spans = model.embedder(raw, None, layout(raw, erased))
        states, _ = model.core(embedded, None, spans)
        return model.head(states).numpy(), states.numpy()


def known(states: Array, pixels: Array, test_states: Array, test_pixels: Array) -> float:
    """R² on held-out digits of a ridge regression from states (N, units) to a row's pixels (N, 8), over all its pixels."""
    centre, mean = states.mean(0), pixels.mean(0)
    a, b = (states - centre).astype(np.float64), (pixels - mean).astype(np.float64)
    map_ = np.linalg.solve(a.T @ a + RIDGE * np.eye(a.shape[1]), a.T @ b)
    missed = (test_pixels - mean) - (test_states - centre) @ map_
    return float(1 - (missed**2).sum() / ((test_pixels - test_pixels.mean(0)) ** 2).sum())


def curves(right: dict[str, NDArray[np.float64]], wanted: NDArray[np.int64], trained_on: int) -> LineChart:
    """Accuracy after 1 to 8 rows."""
    return LineChart(
        [Series(how, list(range(1, ROWS + 1)), values.tolist()) for how, values in right.items()],
        y_label="held-out accuracy",
        x_label="rows read",
        title="How much of a digit must be seen?",
        caption=f"{len(wanted)} digits that were held out, {trained_on:,} for training. The same network, trained twice: "
        "with the answer asked after every row, and at the end only.",
        y_range=(0.0, 1.0),
        references=[("the commonest digit", float(np.bincount(wanted).max() / len(wanted)))],
    )


def memory(kept: dict[int, list[float]], guessed: float) -> LineChart:
    """How well rows are read back from the state, from the step on at which they were read."""
    return LineChart(
        [
            Series(
                f"pixels of row {row + 1}",
                list(range(1, ROWS + 1)),
                [None] * row + [max(0.0, value) for value in values[row:]],
            )
            for row, values in kept.items()
        ],
        y_label="share of variance read back (R²)",
        x_label="rows read",
        title="What does the state still know of a row?",
        caption="A linear map from the state to the pixels of a row that was read before, fitted on training digits and "
        "measured on held-out ones. What is no longer needed to name the digit makes room for what is. The dotted line: "
        "how well row 1 can be guessed from the pixels of rows 2 to 8 alone.",
        y_range=(0.0, 1.0),
        references=[("row 1, guessed", guessed)],
    )


def telling(answers: Array, wanted: NDArray[np.int64]) -> int:
    """The digit that is named rightly in the end and took longest to be: the first such one."""
    right = answers.argmax(-1) == wanted[:, None]
    late = np.where(right[:, -1], [max([0, *np.flatnonzero(~row) + 1]) for row in right], -1)
    return int(late.argmax())


def one(picture: Array, answers: Array, digit: int) -> list[Heatmap]:
    """A digit as a picture, and below it what the network thought after each row."""
    chances = np.exp(answers - answers.max(-1, keepdims=True))
    chances /= chances.sum(-1, keepdims=True)
    rows = [f"row {n}" for n in range(1, ROWS + 1)]
    return [
        Heatmap(
            picture.tolist(),
            rows,
            title="One digit, and what was thought of it on the way",
            low=0.0,
            high=1.0,
            caption=f"A held-out {digit}, chosen because its name was found late.",
        ),
        Heatmap(
            chances.T.tolist(),
            [str(n) for n in range(10)],
            rows,
            low=0.0,
            high=1.0,
            column_label="rows read",
            row_label="probability of each digit",
            caption=f"The probabilities after each row, by the network {EVERY}.",
        ),
    ]


def states_map(states: Array, wanted: NDArray[np.int64], rows: int) -> Scatter:
    """The states of digits after some rows, in the plane in which they spread most."""
    flat = plane(states[:PLOTTED])
    dots = [
        Dot(str(digit), float(px), float(py), str(digit))
        for digit, (px, py) in zip(wanted[:PLOTTED], flat.points, strict=True)
    ]
    return Scatter(
        sorted(dots, key=lambda dot: dot.name),
        f"first axis, {100 * flat.shares[0]:.0f} % of the variance",
        f"second axis, {100 * flat.shares[1]:.0f} % of the variance",
        title=f"The states after {rows} rows",
        caption="Each held-out digit where its state lies. Digits that look alike so far lie together.",
        written=True,
    )
