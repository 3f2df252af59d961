"""What a comparison says: the table for a terminal, the verdict where one may be given, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from unrolled.comparison.notes import unsteady
from unrolled.comparison.result import ENOUGH_SEEDS, Comparison, Pair, Row
from unrolled.tasks.measures.report import short
from unrolled.training.budget import pretty_count, pretty_seconds

SHORT = {"bits per character": "bits/char", "bits per byte": "bits/byte"}
INTERVAL = "95 % interval"
LEFT = ("model", "feeding", "reads")
NAME = 28  # columns of a rival's name


def table(comparison: Comparison) -> str:
    """The table, the verdict and the notes as text."""
    per_byte = [SHORT["bits per byte"], INTERVAL] if comparison.in_bytes else []
    rest = ["best", "weights (core)", "width", "tok/s", "time", "steps", "epochs", "feeding", "state"]
    if comparison.answers:
        rest = [{"tok/s": "answers/s", "feeding": "reads"}.get(head, head) for head in rest]
    heads = [
        "model",
        SHORT.get(comparison.measure, comparison.measure),
        INTERVAL,
        *per_byte,
        *comparison.beside,
        *rest,
    ]
    rivals = [
        [short(r.name, NAME), *_scored(comparison, r.mean, r.low, r.high, r.beside), *[""] * len(rest)]
        for r in comparison.rivals
    ]
    lines = [heads, *(_cells(comparison, row) for row in comparison.ranked), *rivals]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    said = [comparison.verdict] if comparison.verdict else []
    return "\n".join([*(_aligned(line, heads, widths) for line in lines), "", *said, *comparison.notes])


def _aligned(cells: Sequence[str], heads: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, figures to the right."""
    padded = [
        f"{cell:<{width}}" if head in LEFT else f"{cell:>{width}}"
        for head, cell, width in zip(heads, cells, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _scored(
    comparison: Comparison, mean: float, low: float, high: float, beside: Mapping[str, float | None]
) -> list[str]:
    """A score and its interval, in bits per byte too where those say more, and the second measure."""
    scales, shown = [1.0, comparison.byte_share] if comparison.in_bytes else [1.0], comparison.shown
    scored = [cell for s in scales for cell in (shown(s * mean), f"{shown(s * low)}-{shown(s * high)}")]
    second = [beside.get(name) for name in comparison.beside]
    return [*scored, *("" if value is None else shown(value) for value in second)]


def _cells(comparison: Comparison, row: Row) -> list[str]:
    scores = ["failed", *[""] * ((3 if comparison.in_bytes else 1) + len(comparison.beside))]
    if row.mean is not None and row.low is not None and row.high is not None:
        scores = _scored(comparison, row.mean, row.low, row.high, row.beside)
    if row.failed and row.scores:
        scores[0] = f"{scores[0]} ({len(row.failed)} of {comparison.seeds} failed)"
    best = "" if row.best is None else comparison.shown(row.best)
    core = f"{pretty_count(float(row.parameters))} ({pretty_count(float(row.core))})"
    speed = "" if row.tokens_per_second is None else pretty_count(row.tokens_per_second)
    time = "" if row.seconds is None else pretty_seconds(row.seconds)
    return [
        row.kind, *scores, best, core, str(row.width), speed, time, f"{row.steps:.0f}", f"{row.epochs:.1f}", row.feeding,
        "" if row.state_bytes is None else f"{pretty_count(float(row.state_bytes))}B",
    ]  # fmt: skip


def verdict_of(comparison: Comparison) -> Comparison:
    """The comparison with its verdict, empty where one may not be given: too few seeds, unequal time, nobody finished."""
    if comparison.seeds < ENOUGH_SEEDS or not comparison.pairs or unsteady(comparison):
        return comparison
    first = comparison.pairs[0].better
    ahead = [f"{p.other} (by {_by(comparison, p)})" for p in comparison.pairs if p.low > 0]
    behind = [f"{p.other} (by {_by(comparison, p, -1)})" for p in comparison.pairs if p.high < 0]
    level = [p.other for p in comparison.pairs if p.low <= 0 <= p.high]
    unit = f"in {comparison.measure}" if comparison.answers else comparison.unit
    said = [f"{first} is better than {_listed(ahead)} {unit}."] if ahead else []
    said += [f"No difference is shown between {first} and {_listed(level)}."] if level else []
    said += [f"{first} is worse than {_listed(behind)} {unit}."] if behind else []
    return replace(comparison, verdict=" ".join(said))


def _by(comparison: Comparison, pair: Pair, sign: int = 1) -> str:
    """A difference with its interval."""
    scale = sign * comparison.unit_scale
    low, high = sorted((scale * pair.low, scale * pair.high))
    shown = comparison.shown
    return f"{shown(scale * pair.difference)}, {shown(low)} to {shown(high)}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def next_commands(best: Path, music: bool, answers: bool = False) -> list[str]:
    """Three commands that work on the best run of a comparison."""
    run = shlex.quote(str(best))
    sound = f" wav={shlex.quote(str(best.parent / 'another.wav'))}" if music else ""
    return [
        f"unrolled predict {run} data=YOUR_FILE" if answers else f"unrolled generate {run} seed=1{sound}",
        f"unrolled evaluate {run}",
        f"unrolled train resume={run} budget=+5m",
    ]
