"""Matrices as colours, and many units' lines: pictures of gates, attention and hidden states."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence

from unrolled.report.frame import (
    LETTER,
    NARROW,
    STYLES,
    End,
    Picture,
    end_labels,
    label_room,
    px,
    words,
    x_axis,
    y_axis,
)
from unrolled.report.kinds import Heatmap, HiddenLines
from unrolled.report.lines import path
from unrolled.report.markup import Markup, clean, columns, join, shorten, tag
from unrolled.report.scale import Scale, finite, number

# Cividis-like: even in lightness, the same order for the colour-blind and in grey. Diverging: blue - paper - orange.
_SEQUENTIAL = ((9, 32, 74), (54, 68, 112), (103, 105, 117), (149, 144, 117), (203, 187, 96), (255, 234, 92))
_DIVERGING = (
    (5, 77, 140),
    (88, 146, 196),
    (178, 206, 224),
    (245, 243, 238),
    (240, 196, 160),
    (214, 118, 58),
    (140, 51, 9),
)
_NONE = 255  # the palette's entry for NaN


def palette(diverging: bool) -> bytes:
    """256 RGB triples: 0..254 the colours from low to high, 255 the grey of what isn't a number."""
    stops = _DIVERGING if diverging else _SEQUENTIAL
    out = bytearray()
    for level in range(_NONE):
        place = level / (_NONE - 1) * (len(stops) - 1)
        i = min(int(place), len(stops) - 2)
        out += bytes(round(a + (b - a) * (place - i)) for a, b in zip(stops[i], stops[i + 1], strict=True))
    return bytes(out) + bytes((150, 150, 150))


def png(levels: Sequence[bytes], colours: bytes) -> bytes:
    """A palette PNG, one byte a pixel (source: the PNG specification, 11.2)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(levels[0]), len(levels), 8, 3, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in levels), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", colours)
        + chunk(b"tRNS", b"\xff" * _NONE + b"\x2a")  # what isn't a number lets the paper through
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def _image(
    levels: Sequence[bytes], colours: bytes, x: float, y: float, width: float, height: float, class_: str
) -> Markup:
    uri = "data:image/png;base64," + base64.b64encode(png(levels, colours)).decode("ascii")
    box = {"x": px(x), "y": px(y), "width": px(width), "height": px(height)}
    return tag("image", class_=class_, href=uri, preserveAspectRatio="none", **box)


def limits(chart: Heatmap) -> tuple[float, float]:
    """The values of the first and the last colour; about zero where the colours diverge."""
    known = finite(v for row in chart.values for v in row)
    low = float(chart.low) if chart.low is not None else min(known, default=0.0)
    high = float(chart.high) if chart.high is not None else max(known, default=1.0)
    if chart.diverging:
        high = max(abs(low), abs(high)) or 1.0
        return -high, high
    return (low, high) if high > low else (low, low + (abs(low) or 1.0))


def _levels(chart: Heatmap, low: float, high: float) -> list[bytes]:
    """Each value as its colour's number; short rows are filled up with grey."""
    wide = max(len(row) for row in chart.values)

    def level(value: float | None) -> int:
        if value is None or not math.isfinite(value):
            return _NONE
        return round(max(0.0, min(1.0, (value - low) / (high - low))) * (_NONE - 1))

    return [bytes([level(v) for v in row] + [_NONE] * (wide - len(row))) for row in chart.values]


def visible(token: str) -> str:
    """A token with the white space at its ends, and any line break, to be seen."""
    text = clean(token).replace("\n", "↵").replace("\t", "⇥")
    core = text.strip(" ")
    before = len(text) - len(text.lstrip(" "))
    return "␣" * before + core + "␣" * (len(text) - before - len(core)) or "∅"


def _named(names: Sequence[str], count: int, at: Scale, step: float) -> list[tuple[float, str, str]]:
    """(px, short, full) of the labels that fit `step` px apart, every so many left out if need be."""
    every = max(1, math.ceil(step / max(abs(at.stop - at.start) / max(count, 1), 1e-9)))
    return [(at(i + 0.5), names[i], names[i]) for i in range(0, min(count, len(names)), every)]


def _box(chart: Heatmap, width: float, letters: int) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the cells: square ones where rows and columns are the same things, else flat ones."""
    count, wide = len(chart.values), max(len(row) for row in chart.values)
    left = 14 + max((columns(shorten(visible(n), letters)) for n in chart.rows), default=0.0) * LETTER
    top, free = 58.0 if chart.row_label else 36.0, width - 10 - left
    if count == wide:
        side = min(free, max(count * 26.0, 120.0))
        return left, top, left + side, top + side
    cell = min(44.0, free / wide)
    tall = min(22.0, cell) if count * cell > 24 else 24.0 / count
    return left, top, left + cell * wide, top + min(count * tall, max(420.0, count * 1.0))


def draw_heatmap(chart: Heatmap, width: float) -> Picture:
    """The matrix with its names and the key to its colours; hover reads a cell."""
    low, high = limits(chart)
    what = chart.title or "Heat map"
    if not max((len(row) for row in chart.values), default=0):
        return Picture(width, 70, f"{what}: no values", words(8, 40, "No values to show.", "u-name"))
    count, wide = len(chart.values), max(len(row) for row in chart.values)
    letters = 10 if width < NARROW else 22
    left, top, right, bottom = _box(chart, width, letters)
    rows, tops = [visible(name) for name in chart.rows], [visible(name) for name in chart.columns]
    levels = _levels(chart, low, high)
    parts = [_image(levels, palette(chart.diverging), left, top, right - left, bottom - top, "u-cells")]
    for at, name, full in _named(rows, count, Scale(0, count, top, bottom), 13):
        parts.append(words(left - 8, at + 4, shorten(name, letters), "u-token", "end", full))
    longest = max((columns(shorten(name, 6)) for name in tops), default=1.0)
    for at, name, full in _named(tops, wide, Scale(0, wide, left, right), longest * LETTER + 3):
        parts.append(words(at, bottom + 16, shorten(name, 6), "u-token", "middle", full))
    if chart.column_label:
        parts.append(words(right, bottom + (36 if tops else 18), chart.column_label, "u-name", "end"))
    if chart.row_label:
        parts.append(words(4, top - 10, shorten(chart.row_label, 30), "u-name"))
    parts.append(_key(low, high, chart.diverging, 4))
    said = f"{what}: {count} rows by {wide} columns, values from {number(low)} to {number(high)}"
    cells = base64.b64encode(b"".join(levels)).decode("ascii")
    box = " ".join(px(v) for v in (left, top, right, bottom))
    data = {"cells": cells, "grid": f"{count} {wide} {low!r} {high!r} {box}"}
    data |= {"rows": "\n".join(rows), "columns": "\n".join(tops)}
    under = 8 + (18 if tops else 0) + (18 if chart.column_label else 0)
    return Picture(width, bottom + under, said, join(*parts), data)


def _key(low: float, high: float, diverging: bool, left: float) -> Markup:
    """The colour key above the picture."""
    first, last = number(low, 3), number(high, 3)
    start = left + columns(first) * LETTER + 8
    ramp = _image([bytes(range(_NONE))], palette(diverging), start, 8, 90, 10, "u-key")
    return join(words(left, 17, first), ramp, words(start + 98, 17, last))


def draw_hidden(chart: HiddenLines, width: float) -> Picture:
    """Every unit a faint line, the marked ones strong and named; the tokens read stand under the axis."""
    height, top, left = (300.0, 34.0, 46.0) if width < NARROW else (380.0, 36.0, 56.0)
    marked = [(unit, name) for unit, name in chart.marked.items() if 0 <= unit < len(chart.values)]
    room, limit = label_room([name for _, name in marked], width)
    right, bottom = width - room, height - 48
    steps = max((len(row) for row in chart.values), default=0)
    x = Scale(0, max(steps, 1), left, right)
    y = Scale.around([v for row in chart.values for v in row], bottom, top, pad=0.03)
    faint, strong, ends = [], [], []

    def points(row: Sequence[float | None]) -> list[tuple[float, float] | None]:
        return [(x(i + 0.5), y(v)) if v is not None and y.holds(v) else None for i, v in enumerate(row)]

    names = dict(marked)
    for unit, row in enumerate(chart.values):
        if unit not in names:
            faint.append(path(points(row)))
    for place, (unit, name) in enumerate(marked):
        drawn = points(chart.values[unit])
        last = next((p for p in reversed(drawn) if p is not None), None)
        if last is not None:
            style = f"u-s{place % STYLES}"
            strong.append(tag("path", tag("title", name), class_=f"u-line {style}", d=path(drawn)))
            ends.append(End(name, *last, style))
    parts = [
        y_axis(y, left, right, chart.y_label, width),
        tag("path", class_="u-faint", d="".join(faint)),
        *strong,
    ]
    parts.append(end_labels(ends, x(max(steps, 1) - 0.5), top, bottom, limit))
    if chart.tokens:
        shown = [visible(token) for token in chart.tokens]
        longest = max(columns(shorten(t, 6)) for t in shown)
        parts += [
            words(at, bottom + 16, shorten(name, 6), "u-token", "middle", full)
            for at, name, full in _named(shown, steps, x, longest * LETTER + 2)
        ]
        parts.append(words(right, bottom + 36, chart.x_label, "u-name", "end"))
    else:
        parts.append(x_axis(x, bottom, chart.x_label, width))
    if not steps:
        parts.append(words(left + 8, bottom - 8, "No values to draw."))
    said = f"{chart.title or 'Hidden units'}: {len(chart.values)} units over {steps} steps"
    return Picture(width, height, said, join(*parts))
