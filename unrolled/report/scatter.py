"""Named points in a plane, their names placed so that none lies on another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unrolled.report.frame import LETTER, NARROW, STYLES, Picture, dots, words, x_axis, y_axis
from unrolled.report.heat import visible
from unrolled.report.kinds import Dot, Scatter
from unrolled.report.markup import Markup, columns, join, shorten
from unrolled.report.scale import Scale, finite, number

LETTERS = 16  # of a name at most
TALL = 14.0  # px: a line of text
PLAIN = "u-s6"  # the style of points of no group


@dataclass(frozen=True)
class Box:
    """A rectangle in px."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two share a point."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


@dataclass(frozen=True)
class Label:
    """A name and where it stands: the box, and the point its text is anchored at."""

    text: str
    box: Box
    x: float
    y: float
    anchor: str


def around(text: str, x: float, y: float, gap: float) -> list[Label]:
    """The places of a name beside a dot at (x, y), the best first: right, left, above, below, and the corners."""
    wide = columns(text) * LETTER
    found = []
    for side, level in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
        middle = y + level * (gap + TALL / 2 if side == 0 else gap + 2)
        left = x - wide / 2 if side == 0 else x + gap if side > 0 else x - gap - wide
        at, anchor = (x, "middle") if side == 0 else (x + side * gap, "start" if side > 0 else "end")
        box = Box(left, middle - TALL / 2, left + wide, middle + TALL / 2)
        found.append(Label(text, box, at, middle + 4, anchor))
    return found


def placed(
    names: Sequence[str], at: Sequence[tuple[float, float]], frame: Box, radius: float
) -> list[Label | None]:
    """A label for each dot, in order of their rank, or None where there is no room: within the frame, on no other
    label, and on no other dot.
    """
    free_of = radius + 1.5  # rings are drawn a little larger than dots
    marks = [Box(x - free_of, y - free_of, x + free_of, y + free_of) for x, y in at]
    taken: list[Box] = []
    found: list[Label | None] = []
    for rank, (name, (x, y)) in enumerate(zip(names, at, strict=True)):
        free = (
            label
            for label in around(name, x, y, radius + 3)
            if frame.left <= label.box.left
            and label.box.right <= frame.right
            and frame.top <= label.box.top
            and label.box.bottom <= frame.bottom
            and not any(label.box.meets(box) for box in taken)
            and not any(label.box.meets(mark) for other, mark in enumerate(marks) if other != rank)
        )
        label = next(free, None)
        taken += [] if label is None else [label.box]
        found.append(label)
    return found


def styles(points: Sequence[Dot]) -> dict[str, str]:
    """Group -> style, in the order in which groups come up: a colour each, and rings once the colours are used up."""
    groups = [group for group in dict.fromkeys(point.group for point in points) if group]
    coloured = [f"u-s{i}" for i in range(STYLES) if f"u-s{i}" != PLAIN]
    ringed = [f"u-mid u-ring {style}" for style in coloured]
    kinds = [f"u-dot {style}" for style in coloured] + ringed
    return {"": f"u-dot {PLAIN}"} | {group: kinds[i % len(kinds)] for i, group in enumerate(groups)}


def draw_scatter(chart: Scatter, width: float) -> Picture:
    """The points with a key to the groups above them, unless the points are written and so name themselves."""
    narrow = width < NARROW
    height, left, radius = (380.0, 46.0, 2.6) if narrow else (560.0, 56.0, 3.6)
    of = styles(chart.points)
    key, top = _key([group for group in of if group and not chart.written], of, left, width)
    right, bottom = width - 12, height + top - 48
    shown = [p for p in chart.points if len(finite((p.x, p.y))) == 2]
    x = Scale.around([p.x for p in shown], left, right, pad=0.05)
    y = Scale.around([p.y for p in shown], bottom, top, pad=0.05)
    at = [(x(p.x), y(p.y)) for p in shown]
    names = [shorten(visible(p.name), LETTERS) for p in shown]
    marks, labels = [], []
    frame = Box(left + 2, top, right, bottom - 2)
    free = [None] * len(shown) if chart.written else placed(names, at, frame, radius)
    for point, name, (px_x, px_y), label in zip(shown, names, at, free, strict=True):
        style, hint = of[point.group], f"{point.name}{f' ({point.group})' if point.group else ''}"
        colour = style.rpartition(" ")[2]
        if chart.written:
            marks.append(words(px_x, px_y + 4, name, f"u-row {colour}", "middle", hint))
            continue
        marks.append(dots(px_x, px_y, style, radius, hint))
        if label is not None:
            labels.append(words(label.x, label.y, label.text, f"u-row {colour}", label.anchor, point.name))
    parts = [
        y_axis(y, left, right, chart.y_label, width),
        x_axis(x, bottom, chart.x_label, width),
        *marks,
        *labels,
    ]
    if not shown:
        parts.append(words(left + 8, bottom - 12, "No points to draw.", "u-tick"))
    return Picture(width, height + top, describe(chart, shown), join(key, *parts))


def _key(groups: Sequence[str], of: dict[str, str], left: float, width: float) -> tuple[Markup, float]:
    """The names of the groups in rows above the plot, and where the plot begins below them."""
    parts: list[Markup] = []
    x, y = left, 14.0
    for group in groups:
        text = shorten(group, 24)
        wide = columns(text) * LETTER + 28
        if x + wide > width and x > left:
            x, y = left, y + 18
        parts += [dots(x + 5, y - 4, of[group]), words(x + 14, y, text, "u-tick", full=group)]
        x += wide
    return join(*parts), (y + 40 if groups else 36.0)


def describe(chart: Scatter, shown: Sequence[Dot]) -> str:
    """The plot in words: how many points, and where each group's middle lies."""
    said = []
    for group in dict.fromkeys(point.group for point in shown if point.group):
        mine = [point for point in shown if point.group == group]
        middle = (sum(p.x for p in mine) / len(mine), sum(p.y for p in mine) / len(mine))
        said.append(f"{group}: {len(mine)} about ({number(middle[0])}, {number(middle[1])})")
    what = f"{chart.title or 'Scatter plot'}: {len(shown)} points, {chart.y_label} by {chart.x_label}."
    return f"{what} {'; '.join(said)}." if said else what
