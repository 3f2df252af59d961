"""How long a model's answers remember an input: one is changed, or taken out, and what it says afterwards is compared."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.datasets.spelling import BOUNDARY
from unrolled.errors import UserError
from unrolled.inspection.finding import Finding
from unrolled.inspection.held_out import Held
from unrolled.model.heads import LabelHead, NumberHead
from unrolled.report import LineChart, Section, Sentence, Series

POSITIONS = 8  # inputs changed in each row, evenly spread over its first half
HEARD = 0.1  # of the largest effect: what is less counts as forgotten
PRECISE = 20_000_000  # parameters up to which the model is copied in float64


@dataclass(frozen=True, kw_only=True)
class MemoryLength(Finding):
    """changed[k], deleted[k]: how far an answer moves k steps after the input that was changed or taken out, the mean over
    rows and places; None where no row is so long. unit: of what. measured: the last lag, which every place has.

    memory: the last lag at which a changed input has at least a tenth of its largest effect; peak: the lag of that
    one; seen: the last lag at which anything changed at all; declared: the model's reach, None if unlimited.
    """

    title = "Memory length"

    changed: list[float | None] = field(default_factory=list)
    deleted: list[float | None] = field(default_factory=list)
    unit: str = ""
    memory: int = 0
    peak: int = 0
    seen: int = 0
    declared: int | None = None
    measured: int = 0

    def lines(self) -> list[str]:
        said = [
            f"memory    {self.memory} steps: so long a changed input keeps {HEARD:.0%} of its largest effect",
            f"peak      {self.peak} steps after it",
            f"seen      {self.seen} steps"
            + (
                ", as far as was measured: something always changes"
                if self.seen >= self.measured
                else f": beyond that nothing changes at all, of {self.measured} measured"
            ),
        ]
        limit = (
            "unlimited, by construction"
            if self.declared is None
            else f"{self.declared} steps, by construction"
        )
        return [*said, f"reach     {limit}"]

    def lead(self) -> str:
        end = f"after {self.seen} steps nothing of it is left" if self.seen < self.measured else ""
        also = f" It can't see further than {self.declared}." if self.declared is not None else ""
        whole = self.memory >= self.measured
        lasts = (
            f"An input still matters {self.memory} steps later, as far as was measured"
            if whole
            else f"An input matters for {self.memory} steps"
        )
        return f"{lasts}{'; ' + end if end else ''}.{also}"

    def blocks(self) -> list[Section]:
        lines = [
            Series(name, list(range(len(ys))), [y or None for y in ys])
            for name, ys in (("changed", self.changed), ("deleted", self.deleted))
            if any(y for y in ys)
        ]
        chart = LineChart(
            lines, f"how far the answer moves ({self.unit})", "steps after the input", title=self.title, y_log=True,
            caption="One input was changed for another of the data, or taken out, and what the model says at each later "
            "step was compared with what it says of the untouched sequence. Means over "
            f"{POSITIONS} places in each of the sequences.",
        )  # fmt: skip
        note = " ".join(f"{note[:1].upper()}{note[1:]}." for note in self.notes)
        said = "\n\n".join([*(line.replace("  ", " ") for line in self.lines()), note])
        return [chart, Sentence(said, title="In numbers")]


@torch.no_grad()
def memory_length(held: Held, positions: int = POSITIONS, seed: int = 0) -> MemoryLength:
    """Of held-out sequences of any model that is causal; of a translator, of what it has written.

    Raises UserError for a model that looks ahead, whose answers have no later steps.
    """
    if held.model.reach.future:
        raise UserError(
            "memory: this model sees whole sequences, so no answer comes later than an input. Look at saliency instead."
        )
    small = sum(p.numel() for p in held.model.parameters()) <= PRECISE
    exact = _precise(held) if small else held
    whole = exact.predict()
    places = _places(held, positions)
    steps, measured = held.batch.x.shape[1], max(held.lengths) - 1 - places[-1]
    moved = {"changed": np.full((steps, 2), 0.0), "deleted": np.full((steps, 2), 0.0)}
    furthest = 0
    draw = np.random.default_rng(seed)
    for place in places:
        other = exact.predict(_changed(exact, place, draw))
        lag = _add(moved["changed"], exact, whole, other, place)
        furthest = max(furthest, lag)
        if place + 1 < steps:
            shorter = _without(exact, place)
            _add(moved["deleted"], exact, whole[:, 1:], shorter.predict(), place, deleted=True)
    changed, deleted = (_mean(sums[: measured + 1]) for sums in moved.values())
    most = int(np.nanargmax(changed))
    loud = np.flatnonzero(changed >= HEARD * changed[most]) if changed[most] > 0 else np.zeros(1, int)
    past = held.model.reach.past
    return MemoryLength(
        changed=_told(changed), deleted=_told(deleted), unit=_unit(held), memory=int(loud[-1]), peak=most,
        seen=min(furthest, measured), declared=int(past) if isfinite(past) else None, measured=measured,
        notes=[*held.notes, *([] if small else ["in float32: effects below 1e-7 aren't seen"])],
    )  # fmt: skip


def _precise(held: Held) -> Held:
    """The same in float64, so that the smallest effect is seen."""
    parts = {
        name: part.double()
        for name, part in held.batch._asdict().items()
        if part is not None and part.is_floating_point()
    }
    return replace(held, model=deepcopy(held.model).double().eval(), batch=held.batch._replace(**parts))


def _places(held: Held, positions: int) -> list[int]:
    """Steps evenly spread over the first half of the longest row, the very first included unless a boundary stands there:
    that is no input which the data could have had otherwise.
    """
    x, longest = held.batch.x, max(held.lengths)
    half = max(1, longest // 2)
    first = int(x.ndim == 2 and longest > 1 and bool((x[:, 0] == BOUNDARY).any()))
    return sorted({min(first + half * n // positions, longest - 1) for n in range(min(positions, half))})


def _changed(held: Held, place: int, draw: np.random.Generator) -> Tensor:
    """The inputs with another one at `place`, in each row: what stands elsewhere in the data, a boundary excepted."""
    x, lengths = held.batch.x.clone(), held.lengths
    steps = torch.from_numpy(np.array([draw.integers(size) for size in lengths]))
    rows = torch.from_numpy(draw.permutation(len(x)))
    pool = x[rows, steps[rows]]
    if x.ndim == 2:  # of ids, one that is another
        size = getattr(held.model.embedder, "vocabulary", int(x.max()) + 1)
        same = (pool == x[:, place]) | ((pool == BOUNDARY) & (size > 2))
        shift = torch.from_numpy(draw.integers(1, max(2, size - 1), len(x)))
        pool = torch.where(same, 1 + (x[:, place] - 1 + shift) % max(1, size - 1), pool)
    x[:, place] = pool
    return x


def _without(held: Held, place: int) -> Held:
    """The sequences without the step at `place`."""
    batch = held.batch
    x = torch.cat([batch.x[:, :place], batch.x[:, place + 1 :]], 1)
    lengths = None if batch.lengths is None else (batch.lengths - 1).clamp(min=1)
    return replace(held, batch=batch._replace(x=x, lengths=lengths))


def _add(
    sums: NDArray[np.float64], held: Held, before: Tensor, after: Tensor, place: int, deleted: bool = False
) -> int:
    """Adds the distances at each lag to `sums` (T, 2) and returns the last lag with any. deleted: `before` begins one step
    later than `after`, so what stands at `place` of both follows the step that was taken out.
    """
    furthest = 0
    apart = distance(held, before, after[:, : before.shape[1]]).double().numpy()  # (B, T)
    differs = (before != after[:, : before.shape[1]]).flatten(2).any(-1).numpy()
    for row, length in enumerate(held.lengths):
        if place >= length:
            continue
        here = apart[row, place : length - deleted]
        sums[int(deleted) : int(deleted) + len(here)] += np.stack([here, np.ones_like(here)], 1)
        moved = np.flatnonzero(differs[row, place : length - deleted])
        furthest = max(furthest, int(moved[-1]) if len(moved) else 0)
    return furthest


def distance(held: Held, before: Tensor, after: Tensor) -> Tensor:
    """(B, T) how far two predictions lie apart: total variation of what they say is probable (0 to 1), or the root mean
    square of numbers.
    """
    head = held.model.head
    if isinstance(head, NumberHead):
        return (before - after).square().mean(-1).sqrt()
    if isinstance(head, LabelHead) and head.several:
        return (before.sigmoid() - after.sigmoid()).abs().mean(-1)
    return (before.softmax(-1) - after.softmax(-1)).abs().sum(-1) / 2


def _unit(held: Held) -> str:
    return "standard deviations" if isinstance(held.model.head, NumberHead) else "probability that changes"


def _mean(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    total, count = sums.T
    mean: NDArray[np.float64] = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean


def _told(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in values]
