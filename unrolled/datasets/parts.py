"""Rows dealt to train, valid and test: as given, by group, or stratified, with rows that are read alike on one side."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.split import PARTS
from unrolled.errors import UserError

SHARES = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class Parts:
    """Numbers of the rows in each part, in reading order, and how they were dealt."""

    train: list[int]
    valid: list[int]
    test: list[int]
    notes: list[str]

    def of(self, part: str) -> list[int]:
        """`train`, `valid` or `test`."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[part]


def deal(
    keys: Sequence[Hashable],
    labels: Sequence[Hashable] | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    given: Sequence[str] | None = None,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    loosely: bool = False,
    said: str = "split as the data gives it",
) -> Parts:
    """Deals rows in `shares`, the same for the same seed. `keys`: rows of equal keys (`duplicates.key_of` their input)
    stay together; `labels`: every label's rows are dealt in these shares; `groups`: all rows of a group go to one part.
    `given`: the part that each row says it belongs to; where none is for validation, some of training is. `loosely`:
    keys are those of texts, equal but for case, punctuation and spaces; it is only said. `said`: what `given` is, in words.

    Raises UserError where a part would be empty that has a share.
    """
    draw = np.random.default_rng(seed)
    if given is not None:
        return _given(keys, labels, given, shares, draw, said)
    units = _units(groups if groups is not None else keys)
    found = _dealt(units, labels, shares, draw)
    notes, many = [], int(units.max(initial=-1)) + 1
    if groups is not None:
        notes.append(f"{many} groups, each in one part")
    elif many < len(keys):
        how = " (but for case, punctuation and spaces)" if loosely else ""
        notes.append(f"{len(keys) - many} rows repeat another row's input{how}: each such set is in one part")
    return _checked(found, len(keys), notes, shares)


def _units(keys: Sequence[Hashable]) -> NDArray[np.int64]:
    """(N,) the number of each row's unit: rows of one key are one, numbered in the order in which the keys come up."""
    if not isinstance(keys, array):
        found: dict[Hashable, int] = {}
        return np.fromiter((found.setdefault(key, len(found)) for key in keys), np.int64, len(keys))
    _, first, which = np.unique(np.asarray(keys), return_index=True, return_inverse=True)
    numbers = np.empty(len(first), np.int64)
    numbers[np.argsort(first)] = np.arange(len(first))
    return numbers[which]


def _dealt(
    units: NDArray[np.int64],
    labels: Sequence[Hashable] | None,
    shares: Sequence[float],
    draw: np.random.Generator,
) -> dict[str, list[int]]:
    """Each stratum's units in random order: every next one goes where the most is lacking. Where units are few and large, a
    part that got none has one of training's.
    """
    _, first, sizes = np.unique(units, return_index=True, return_counts=True)
    strata: dict[Hashable, array[int]] = {}
    for unit, row in enumerate(first.tolist()):
        strata.setdefault(labels[row] if labels is not None else None, array("q")).append(unit)
    found = [array("q") for _ in PARTS]
    debt = [0.0] * len(PARTS)  # carried from stratum to stratum, so that small ones don't all round alike
    for stratum in strata.values():
        for unit in np.asarray(stratum)[draw.permutation(len(stratum))].tolist():
            size = int(sizes[unit])
            debt = [owed + size * share for owed, share in zip(debt, shares, strict=True)]
            to = debt.index(max(debt))
            debt[to] -= size
            found[to].append(unit)
    for part, share in zip(found, shares, strict=True):
        if share and not part and len(found[0]) > 1:
            part.append(found[0].pop())
    places = np.empty(len(sizes), np.int8)
    for place, part in enumerate(found):
        places[np.asarray(part, np.int64)] = place
    return {name: np.flatnonzero(places[units] == place).tolist() for place, name in enumerate(PARTS)}


def _given(
    keys: Sequence[Hashable],
    labels: Sequence[Hashable] | None,
    given: Sequence[str],
    shares: Sequence[float],
    draw: np.random.Generator,
    said: str,
) -> Parts:
    found: dict[str, list[int]] = {
        part: [row for row, at in enumerate(given) if at == part] for part in PARTS
    }
    if others := sorted({at for at in given} - set(PARTS)):
        raise UserError(
            f"the column split says {', '.join(map(repr, others[:3]))}; it may say {', '.join(PARTS)}."
        )
    notes = [said]
    if not found["valid"] and found["train"]:
        share = shares[1] / (shares[0] + shares[1])
        rows = found["train"]
        named = [labels[row] for row in rows] if labels is not None else None
        again = _dealt(_units([keys[row] for row in rows]), named, (1 - share, share, 0.0), draw)
        found["train"], found["valid"] = ([rows[i] for i in again[part]] for part in ("train", "valid"))
        notes.append(f"{len(found['valid'])} of its training rows are for validation")
    return _checked(found, len(keys), notes, SHARES)


def _checked(found: dict[str, list[int]], rows: int, notes: list[str], shares: Sequence[float]) -> Parts:
    for part, share in zip(PARTS, shares, strict=True):
        if share and not found[part]:
            raise UserError(
                f"{rows} rows leave none for {part}. Give it more data, or other shares (split=)."
            )
    train, valid, test = (sorted(found[part]) for part in PARTS)
    return Parts(train, valid, test, notes)
