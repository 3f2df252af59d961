"""Reports: of one run, and of a comparison. Everything in them is read from the run folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrolled.comparison import sections as parts
from unrolled.comparison.answered import answered_page
from unrolled.comparison.composing import Composition, compose
from unrolled.comparison.result import Comparison, Row
from unrolled.report import (
    Cell,
    Code,
    Definitions,
    IntervalChart,
    IntervalRow,
    LineChart,
    Section,
    Sentence,
    Table,
    page,
    svg,
    write,
)
from unrolled.training.run import Run

FEW = 8  # tunes that a report lets its model compose
LOSS = "loss (less is better)"
BITS = "bits per character (less is better)"
INTERVAL = "95 % interval"


def write_run(run: Run, tunes: int = FEW) -> Path:
    """Writes `report.html` into a finished run's folder: curves, score beside the baseline, a sample, settings.

    `tunes`: how many are composed, where the data is music, to find one to play; 0 for none. Raises RunFailed.
    """
    if run.recipe.task != "generate":
        return write(run.path / "report.html", answered_page(run))
    composition = None
    if tunes:
        model = run.model()
        composition = compose(model, tunes) if model.task.music else None
    return write(run.path / "report.html", run_page(run, composition))


def run_page(run: Run, composition: Composition | None) -> str:
    """The page of one run."""
    body: list[Section] = []
    hero = parts.tune(composition, composition.said + ".") if composition else None
    body += [hero] if hero else []
    body += _score(run)
    body += _curves(run)
    sample = parts.latest_sample(run)
    body += [sample] if sample else []
    body.append(
        Definitions(parts.settings(run), title="Settings", caption="Each value, and where it came from.")
    )
    body += [parts.environment(run), parts.command(_command(run))]
    return page(f"Unrolled · {run.name}", _lead(run), body)


def _lead(run: Run) -> str:
    if run.test is None:
        return f"{run.kind} on {run.data}: stopped at step {run.step}."
    score = f"{run.kind} on {run.data}: {run.test['bits_per_character']:.3f} bits per character on text it has never seen."
    return f"{score} {run.verdict}"


def _score(run: Run) -> list[Section]:
    """The score beside its baselines."""
    if run.test is None or run.baseline is None:
        return []
    rows: list[list[Cell]] = []
    for name, score in ((run.kind, run.test), (run.baseline["name"], run.baseline), _naive(run)):
        if score:
            low, high = score["interval"]
            rows.append(
                [name, score["bits_per_character"], f"{low:.3f} – {high:.3f}", score["bits_per_byte"]]
            )
    table = Table(
        ["model", "bits per character", "95 % interval", "bits per byte"],
        rows,
        f"On {run.test['documents']} held-out documents, every token scored once. Less is better.",
        title="Score",
        highlight=0 if run.test["interval"][1] < run.baseline["bits_per_character"] else None,
        muted=range(1, len(rows)),
        notes=(f"{run.parameters:,} weights; each token was given {run.test['context']}.",),
    )
    return [table]


def _naive(run: Run) -> tuple[str, dict[str, Any] | None]:
    return (str(run.naive["name"]), run.naive) if run.naive else ("", None)


def _curves(run: Run) -> list[Section]:
    series = [s for s in (parts.validation_curve([run], "held out"), parts.training_curve(run)) if s]
    if not series:
        return []
    level = run.baseline["bits_per_character"] if run.baseline else 0.0
    chart = LineChart(
        series,
        BITS,
        title="How it learned",
        references=((str(run.baseline["name"]), level),) if run.baseline else (),
        y_range=parts.y_range(series, level or 1.0),
    )
    return [chart]


def _command(run: Run) -> str:
    return (run.path / "command.txt").read_text(encoding="utf-8").strip()


def write_comparison(
    comparison: Comparison,
    composition: Composition | None = None,
    wav: bytes | None = None,
    sentence: str = "",
) -> Path:
    """Writes `report.html`, and its charts as `scores.svg` and `learning.svg`, into the comparison's folder, and a
    report into each member's. Raises RunFailed.

    `composition` is the tune on the first screen; without one the best member composes it, where the data is music.
    `sentence`: the one on the first screen.
    """
    for row in comparison.rows:
        for run in finished(comparison, row):
            write_run(run, tunes=0)
    if composition is None and comparison.best and not comparison.answers:
        model = Run.at(comparison.best_run).model()
        composition = compose(model, FEW) if model.task.music else None
    for name, chart in (("scores", _intervals(comparison)), ("learning", _learning(comparison))):
        if chart is not None:
            write(comparison.path / f"{name}.svg", svg(chart))
    return write(comparison.path / "report.html", comparison_page(comparison, composition, wav, sentence))


def finished(comparison: Comparison, row: Row) -> list[Run]:
    """The runs of a row that came to their end."""
    runs = [Run.at(comparison.path / name) for name in row.runs if name]
    return [run for run in runs if run.finished]


def comparison_page(
    comparison: Comparison, composition: Composition | None, wav: bytes | None = None, sentence: str = ""
) -> str:
    """The page of a comparison."""
    body: list[Section] = []
    if composition and comparison.best:
        writer = Run.at(comparison.best_run).kind
        hero = parts.tune(composition, f"Composed by the {writer}: {composition.said}.", wav)
        body += [hero] if hero else []
    body += [_table(comparison)]
    body += [chart for chart in (_intervals(comparison), _learning(comparison)) if chart is not None]
    if comparison.best:
        best = Run.at(comparison.best_run)
        sample = parts.latest_sample(best)
        body += [sample] if sample else []
        body += [_differences(comparison), parts.environment(best)]
    body.append(Code(comparison.command, title="Repeat it"))
    return page(f"Unrolled · {comparison.name}", sentence or lead(comparison), body)


def lead(comparison: Comparison) -> str:
    """One sentence."""
    if comparison.verdict:
        return comparison.verdict
    first = comparison.ranked[0]
    if first.mean is None:
        return "No member of this race came to its end."
    b, shown = comparison.baseline, comparison.shown
    if comparison.answers:
        return (
            f"After {comparison.budget} each, {first.kind} comes to {comparison.measure} {shown(first.mean)} on rows it "
            f"has never seen, the {b.name} to {shown(b.mean)}: a glimpse, not a verdict."
        )
    return (
        f"After {comparison.budget} each, {first.kind} needs {first.mean:.2f} bits for a character of text it has never "
        f"seen, the {b.name} {b.mean:.2f}: a glimpse, not a verdict."
    )


def _table(comparison: Comparison) -> Table:
    per_byte, answers = ["bits per byte", INTERVAL] if comparison.in_bytes else [], comparison.answers
    columns = [
        "model", comparison.measure, INTERVAL, *per_byte, *comparison.beside, "best run", "weights", "of the core", "width",
        "answers / s" if answers else "tokens / s", "seconds", "steps", "epochs", "reads" if answers else "feeding",
        "state, bytes",
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    for row in comparison.ranked:
        speed = None if row.tokens_per_second is None else round(row.tokens_per_second)
        seconds = None if row.seconds is None else round(row.seconds, 1)
        rows.append([
            row.kind, *_scored(comparison, row.mean, row.low, row.high, row.beside), row.best, row.parameters, row.core,
            row.width, speed, seconds, round(row.steps), round(row.epochs, 1), row.feeding, row.state_bytes,
        ])  # fmt: skip
    for rival in comparison.rivals:
        scored = _scored(comparison, rival.mean, rival.low, rival.high, rival.beside)
        rows.append([rival.name, *scored, *[None] * 8, None if answers else "counts", None])
    ranked = [row.kind for row in comparison.ranked]
    seeds = "one seed" if comparison.seeds == 1 else f"{comparison.seeds} seeds"
    return Table(
        columns,
        rows,
        f"{comparison.data}, {comparison.budget} each, {seeds}, all of about {comparison.parameters:,} weights. "
        f"{_better(comparison).capitalize()}.",
        title="The race",
        highlight=ranked.index(comparison.winner) if comparison.winner else None,
        muted=range(len(ranked), len(rows)),
        notes=[*([comparison.verdict] if comparison.verdict else []), *comparison.notes],
    )


def _better(comparison: Comparison) -> str:
    return "more is better" if comparison.better == "higher" else "less is better"


def _scored(
    comparison: Comparison,
    mean: float | None,
    low: float | None,
    high: float | None,
    beside: Mapping[str, float | None],
) -> list[Cell]:
    """A score and its interval, in bits per byte too where those say more, and the second measure."""
    scales, shown = [1.0, comparison.byte_share] if comparison.in_bytes else [1.0], comparison.shown
    second: list[Cell] = [beside.get(name) for name in comparison.beside]
    if mean is None or low is None or high is None:
        return [*(cell for _ in scales for cell in (None, "failed")), *second]
    return [*(cell for s in scales for cell in (s * mean, f"{shown(s * low)} – {shown(s * high)}")), *second]


def _intervals(comparison: Comparison) -> IntervalChart | None:
    rows = [
        IntervalRow(r.kind, r.scores, r.low, r.high, r.mean) for r in comparison.ranked if r.mean is not None
    ]
    if not rows:
        return None
    label = f"held-out {comparison.measure} ({_better(comparison)})"
    # A weak rival, far away, would press all the others together.
    return IntervalChart(rows, label, references=((comparison.baseline.name, comparison.baseline.mean),))


def _learning(comparison: Comparison) -> LineChart | None:
    curves = [parts.validation_curve(finished(comparison, row), row.kind) for row in comparison.ranked]
    series = [curve for curve in curves if curve is not None]
    if not series:
        return None
    caption = "On the validation split." + (" Bands: the seeds." if comparison.seeds > 1 else "")
    if comparison.answers:  # what they lower isn't what they are scored by: no rival stands on this axis
        return LineChart(series, LOSS, title="How they learned", caption=caption)
    level = comparison.baseline.mean
    return LineChart(
        series,
        BITS,
        title="How they learned",
        caption=caption,
        references=((comparison.baseline.name, level),),
        y_range=parts.y_range(series, level),
    )


def _differences(comparison: Comparison) -> Section:
    """The settings in which the members differ, a column a member."""
    found = {
        row.kind: {key: value for key, value, _ in parts.settings(Run.at(comparison.path / row.runs[0]))}
        for row in comparison.ranked
        if row.runs[0]
    }
    keys = dict.fromkeys(key for values in found.values() for key in values)
    rows: list[list[Cell]] = [
        [key, *(values.get(key) for values in found.values())]
        for key in keys
        if len({values.get(key) for values in found.values()}) > 1
    ]
    if not rows:
        return Sentence("All members have the same settings.", title="What differs")
    return Table(["setting", *found], rows, "Everything else is the same for all.", title="What differs")
