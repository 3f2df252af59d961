"""Which unit follows a mark: chosen on one half of what was read, scored on the other, held against chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
SHIFTS = 200  # turned copies of a mark that chance is measured with


@dataclass(frozen=True)
class Unit:
    """The unit that tracks a mark best. score: |correlation| on the half of the text that it wasn't chosen on; sign: + if
    it is high where the mark is.

    chance: what 95 % of marks that were turned along the text stay below, the best of all units chosen anew for each and
    the best of all marks counting; p: the share of those that score as high.
    """

    mark: str
    layer: str
    state: str
    unit: int
    score: float
    sign: int
    chance: float
    p: float


class Read(NamedTuple):
    """Text as it was read: its tokens, where each stretch begins, and what each unit was at each (N, U)."""

    tokens: list[str]
    begins: list[int]
    values: Matrix
    names: list[tuple[str, str, int]]  # layer, state, unit


def best_unit(read: Read, name: str, mark: Matrix, shifts: int = SHIFTS, seed: int = 0) -> Unit:
    """The unit whose |correlation| with the mark is largest on the first half of the stretches, scored on the second."""
    return best_units(read, {name: mark}, shifts, seed)[0]


def best_units(read: Read, known: dict[str, Matrix], shifts: int = SHIFTS, seed: int = 0) -> list[Unit]:
    """The best unit of each mark (N,). All marks are turned together, and each turned copy counts as the best of them, in
    shares of what 95 % of its own mark's copies stay below: or one of many marks would be tracked by chance.
    """
    steps = len(read.values)
    half = read.begins[len(read.begins) // 2] if len(read.begins) > 1 else steps // 2
    sides = slice(0, half), slice(half, None)
    values = [_unit_columns(read.values[side]) for side in sides]
    draw = np.random.default_rng(seed)
    sizes = [half, steps - half]
    turns = [draw.integers(n // 10, max(n - n // 10, 2), shifts) for n in sizes]
    scored, turned = [], []
    for mark in known.values():
        parts = [mark[side] for side in sides]
        scored.append(_scored(values, [part[:, None] for part in parts]))
        copies = [
            np.stack([np.roll(part, int(n)) for n in by], 1) for part, by in zip(parts, turns, strict=True)
        ]
        turned.append(np.abs(_scored(values, copies)[1]))
    # A mark that doesn't vary in one half has no correlation there, nor have its copies.
    usual = np.maximum(np.quantile(turned, 0.95, axis=1), 1e-12)
    luckiest = (np.array(turned) / usual[:, None]).max(0)
    found = []
    for name, (unit, own), one in zip(known, scored, usual, strict=True):
        score = abs(float(own[0]))
        layer, state, number = read.names[int(unit[0])]
        chance = float(one * np.quantile(luckiest, 0.95))
        p = float((1 + (luckiest >= score / one).sum()) / (shifts + 1))
        found.append(Unit(name, layer, state, number, score, 1 if own[0] >= 0 else -1, chance, p))
    return found


def _scored(values: list[Matrix], sides: list[Matrix]) -> tuple[NDArray[np.int64], Matrix]:
    """For each column of the marks (N, P): the unit chosen on the first side, its correlation on the second."""
    first, second = (v.T @ _unit_columns(m) for v, m in zip(values, sides, strict=True))
    chosen = np.abs(first).argmax(0)
    return chosen, second[chosen, np.arange(second.shape[1])]


def _unit_columns(values: Matrix) -> Matrix:
    """Each column about its mean and of length 1; one that doesn't vary becomes 0."""
    centred = values - values.mean(0)
    length = np.sqrt((centred**2).sum(0))
    unit: Matrix = np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9)
    return unit
