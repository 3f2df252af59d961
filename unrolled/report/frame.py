"""What charts share: the picture itself, axes with ticks, names at the ends of lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from unrolled.report.markup import Markup, columns, join, shorten, tag
from unrolled.report.scale import Scale, labels

LETTER = 6.9  # px: an average letter at the charts' 12.5 px, a little generous
BOLD = 7.7  # px: a letter of a bold name
NARROW = 600  # px: below this a chart draws its telephone form
STYLES = 8  # line styles in chart.css: a colour and a dash each


def asset(name: str) -> str:
    """A file of the package's `assets`, as text."""
    return (files("unrolled.report") / "assets" / name).read_text(encoding="utf-8")


def px(value: float) -> str:
    """A coordinate with one decimal at most: half the bytes, and the same on every machine."""
    written = f"{value:.1f}".removesuffix(".0")
    return "0" if written == "-0" else written


@dataclass(frozen=True)
class Picture:
    """A drawn chart: its size in px, what it says in words, its markup, and numbers for the hover (`data-` attributes)."""

    width: float
    height: float
    label: str
    body: Markup
    data: Mapping[str, str] = field(default_factory=dict)

    def _svg(self, content: Markup, **attributes: object) -> Markup:
        return tag(
            "svg",
            tag("title", self.label),
            content,
            class_="u-chart",
            role="img",
            aria_label=self.label,
            viewBox=f"0 0 {px(self.width)} {px(self.height)}",
            **attributes,
        )

    def inline(self, class_: str) -> Markup:
        """The SVG element for a page that holds chart.css already."""
        data = {f"data_{key}": value for key, value in self.data.items()}
        return tag("div", self._svg(self.body, **data), class_=class_)

    def standalone(self) -> str:
        """A whole .svg file: with the style sheet, its own paper, light or dark as the reader's system is."""
        paper = tag("rect", class_="u-paper", width="100%", height="100%")
        style = Markup(f"<style>{asset('chart.css')}</style>")
        size = {"width": px(self.width), "height": px(self.height)}
        return (
            str(self._svg(join(style, paper, self.body), xmlns="http://www.w3.org/2000/svg", **size)) + "\n"
        )


def words(
    x: float, y: float, text: object, class_: str = "u-tick", anchor: str | None = None, full: str = ""
) -> Markup:
    """A line of text at (x, y); `full` is what a shortened one says on hover."""
    hint = tag("title", full) if full and full != text else Markup("")
    return tag("text", text, hint, class_=class_, x=px(x), y=px(y), text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", class_=class_, x1=px(x1), y1=px(y1), x2=px(x2), y2=px(y2))


def x_axis(scale: Scale, y: float, label: str, width: float, grid_from: float | None = None) -> Markup:
    """The lower axis: ticks under `y`, its label at the right below; grid lines up to `grid_from` where given."""
    parts = [line(scale.start, y, scale.stop, y, "u-axis")]
    room = -1e9
    ticks = scale.ticks(4 if width < NARROW else 7)
    for value, text in zip(ticks, labels(ticks), strict=True):
        at = scale(value)
        half = columns(text) * LETTER / 2
        if grid_from is not None:
            parts.append(line(at, y, at, grid_from, "u-grid"))
        parts.append(line(at, y, at, y + 4, "u-axis"))
        if at - half > room:
            parts.append(words(at, y + 18, text, anchor="middle"))
            room = at + half + 6
    parts.append(
        words(scale.stop, y + 36, shorten(label, int(width / LETTER * 0.92)), "u-name", "end", label)
    )
    return join(*parts)


def y_axis(scale: Scale, left: float, right: float, label: str, width: float) -> Markup:
    """The left axis: level grid lines with their numbers, the label written level above them."""
    parts = []
    ticks = scale.ticks(5)
    for value, text in zip(ticks, labels(ticks), strict=True):
        at = scale(value)
        parts += [line(left, at, right, at, "u-grid"), words(left - 8, at + 4, text, anchor="end")]
    top = min(scale.start, scale.stop)
    parts.append(words(4, top - 14, shorten(label, int(width / LETTER * 0.9)), "u-name", full=label))
    return join(*parts)


def spread(wanted: Sequence[float], low: float, high: float, gap: float) -> list[float]:
    """Places near `wanted`, at least `gap` apart where [low, high] has the room for it, in the same order."""
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    places = [0.0] * len(wanted)
    # Blocks of touching labels, each centred on the mean of what its labels want: the least total shift.
    blocks: list[tuple[float, list[int]]] = []
    for i in order:
        block = (wanted[i], [i])
        while blocks and _top(block, gap, low, high) < _top(blocks[-1], gap, low, high) + gap * len(
            blocks[-1][1]
        ):
            centre, members = blocks.pop()
            both = members + block[1]
            mean = (centre * len(members) + block[0] * len(block[1])) / len(both)
            block = (mean, both)
        blocks.append(block)
    for block in blocks:
        first = _top(block, gap, low, high)
        for place, i in enumerate(block[1]):
            places[i] = first + gap * place
    return places


def _top(block: tuple[float, list[int]], gap: float, low: float, high: float) -> float:
    """Where the first label of a block stands, the whole block kept within [low, high]."""
    extent = gap * (len(block[1]) - 1)
    return max(low, min(block[0] - extent / 2, high - extent))


@dataclass(frozen=True)
class End:
    """Where a line ends (px), under which name and style."""

    name: str
    x: float
    y: float
    style: str


def end_labels(ends: Sequence[End], x: float, low: float, high: float, limit: int) -> Markup:
    """Names right of `x`, kept apart between `low` and `high`, each tied to its line's end, which may lie further left."""
    places = spread([end.y for end in ends], low, high, 15.0)
    parts = []
    for end, place in zip(ends, places, strict=True):
        early = end.x < x - 3
        if early:
            parts += [
                dots(end.x, end.y, f"u-dot {end.style}", 3),
                line(end.x + 4, end.y, x, end.y, f"u-lead {end.style}"),
            ]
        if early or abs(place - end.y) > 2:
            parts.append(line(x + 2, end.y, x + 9, place, f"u-tie {end.style}"))
        parts.append(words(x + 12, place + 4, shorten(end.name, limit), f"u-end {end.style}", full=end.name))
    return join(*parts)


def label_room(names: Sequence[str], width: float) -> tuple[float, int]:
    """The px to keep free on the right for names at line ends, and how many letters fit there."""
    limit = 12 if width < NARROW else 26
    longest = max((columns(shorten(name, limit)) for name in names), default=0.0)
    return 18 + longest * BOLD, limit


def dots(x: float, y: float, class_: str, radius: float = 4.0, hint: str = "") -> Markup:
    """A dot, with its value in words on hover."""
    return tag("circle", tag("title", hint) if hint else "", class_=class_, cx=px(x), cy=px(y), r=px(radius))


def missing(names: Sequence[str]) -> str:
    """The note for lines that couldn't be drawn."""
    return f"No finite values to draw: {', '.join(names)}." if names else ""
