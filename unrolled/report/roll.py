"""The piano roll: a tune as bars of length and pitch, wrapped into systems like a page of music."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from unrolled.report.frame import NARROW, Picture, line, px, words
from unrolled.report.kinds import Tune
from unrolled.report.markup import Markup, join, tag
from unrolled.report.scale import number

Note = tuple[float, float, int]
_NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "G♯", "A", "B♭", "B")
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


def draw_roll(tune: Tune, width: float) -> Picture:
    """The roll; chart.js finds the systems in `data-roll` and moves the playhead over them."""
    notes = playable(tune)
    if not notes:
        text = words(width / 2, 44, "No notes to show.", "u-name", "middle")
        return Picture(width, 80, f"Piano roll of {tune.name}: no notes", text)
    narrow = width < NARROW
    left, right, top = (30.0, width - 4, 6.0) if narrow else (40.0, width - 6, 8.0)
    edges = systems(notes, tune.bars, 11.0 if narrow else 22.0)
    low, high = min(m for _, _, m in notes), max(m for _, _, m in notes)
    lane = max(4.0, min(9.0, (150.0 if len(edges) > 2 else 220.0) / (high - low + 1)))
    body, gap = lane * (high - low + 1), 22.0
    per_second = (right - left) / max(b - a for a, b in pairwise(edges))

    def place(midi: int, system: int) -> float:
        return top + system * (body + gap) + (high - midi) * lane

    parts: list[Markup] = []
    for system, (begin, end) in enumerate(pairwise(edges)):
        parts.append(_system(tune, system, begin, end, left, per_second, place(high, system), body))
        for pitch in _lanes(low, high):
            y = place(pitch, system) + lane / 2
            parts.append(line(left, y, left + (end - begin) * per_second, y, "u-lane"))
            parts.append(words(left - 6, y + 4, pitch_name(pitch), anchor="end"))
        for index, (start, duration, midi) in enumerate(notes):
            first, last = max(start, begin), min(start + duration, end)
            if first >= end or last <= begin:
                continue
            wide = max((last - first) * per_second - 1.2, 1.5)
            parts.append(
                _note(
                    index,
                    midi,
                    left + (first - begin) * per_second,
                    place(midi, system),
                    wide,
                    lane,
                    low,
                    high,
                )
            )
    height = top + (len(edges) - 1) * (body + gap)
    head = line(left, top, left, top + body, "u-playhead")
    geometry = [left, per_second, top, body, gap]
    data = {"roll": " ".join(px(v) if v != per_second else f"{v:.4f}" for v in geometry)}
    data["systems"] = " ".join(f"{e:.4f}" for e in edges)
    said = (
        f"Piano roll of {tune.name}: {len(notes)} notes from {pitch_name(low)} to {pitch_name(high)}, "
        f"{number(length(notes), 3)} seconds"
    )
    return Picture(width, height, said, join(*parts, head), data)


def _system(
    tune: Tune, system: int, begin: float, end: float, left: float, rate: float, top: float, body: float
) -> Markup:
    """One system's paper, its bar lines and the second it begins at."""
    parts = [
        tag("rect", class_="u-system", x=px(left), y=px(top), width=px((end - begin) * rate), height=px(body))
    ]
    for bar in tune.bars:
        if begin < bar < end:
            x = left + (bar - begin) * rate
            parts.append(line(x, top, x, top + body, "u-barline"))
    minutes, seconds = divmod(round(begin), 60)
    parts.append(words(left, top + body + 14, f"{minutes}:{seconds:02d}", "u-tick u-clock"))
    return join(*parts)


def _note(index: int, midi: int, x: float, y: float, wide: float, lane: float, low: int, high: int) -> Markup:
    """One note, coloured by height; `data-i` ties the pieces of a note cut at a system's end together."""
    shade = (midi - low) * _SHADES // (high - low + 1)
    return tag(
        "rect",
        tag("title", pitch_name(midi)),
        class_=f"u-note u-n{shade}",
        data_i=index,
        x=px(x),
        y=px(y + 0.5),
        width=px(wide),
        height=px(lane - 1),
        rx=px(min(3.0, lane / 2, wide / 2)),
    )
