"""Reports: one self-contained HTML page, or one SVG picture, from plain data: no torch, no network."""

from unrolled.report.draw import svg
from unrolled.report.kinds import (
    Cards,
    Cell,
    Chart,
    Code,
    Definitions,
    Dot,
    Heatmap,
    HiddenLines,
    IntervalChart,
    IntervalRow,
    LineChart,
    Sample,
    Scatter,
    Section,
    Sentence,
    Series,
    Table,
    Tune,
)
from unrolled.report.page import page, write

__all__ = [
    "Cards",
    "Cell",
    "Chart",
    "Code",
    "Definitions",
    "Dot",
    "Heatmap",
    "HiddenLines",
    "IntervalChart",
    "IntervalRow",
    "LineChart",
    "Sample",
    "Scatter",
    "Section",
    "Sentence",
    "Series",
    "Table",
    "Tune",
    "page",
    "svg",
    "write",
]
