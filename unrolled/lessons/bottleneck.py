"""Stop `bottleneck`: a source squeezed into one vector, and what gets through it, by the source's length."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from unrolled.datasets.pairs import Pairs
from unrolled.datasets.store import Ragged
from unrolled.inspection.by_length import Judged, judge, written
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.pairs import Sides, rehearse, words
from unrolled.lessons.practice import Practice
from unrolled.model import Seq2Seq
from unrolled.report import LineChart, Series, Table
from unrolled.state import nbytes

UNITS, NARROW, STEPS, WORDS, LONGEST, SHOWN = 64, 16, 700, 8000, 12, 4
SHORT, LONG = (2, 4), (10, 12)  # letters
WITHOUT, WITH = "without attention", "with attention"


class Learned(NamedTuple):
    """A trained network, what its training came to, and how it did on held-out words."""

    model: Seq2Seq
    practice: Practice
    judged: Judged


def run(size: float, broken: bool = False) -> Outcome:
    """Turns words round, without and with attention. `broken`: without, and beside it a state of `NARROW` numbers."""
    sides = words(WORDS if size >= 0.5 else 400, LONGEST)
    asked = {WITHOUT: (UNITS, "none"), WITH: (UNITS, "dot")}
    if broken:
        asked = {f"state of {width} numbers": (width, "none") for width in (NARROW, UNITS)}
    found = {name: learned(sides, *how, size) for name, how in asked.items()}
    figures = [
        Figure(f"{name}: words of {low} to {high} letters turned round without a mistake", share(one.judged, low, high))
        for low, high in (LONG, SHORT)
        for name, one in found.items()
    ]  # fmt: skip
    figures += [
        Figure(f"{name}: size of the state after {letters} letters", first_state(one.model, letters), "bytes")
        for name, one in found.items()
        for letters in (SHORT[1], LONGEST)
    ]
    said = "; ".join(f"{name}: {one.practice}" for name, one in found.items())
    units = "" if broken else f" of {UNITS} units"
    trained = (
        f"GRUs{units}, each on the same {len(sides.train):,} words of 1 to {LONGEST} random letters: {said}"
    )
    return Outcome([chart(found), sizes(found), examples(found, sides)], figures, trained)


def learned(sides: Sides, width: int, attention: str, size: float) -> Learned:
    """A network of this state and attention; each begins from the same random numbers."""
    torch.manual_seed(0)
    model = sides.model(width, attention)
    practice = rehearse(model, sides.train, max(2, round(STEPS * size)), limit=25)
    return Learned(model, practice, judge(model, sides.test))


def share(judged: Judged, low: int, high: int) -> float:
    """The share of words of `low` to `high` letters that were written without a mistake."""
    return float(judged.within(low, high).exact.mean())


def first_state(model: Seq2Seq, letters: int) -> int:
    """Bytes that the writer is given of a word of so many letters."""
    with torch.no_grad():
        return nbytes(model.read_source(torch.ones(1, letters, dtype=torch.long)))


def chart(found: dict[str, Learned]) -> LineChart:
    """The share of words without a mistake, by length."""
    lengths = [n for n in range(1, LONGEST + 1) if len(next(iter(found.values())).judged.within(n, n))]
    count = len(next(iter(found.values())).judged)
    return LineChart(
        [Series(name, lengths, [share(one.judged, n, n) for n in lengths]) for name, one in found.items()],
        y_label="words turned round without a mistake (more is better)",
        x_label="letters of the word",
        title="What gets through the bottleneck?",
        caption=f"{count:,} held-out words; no word is both trained on and tested. Both learnt from the same words in the "
        "same order.",
        y_range=(0.0, 1.0),
    )


def sizes(found: dict[str, Learned]) -> Table:
    """How much the writer is given, by the word's length."""
    rows: list[list[str | float]] = [
        [str(letters), *(first_state(one.model, letters) for one in found.values())]
        for letters in (1, SHORT[1], LONGEST, 10 * LONGEST)
    ]
    return Table(
        ["letters read", *(f"{name}, bytes" for name in found)],
        rows,
        "What the writer is given of a word. Without attention it is one vector, however long the word was. With attention "
        "a vector a letter is kept beside it, to be looked at again.",
        title="What has to be enough",
    )


def examples(found: dict[str, Learned], sides: Sides) -> Table:
    """A few long words, and what each network writes for them."""
    lengths = np.asarray(sides.test.lengths)
    rows = np.argsort(-lengths, kind="stable")[:SHOWN]
    few = Pairs(*(Ragged.of(side[i] for i in rows) for side in (sides.test.inputs, sides.test.targets)))
    said = [
        [sides.read.decode(few.inputs[i]) for i in range(len(few))],
        [sides.write.decode(few.targets[i]) for i in range(len(few))],
        *([sides.write.decode(np.array(one)) for one in written(each.model, few)] for each in found.values()),
    ]
    return Table(
        ["word", "wanted", *found],
        [list(row) for row in zip(*said, strict=True)],
        "The longest held-out words, as they come.",
        title="What they write",
    )
