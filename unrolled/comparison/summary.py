"""From the run folders of a race to its table: scores with intervals, speed and its steadiness, and what may be said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unrolled.comparison.asked import Asked
from unrolled.comparison.heat import Entry
from unrolled.comparison.notes import notes_of
from unrolled.comparison.result import Baseline, Comparison, Pair, Row
from unrolled.comparison.speed import pace_of
from unrolled.comparison.statistics import Interval, interval
from unrolled.comparison.words import verdict_of
from unrolled.model.patches import SeriesPatchEmbedder
from unrolled.state import nbytes
from unrolled.tasks.units import Numbers, Units
from unrolled.training.material import Material, Rival
from unrolled.training.run import Run
from unrolled.training.setup import filled_in

if TYPE_CHECKING:
    from unrolled.model import Model

# A second measure, beside the one that decides, and its name in words.
BESIDE = {
    "accuracy": ("macro_f1", "macro F1"), "mae": ("rmse", "RMSE"), "bleu": ("chrf", "chrF2"), "chrf": ("bleu", "BLEU"),
    "wer": ("cer", "CER"), "cer": ("wer", "WER"), "per": ("wrong", "whole wrong"), "exact": ("cer", "CER"),
    "rouge": ("rouge1", "ROUGE-1"),
}  # fmt: skip


def summarise(
    folder: Path,
    material: Material,
    rivals: Sequence[Rival],
    entries: Sequence[Entry],
    asked: Asked,
    parameters: int,
    device: torch.device,
) -> Comparison:
    """The comparison as its folder tells it. Every run's best model is scored document by document, or row by row, on
    the test split, for the intervals.
    """
    held_out, baseline = rivals[0].units, rivals[0].score
    rows: list[Row] = []
    tables: dict[str, Numbers] = {}
    scores: dict[str, float] = {}
    for kind in dict.fromkeys(entry.kind for entry in entries):
        mine = [entry for entry in entries if entry.kind == kind]
        done = [Run.at(folder / entry.run) for entry in mine if entry.finished]
        table = np.array([_sums(run, material, held_out, device) for run in done])
        rows.append(_row(folder, mine, done, table, held_out, material))
        scores |= {run.path.name: run.score for run in done if run.score is not None}
        if done and len(done) == len(mine):
            tables[kind] = table
    best = max if baseline["better"] == "higher" else min
    pairs, against = _pairs(tables, rivals[0], baseline["better"])
    recipe = filled_in(asked.open_recipe(folder), material, "cpu")[0]
    comparison = Comparison(
        path=folder, name=folder.name, data=material.name, codec=material.facts["codec"]["kind"], budget=asked.budget,
        seeds=len({entry.seed for entry in entries}), parameters=parameters,
        documents=next(baseline[count] for count in ("documents", "sequences", "items") if count in baseline),
        characters=baseline.get("characters", 0), bytes=baseline.get("bytes", 0), rows=rows, pairs=pairs, against=against,
        best=best(scores, key=scores.__getitem__, default=""), command=asked.command(), task=recipe.task,
        measure=baseline["unit"], better=baseline["better"], baseline=_beside(rivals[0]),
        others=[_beside(rival) for rival in rivals[1:]],
    )  # fmt: skip
    comparison.notes.extend(notes_of(comparison, material.notes, asked))
    return verdict_of(comparison)


def _beside(rival: Rival) -> Baseline:
    score, found = rival.score, _within(interval(rival.units.sums[None], rival.units), rival.score["better"])
    return Baseline(
        score["name"], score["value"], score.get("bits_per_byte"), found.low, found.high, _second(score)
    )


def _within(found: Interval, better: str) -> Interval:
    """No share of rows is above 1, no percentage above 100, no error and no number of bits below 0."""
    high = min(found.high, 1.0 if found.mean <= 1 else 100.0) if better == "higher" else found.high
    return Interval(found.mean, max(found.low, 0.0), high)


def _second(score: Mapping[str, Any]) -> dict[str, float]:
    """The second measure by its name in words; none where the task has one alone, or where it is undefined."""
    name, words = BESIDE.get(score.get("primary", ""), ("", ""))
    value = score.get("values", {}).get(name)
    return {} if value is None else {words: float(value)}


def _sums(run: Run, material: Material, held_out: Units, device: torch.device) -> Numbers:
    """(U,) what every unit of the test split adds to the run's score."""
    found = material.units(run.model(str(device)), run.recipe.context)
    assert np.array_equal(found.weights, held_out.weights), "everybody is scored on the same units"
    return found.sums


def _row(
    folder: Path,
    mine: Sequence[Entry],
    done: Sequence[Run],
    table: Numbers,
    held_out: Units,
    material: Material,
) -> Row:
    """One kind's line: what it is, how fast it was, how well it did."""
    any_run = Run.at(folder / mine[0].run)
    model, recipe = any_run.model(), any_run.recipe
    answers = recipe.task != "generate"
    each = material.targets(material.feed(model, recipe).batch(0))
    paces = [pace_of(run, each) for run in done]
    speeds = [pace.tokens_per_second for pace in paces if pace.tokens_per_second is not None]
    spreads = [pace.spread for pace in paces if pace.spread is not None]
    steps = float(np.mean([run.step for run in done])) if done else float(any_run.step)
    tests = [run.test or {} for run in done]
    better = tests[0]["better"] if tests else "lower"
    found = _within(interval(table, held_out), better) if done else None
    return Row(
        kind=mine[0].kind, runs=[entry.run for entry in mine], parameters=model.parameter_count(),
        core=sum(p.numel() for p in model.core.parameters()), width=model.core.width, layers=len(model.core.layers),
        feeding=_reads(model) if answers else "streams" if model.fixed_state else "windows",
        state_bytes=_remembered(model, answers),
        context="all" if answers or model.fixed_state else f"{model.task.context}",
        tokens_per_second=float(np.mean(speeds)) if speeds else None, steps=steps,
        spread=max(spreads) if spreads and len(spreads) == len(paces) else None, epochs=steps * each / material.epoch,
        scores=[run.score for run in done if run.score is not None],
        mean=found.mean if found else None, low=found.low if found else None, high=found.high if found else None,
        bits_per_byte=_mean([test.get("bits_per_byte") for test in tests]),
        failed=[entry.failed for entry in mine if entry.failed],
        seconds=float(np.mean([run.seconds for run in done])) if done else None,
        better=better,
        beside={name: _mean([_second(test).get(name) for test in tests]) for test in tests for name in _second(test)},
    )  # fmt: skip


def _reads(model: Model) -> str:
    """How a model that answers reads a row."""
    if not any(layer.sublayer for layer in model.core.layers):
        return "no order"
    return "whole rows" if model.reach.future else "in order"


def _remembered(model: Model, answers: bool) -> int | None:
    """Bytes of the state of one sequence; None for a model of rows that remembers all of a row, or reads patches of one."""
    if (answers and not model.fixed_state) or isinstance(model.embedder, SeriesPatchEmbedder):
        return None
    return nbytes(model.start(1, capacity=0 if model.fixed_state else int(model.task.context or 0)))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _pairs(tables: Mapping[str, Numbers], baseline: Rival, better: str) -> tuple[list[Pair], list[Pair]]:
    """The first-placed against every other and the strongest rival; every kind against that rival. Differences are taken
    unit by unit, seed by seed.
    """
    if not tables:
        return [], []
    ahead = -1.0 if better == "higher" else 1.0  # of sums: whether having fewer is being ahead

    def pair(one: str, other: str, table: Numbers) -> Pair:
        found = interval(ahead * (table - tables[one]), baseline.units)
        return Pair(one, other, found.mean, found.low, found.high)

    first = min(tables, key=lambda kind: ahead * float(tables[kind].sum(1).mean()))
    against = {kind: pair(kind, baseline.score["name"], baseline.units.sums[None]) for kind in tables}
    pairs = [pair(first, kind, table) for kind, table in tables.items() if kind != first]
    return [*pairs, against[first]], list(against.values())
