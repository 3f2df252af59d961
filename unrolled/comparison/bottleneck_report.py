"""Judges and shows the grid of `bottleneck`: does quality fall as sources grow longer?"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unrolled.comparison.bottleneck import Cell, Grid
from unrolled.report import Code, LineChart, Section, Series, Table, page, svg, write

HALF = 0.5  # of the exact match on the shortest sources: below it on the longest trained ones, quality falls
KEPT = 0.1  # of exact match that may be lost between the two where it doesn't
ENOUGH = 0.8  # what must be left even so: what has learnt nothing doesn't fall either
NAMES = {"none": "no attention", "dot": "dot attention", "additive": "additive attention"}


class Claim(NamedTuple):
    """What was measured, what was asked, and whether that is met."""

    what: str
    ours: str
    asked: str
    met: bool


def claims(cells: Sequence[Cell], grid: Grid) -> list[Claim]:
    """One claim an attention, held against the size that speaks most against it. The shortest and the longest trained
    stretch of lengths are compared.

    Without attention quality falls: at every size less than HALF of the exact match on the shortest is left on the longest.
    With attention it doesn't: at every size at most KEPT of it is lost, and ENOUGH left.
    """
    short, long = (_letters(*grid.stretches[i]) for i in (0, 3))
    found = []
    for attention in grid.attentions:
        mine = [cell for cell in cells if cell.attention == attention]
        cell = min(mine, key=_margin)
        what = f"{NAMES[attention]}, exact at {long} (state of {cell.width}, the hardest case)"
        asked = f"falls, below {_limit(cell):.3f}" if attention == "none" else f"at least {_limit(cell):.3f}"
        met = _margin(cell) > 0 if attention == "none" else _margin(cell) >= 0
        found.append(Claim(what, f"{cell.exact[3]:.3f}; {cell.exact[0]:.3f} at {short}", asked, met))
    return found


def _limit(cell: Cell) -> float:
    """Where exact match on the longest trained sources may stand: below it without attention, not below it with."""
    short = cell.exact[0]
    return HALF * short if cell.attention == "none" else max(ENOUGH, short - KEPT)


def _margin(cell: Cell) -> float:
    """By how much a cell keeps to it."""
    gap = _limit(cell) - cell.exact[3]
    return gap if cell.attention == "none" else -gap


def _letters(low: int, high: int) -> str:
    return f"{low} to {high} letters"


def chart(cells: Sequence[Cell], grid: Grid) -> LineChart:
    """Exact match by length: a line a size without attention, the mean of all sizes, with a band, with attention."""
    xs = [(low + high) / 2 for low, high in grid.stretches]
    series = [
        Series(f"none, {cell.width}", xs, cell.exact) for cell in cells if cell.attention == "none"
    ]  # the sizes differ there; with attention they'd lie on each other
    for attention in grid.attentions:
        if attention != "none":
            exact = np.array([cell.exact for cell in cells if cell.attention == attention])
            low, high = exact.min(0).tolist(), exact.max(0).tolist()
            series.append(Series(f"{attention}, all sizes", xs, exact.mean(0).tolist(), low, high))
    return LineChart(
        series,
        y_label="held-out words turned round without a mistake (more is better)",
        x_label="letters of the source",
        title="Quality by the source's length",
        caption=f"Without attention a line for each size of state; with attention the mean of all {len(grid.widths)} "
        f"sizes, and a band from the least to the most. Trained on 1 to {grid.longest} letters: the last point, "
        f"{_letters(*grid.stretches[-1])}, is longer than any source trained on.",
        y_range=(0.0, 1.0),
    )


def table(cells: Sequence[Cell], grid: Grid) -> Table:
    """A line a cell."""
    stretches = [f"{low}–{high}" for low, high in grid.stretches]
    short, long = stretches[0], stretches[3]
    rows: list[list[str | float | None]] = [
        [
            NAMES[cell.attention], cell.width, *(f"{x:.3f}" for x in (*cell.exact, cell.symbols[0], cell.symbols[3])),
            cell.state, cell.weights, round(cell.seconds),
        ]
        for cell in cells
    ]  # fmt: skip
    spread = 1.96 * 0.5 / sqrt(max(1, min(cells[0].counts)))
    return Table(
        [
            "attention", "state, numbers", *(f"exact, {name}" for name in stretches), f"letters, {short}",
            f"letters, {long}", "state, bytes", "weights", "seconds",
        ],
        rows,
        f"Held-out words by how many letters they have, {stretches[-1]} more than any trained on: the share without a "
        f"mistake (exact), and of {short} and {long} the share of letters in their right place (letters). More is better.",
        title="Attention, size of state, length",
        notes=(
            f"Words in each stretch: {', '.join(f'{n:,}' for n in cells[0].counts)}. 95 % intervals of exact match are "
            f"within {spread:.2f}. One seed.",
            f"State: what the writer is given of a source of {grid.longest} letters. Without attention it is the same for "
            "every length, with attention it grows with the source.",
            f"Every network saw the same {grid.steps} batches of about {grid.batch} words in the same order. The learning "
            f"rate is {grid.rate:g} at 128 units and falls with the root of the width; nothing else differs. Seconds "
            "are of the training, on one thread beside others.",
            f"Judged: quality falls where less than {HALF:g} of the exact match at {short} is left at {long}; it doesn't "
            f"where at most {KEPT:g} is lost and {ENOUGH:g} left. Exact match falls with length even where every letter is "
            "as safe as before, which is why the share of letters in their right place stands beside it.",
        ),
    )  # fmt: skip


def write_report(path: Path, cells: Sequence[Cell], grid: Grid, quick: bool) -> Path:
    """Writes `bottleneck.svg` and `report.html` into the grid's folder; the page's path. Raises RunFailed."""
    figure = chart(cells, grid)
    write(path / "bottleneck.svg", svg(figure))
    body: list[Section] = [figure, table(cells, grid)]
    body.append(Code(f"unrolled reproduce bottleneck{' quick=true' if quick else ''}", title="Repeat it"))
    return write(path / "report.html", page("Unrolled · bottleneck", lead(cells, grid, quick), body))


def lead(cells: Sequence[Cell], grid: Grid, quick: bool) -> str:
    """One sentence."""
    if quick:
        return "The path was exercised; these figures mean nothing."
    without = max((cell.exact[3] for cell in cells if cell.attention == "none"), default=0.0)
    within = min((cell.exact[3] for cell in cells if cell.attention != "none"), default=0.0)
    return (
        f"Of words of {_letters(*grid.stretches[3])}, networks without attention turn at most {100 * without:.1f} % round "
        f"without a mistake, whatever their size; with attention they all reach {100 * within:.1f} % or more."
    )
