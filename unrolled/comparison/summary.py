"""From the run folders of a race to its table: scores with intervals, speed and its steadiness, and what may be said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from unrolled.comparison.asked import Asked
from unrolled.comparison.heat import Entry
from unrolled.comparison.notes import notes_of
from unrolled.comparison.result import Baseline, Comparison, Pair, Row
from unrolled.comparison.speed import pace_of
from unrolled.comparison.statistics import HeldOut, Numbers, interval, pieces_of, units
from unrolled.comparison.words import verdict_of
from unrolled.state import nbytes
from unrolled.tasks.score import nats
from unrolled.training.baselines import ngram_nats, strong
from unrolled.training.corpus import Corpus
from unrolled.training.run import Run


def summarise(
    folder: Path,
    corpus: Corpus,
    entries: Sequence[Entry],
    asked: Asked,
    parameters: int,
    device: torch.device,
) -> Comparison:
    """The comparison as its folder tells it. Every run's best model is scored document by document on the test split,
    for the intervals.
    """
    documents, characters, size = corpus.documents("test")
    pieces = pieces_of([len(document) + 1 for document in documents])
    baseline = strong(corpus)
    theirs, _ = units(ngram_nats(corpus, baseline["order"], baseline["codec"]), pieces)
    _, tokens = units([np.zeros(len(document) + 1) for document in documents], pieces)
    held_out = HeldOut(tokens, characters, size)
    rows: list[Row] = []
    tables: dict[str, Numbers] = {}
    scores: dict[str, float] = {}
    for kind in dict.fromkeys(entry.kind for entry in entries):
        mine = [entry for entry in entries if entry.kind == kind]
        done = [Run.at(folder / entry.run) for entry in mine if entry.finished]
        table = [_scored(run, documents, pieces, device) for run in done]
        rows.append(_row(folder, mine, done, np.array(table), held_out, corpus))
        scores |= {run.path.name: run.score or 0.0 for run in done}
        if done and len(done) == len(mine):
            tables[kind] = np.array(table)
    ngram = interval(theirs[None], held_out)
    pairs, against = _pairs(tables, baseline["name"], theirs, held_out)
    comparison = Comparison(
        path=folder, name=folder.name, data=corpus.name, codec=corpus.codec.kind, budget=asked.budget,
        seeds=len({entry.seed for entry in entries}), parameters=parameters, documents=len(documents),
        characters=characters, rows=rows, best=min(scores, key=scores.__getitem__, default=""),
        command=asked.command(), bytes=size, pairs=pairs, against=against,
        baseline=Baseline(
            baseline["name"], baseline["bits_per_character"], baseline["bits_per_byte"], ngram.low, ngram.high
        ),
    )  # fmt: skip
    comparison.notes.extend(notes_of(comparison, corpus.notes, asked))
    return verdict_of(comparison)


def _scored(
    run: Run, documents: Sequence[np.ndarray], pieces: Sequence[int], device: torch.device
) -> Numbers:
    """(U,) nats of every unit of the test split."""
    model = run.model(str(device))
    return units(nats(model, documents, run.recipe.context or model.task.context), pieces)[0]


def _row(
    folder: Path,
    mine: Sequence[Entry],
    done: Sequence[Run],
    table: Numbers,
    held_out: HeldOut,
    corpus: Corpus,
) -> Row:
    """One kind's line: what it is, how fast it was, how well it did."""
    any_run = Run.at(folder / mine[0].run)
    model, recipe = any_run.model(), any_run.recipe
    context = model.task.context
    paces = [pace_of(run, (recipe.batch or 1) * (recipe.length or 1)) for run in done]
    speeds = [pace.tokens_per_second for pace in paces if pace.tokens_per_second is not None]
    spreads = [pace.spread for pace in paces if pace.spread is not None]
    steps = float(np.mean([run.step for run in done])) if done else float(any_run.step)
    found = interval(table, held_out) if done else None
    return Row(
        kind=mine[0].kind, runs=[entry.run for entry in mine], parameters=model.parameter_count(),
        core=sum(p.numel() for p in model.core.parameters()), width=model.core.width, layers=len(model.core.layers),
        feeding="streams" if model.fixed_state else "windows",
        state_bytes=nbytes(model.start(1, capacity=0 if model.fixed_state else int(context or 0))),
        context="all" if model.fixed_state else f"{context}",
        tokens_per_second=float(np.mean(speeds)) if speeds else None, steps=steps,
        spread=max(spreads) if spreads and len(spreads) == len(paces) else None,
        epochs=steps * (recipe.batch or 1) * (recipe.length or 1) / max(corpus.train.count - 1, 1),
        scores=[run.score for run in done if run.score is not None],
        mean=found.mean if found else None, low=found.low if found else None, high=found.high if found else None,
        bits_per_byte=found.mean * held_out.characters / max(held_out.bytes, 1) if found else None,
        failed=[entry.failed for entry in mine if entry.failed],
        seconds=float(np.mean([run.seconds for run in done])) if done else None,
    )  # fmt: skip


def _pairs(
    tables: Mapping[str, Numbers], name: str, theirs: Numbers, held_out: HeldOut
) -> tuple[list[Pair], list[Pair]]:
    """The first-placed against every other and the n-gram; every kind against the n-gram. Differences are taken document
    by document, seed by seed.
    """
    if not tables:
        return [], []

    def pair(better: str, other: str, table: Numbers) -> Pair:
        found = interval(table - tables[better], held_out)
        return Pair(better, other, found.mean, found.low, found.high)

    first = min(tables, key=lambda kind: float(tables[kind].sum(1).mean()))
    against = {kind: pair(kind, name, theirs[None]) for kind in tables}
    pairs = [pair(first, kind, table) for kind, table in tables.items() if kind != first]
    return [*pairs, against[first]], list(against.values())
