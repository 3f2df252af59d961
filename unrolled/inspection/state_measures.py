"""A state in numbers: its norm, its stuck and saturated units; a gate's; and for how long units keep what is written."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from unrolled.inspection.trace import Heard

SHUT, OPEN = 0.1, 0.9  # a gate below, above
STUCK = 1e-3  # a unit whose standard deviation over all steps is less says nothing
EDGE = 0.95  # |tanh| beyond: saturated
GATES = ("input", "forget", "output", "reset", "update")

# Which gate keeps the old state, and whether it does so at 1 or at 0.
KEEPS = {"lstm": ("forget", 1), "gru": ("update", 1), "mingru": ("update", 0)}
STATES = {"hidden": "hidden", "cell": "cell", "pooled": "pooled"}
BOUNDED = {"rnn", "lstm", "gru"}  # whose hidden state lies in -1 ... 1


@dataclass(frozen=True)
class StateOf:
    """One state: its norm in the mean over steps, early and late, its largest number, and what share of its units is stuck
    (the same at every step) or saturated (beyond 0.95 of a bound; None where there is none).
    """

    layer: str
    kind: str
    name: str
    units: int
    norm: float
    early: float
    late: float
    largest: float
    stuck: float
    saturated: float | None
    norms: list[float]  # by step


@dataclass(frozen=True)
class GateOf:
    """One gate: its mean, the share of the time it is shut (< 0.1) and open (> 0.9)."""

    layer: str
    kind: str
    name: str
    mean: float
    shut: float
    open: float


@dataclass(frozen=True)
class KeptFor:
    """How long a layer's units keep what was written: the time constant of each, 1 / (1 - mean keep), in steps, sorted.

    After so many steps a share 1/e is left (Tallec & Ollivier 2018, arXiv:1804.11188, sec. 2).
    """

    layer: str
    kind: str
    gate: str
    constants: list[float]

    def at(self, share: float) -> float:
        """The time constant below which that share of the units lies."""
        return float(np.quantile(np.minimum(self.constants, 1e9), share))


def state_of(one: Heard, real: NDArray[np.bool_]) -> StateOf:
    """A state over the steps that are `real` (rows, T)."""
    value = one.value.double().numpy()
    norms = np.sqrt((value**2).sum(-1))
    by_step = np.array(
        [norms[real[:, t], t].mean() if real[:, t].any() else np.nan for t in range(value.shape[1])]
    )
    tenth = max(1, int(real.sum(1).max()) // 10)
    flat = value[real]
    edge = float((np.abs(flat) > EDGE).mean()) if one.kind in BOUNDED and one.name == "hidden" else None
    late = [norms[row, max(0, n - tenth) : n].mean() for row, n in enumerate(real.sum(1)) if n]
    return StateOf(
        one.layer, one.kind, one.name, one.whole[-1] if one.whole else value.shape[-1], float(norms[real].mean()),
        float(np.nanmean(by_step[:tenth])), float(np.mean(late)), float(np.abs(flat).max()),
        float((flat.std(0) < STUCK).mean()), edge, [float(n) for n in by_step],
    )  # fmt: skip


def kept_for(one: Heard, real: NDArray[np.bool_]) -> KeptFor:
    """For how long a layer keeps, by the gate that does so, over the steps that are `real` (rows, T)."""
    gate, at_one = KEEPS[one.kind]
    mean = one.value.double().numpy()[real].mean(0)
    keep = mean if at_one else 1 - mean
    constants = np.divide(1.0, 1 - keep, out=np.full(len(keep), inf), where=keep < 1)
    return KeptFor(one.layer, one.kind, gate, sorted(float(min(c, 1e9)) for c in constants))
