"""One door to every chart: `svg(chart)` for a file of its own, `draw` for a page."""

from __future__ import annotations

from unrolled.errors import UserError
from unrolled.report.frame import Picture
from unrolled.report.heat import draw_heatmap, draw_hidden
from unrolled.report.intervals import draw_intervals
from unrolled.report.kinds import Chart, Heatmap, HiddenLines, IntervalChart, LineChart, Scatter, Tune
from unrolled.report.lines import draw_lines, x_labels
from unrolled.report.roll import draw_roll
from unrolled.report.scatter import draw_scatter

WIDE, TELEPHONE = 960.0, 360.0  # px: a page holds both forms of a chart and shows the one that fits


def draw(chart: Chart, width: float, x: str | None = None) -> Picture:
    """The chart `width` px wide; `x` picks a line chart's x vector by its label."""
    match chart:
        case LineChart():
            return draw_lines(chart, width, x)
        case IntervalChart():
            return draw_intervals(chart, width)
        case Tune():
            return draw_roll(chart, width)
        case Heatmap():
            return draw_heatmap(chart, width)
        case HiddenLines():
            return draw_hidden(chart, width)
        case Scatter():
            return draw_scatter(chart, width)


def svg(chart: Chart, width: float = 720, x: str | None = None) -> str:
    """The chart as the text of an .svg file: no script, no fetch, dark where the reader's system is dark.

    `width` in px, at least 240; below 600 the telephone form. `x`: label of a line chart's x vector (the first if None).
    Raises UserError for a label that the chart doesn't have.
    """
    if width < 240:
        raise UserError(f"a chart {width:g} px wide can't be read: give at least 240")
    if x is not None and isinstance(chart, LineChart) and x not in x_labels(chart):
        raise UserError(f"this chart has no x vector {x!r}; it has: {', '.join(x_labels(chart))}")
    return draw(chart, width, x).standalone()
