"""Interval charts: a dot for each seed, a bar for the interval, one row a competitor."""

from __future__ import annotations

from unrolled.report.frame import LETTER, NARROW, Picture, dots, label_room, line, px, words, x_axis
from unrolled.report.kinds import IntervalChart, IntervalRow
from unrolled.report.markup import Markup, columns, join, shorten, tag
from unrolled.report.scale import Scale, finite, number

ROW = 34.0  # px


def centre(row: IntervalRow) -> float | None:
    """The row's middle: as given, else the mean of its finite values."""
    if row.centre is not None:
        return row.centre if finite([row.centre]) else None
    known = finite(row.values)
    return sum(known) / len(known) if known else None


def written(row: IntervalRow) -> str:
    """The row in figures: middle [low, high]."""
    middle = centre(row)
    if middle is None:
        return "no finite value"
    if row.low is None or row.high is None or len(finite([row.low, row.high])) < 2:
        return number(middle)
    return f"{number(middle)} [{number(row.low)}, {number(row.high)}]"


def _row(row: IntervalRow, y: float, x: Scale, strong: bool) -> Markup:
    """Bar, dots and tick of one row about the level `y`."""
    parts, style = [], "u-s0" if strong else "u-s6"
    low, high, middle = row.low, row.high, centre(row)
    if low is not None and high is not None and x.holds(low) and x.holds(high):
        left, right = sorted((x(low), x(high)))
        parts.append(
            tag(
                "rect",
                tag("title", f"{row.name}: {written(row)}"),
                class_=f"u-bar {style}",
                x=px(left),
                y=px(y - 6),
                width=px(max(right - left, 1.0)),
                height=12,
                rx=6,
            )
        )
    if middle is not None and x.holds(middle):
        parts.append(line(x(middle), y - 10, x(middle), y + 10, f"u-mid {style}"))
    # Seeds stand a little apart, or equal ones would hide each other.
    for place, value in enumerate(row.values):
        if x.holds(value):
            shift = (place - (len(row.values) - 1) / 2) * min(4.0, 14.0 / max(len(row.values), 1))
            parts.append(
                dots(x(value), y + shift, f"u-dot {style}", 3.6, f"{row.name}, seed {place}: {number(value)}")
            )
    return join(*parts)


def _references(chart: IntervalChart, x: Scale, top: float, bottom: float, width: float) -> Markup:
    """Upright lines with their names above, shortened so that they stay within the picture."""
    parts = []
    for place, (name, value) in enumerate(chart.references):
        if not x.holds(value):
            continue
        at = x(value)
        text = shorten(name, 18 if width < NARROW else 30)
        half = columns(text) * LETTER / 2
        where = max(half + 2, min(at, width - half - 2))
        parts.append(line(at, top - 4, at, bottom, "u-level"))
        parts.append(
            words(
                where,
                top - 10 - 15 * (len(chart.references) - 1 - place),
                text,
                "u-end u-level",
                "middle",
                name,
            )
        )
    return join(*parts)


def draw_intervals(chart: IntervalChart, width: float) -> Picture:
    """The chart; on a telephone each row's name and figures stand above its bar instead of beside it."""
    narrow = width < NARROW
    row_height = ROW + 20 if narrow else ROW
    names, figures = [r.name for r in chart.rows], [written(r) for r in chart.rows]
    room, limit = label_room(names, width)
    left = 14.0 if narrow else max(room, 60.0)
    right = width - (14 if narrow else 30 + max((len(f) for f in figures), default=0) * LETTER)
    top = 14.0 + 15 * len(chart.references)
    bottom = top + row_height * max(len(chart.rows), 1) + 4
    shown = [v for r in chart.rows for v in (*r.values, r.low, r.high, r.centre)] + [
        v for _, v in chart.references
    ]
    x = Scale.around(shown, left, right, chart.x_log, pad=0.05)
    parts = [
        x_axis(x, bottom, chart.x_label, width, grid_from=top),
        _references(chart, x, top, bottom, width),
    ]
    for index, row in enumerate(chart.rows):
        strong = index == chart.highlight
        class_ = "u-row u-strong" if strong else "u-row"
        y = top + row_height * (index + (0.72 if narrow else 0.5))
        name = shorten(row.name, int(limit * 1.6) if narrow else limit)
        if narrow:
            parts += [
                words(left, y - 17, name, class_, full=row.name),
                words(right, y - 17, figures[index], class_, "end"),
            ]
        else:
            parts += [
                words(left - 14, y + 4, name, class_, "end", row.name),
                words(right + 16, y + 4, figures[index], class_),
            ]
        parts.append(_row(row, y, x, strong))
    if not chart.rows:
        parts.append(words(left + 8, bottom - 12, "No rows to draw."))
    said = "; ".join(f"{r.name} {f}" for r, f in zip(chart.rows, figures, strict=True))
    said += "".join(f"; {name} {number(value)}" for name, value in chart.references)
    label = f"{chart.title or 'Intervals'}: {chart.x_label}. {said or 'Nothing to draw'}."
    return Picture(width, bottom + 44, label, join(*parts))
