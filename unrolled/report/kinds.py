"""What a report is made of: plain data, one small frozen class for each kind of section.

Every `title` becomes a heading (and a line in the contents); an empty one lets the section flow on below the previous.
Every text is shown as it is: nothing in it is read as markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Cell = str | int | float | None
Numbers = Sequence[float]


@dataclass(frozen=True)
class Sentence:
    """Prose; blank lines part paragraphs."""

    text: str
    title: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first column names the row. Floats get equal decimals down a column, numbers stand right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    title: str = ""
    # The row that stands out, marked `highlight_label` for who can't see the colour.
    highlight: int | None = None
    highlight_label: str = "best"
    muted: Sequence[int] = ()  # rows beside the race: a baseline's line
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Series:
    """One line. `xs` is one vector, or several by axis label ("seconds", "steps", "tokens") to switch between.
    NaN, None or infinity in `ys` is a gap; `low` and `high` draw a band.
    """

    name: str
    xs: Numbers | Mapping[str, Numbers]
    ys: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None


@dataclass(frozen=True)
class LineChart:
    """Lines with their names at their ends; `references` are level lines (a baseline's score)."""

    series: Sequence[Series]
    y_label: str
    x_label: str = "step"  # used where the series' `xs` is one vector
    title: str = ""
    caption: str = ""
    x_log: bool = False
    y_log: bool = False
    y_range: tuple[float, float] | None = None
    references: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class IntervalRow:
    """One competitor: a dot for each seed, a bar from `low` to `high`, a tick at `centre` (the dots' mean if None)."""

    name: str
    values: Sequence[float]
    low: float | None = None
    high: float | None = None
    centre: float | None = None


@dataclass(frozen=True)
class IntervalChart:
    """Rows of dots and intervals on one axis; `references` are upright lines."""

    rows: Sequence[IntervalRow]
    x_label: str
    title: str = ""
    caption: str = ""
    highlight: int | None = None
    references: Sequence[tuple[str, float]] = ()
    x_log: bool = False


@dataclass(frozen=True)
class Tune:
    """A piano roll that plays. `notes` are (start in s, length in s, MIDI pitch); `bars` the times of the bar lines;
    `wav` the bytes of a WAV file, embedded for who wants the very file (or has no WebAudio).
    """

    name: str
    notes: Sequence[tuple[float, float, int]]
    abc: str = ""
    wav: bytes | None = field(default=None, repr=False)
    bars: Sequence[float] = ()
    title: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Sample:
    """Text that a model wrote; `prompt` is what it was given."""

    text: str
    prompt: str = ""
    title: str = ""
    caption: str = ""


@dataclass(frozen=True)
class ColouredText:
    """A text whose pieces carry a number each, -1 ... 1: how strongly its ground is coloured, one way or the other. NaN and
    None are plain. low, high: what the two ends of the scale mean.
    """

    tokens: Sequence[str]
    values: Sequence[float | None]
    low: str = "-1"
    high: str = "1"
    title: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Code:
    """A command or program to copy."""

    text: str
    title: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Definitions:
    """Terms and values (configuration, environment, command), with an optional third: where the value came from."""

    items: Sequence[tuple[str, Cell] | tuple[str, Cell, str]]
    title: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Cards:
    """Questions that show their answers when they are opened."""

    items: Sequence[tuple[str, str]]
    title: str = ""


@dataclass(frozen=True)
class Heatmap:
    """A matrix as colours, row 0 on top. `diverging` centres the colours on zero. NaN and None are grey."""

    values: Sequence[Sequence[float | None]]
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    title: str = ""
    caption: str = ""
    row_label: str = ""
    column_label: str = ""
    low: float | None = None
    high: float | None = None
    diverging: bool = False


@dataclass(frozen=True)
class HiddenLines:
    """Many thin lines, `values[unit][step]`, over the tokens read; the units in `marked` stand out under their names."""

    values: Sequence[Sequence[float | None]]
    tokens: Sequence[str] = ()
    marked: Mapping[int, str] = field(default_factory=dict)
    y_label: str = "activation"
    x_label: str = "position"
    title: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Dot:
    """One point of a scatter plot; those of one `group` share a colour, those of none ("") are grey."""

    name: str
    x: float
    y: float
    group: str = ""


@dataclass(frozen=True)
class Scatter:
    """Named points. Names stand beside their dots as far as there is room, the first points' first; hover tells the rest.

    written: each point is drawn as its name, without a dot: for names of a letter or two.
    """

    points: Sequence[Dot]
    x_label: str
    y_label: str
    title: str = ""
    caption: str = ""
    written: bool = False


Chart = LineChart | IntervalChart | Tune | Heatmap | HiddenLines | Scatter
Section = Sentence | Table | Sample | ColouredText | Code | Definitions | Cards | Chart
