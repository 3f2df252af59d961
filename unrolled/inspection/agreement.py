"""Whether a map of where a model looks tells what mattered: held against what happens when a step is taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.inspection.held_out import Held
from unrolled.inspection.memory_length import distance

Matrix = NDArray[np.float64]
SHUFFLES = 500
FEW = 4  # earlier steps that a step needs, so that their order says something


@dataclass(frozen=True)
class Checked:
    """How well weights tell what matters: the rank correlation (Spearman) of where a step looks and how far its answer
    moves when that is taken out, the mean over steps. chance: the share of shuffled maps that do as well, the best of all
    that it was picked from.
    """

    agreement: float | None
    chance: float | None


def first_row(held: Held, longest: int) -> Held:
    """The first of the sequences alone, at most so many steps of it and of its source."""
    batch = held.batch
    steps = min(held.lengths[0], longest)
    y = batch.y[:1, :steps] if batch.y.shape[:2] == batch.x.shape[:2] else batch.y[:1]
    source = batch.source
    if source is not None:
        size = source.shape[1] if batch.source_lengths is None else int(batch.source_lengths[0])
        source = source[:1, : min(size, longest)]
    cut = batch._replace(
        x=batch.x[:1, :steps], y=y, lengths=None, source=source, source_lengths=None, start=None
    )
    more = [f"the first {steps} steps of the first sequence"] if held.lengths[0] > steps else []
    return replace(held, batch=cut, notes=[*held.notes, *more])


def deleted(held: Held) -> Matrix:
    """(T, T) [t, s]: how far the answer at step t moves when step s < t is taken out; NaN elsewhere. Of a model that looks
    ahead, or answers once at the end, each row is what the last answer does.
    """
    x = held.batch.x
    steps = x.shape[1]
    whole = held.predict()
    if steps < 2:
        return np.full((steps, steps), np.nan)
    keep = torch.tensor([[i for i in range(steps) if i != s] for s in range(steps)])
    others = x[0][keep]  # (T, T - 1, ...)
    said = _said_of(held, others)
    moved = np.full((steps, steps), np.nan)
    every = not held.model.reach.future and held.batch.y.shape[:2] == x.shape[:2]
    for s in range(steps):
        apart = distance(held, whole[:, 1:], said[s : s + 1]).double().numpy()[0]  # at t = 1 ... T - 1
        if every:
            moved[s + 1 :, s] = apart[s:]
        else:
            moved[:, s] = apart[-1]
    return moved


def deleted_source(held: Held) -> Matrix:
    """(T, S): how far the answer at target step t moves when source step s is taken out."""
    source = held.batch.source
    assert source is not None
    size = source.shape[1]
    if size < 2:
        return np.full((held.batch.x.shape[1], size), np.nan)
    whole = held.predict()
    moved = []
    for s in range(size):
        less = torch.cat([source[:, :s], source[:, s + 1 :]], 1)
        said = replace(held, batch=held.batch._replace(source=less)).predict()
        moved.append(distance(held, whole, said).double().numpy()[0])
    return np.stack(moved, 1)


def _said_of(held: Held, rows: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return held.model(rows, None, None)[0]  # type: ignore[no-any-return]


def checked(weights: Matrix, moved: Matrix, shuffles: int = SHUFFLES, seed: int = 0) -> Checked:
    """The mean over rows t of Spearman's correlation of weights[t] and moved[t], where both are known, and how often
    weights whose columns were shuffled do as well.
    """
    return checked_together([weights], moved, shuffles, seed)[0]


def checked_together(
    maps: Sequence[Matrix], moved: Matrix, shuffles: int = SHUFFLES, seed: int = 0
) -> list[Checked]:
    """Each map's check, its chance that of the best of all of them: so the best may be picked without luck counting for it
    (Westfall & Young 1993, the max-T correction).

    Rows share what is peculiar to a column, so one order of the columns holds for all rows; where not all rows know all
    columns, it is of those that half of the rows know, in the rows that know them all.
    """
    known = ~np.isnan(moved)
    usable = known.sum(1) >= FEW
    columns = np.flatnonzero(known[usable].mean(0) >= 0.5) if usable.any() else np.zeros(0, int)
    rows = np.flatnonzero(usable & known[:, columns].all(1))
    draw = np.random.default_rng(seed)
    orders = np.stack([draw.permutation(len(columns)) for _ in range(shuffles)])
    block = np.ix_(rows, columns)
    own, others = [], []
    for weights in maps:
        pairs = _ranked_rows(weights[block], moved[block])
        together = sum((np.outer(w, m) for w, m in pairs), np.zeros((len(columns),) * 2)) / max(len(pairs), 1)
        own.append(np.trace(together) if pairs else None)
        others.append(together[orders, np.arange(len(columns))].sum(1))
    best = np.max(others, 0)
    found = []
    for weights, one in zip(maps, own, strict=True):
        every = [float(w @ m) for w, m in _ranked_rows(weights, moved)]
        chance = None if one is None or not every else float((1 + (best >= one).sum()) / (shuffles + 1))
        found.append(Checked(float(np.mean(every)) if every else None, chance))
    return found


def _ranked_rows(weights: Matrix, moved: Matrix) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The ranks of both in each row that says something."""
    rows = []
    for w, m in zip(weights, moved, strict=True):
        known = ~np.isnan(m)
        if known.sum() >= FEW and np.ptp(m[known]) > 0 and np.ptp(w[known]) > 0:
            rows.append((_ranked(w[known]), _ranked(m[known])))
    return rows


def _ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks, equal values sharing theirs, about their mean and of length 1."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = ((ends - counts + ends - 1) / 2)[place]
    ranks = ranks - ranks.mean()
    unit: NDArray[np.float64] = ranks / np.linalg.norm(ranks)
    return unit
