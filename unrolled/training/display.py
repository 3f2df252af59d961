"""What a notebook shows of a run: its score beside the baseline, and how it learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unrolled.report import LineChart, Series, svg
from unrolled.report.markup import Markup, join, tag

if TYPE_CHECKING:
    from unrolled.training.run import Run


def shown(run: Run) -> str:
    """HTML without a script: a table and a curve, every text escaped."""
    said = [("run", run.name), ("model", f"{run.kind} on {run.data}, {run.parameters:,} weights")]
    if run.score is not None:
        interval = (run.test or run.valid or {}).get("interval")
        between = " ({:.4f} to {:.4f})".format(*interval) if interval else ""
        said.append((run.unit, f"{run.score:.4f}{between}, {run.better} is better"))
    if run.baseline is not None:
        said.append((run.baseline["name"], f"{run.baseline['value']:.4f}"))
    if run.verdict:
        said.append(("verdict", run.verdict))
    rows = [tag("tr", tag("th", name, scope="row"), tag("td", text)) for name, text in said]
    return str(tag("div", tag("table", tag("tbody", join(*rows))), _curve(run)))


def _curve(run: Run) -> Markup:
    """Validation by step; nothing of a run that hasn't been scored twice."""
    try:
        points = [(row["step"], row["valid"]) for row in run.metrics if "valid" in row]
    except OSError:
        return Markup("")
    if len(points) < 2:
        return Markup("")
    steps, values = zip(*points, strict=True)
    return Markup(svg(LineChart([Series("validation", steps, values)], "what training lowers")))
