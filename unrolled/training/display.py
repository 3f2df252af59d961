"""What a notebook shows: of a run its score beside the baseline and how it learnt, of answers how likely each is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unrolled.report import LineChart, Series, svg
from unrolled.report.markup import Markup, join, shorten, tag

if TYPE_CHECKING:
    from unrolled.training.predict import Predictions
    from unrolled.training.run import Run

ROWS = 20  # of answers that are shown
CLASSES = 8  # with a column each; of more the likeliest are named
LIKELIEST = 3
LETTERS = 120  # of a cell


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


def answered(predictions: Predictions) -> str:
    """The first rows as a table: their columns, the answer, and of classes how likely each is, the likeliest three of
    many; every text escaped, nothing but HTML.
    """
    rows = predictions.rows[:ROWS]
    if not rows:
        return str(tag("p", f"{predictions.count:,} answers in {predictions.written or 'no file'}"))
    heads = [name for name in rows[0] if not _chance(name)]
    classes = [name for name in rows[0] if _chance(name)]
    many = len(classes) > CLASSES
    beside = ["probability"] if many else [_class(name) for name in classes]
    made = []
    for row in rows:
        cells = [tag("td", shorten(_said(row.get(name)), LETTERS)) for name in heads]
        best = sorted(classes, key=lambda name: -_share(row.get(name)))
        if many:
            said = ", ".join(f"{_class(name)} {_share(row.get(name)):.0%}" for name in best[:LIKELIEST])
            cells.append(tag("td", said))
        else:
            cells += [_cell(_share(row.get(name)), name == best[0]) for name in classes]
        made.append(tag("tr", *cells))
    head = tag("tr", *(tag("th", name, scope="col") for name in (*heads, *beside)))
    more = predictions.count - len(rows)
    rest = tag(
        "p",
        f"and {more:,} more"
        if predictions.written is None
        else f"and {more:,} more in {predictions.written}",
    )
    return str(tag("div", tag("table", tag("thead", head), tag("tbody", *made)), rest if more > 0 else ""))


def _chance(name: str) -> bool:
    return name.startswith("p(") and name.endswith(")")


def _class(name: str) -> str:
    return name[2:-1]


def _share(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _said(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(share: float, best: bool) -> Markup:
    """A probability with a bar behind it as long as it is."""
    bar = (
        f"background: linear-gradient(to right, rgba(10, 95, 165, 0.25) {share:.1%}, transparent {share:.1%})"
    )
    return tag("td", tag("b", f"{share:.1%}") if best else f"{share:.1%}", style=bar)
