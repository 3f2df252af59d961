"""What a comparison says: the table for a terminal, the verdict where one may be given, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unrolled.comparison.notes import unsteady
from unrolled.comparison.result import ENOUGH_SEEDS, Comparison, Pair, Row
from unrolled.training.budget import pretty_count, pretty_seconds

SCORE = ("bits/char", "95 % interval")
IN_BYTES = ("bits/byte", "95 % interval")
REST = ("best", "weights (core)", "width", "tok/s", "time", "steps", "epochs", "feeding", "state")
LEFT = ("model", "feeding")


def table(comparison: Comparison) -> str:
    """The table, the verdict and the notes as text."""
    b, per_byte = comparison.baseline, IN_BYTES if comparison.in_bytes else ()
    heads = ["model", *SCORE, *per_byte, *REST]
    last = [b.name, *_scored(comparison, b.bits_per_character, b.low, b.high), *[""] * len(REST)]
    lines = [heads, *(_cells(comparison, row) for row in comparison.ranked), last]
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


def _scored(comparison: Comparison, mean: float, low: float, high: float) -> list[str]:
    """A score and its interval, in bits per byte too where those say more."""
    scales = [1.0, comparison.byte_share] if comparison.in_bytes else [1.0]
    return [cell for s in scales for cell in (f"{s * mean:.3f}", f"{s * low:.3f}-{s * high:.3f}")]


def _cells(comparison: Comparison, row: Row) -> list[str]:
    scores = ["failed", *[""] * (3 if comparison.in_bytes else 1)]
    if row.mean is not None and row.low is not None and row.high is not None:
        scores = _scored(comparison, row.mean, row.low, row.high)
    if row.failed and row.scores:
        scores[0] = f"{scores[0]} ({len(row.failed)} of {comparison.seeds} failed)"
    best = "" if row.best is None else f"{row.best:.3f}"
    core = f"{pretty_count(float(row.parameters))} ({pretty_count(float(row.core))})"
    speed = "" if row.tokens_per_second is None else pretty_count(row.tokens_per_second)
    time = "" if row.seconds is None else pretty_seconds(row.seconds)
    return [
        row.kind, *scores, best, core, str(row.width), speed, time, f"{row.steps:.0f}", f"{row.epochs:.1f}", row.feeding,
        f"{pretty_count(float(row.state_bytes))}B",
    ]  # fmt: skip


def verdict_of(comparison: Comparison) -> Comparison:
    """The comparison with its verdict, empty where one may not be given: too few seeds, unequal time, nobody finished."""
    if comparison.seeds < ENOUGH_SEEDS or not comparison.pairs or unsteady(comparison):
        return comparison
    first = comparison.pairs[0].better
    ahead = [f"{p.other} (by {_by(comparison, p)})" for p in comparison.pairs if p.low > 0]
    behind = [f"{p.other} (by {_by(comparison, p, -1)})" for p in comparison.pairs if p.high < 0]
    level = [p.other for p in comparison.pairs if p.low <= 0 <= p.high]
    unit = comparison.unit
    said = [f"{first} is better than {_listed(ahead)} {unit}."] if ahead else []
    said += [f"No difference is shown between {first} and {_listed(level)}."] if level else []
    said += [f"{first} is worse than {_listed(behind)} {unit}."] if behind else []
    return replace(comparison, verdict=" ".join(said))


def _by(comparison: Comparison, pair: Pair, sign: int = 1) -> str:
    """A difference with its interval."""
    scale = sign * comparison.unit_scale
    low, high = sorted((scale * pair.low, scale * pair.high))
    return f"{scale * pair.difference:.3f}, {low:.3f} to {high:.3f}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def next_commands(best: Path, music: bool) -> list[str]:
    """Three commands that work on the best run of a comparison."""
    run = shlex.quote(str(best))
    sound = f" wav={shlex.quote(str(best.parent / 'another.wav'))}" if music else ""
    return [
        f"unrolled generate {run} seed=1{sound}",
        f"unrolled evaluate {run}",
        f"unrolled train resume={run} budget=+5m",
    ]
