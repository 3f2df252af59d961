"""How large states are, how many units are stuck, and how long gates keep what is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite

import numpy as np
from torch import Tensor

from unrolled.inspection.finding import Finding
from unrolled.inspection.held_out import Held
from unrolled.inspection.state_measures import (
    EDGE,
    GATES,
    KEEPS,
    OPEN,
    SHUT,
    STATES,
    STUCK,
    GateOf,
    KeptFor,
    StateOf,
    kept_for,
    state_of,
)
from unrolled.inspection.trace import Trace
from unrolled.report import Heatmap, LineChart, Section, Series, Table

SHOWN = 64  # units and steps of a picture


@dataclass(frozen=True, kw_only=True)
class States(Finding):
    """The states and gates of every layer that has some, over held-out sequences."""

    title = "States and gates"

    rows: int
    steps: int
    states: list[StateOf] = field(default_factory=list)
    gates: list[GateOf] = field(default_factory=list)
    kept: list[KeptFor] = field(default_factory=list)
    picture: Heatmap | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, object]:
        return {name: value for name, value in super().to_dict().items() if name != "picture"}

    def lines(self) -> list[str]:
        said = []
        for one in self.states:
            edge = "" if one.saturated is None else f", {one.saturated:.0%} saturated"
            said.append(
                f"{one.layer}  {one.kind} {one.name}: {one.units} units, norm {one.norm:.3g} ({one.early:.3g} early, "
                f"{one.late:.3g} late), largest {one.largest:.3g}, {one.stuck:.0%} stuck{edge}"
            )
        said += [
            f"{one.layer}  {one.kind} {one.name} gate: mean {one.mean:.2f}, shut {one.shut:.0%}, open {one.open:.0%}"
            for one in self.gates
        ]
        said += [
            f"{one.layer}  keeps for {_steps(one.at(0.5))} in the median, a tenth of the units for "
            f"{_steps(one.at(0.9))} or more"
            for one in self.kept
        ]
        return said

    def lead(self) -> str:
        if not self.states:
            return (
                "No layer of this model keeps a state of its own: it looks at its inputs anew at each step."
            )
        grows = [one for one in self.states if one.late > 3 * max(one.early, 1e-9)]
        stuck = max(self.states, key=lambda one: one.stuck)
        kept = (
            f" Half of the units keep what is written for {_steps(self.kept[-1].at(0.5))} or more."
            if self.kept
            else ""
        )
        if grows:
            return (
                f"The {grows[0].name} state of {grows[0].layer} grows along the sequence, from {grows[0].early:.3g} to "
                f"{grows[0].late:.3g}.{kept}"
            )
        if stuck.stuck > 0.1:
            return f"{stuck.stuck:.0%} of the {stuck.name} units of {stuck.layer} never move.{kept}"
        return f"States stay of one size along the sequence.{kept}"

    def blocks(self) -> list[Section]:
        made: list[Section] = []
        if self.states:
            lines = [
                Series(f"{one.layer} {one.name}", list(range(len(one.norms))), one.norms)
                for one in self.states
            ]
            made.append(
                LineChart(
                    lines,
                    "norm of the state",
                    "step",
                    title="How large the states are",
                    caption=f"Euclidean norm over all units, the mean over {self.rows} held-out sequences.",
                )
            )
        if self.picture is not None:
            made.append(self.picture)
        if self.kept:
            share = [
                Series(
                    f"{one.layer} {one.kind}",
                    [100 * (n + 1) / len(one.constants) for n in range(len(one.constants))],
                    [min(c, 1e6) for c in one.constants],
                )
                for one in self.kept
            ]
            made.append(
                LineChart(
                    share,
                    "time constant in steps",
                    "% of the layer's units",
                    title="How long units remember",
                    y_log=True,
                    caption="1 / (1 - the mean of the gate that keeps the old state), a unit each, the shortest first: "
                    "after so many steps a share 1/e of what was written is left.",
                )
            )
        if self.states:
            made.append(
                Table(
                    [
                        "layer",
                        "kind",
                        "state",
                        "units",
                        "norm",
                        "early",
                        "late",
                        "largest",
                        "stuck",
                        "saturated",
                    ],
                    [
                        [
                            one.layer,
                            one.kind,
                            one.name,
                            one.units,
                            one.norm,
                            one.early,
                            one.late,
                            one.largest,
                            f"{one.stuck:.0%}",
                            None if one.saturated is None else f"{one.saturated:.0%}",
                        ]
                        for one in self.states
                    ],
                    f"Early and late: the first and the last tenth of the steps. Stuck: a unit whose standard deviation is "
                    f"below {STUCK}. Saturated: |h| > {EDGE}, where a tanh hardly passes a gradient.",
                    title="States",
                    notes=self.notes,
                )
            )
        if self.gates:
            made.append(
                Table(
                    ["layer", "kind", "gate", "mean", "shut", "open"],
                    [
                        [one.layer, one.kind, one.name, one.mean, f"{one.shut:.0%}", f"{one.open:.0%}"]
                        for one in self.gates
                    ],
                    f"The share of units and steps at which a gate is below {SHUT} (shut) and above {OPEN} (open).",
                    title="Gates",
                )
            )
        return made


def states(held: Held) -> States:
    """Over held-out sequences: what every recurrent layer's states and gates do."""
    return of_trace(held.probe(), held.lengths, held.notes)


def of_trace(trace: Trace, lengths: list[int] | None = None, notes: list[str] | None = None) -> States:
    """From a trace. lengths: of its rows, all steps unless given."""
    rows, steps = trace.inputs.shape[:2]
    real = np.arange(steps)[None] < np.asarray(lengths or [steps] * rows)[:, None]
    found, gates, kept = [], [], []
    for one in trace.heard:
        if one.value.ndim != 3 or one.layer.startswith("source") or one.kind == "ffn":
            continue
        mask = real[list(one.kept["row"])] if "row" in one.kept else real
        if one.name in STATES:
            found.append(state_of(one, mask))
        elif one.name in GATES:
            value = one.value.numpy()[mask]
            gates.append(
                GateOf(
                    one.layer,
                    one.kind,
                    one.name,
                    float(value.mean()),
                    float((value < SHUT).mean()),
                    float((value > OPEN).mean()),
                )
            )
        if KEEPS.get(one.kind, ("",))[0] == one.name:
            kept.append(kept_for(one, mask))
    return States(
        rows=rows, steps=steps, states=found, gates=gates, kept=kept, picture=_picture(trace),
        notes=[*(notes or []), *trace.notes()],
    )  # fmt: skip


def _picture(trace: Trace) -> Heatmap | None:
    """The last recurrent layer's state over the first row, its liveliest units."""
    known = [one for one in trace.called("hidden") if one.kind != "ffn" and one.value.ndim == 3]
    if not known:
        return None
    one = known[-1]
    value: Tensor = one.value[0, :SHOWN]
    lively = value.std(0, correction=0).argsort(descending=True)[: SHOWN // 2].sort().values
    units = one.kept.get("unit")
    tokens = trace.tokens[0][:SHOWN] if trace.tokens else [str(t) for t in range(len(value))]
    return Heatmap(
        value[:, lively].T.tolist(),
        [f"unit {units[u] if units else u}" for u in lively.tolist()],
        tokens,
        title=f"The state of {one.layer} over a sequence",
        row_label=f"the {len(lively)} units that move most",
        column_label="as it is read",
        diverging=True,
        caption=f"{one.kind} {one.name}, the first {len(value)} steps of a held-out sequence.",
    )


def _steps(constant: float) -> str:
    if not isfinite(constant) or constant >= 1e6:
        return "ever"
    return f"{constant:.1f} steps" if constant < 10 else f"{constant:,.0f} steps"
