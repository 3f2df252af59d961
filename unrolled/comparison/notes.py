"""What stands under a comparison's table: what kept a verdict back, who failed, how fair the time was, the method."""

from __future__ import annotations

from collections.abc import Sequence

from unrolled.comparison.asked import Asked
from unrolled.comparison.members import TOLERANCE
from unrolled.comparison.result import ENOUGH_SEEDS, STEADY, Comparison, Row
from unrolled.training.budget import Budget, pretty_seconds


def unsteady(comparison: Comparison) -> bool:
    """Whether time wasn't the same for all in a timed race: a speed that changed or isn't known, a budget missed."""
    return comparison.timed and any(
        row.spread is None or row.spread > STEADY or _missed(comparison, row) > STEADY
        for row in _judged(comparison)
    )


def _judged(comparison: Comparison) -> list[Row]:
    """The rows that have a place in the verdict."""
    return [row for row in comparison.rows if row.mean is not None and not row.failed]


def _missed(comparison: Comparison, row: Row) -> float:
    """By what share of a budget of time a row's runs were longer or shorter."""
    asked = Budget.parse(comparison.budget).amount
    return 1.0 if row.seconds is None else abs(row.seconds / asked - 1)


def notes_of(comparison: Comparison, of_data: Sequence[str], asked: Asked) -> list[str]:
    """All notes, those about the data last."""
    notes = [_glimpse(comparison, asked)] if comparison.seeds < ENOUGH_SEEDS else []
    notes += [
        f"{row.kind}: {len(row.failed)} of {comparison.seeds} seeds failed, no place in the verdict. {row.failed[0]}"
        for row in comparison.rows
        if row.failed
    ]
    notes += [*_time(comparison), *_beside_the_baseline(comparison), *_sizes(comparison), _method(comparison)]
    notes.append(_reading(comparison) if comparison.answers else _feeding(comparison))
    return [note for note in [*notes, *of_data] if note]


def _glimpse(comparison: Comparison, asked: Asked) -> str:
    """Too few seeds: what a fair race needs."""
    few = "One seed is" if comparison.seeds == 1 else f"{comparison.seeds} seeds are"
    said = f"{few} a glimpse, no verdict. A fair race: {asked.fair(not comparison.answers).command()}"
    if not comparison.answers and asked.short and any(row.kind == "transformer" for row in comparison.rows):
        spent = pretty_seconds(Budget.parse(comparison.budget).amount)
        said += f" (after {spent} a Transformer is still warming up)"
    return said


def _time(comparison: Comparison) -> list[str]:
    """Whether everybody had the same time, in words."""
    known = [(row.spread, row.kind) for row in comparison.rows if row.spread is not None]
    unknown = [row.kind for row in _judged(comparison) if row.spread is None]
    said = []
    if known:
        spread, kind = max(known)
        how = "changed by up to" if spread > STEADY else "steady within"
        said.append(f"Speed: {how} {100 * spread:.0f} % (at worst {kind}, second half against first).")
    if not comparison.timed:
        return said
    if unknown:
        said.append(f"Speed unknown: {', '.join(unknown)}; too few of its steps were timed.")
    late = [row for row in _judged(comparison) if _missed(comparison, row) > STEADY]
    said += [f"Time: {row.kind} trained for {pretty_seconds(row.seconds)}." for row in late if row.seconds]
    if unsteady(comparison):
        said.append(
            f"A verdict needs the same time for all, within {100 * STEADY:.0f} %: run it on a quieter machine, or with "
            "a budget in steps."
        )
    return said


def _beside_the_baseline(comparison: Comparison) -> list[str]:
    """Without a verdict: the first-placed against the baseline, which is the same in any time."""
    pair = comparison.against_baseline(comparison.pairs[0].better) if comparison.pairs else None
    if pair is None or not (comparison.seeds < ENOUGH_SEEDS or unsteady(comparison)):
        return []
    scale = comparison.unit_scale * (1 if pair.difference >= 0 else -1)
    low, high = sorted((scale * pair.low, scale * pair.high))
    seeds = "this one seed" if comparison.seeds == 1 else f"these {comparison.seeds} seeds"
    shown, ahead = comparison.shown, pair.difference >= 0
    by = f"{shown(scale * pair.difference)} ({shown(low)} to {shown(high)})"
    if comparison.answers:
        how = f"is {by} {'better' if ahead else 'worse'} in {comparison.measure}"
    else:
        how = f"needs {by} {'fewer' if ahead else 'more'} {comparison.unit}"
    return [f"In {seeds}, {pair.better} {how} than the {pair.other}."]


def _sizes(comparison: Comparison) -> list[str]:
    """Who couldn't be made as large as the others."""
    size = comparison.parameters
    return [
        f"{row.kind} has {row.parameters:,} weights and not about {size:,}: it has no layers, and no width of its vectors "
        "comes nearer."
        for row in comparison.rows
        if abs(row.parameters - size) > TOLERANCE * size
    ]


def _method(comparison: Comparison) -> str:
    """What was scored, and what the intervals are."""
    each, count = "row" if comparison.answers else "document", comparison.documents
    seeds = f"seeds (Student's t) and held-out {each}s" if comparison.seeds > 1 else f"held-out {each}s"
    tokens = "" if comparison.answers else f", {comparison.characters:,} characters, every token scored once"
    said = (
        f"Held out: {count} {each}{'s' * (count != 1)}{tokens}. Intervals: 95 %, from {seeds} "
        "(1.96 x the bootstrap's deviation; `unrolled evaluate` gives its percentiles)."
    )
    if comparison.seeds < ENOUGH_SEEDS or not comparison.pairs:
        return said
    return f"{said} Differences: each pair at 95 %; who is placed first was chosen on the same data."


def _reading(comparison: Comparison) -> str:
    """How rows are read."""
    ways = {
        "in order": "can answer after every step",
        "whole rows": "looks both ways, so it answers at a row's end",
        "no order": "sees the same in any order",
    }
    found = dict.fromkeys(row.feeding for row in comparison.rows)
    return f"Reads: {'; '.join(f'{way}: {ways[way]}' for way in ways if way in found)}."


def _feeding(comparison: Comparison) -> str:
    windowed = [row for row in comparison.rows if row.feeding == "windows"]
    said = "Streams carry their state from batch to batch"
    if windowed:
        said += f"; windows begin from nothing, and see at most {windowed[0].context} tokens"
    return said + "."
