"""How much of the last answer's gradient arrives at earlier steps: vanishing, exploding, or neither."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, inf, isfinite, log
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from unrolled.inspection.finding import Finding
from unrolled.inspection.held_out import Held
from unrolled.inspection.trace import Heard, Trace
from unrolled.mixer import Mixer
from unrolled.mixers import Bidirectional
from unrolled.model import Core, Model
from unrolled.report import LineChart, Section, Sentence, Series, Table

Verdict = Literal["vanishing", "exploding", "healthy", "out of reach"]

FADED, GROWN = (
    1e-3,
    1e2,
)  # of the gradient near the end, at the beginning: less is vanishing, more is exploding
NEAR = 4  # steps from the end whose mean is what the others are compared with
TOLD = 0.01  # the share of the gradient whose lag is told

GATED = {"lstm", "gru", "mingru", "bahdanau"}
TRIES: dict[Verdict, str] = {
    "vanishing": (
        "What is far back can't be learned by this path. A state that is added to rather than rewritten keeps it open: "
        "model=lstm, gru or mingru; so does attention, whose path has one step whatever the distance. A larger learning "
        "rate or clipping doesn't help: what is 0 stays 0."
    ),
    "exploding": (
        "One long row outweighs all others. Clipping bounds the damage (clip=1 or less), a lower lr and shorter rows "
        "(length=) lessen it; gates, or recurrent weights that begin orthogonal, remove the cause."
    ),
    "healthy": "Nothing to mend here: steps far back still have a say.",
    "out of reach": "This layer sees no further by its construction: what is beyond gets no gradient at all.",
}
FORGETS = (
    "Its gates were free to keep more, so it may be what the data asks for: next steps that depend on near ones. Where "
    "memory or position show that more is needed: model=transformer, whose path has one step whatever the distance, or "
    "two layers; clipping and the learning rate don't help."
)


@dataclass(frozen=True)
class LayerFlow:
    """One layer. norms[k]: the norm of dL/dh_t, k steps before the last, the mean over rows; None where it isn't a number.

    factor: what one step multiplies it by, fitted to the farther half (least squares of the logarithm); left: the share of
    what is near the end that arrives at the longest lag; lag: where less than 1 % is left for good, None if nowhere.
    """

    layer: str
    kind: str
    norms: list[float | None]
    factor: float
    left: float
    lag: int | None
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class GradientFlow(Finding):
    """The gradient of the last step's loss with respect to what each layer's state was at the steps before."""

    title = "Gradient flow through time"

    steps: int
    rows: int
    layers: list[LayerFlow] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """Of the whole: exploding if any layer is, healthy if one is, else what they are."""
        found = [layer.verdict for layer in self.layers]
        for one in ("exploding", "healthy", "vanishing"):
            if one in found:
                return one
        return "out of reach"

    @property
    def tries(self) -> str:
        """What to try."""
        fading = [layer for layer in self.layers if layer.verdict == "vanishing"]
        if self.verdict == "vanishing" and all(layer.kind in GATED for layer in fading):
            return FORGETS
        return TRIES[self.verdict]

    def lines(self) -> list[str]:
        wide = max((len(layer.layer) for layer in self.layers), default=5)
        head = (
            f"{'layer':<{wide}}  {'kind':<10}  a step x  left at lag {self.steps - 1}  1 % left at  verdict"
        )
        rows = [
            f"{one.layer:<{wide}}  {one.kind:<10}  {one.factor:8.4f}  {one.left:>{13 + len(str(self.steps - 1))}.1e}  "
            f"{'never' if one.lag is None else f'lag {one.lag}':>11}  {one.verdict}"
            for one in self.layers
        ]
        return [head, *rows, "", f"verdict   {self.verdict}", f"try       {self.tries}"]

    def lead(self) -> str:
        if not self.layers:
            return "No layer of this model carries anything along time, so no gradient flows along it."
        most = max(self.layers, key=lambda one: one.left)
        return (
            f"The gradient through time is {self.verdict}: of what reaches {most.layer} ({most.kind}) near the last step, "
            f"{_share(most.left)} {'is left' if most.left < 10 else 'stands'} {self.steps - 1} steps before."
        )

    def blocks(self) -> list[Section]:
        lags = list(range(self.steps))
        lines = [Series(f"{one.layer} {one.kind}", lags, _drawn(one.norms)) for one in self.layers]
        chart = LineChart(
            lines, "norm of dL/dh", "steps before the last", title=self.title, y_log=True,
            caption=f"L is the loss of the last step alone, h a layer's state at an earlier one (an LSTM's hidden and cell "
            f"together; where nothing recurs, what enters the layer). Means over {self.rows} sequences, on a logarithmic "
            "scale: a straight line falls by the same factor at each step.",
        )  # fmt: skip
        table = Table(
            ["layer", "kind", "a step multiplies by", f"left at lag {self.steps - 1}", "1 % left at lag", "verdict"],
            [[one.layer, one.kind, one.factor, f"{one.left:.1e}", one.lag, one.verdict] for one in self.layers],
            f"Vanishing: less than {FADED:g} of the gradient of the last {NEAR} steps arrives at the first ones. "
            f"Exploding: more than {GROWN:,.0f} times of it. Healthy: between.",
            title="Layer by layer",
            notes=self.notes,
        )  # fmt: skip
        return [chart, table, Sentence(self.tries, title="What to try")]


def gradient_flow(held: Held) -> GradientFlow:
    """Of a trained or untrained model over held-out sequences; the loss is the head's at each row's last step."""
    trace = held.probe(loss=held.last_loss)
    return of_trace(held.model, trace, held.lengths, held.notes)


def of_trace(
    model: nn.Module, trace: Trace, lengths: list[int] | None = None, notes: list[str] | None = None
) -> GradientFlow:
    """From a trace with gradients of a loss at each row's last step (`probe(..., loss=...)`). lengths: of the rows, all
    steps unless given.
    """
    rows, steps = trace.inputs.shape[:2]
    lengths = lengths or [steps] * rows
    found, said = [], list(notes or [])
    for layer, heard in _carriers(model, trace):
        kept = heard[0].kept.get("row")
        sizes = [lengths[row] for row in kept] if kept else lengths
        norms = by_lag([one.grad for one in heard if one.grad is not None], sizes)
        kind = trace.kind_of(layer)
        found.append(_judged(layer, kind, norms, reach_of(model, layer)))
        said += [one.said() for one in heard if one.kept]
    return GradientFlow(steps=steps, rows=rows, layers=found, notes=list(dict.fromkeys(said)))


def _carriers(model: nn.Module, trace: Trace) -> list[tuple[str, list[Heard]]]:
    """The layers that carry something along time, with the states that they name or, of those that name none, what enters
    them; all with gradients.
    """
    found: list[tuple[str, list[Heard]]] = []
    for layer in trace.layers:
        part = _part(model, layer)
        if not isinstance(part, Mixer) or isinstance(part, Core) or not part.reach.past:
            continue
        if not part.sublayer or layer.startswith("source"):  # a pool's states are its summaries
            continue
        named = {one.name: one for one in trace.heard if one.layer == layer and one.grad is not None}
        states = [named[name] for name in ("hidden", "cell") if name in named]
        inner = any(other.startswith(f"{layer}.") for other in trace.layers)
        if states:
            found.append((layer, states))
        elif not inner and (entering := _entering(trace, layer)):
            found.append((layer, [entering]))
    return found


def _entering(trace: Trace, layer: str) -> Heard | None:
    """What enters a layer of a model's core: the output of what stands before it."""
    above, _, number = layer.rpartition(".")
    if above != "core.layers":
        return None
    before = f"{above}.{int(number) - 1}" if int(number) else "embedder"
    return next((o for o in trace.heard if o.layer == before and o.name == "y" and o.grad is not None), None)


def _part(model: nn.Module, layer: str) -> nn.Module:
    try:
        return model.get_submodule(layer)
    except AttributeError:
        return model  # a bare mixer, named after its kind


def reach_of(model: nn.Module, layer: str) -> float:
    """How far back the model's last output sees through this layer: what it and the layers above it reach. A layer that
    reads backwards carries nothing from the past, so through it only those above reach back.
    """
    if not isinstance(model, Model) or not layer.startswith("core.layers."):
        return inf
    own, *above = list(model.core.layers)[int(layer.split(".")[2]) :]
    backwards = isinstance(own, Bidirectional) and layer.endswith(".backwards")
    return sum(one.reach.past for one in (above if backwards else [own, *above]) if isinstance(one, Mixer))


def by_lag(grads: list[Tensor], lengths: list[int]) -> NDArray[np.float64]:
    """(T,) the norm over all units of all `grads` (B, T, units), k steps before each row's last: the mean over the rows
    that are so long.
    """
    squares = np.stack([(grad.double() ** 2).sum(-1).numpy() for grad in grads]).sum(0)  # (B, T)
    total, count = np.zeros(squares.shape[1]), np.zeros(squares.shape[1])
    for row, length in enumerate(lengths):
        total[:length] += np.sqrt(squares[row, :length])[::-1]
        count[:length] += 1
    norms: NDArray[np.float64] = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return norms


def _judged(layer: str, kind: str, norms: NDArray[np.float64], reach: float) -> LayerFlow:
    """The verdict on one layer's norms by lag."""
    seen = norms[: int(min(len(norms), reach + 1))]
    near, far = float(np.mean(seen[:NEAR])), float(np.mean(seen[-NEAR:]))
    broken = not np.isfinite(seen).all()
    left = inf if broken else far / near if near > 0 else 0.0
    factor = fitted(seen)
    verdict: Verdict = "healthy"
    if left > GROWN:
        verdict = "exploding"
    elif left < FADED:
        verdict = "vanishing"
    elif reach < len(norms) - 1:
        verdict = "out of reach"
    above = np.flatnonzero(~(norms < TOLD * near))
    lag = int(above[-1]) + 1 if len(above) else 0
    told = [float(n) if isfinite(n) else None for n in norms]
    return LayerFlow(
        layer, kind, told, factor, left, lag if lag < len(norms) else None, verdict
    )  # fmt: skip


def fitted(norms: NDArray[np.float64]) -> float:
    """The factor of one step: exp of the slope of log norm over lag, by least squares over the farther half of what isn't
    0: the first steps back still show how the loss is read off, later ones the recurrence alone.
    """
    lags = np.flatnonzero((norms > 0) & np.isfinite(norms))
    if len(lags) < 2:
        return 0.0
    lags = lags[len(lags) // 2 :] if len(lags) >= 4 else lags
    slope = float(np.polyfit(lags, np.log(norms[lags]), 1)[0])
    return exp(min(slope, log(1e6)))


def _drawn(norms: list[float | None]) -> list[float | None]:
    """A logarithmic scale has no 0."""
    return [norm if norm else None for norm in norms]


def _share(left: float) -> str:
    return f"{100 * left:.2g} %" if left < 10 else f"{left:,.0f} times as much"
