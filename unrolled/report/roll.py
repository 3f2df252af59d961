"""The piano roll: a tune as bars of length and pitch, wrapped into systems like a page of music."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from unrolled.report.frame import NARROW, Picture, line, px, words
from unrolled.report.kinds import Tune
from unrolled.report.lines import path
from unrolled.report.markup import Markup, join, tag
from unrolled.report.scale import number

Note = tuple[float, float, int]
_NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "G♯", "A", "B♭", "B")
GAP = 22.0  # px between systems: room for the clock
_SHADES = 6  # note colours from low to high in chart.css


def pitch_name(midi: int) -> str:
    """60 is C4."""
    return f"{_NAMES[midi % 12]}{midi // 12 - 1}"


def playable(tune: Tune) -> list[Note]:
    """The notes that make sense (finite, of some length, MIDI 0..127), in the order they sound."""
    sane = [
        (float(s), float(d), int(m))
        for s, d, m in tune.notes
        if math.isfinite(s) and math.isfinite(d) and math.isfinite(m) and s >= 0 and d > 0 and 0 <= m <= 127
    ]
    return sorted(sane)


def length(notes: Sequence[Note]) -> float:
    """Seconds until the last note has ended."""
    return max((start + duration for start, duration, _ in notes), default=0.0)


def systems(notes: Sequence[Note], bars: Sequence[float], seconds: float) -> list[float]:
    """Where the systems begin and (last) end: even ones of at most about `seconds`, cut at bar lines or else at notes."""
    total = length(notes)
    count = max(1, min(8, math.ceil(total / seconds - 0.15)))
    cuts = sorted({b for b in bars if 0 < b < total}) or sorted({s for s, _, _ in notes if 0 < s < total})
    edges = [0.0]
    for i in range(1, count):
        wanted = total * i / count
        edge = min(cuts, key=lambda c: (abs(c - wanted), c), default=wanted)
        if edge > edges[-1]:
            edges.append(edge)
    return [*edges, max(total, 1.0)]


def _lanes(low: int, high: int) -> list[int]:
    """Pitches that get a line and a name: the Cs, and the ends where they are far from one."""
    cs = [p for p in range(low, high + 1) if p % 12 == 0]
    return sorted({*cs, *(p for p in (low, high) if all(abs(p - c) >= 4 for c in cs))})


@dataclass(frozen=True)
class _Stave:
    """Where things stand: px of the left edge and of each system, px per second and per semitone, the pitch range."""

    left: float
    rate: float
    top: float
    lane: float
    low: int
    high: int

    @property
    def body(self) -> float:
        """The height of a system."""
        return self.lane * (self.high - self.low + 1)

    def y(self, system: int, midi: int | None = None) -> float:
        """The top of a system, or of a pitch's lane in it."""
        return self.top + system * (self.body + GAP) + (0 if midi is None else (self.high - midi) * self.lane)


def draw_roll(tune: Tune, width: float) -> Picture:
    """The roll; player.js finds the systems in `data-roll` and `data-systems` and moves the playhead over them."""
    notes = playable(tune)
    if not notes:
        text = words(width / 2, 44, "No notes to show.", "u-name", "middle")
        return Picture(width, 80, f"Piano roll of {tune.name}: no notes", text)
    narrow = width < NARROW
    left, right, top = (30.0, width - 4, 6.0) if narrow else (40.0, width - 6, 8.0)
    edges = systems(notes, tune.bars, 8.0 if narrow else 20.0)
    low, high = min(m for _, _, m in notes), max(m for _, _, m in notes)
    # Few systems may stand tall, many must leave the first screen room for the sentence.
    tall = max(100.0 if narrow else 110.0, 360.0 / (len(edges) - 1))
    rate = (right - left) / max(b - a for a, b in pairwise(edges))
    stave = _Stave(left, rate, top, max(4.0, min(10.0, tall / (high - low + 1))), low, high)
    parts: list[Markup] = []
    for system, (begin, end) in enumerate(pairwise(edges)):
        parts += [_paper(tune, stave, system, begin, end), _melody(notes, stave, system, begin, end)]
    height = stave.y(len(edges) - 1)
    head = line(left, top, left, top + stave.body, "u-playhead")
    data = {"roll": f"{px(left)} {rate:.4f} {px(top)} {stave.body:.2f} {px(GAP)}"}
    data["systems"] = " ".join(f"{edge:.4f}" for edge in edges)
    said = (
        f"Piano roll of {tune.name}: {len(notes)} notes from {pitch_name(low)} to {pitch_name(high)}, "
        f"{number(length(notes), 3)} seconds"
    )
    return Picture(width, height, said, join(*parts, head), data)


def _paper(tune: Tune, stave: _Stave, system: int, begin: float, end: float) -> Markup:
    """One system's ground, its bar lines, pitch lines and the time it begins at."""
    top, wide = stave.y(system), (end - begin) * stave.rate
    parts = [
        tag(
            "rect",
            class_="u-system",
            x=px(stave.left),
            y=px(top),
            width=px(wide),
            height=px(stave.body),
            rx=4,
        )
    ]
    for bar in tune.bars:
        if begin < bar < end:
            x = stave.left + (bar - begin) * stave.rate
            parts.append(line(x, top, x, top + stave.body, "u-barline"))
    for pitch in _lanes(stave.low, stave.high):
        y = stave.y(system, pitch) + stave.lane / 2
        parts.append(line(stave.left, y, stave.left + wide, y, "u-lane"))
        parts.append(words(stave.left - 6, y + 4, pitch_name(pitch), anchor="end"))
    minutes, seconds = divmod(round(begin), 60)
    parts.append(words(stave.left, top + stave.body + 14, f"{minutes}:{seconds:02d}", "u-tick"))
    return join(*parts)


def _melody(notes: Sequence[Note], stave: _Stave, system: int, begin: float, end: float) -> Markup:
    """The notes of one system, coloured by height, on a hairline that follows the melody.

    `data-i` is the note's place in the tune: it ties the pieces of a note cut at a system's end together.
    """
    parts, contour = [], []
    for index, (start, duration, midi) in enumerate(notes):
        first, last = max(start, begin), min(start + duration, end)
        # A sliver from rounding is no note: pieces under 5 ms stay away.
        if last - first < 0.005:
            continue
        x, y = stave.left + (first - begin) * stave.rate, stave.y(system, midi)
        wide = max((last - first) * stave.rate - 1.2, 1.5)
        contour.append((x + wide / 2, y + stave.lane / 2))
        shade = (midi - stave.low) * _SHADES // (stave.high - stave.low + 1)
        box = {"x": px(x), "y": px(y + 0.5), "width": px(wide), "height": px(stave.lane - 1)}
        round_ = px(min(3.5, stave.lane / 2, wide / 2))
        hint = tag("title", pitch_name(midi))
        parts.append(tag("rect", hint, class_=f"u-note u-n{shade}", data_i=index, **box, rx=round_))
    return join(tag("path", class_="u-contour", d=path(contour)), *parts)
