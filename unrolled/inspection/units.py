"""Units that track something one can name: found on one half of a held-out text, scored on the other.

After Karpathy, Johnson & Fei-Fei 2015, "Visualizing and Understanding Recurrent Networks", arXiv:1506.02078, sec. 4.1:
theirs were found by eye.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.datasets.sampler import Batch
from unrolled.errors import UserError
from unrolled.inspection.finding import Finding
from unrolled.inspection.held_out import Held
from unrolled.inspection.marks import marks
from unrolled.inspection.probe import probe
from unrolled.inspection.subject import Subject
from unrolled.model import TokenEmbedder
from unrolled.report import ColouredText, LineChart, Section, Series, Table
from unrolled.training.resume import same_data
from unrolled.training.rows import corpus_of

ROWS, STEPS = 64, 256  # stretches of text that are read, and how long each is
SHIFTS = 200  # turned copies of a mark that chance is measured with
DRAWN = 160  # tokens of the line

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Unit:
    """The unit that tracks a mark best. score: |correlation| on the half of the text that it wasn't chosen on; sign: + if
    it is high where the mark is.

    chance: what 95 % of marks that were turned along the text stay below, the best of all units chosen anew for each and
    the best of all marks counting; p: the share of those that score as high.
    """

    mark: str
    layer: str
    state: str
    unit: int
    score: float
    sign: int
    chance: float
    p: float


class Read(NamedTuple):
    """Text as it was read: its tokens, where each stretch begins, and what each unit was at each (N, U)."""

    tokens: list[str]
    begins: list[int]
    values: Matrix
    names: list[tuple[str, str, int]]  # layer, state, unit


@dataclass(frozen=True, kw_only=True)
class Units(Finding):
    """For each mark its best unit, the clearest first. read: tokens; units: how many were looked at."""

    title = "Units that track something"

    read: int = 0
    units: int = 0
    found: list[Unit] = field(default_factory=list)
    shown: list[ColouredText] = field(default_factory=list, repr=False)
    line: LineChart | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().to_dict().items() if k not in ("shown", "line")}

    def lines(self) -> list[str]:
        wide = max((len(one.mark) for one in self.found), default=4)
        head = f"{'mark':<{wide}}  {'unit':<28}  score  by chance"
        rows = [
            f"{one.mark:<{wide}}  {f'{one.layer} {one.state} {one.unit}':<28}  {one.score:5.2f}  {one.chance:5.2f} at most "
            f"(p = {one.p:.3f})"
            for one in self.found
        ]
        return [
            head,
            *rows,
            "",
            f"score     |correlation| on text that the unit wasn't chosen on, of {self.units:,} units",
        ]

    def lead(self) -> str:
        if not self.found:
            return "Nothing that could be tracked varies in this text."
        best = self.found[0]
        if best.score <= best.chance:
            return "No unit tracks any of the marks better than chance finds one that does."
        return (
            f"Unit {best.unit} of {best.layer} ({best.state}) tracks the {best.mark.removeprefix('inside ')}: its "
            f"correlation is {best.score:.2f} on text that it wasn't chosen on, where chance reaches {best.chance:.2f}."
        )

    def blocks(self) -> list[Section]:
        made: list[Section] = [self.line] if self.line else []
        made += self.shown
        rows: list[list[Any]] = [
            [one.mark, f"{one.layer} {one.state}", one.unit, one.score, one.chance, one.p]
            for one in self.found
        ]
        made.append(
            Table(
                ["mark", "layer", "unit", "score", "chance reaches", "p"], rows,
                f"Of {self.units:,} units the one that follows each mark best on one half of the text; the "
                "score is its |correlation| on the other half. Chance: the same with the mark turned along the "
                f"text by a random distance, {SHIFTS} times, the best of all marks; 95 % stay below, and p is the share "
                "that doesn't.",
                title="Every mark", notes=self.notes,
            )
        )  # fmt: skip
        return made


def units(on: Subject) -> Units:
    """Of a run that reads tokens. Raises UserError for one that reads numbers."""
    if not isinstance(on.model.embedder, TokenEmbedder) or on.run.recipe.task != "generate":
        raise UserError("units: of runs that go on with text; the marks are those of lines, quotes and bars.")
    stretches, notes = _stretches(on)
    music = bool(on.model.task.music)
    places = _marked(on, stretches, music)
    read = heard(Held(on.model, _batch(on, stretches), notes), [t for tokens, _ in places for t in tokens])
    names = {name for _, found in places for name in found}
    known = {
        name: np.concatenate([found.get(name, np.zeros(len(tokens))) for tokens, found in places])
        for name in sorted(names)
    }
    return of_values(read, known, on.count, notes)


def of_values(read: Read, known: dict[str, Matrix], count: int = 8, notes: list[str] | None = None) -> Units:
    """The best unit of each mark (N,), of `count` marks at most."""
    varied = {name: mark for name, mark in known.items() if np.ptp(mark) > 0}
    every = best_units(read, varied) if varied else []
    found = sorted(every, key=lambda one: (one.score <= one.chance, -one.score))[:count]
    telling = [one for one in found if one.score > one.chance][:3]
    column = {name: i for i, name in enumerate(read.names)}
    shown = [
        coloured(read, one, column[(one.layer, one.state, one.unit)], known[one.mark]) for one in telling
    ]
    first = telling[0] if telling else None
    line = (
        None
        if first is None
        else drawn(read, first, column[first.layer, first.state, first.unit], known[first.mark])
    )
    return Units(
        read=len(read.tokens), units=len(read.names), found=found, shown=shown, line=line, notes=list(notes or [])
    )  # fmt: skip


def best_unit(read: Read, name: str, mark: Matrix, shifts: int = SHIFTS, seed: int = 0) -> Unit:
    """The unit whose |correlation| with the mark is largest on the first half of the stretches, scored on the second."""
    return best_units(read, {name: mark}, shifts, seed)[0]


def best_units(read: Read, known: dict[str, Matrix], shifts: int = SHIFTS, seed: int = 0) -> list[Unit]:
    """The best unit of each mark (N,). All marks are turned together, and each turned copy counts as the best of them, in
    shares of what 95 % of its own mark's copies stay below: or one of many marks would be tracked by chance.
    """
    steps = len(read.values)
    half = read.begins[len(read.begins) // 2] if len(read.begins) > 1 else steps // 2
    sides = slice(0, half), slice(half, None)
    values = [_unit_columns(read.values[side]) for side in sides]
    draw = np.random.default_rng(seed)
    sizes = [half, steps - half]
    turns = [draw.integers(n // 10, max(n - n // 10, 2), shifts) for n in sizes]
    scored, turned = [], []
    for mark in known.values():
        parts = [mark[side] for side in sides]
        scored.append(_scored(values, [part[:, None] for part in parts]))
        copies = [
            np.stack([np.roll(part, int(n)) for n in by], 1) for part, by in zip(parts, turns, strict=True)
        ]
        turned.append(np.abs(_scored(values, copies)[1]))
    # A mark that doesn't vary in one half has no correlation there, nor have its copies.
    usual = np.maximum(np.quantile(turned, 0.95, axis=1), 1e-12)
    luckiest = (np.array(turned) / usual[:, None]).max(0)
    found = []
    for name, (unit, own), one in zip(known, scored, usual, strict=True):
        score = abs(float(own[0]))
        layer, state, number = read.names[int(unit[0])]
        chance = float(one * np.quantile(luckiest, 0.95))
        p = float((1 + (luckiest >= score / one).sum()) / (shifts + 1))
        found.append(Unit(name, layer, state, number, score, 1 if own[0] >= 0 else -1, chance, p))
    return found


def _scored(values: list[Matrix], sides: list[Matrix]) -> tuple[NDArray[np.int64], Matrix]:
    """For each column of the marks (N, P): the unit chosen on the first side, its correlation on the second."""
    first, second = (v.T @ _unit_columns(m) for v, m in zip(values, sides, strict=True))
    chosen = np.abs(first).argmax(0)
    return chosen, second[chosen, np.arange(second.shape[1])]


def _unit_columns(values: Matrix) -> Matrix:
    """Each column about its mean and of length 1; one that doesn't vary becomes 0."""
    centred = values - values.mean(0)
    length = np.sqrt((centred**2).sum(0))
    unit: Matrix = np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9)
    return unit


def heard(held: Held, tokens: list[str]) -> Read:
    """What every unit was at every token: recurrent states where there are some, else the layers' outputs."""
    there = {one.name for one in probe(held.model, held.batch.x[:1, :2]).heard}
    wanted = there & {"hidden", "cell", "y"}
    trace = probe(held.model, held.batch.x, None, held.layout, only=wanted, most=10**9)
    kinds = [one for one in trace.heard if one.name in ("hidden", "cell") and one.kind != "ffn"]
    kinds = kinds or [one for one in trace.heard if one.name == "y" and one.layer.startswith("core.layers.")]
    lengths = held.lengths
    parts = [
        np.concatenate([one.value[row, :size].numpy() for row, size in enumerate(lengths)]) for one in kinds
    ]
    names = [(one.layer, one.name, unit) for one in kinds for unit in range(one.value.shape[2])]
    begins = [0, *np.cumsum(lengths)[:-1].tolist()]
    return Read(tokens, begins, np.concatenate(parts, 1).astype(np.float64), names)


Stretch = tuple[
    NDArray[np.int64], int, int
]  # a document's ids with its boundary, and where in it what is read lies


def _stretches(on: Subject) -> tuple[list[Stretch], list[str]]:
    """Stretches of held-out text (or of the text that was given), each with the whole document before it."""
    if on.text:
        ids = np.concatenate([[0], np.asarray(on.model.task.codec.encode(on.text), np.int64)])
        size = max(1, min(STEPS, len(ids) // 2))
        return [(ids, at, size) for at in range(0, len(ids) - size + 1, size)][:ROWS], [
            "the text that was given"
        ]
    corpus = corpus_of(on.run)
    same_data(on.run, corpus.facts)
    whole = [np.concatenate([[0], d]).astype(np.int64) for d in corpus.part(on.split).each()]
    pieces = [
        (document, at, min(STEPS, len(document) - at))
        for document in whole
        for at in range(0, len(document), STEPS)
        if len(document) - at >= min(STEPS, len(document)) // 2
    ]
    step = max(1, len(pieces) // ROWS)
    chosen = pieces[::step][:ROWS]
    if not chosen:
        raise UserError("units: no held-out text to read.")
    total = sum(size for _, _, size in chosen)
    return chosen, [
        f"{len(chosen)} stretches of the {on.split} part, {total:,} tokens, the state begun anew in each"
    ]


def _marked(on: Subject, stretches: list[Stretch], music: bool) -> list[tuple[list[str], dict[str, Matrix]]]:
    """The tokens of each stretch, and what holds at each of them given its document from the beginning."""
    codec, known = on.model.task.codec, dict[int, tuple[list[str], dict[str, Matrix]]]()
    found = []
    for document, at, size in stretches:
        if id(document) not in known:
            tokens = ["\n" if i == 0 else codec.token_text(int(i)) for i in document]
            known[id(document)] = tokens, marks(tokens, music)
        tokens, held = known[id(document)]
        found.append(
            (tokens[at : at + size], {name: values[at : at + size] for name, values in held.items()})
        )
    return found


def _batch(on: Subject, stretches: list[Stretch]) -> Batch:
    """The stretches as rows, padded on the right."""
    longest = max(size for _, _, size in stretches)
    x = torch.zeros(len(stretches), longest, dtype=torch.int64)
    for row, (document, at, size) in enumerate(stretches):
        x[row, :size] = torch.from_numpy(document[at : at + size])
    lengths = torch.tensor([size for _, _, size in stretches])
    return Batch(x, x, lengths=None if bool((lengths == longest).all()) else lengths)


def coloured(read: Read, one: Unit, column: int, mark: Matrix) -> ColouredText:
    """Two stretches that the unit wasn't chosen on, those in which the mark varies most, coloured by the unit."""
    values = read.values[:, column]
    middle, width = np.median(values), np.quantile(np.abs(values - np.median(values)), 0.98) or 1.0
    tokens: list[str] = []
    tints: list[float | None] = []
    for part in telling_stretches(read, mark)[:2]:
        if tokens:
            tokens, tints = [*tokens, "\n⋯\n"], [*tints, None]
        tokens += read.tokens[part]
        tints += ((values[part] - middle) / max(float(width), 1e-9)).tolist()
    return ColouredText(
        tokens, tints, "low", "high",
        title=f"Unit {one.unit} of {one.layer}: {one.mark}",
        caption=f"{one.state}, about its median, over text that the unit wasn't chosen on; correlation "
        f"{one.sign * one.score:+.2f} (chance reaches {one.chance:.2f}).",
    )  # fmt: skip


def telling_stretches(read: Read, mark: Matrix) -> list[slice]:
    """The stretches of the second half, that in which the mark varies most first."""
    ends = [*read.begins[1:], len(read.tokens)]
    later = list(zip(read.begins, ends, strict=True))[len(read.begins) // 2 :]
    parts = [slice(begin, end) for begin, end in later]
    return sorted(parts, key=lambda part: -float(mark[part].std()))


def drawn(read: Read, one: Unit, column: int, mark: Matrix) -> LineChart:
    """The unit beside its mark, both about their means, in standard deviations."""
    part = telling_stretches(read, mark)[0]
    part = slice(part.start, min(part.stop, part.start + DRAWN))
    lines = []
    for name, values in ((f"unit {one.unit}", one.sign * read.values[:, column]), (one.mark, mark)):
        spread = (values - values.mean()) / (values.std() or 1.0)
        lines.append(Series(name, list(range(len(spread[part]))), spread[part].tolist()))
    turned = "" if one.sign > 0 else " The unit is drawn upside down: it falls where the mark rises."
    return LineChart(
        lines, "standard deviations from the mean", "tokens read", title=f"What unit {one.unit} tracks",
        caption=f"{part.stop - part.start} tokens of the half of the text that the unit wasn't chosen on.{turned}",
    )  # fmt: skip
