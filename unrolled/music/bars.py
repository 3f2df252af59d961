"""Do the bars add up? Every bar's length against its meter, with pick-ups allowed where music has them.

A bar shorter than the meter is right when it is a pick-up or what a pick-up left over:
* the tune's first bar may be short;
* a short bar after a section border (repeat sign, double bar, ending) is a pick-up when the bar before the border, or
  the bar that ends its own section, is short by exactly that much; so is one that goes on from before the first ending;
* a short bar before a section border is right when one of the pick-ups that may follow it completes it: the next bar, the
  first bar of its own section (which a repeat returns to) or the tune's first bar.
A bar too long is never right.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from unrolled.music.reading import parse
from unrolled.music.signatures import AbcError, Meter
from unrolled.music.tune import BarLine, Ending, Field, Note, Rest, Tune


@dataclass(frozen=True, slots=True)
class Bar:
    """A measured bar: lengths in whole notes, `expected` None in free meter, `line` where its first note stands."""

    number: int
    line: int
    length: Fraction
    expected: Fraction | None
    right: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `check` found; `reason` says why not all is right, and is empty when it is."""

    parses: bool
    bars_right: int
    bars: int
    all_right: bool
    reason: str


@dataclass(slots=True)
class Stretch:
    """The music between two bar lines.

    `section`: index of its section's first stretch; `stem`: length of the bar that its ending goes on from.
    """

    line: int
    length: Fraction
    expected: Fraction | None
    section: int
    opens: bool
    closes: bool = False
    stem: Fraction | None = None

    @property
    def short(self) -> bool:
        return self.expected is not None and self.length < self.expected


def bars(tune: Tune) -> list[Bar]:
    """Every bar that holds a note or a rest, in the order of the text."""
    stretches = _stretches(tune)
    return [
        Bar(i + 1, s.line, s.length, s.expected, _right(stretches, i)) for i, s in enumerate(stretches)
    ]  # fmt: skip


def check(abc: str) -> Verdict:
    """Parse the text and count its right bars; never raises for what the text says."""
    try:
        measured = bars(parse(abc))
    except AbcError as error:
        return Verdict(False, 0, 0, False, str(error))
    right = sum(bar.right for bar in measured)
    if not measured:
        return Verdict(True, 0, 0, False, "the tune has no notes")
    wrong = next((bar for bar in measured if not bar.right), None)
    reason = "" if wrong is None else (
        f"bar {wrong.number} (line {wrong.line}) lasts {wrong.length} of a whole note, the meter wants {wrong.expected}"
    )  # fmt: skip
    return Verdict(True, right, len(measured), wrong is None, reason)


def _stretches(tune: Tune) -> list[Stretch]:
    """Cut the body at bar lines, and at endings that begin inside a bar."""
    found: list[Stretch] = []
    meter, border, section, in_bar = tune.meter, True, 0, False
    stem: Fraction | None = None  # the last bar before the first ending: every ending goes on from there
    after_ending = False
    for item in tune.body:
        match item:
            case Field(meaning=Meter() as changed):
                meter = changed
            case Note() | Rest():
                if not in_bar:
                    stretch = Stretch(item.line, Fraction(0), meter.length, section, border)
                    stretch.stem = stem if after_ending else None
                    found.append(stretch)
                    in_bar, border, after_ending = True, False, False
                _lengthen(found[-1], item)
            case BarLine() | Ending():
                in_bar = False
                if isinstance(item, BarLine) and not item.border:
                    continue
                border = True
                if found:
                    found[-1].closes = True
                if isinstance(item, BarLine):
                    section = len(found)
                else:
                    after_ending = True
                    if 1 in item.numbers and found:
                        stem = found[-1].length
            case _:
                pass
    if found:
        found[-1].closes = True
    return found


def _lengthen(stretch: Stretch, item: Note | Rest) -> None:
    stretch.length += item.length
    if isinstance(item, Rest) and item.bars > 1 and stretch.expected is not None:
        stretch.expected += item.length - item.length / item.bars  # Z4 is four bars at once


def _right(stretches: list[Stretch], i: int) -> bool:
    s = stretches[i]
    if s.expected is None or s.length == s.expected or s.short and i == 0:
        return True
    return s.short and (s.expected - s.length) in _complements(stretches, i)


def _complements(stretches: list[Stretch], i: int) -> list[Fraction]:
    """Lengths of the short bars that may stand next to bar `i` when the tune is played."""
    s = stretches[i]
    near: list[Stretch] = []
    if s.opens:
        near += stretches[max(i - 1, 0) : i]
        near += [e for e in stretches[i:] if e.closes and e.section == s.section]
    if s.closes:
        near += stretches[i + 1 : i + 2] + [stretches[s.section], stretches[0]]  # the repeat, the da capo
    return [n.length for n in near if n.short] + ([s.stem] if s.opens and s.stem is not None else [])
