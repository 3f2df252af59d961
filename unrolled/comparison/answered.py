"""The page of a run that answers rows: the score beside its rivals, what it confuses with what, and how it learned."""

from __future__ import annotations

from typing import Any

from unrolled.comparison import sections as parts
from unrolled.comparison.foretold import foretold
from unrolled.report import Cell, Definitions, Heatmap, LineChart, Section, Series, Table, page
from unrolled.training.run import Run

SQUARE = 30  # classes up to which the confusions are drawn


def answered_page(run: Run) -> str:
    """`report.html` of a finished or stopped run."""
    body = [*_score(run), *_classes(run), *foretold(run), *_curves(run)]
    body.append(
        Definitions(parts.settings(run), title="Settings", caption="Each value, and where it came from.")
    )
    command = (run.path / "command.txt").read_text(encoding="utf-8").strip()
    body += [parts.environment(run), parts.command(command)]
    return page(f"Unrolled · {run.name}", _lead(run), body)


def _lead(run: Run) -> str:
    if run.test is None:
        return f"{run.kind} on {run.data}: stopped at step {run.step}."
    return f"{run.kind} on {run.data}: {run.test['unit']} {run.test['value']:.3f} on {_unseen(run)}. {run.verdict}"


def _unseen(run: Run) -> str:
    return "times it has never seen" if run.recipe.task == "forecast" else "rows it has never seen"


def _score(run: Run) -> list[Section]:
    """Every measure of the model and of its rivals."""
    if run.test is None or run.baseline is None or run.naive is None:
        return []
    shown = [name for name, value in run.test["values"].items() if value is not None]
    rows: list[list[Cell]] = []
    for name, score in (
        (run.kind, run.test),
        (run.baseline["name"], run.baseline),
        (run.naive["name"], run.naive),
    ):
        low, high = score["interval"]
        others: list[Cell] = [
            score["values"].get(measure) for measure in shown if measure != score["primary"]
        ]
        rows.append([name, score["value"], f"{low:.3f} – {high:.3f}", *others])
    heads = [name.replace("_", " ") for name in shown if name != run.test["primary"]]
    return [
        Table(
            ["model", run.test["unit"], "95 % interval", *heads],
            rows,
            f"On {run.test['items']} held-out rows.",
            title="Score",
            highlight=0 if run.verdict.startswith("Better") else None,
            muted=range(1, len(rows)),
            notes=(f"{run.parameters:,} weights.", *run.test["notes"]),
        )
    ]


def _classes(run: Run) -> list[Section]:
    """Where there are classes: each one's figures, and which are taken for which."""
    classes: list[dict[str, Any]] = (run.test or {}).get("classes", [])
    if not classes:
        return []
    rows: list[list[Cell]] = [
        [c["name"], c["precision"], c["recall"], c["f1"], c["support"]] for c in classes
    ]
    found: list[Section] = [
        Table(["class", "precision", "recall", "F1", "rows"], rows, "Of the held-out rows.", title="Classes")
    ]
    confusion = (run.test or {}).get("confusion")
    if confusion and len(classes) <= SQUARE:
        names = [c["name"] for c in classes]
        share = [[count / max(sum(row), 1) for count in row] for row in confusion]
        found.append(
            Heatmap(
                share, names, names, title="What is taken for what", caption="The share of each class's rows.",
                row_label="is", column_label="is said to be", low=0.0, high=1.0,
            )
        )  # fmt: skip
    return found


def _curves(run: Run) -> list[Section]:
    losses = [(row["step"], row["loss"]) for row in run.metrics if "loss" in row]
    scores = [(row["step"], row["valid"]) for row in run.metrics if "valid" in row]
    series = [
        Series(name, {"steps": [float(step) for step, _ in points]}, [value for _, value in points])
        for name, points in (("training", losses), ("held out", scores))
        if points
    ]
    return [LineChart(series, "loss (less is better)", title="How it learned")] if series else []
