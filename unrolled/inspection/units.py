"""Units that track something one can name: found on one half of a held-out text, scored on the other.

After Karpathy, Johnson & Fei-Fei 2015, "Visualizing and Understanding Recurrent Networks", arXiv:1506.02078, sec. 4.1:
theirs were found by eye.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unrolled.errors import UserError
from unrolled.inspection.finding import Finding
from unrolled.inspection.held_out import Held
from unrolled.inspection.stretches import batch, heard, marked, stretches
from unrolled.inspection.subject import Subject
from unrolled.inspection.tracking import SHIFTS, Matrix, Read, Unit, best_units
from unrolled.model import TokenEmbedder
from unrolled.report import ColouredText, LineChart, Section, Series, Table

DRAWN = 160  # tokens of the line


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
    pieces, notes = stretches(on)
    music = bool(on.model.task.music)
    places = marked(on, pieces, music)
    read = heard(Held(on.model, batch(on, pieces), notes), [t for tokens, _ in places for t in tokens])
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
