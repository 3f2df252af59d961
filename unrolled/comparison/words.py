"""What a comparison says: the table for a terminal, the verdict where one may be given, and the notes under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unrolled.comparison.result import STEADY, Comparison, Pair, Row
from unrolled.training.budget import Budget, pretty_count, pretty_seconds

LONG = 300.0  # seconds of training below which a Transformer is still warming up
HEADS = (
    "model", "bits/char", "95 % interval", "best", "weights (core)", "width", "tok/s", "steps", "epochs", "feeding",
    "state",
)  # fmt: skip
LEFT = ("model", "feeding")


def table(comparison: Comparison) -> str:
    """The table, the verdict and the notes as text."""
    b = comparison.baseline
    last = [b.name, f"{b.bits_per_character:.3f}", f"{b.low:.3f}-{b.high:.3f}", *[""] * (len(HEADS) - 3)]
    lines = [list(HEADS), *(_cells(row, comparison.seeds) for row in comparison.ranked), last]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    said = [comparison.verdict] if comparison.verdict else []
    return "\n".join([*(_aligned(line, widths) for line in lines), "", *said, *comparison.notes])


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, figures to the right."""
    padded = [
        f"{cell:<{width}}" if head in LEFT else f"{cell:>{width}}"
        for head, cell, width in zip(HEADS, cells, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _cells(row: Row, seeds: int) -> list[str]:
    score, between, best = "failed", "", ""
    if row.mean is not None:
        score, between = f"{row.mean:.3f}", f"{row.low:.3f}-{row.high:.3f}"
        best = f"{row.best:.3f}"
    if row.failed and row.scores:
        score = f"{score} ({len(row.failed)} of {seeds} failed)"
    speed = "" if row.tokens_per_second is None else pretty_count(row.tokens_per_second)
    core = f"{pretty_count(float(row.parameters))} ({pretty_count(float(row.core))})"
    return [
        row.kind, score, between, best, core, str(row.width), speed, f"{row.steps:.0f}", f"{row.epochs:.1f}", row.feeding,
        f"{pretty_count(float(row.state_bytes))}B",
    ]  # fmt: skip


def verdict_of(comparison: Comparison) -> Comparison:
    """The comparison with its verdict, empty where one may not be given: one seed, unsteady speed, nobody finished."""
    if comparison.seeds < 2 or not comparison.pairs or unsteady(comparison):
        return comparison
    first = comparison.pairs[0].better
    ahead = [f"{p.other} (by {_by(p)})" for p in comparison.pairs if p.low > 0]
    behind = [f"{p.other} (by {_by(p, -1)})" for p in comparison.pairs if p.high < 0]
    level = [p.other for p in comparison.pairs if p.low <= 0 <= p.high]
    said = [f"{first} is better than {_listed(ahead)} bits per character."] if ahead else []
    said += [f"No difference is shown between {first} and {_listed(level)}."] if level else []
    said += [f"{first} is worse than {_listed(behind)} bits per character."] if behind else []
    return replace(comparison, verdict=" ".join(said))


def _by(pair: Pair, sign: int = 1) -> str:
    """A difference with its interval."""
    low, high = sorted((sign * pair.low, sign * pair.high))
    return f"{sign * pair.difference:.3f}, {low:.3f} to {high:.3f}"


def unsteady(comparison: Comparison) -> bool:
    """Whether the speed of a timed race changed by more than STEADY: then time wasn't the same for all."""
    timed = Budget.parse(comparison.budget).unit == "seconds"
    return timed and max((row.spread or 0.0 for row in comparison.rows), default=0.0) > STEADY


def notes_of(comparison: Comparison, of_data: Sequence[str]) -> list[str]:
    """What stands under the table."""
    notes = [_fair(comparison)] if comparison.seeds < 2 else []
    notes += [
        f"{row.kind}: {len(row.failed)} of {comparison.seeds} seeds failed, no place in the verdict. {row.failed[0]}"
        for row in comparison.rows
        if row.failed
    ]
    known = [(row.spread, row.kind) for row in comparison.rows if row.spread is not None]
    if known:
        spread, kind = max(known)
        note = f"Speed: steady within {100 * spread:.0f} % (at worst {kind}, second half against first)."
        if unsteady(comparison) and comparison.seeds > 1:
            limit = f"More than {100 * STEADY:.0f} %"
            note += f" {limit}, so no verdict: run it on a quieter machine, or with a budget in steps."
        notes.append(note)
    seeds = (
        "seeds (t) and held-out documents (bootstrap)"
        if comparison.seeds > 1
        else "held-out documents (bootstrap)"
    )
    notes.append(
        f"Held out: {comparison.documents} documents, {comparison.characters:,} characters, every token scored once. "
        f"Intervals: {seeds}."
    )
    notes.append(_feeding(comparison))
    return [note for note in [*notes, *of_data] if note]


def _fair(comparison: Comparison) -> str:
    """One seed: what a fair race needs."""
    budget = Budget.parse(comparison.budget)
    short = budget.unit == "seconds" and budget.amount < LONG
    command = (
        f"unrolled compare data={comparison.data} budget={'10m' if short else comparison.budget} seeds=3"
    )
    said = f"One seed is a glimpse, no verdict. A fair race: {command}"
    if short and any(row.kind == "transformer" for row in comparison.rows):
        said += f" (after {pretty_seconds(budget.amount)} a Transformer is still warming up)"
    return said


def _feeding(comparison: Comparison) -> str:
    windowed = [row for row in comparison.rows if row.feeding == "windows"]
    said = "Streams carry their state from batch to batch"
    if windowed:
        said += f"; windows begin from nothing, and see at most {windowed[0].context} tokens"
    return said + "."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
