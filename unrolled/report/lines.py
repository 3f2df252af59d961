"""Line charts: learning curves and the like, with bands, gaps, level references and the names at the lines' ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from unrolled.report.frame import (
    NARROW,
    STYLES,
    End,
    Picture,
    dots,
    end_labels,
    label_room,
    line,
    missing,
    px,
    words,
    x_axis,
    y_axis,
)
from unrolled.report.kinds import LineChart, Numbers, Series
from unrolled.report.markup import Markup, join, tag
from unrolled.report.scale import Scale, number


def x_labels(chart: LineChart) -> list[str]:
    """The x vectors the reader can switch between, by label."""
    labels: list[str] = []
    for series in chart.series:
        if isinstance(series.xs, Mapping):
            labels += [label for label in series.xs if label not in labels]
    return labels or [chart.x_label]


def xs_of(series: Series, label: str) -> Numbers:
    """The x vector of `series` under `label`; empty where it has none by that name."""
    return series.xs.get(label, ()) if isinstance(series.xs, Mapping) else series.xs


def thin(ys: Sequence[float | None], limit: int) -> list[int]:
    """Indices of at most about `limit` points that keep each stretch's lowest and highest, so no spike is lost."""
    if len(ys) <= limit:
        return list(range(len(ys)))
    buckets = max(limit // 2, 1)
    kept = {0, len(ys) - 1}
    for b in range(buckets):
        stretch = range(b * len(ys) // buckets, (b + 1) * len(ys) // buckets)
        known = [(y, i) for i in stretch if (y := ys[i]) is not None and math.isfinite(y)]
        # A stretch of nothing stays a gap.
        kept |= {min(known)[1], max(known)[1]} if known else {stretch[0]}
    return sorted(kept)


def path(points: Sequence[tuple[float, float] | None]) -> str:
    """An SVG path through the points; None lifts the pen."""
    parts, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{px(point[0])} {px(point[1])}")
        pen = "L"
    return "".join(parts)


def _points(
    xs: Numbers, ys: Sequence[float | None], kept: Sequence[int], x: Scale, y: Scale
) -> list[tuple[float, float] | None]:
    """The kept points in px, None for each that can't be drawn."""
    return [
        (x(xs[i]), y(v))
        if i < len(xs) and x.holds(xs[i]) and (v := ys[i]) is not None and y.holds(v)
        else None
        for i in kept
    ]


def _band(series: Series, xs: Numbers, kept: Sequence[int], x: Scale, y: Scale, style: str) -> Markup:
    """The area between `low` and `high`, one piece for each stretch where both are known."""
    if series.low is None or series.high is None:
        return Markup("")
    kept = [i for i in kept if i < len(series.low) and i < len(series.high)]
    lower = _points(xs, series.low, kept, x, y)
    upper = _points(xs, series.high, kept, x, y)
    pieces, run = [], []
    for pair in [*zip(lower, upper, strict=True), (None, None)]:
        if pair[0] is not None and pair[1] is not None:
            run.append((pair[0], pair[1]))
        elif run:
            pieces.append(path([high for _, high in run] + [low for low, _ in reversed(run)]) + "Z")
            run = []
    return tag("path", class_=f"u-band {style}", d="".join(pieces)) if pieces else Markup("")


def _scales(chart: LineChart, label: str, box: tuple[float, float, float, float]) -> tuple[Scale, Scale]:
    """The x and y scale for everything the chart shows."""
    left, top, right, bottom = box
    x = Scale.around([v for s in chart.series for v in xs_of(s, label)], left, right, chart.x_log)
    seen: list[float | None] = [value for _, value in chart.references]
    for series in chart.series:
        for values in (series.ys, series.low, series.high):
            seen += [] if values is None else list(values)
    if chart.y_range is not None:
        return x, Scale.around(chart.y_range, bottom, top, chart.y_log)
    return x, Scale.around(seen, bottom, top, chart.y_log, pad=0.04)


def _outside(y: Scale, value: float) -> float:
    """The px of a value kept within the plot, for labels of lines that leave it."""
    return max(min(y(value), max(y.start, y.stop)), min(y.start, y.stop))


def draw_lines(chart: LineChart, width: float, label: str | None = None) -> Picture:
    """The chart over the x vector called `label` (the first, if None)."""
    label = label or x_labels(chart)[0]
    height, top, left = (300.0, 34.0, 46.0) if width < NARROW else (400.0, 36.0, 56.0)
    names = [s.name for s in chart.series] + [name for name, _ in chart.references]
    room, limit = label_room(names, width)
    right, bottom = width - room, height - 48
    x, y = _scales(chart, label, (left, top, right, bottom))
    bands, curves, ends, absent = [], [], [], []
    for index, series in enumerate(chart.series):
        style = f"u-s{index % STYLES}"
        xs, kept = xs_of(series, label), thin(series.ys, 110 if width < NARROW else 220)
        points = _points(xs, series.ys, kept, x, y)
        drawn = [point for point in points if point is not None]
        if not drawn:
            absent.append(series.name)
            continue
        bands.append(_band(series, xs, kept, x, y, style))
        title = tag("title", series.name)
        curves.append(tag("path", title, class_=f"u-line {style}", d=path(points), data_name=series.name))
        last = next(point for point in reversed(points) if point is not None)
        if len(drawn) == 1:
            curves.append(dots(*last, f"u-dot {style}"))
        ends.append(End(series.name, last[0], max(min(last[1], bottom), top), style))
    levels = []
    for name, value in chart.references:
        if y.holds(value):
            levels.append(line(left, _outside(y, value), right, _outside(y, value), "u-level"))
            ends.append(End(name, right, _outside(y, value), "u-level"))
    # The inner svg cuts off what leaves the plot, without an id that two charts of one page could share.
    inside = tag(
        "svg",
        *bands,
        *levels,
        *curves,
        x=px(left),
        y=px(top),
        width=px(right - left),
        height=px(bottom - top),
        viewBox=f"{px(left)} {px(top)} {px(right - left)} {px(bottom - top)}",
    )
    note = missing(absent) if chart.series else "No lines to draw."
    body = join(
        y_axis(y, left, right, chart.y_label, width),
        x_axis(x, bottom, label, width),
        inside,
        end_labels(ends, right, top, bottom, limit),
        words(left + 8, bottom - 12, note, "u-tick u-row") if note else "",
    )
    data = {"x": _spoken(x), "y": _spoken(y), "label": label}
    return Picture(width, height, describe(chart, label), body, data)


def _spoken(scale: Scale) -> str:
    """A scale as the five numbers chart.js undoes it with."""
    return f"{scale.low!r} {scale.high!r} {px(scale.start)} {px(scale.stop)} {int(scale.log)}"


def describe(chart: LineChart, label: str) -> str:
    """The chart in words, for who listens to it: what over what, and where each line ends."""
    ends = []
    for series in chart.series:
        last = next((v for v in reversed(series.ys) if v is not None and math.isfinite(v)), None)
        ends.append(
            f"{series.name} " + (f"ends at {number(last)}" if last is not None else "has no finite values")
        )
    ends += [f"{name} stands at {number(value)}" for name, value in chart.references]
    what = chart.title or "Line chart"
    return f"{what}: {chart.y_label} by {label}. " + ("; ".join(ends) + "." if ends else "Nothing to draw.")
