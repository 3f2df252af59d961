"""A model layer by layer: weights, work, reach, and what it remembers against what a longer context would cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite

from torch import nn

from unrolled.inspection.finding import Finding
from unrolled.mixer import Mixer
from unrolled.mixers import kind_of
from unrolled.model import Model, Seq2Seq
from unrolled.report import LineChart, Section, Series, Table
from unrolled.state import Source, nbytes

CONTEXT = 128  # tokens of the sequence whose work is counted
CONTEXTS = (16, 64, 256, 1024, 4096, 16384, 65536)


@dataclass(frozen=True)
class LayerSummary:
    """One layer. flops: of a token, in a sequence of 128; past, future: its reach in steps, None if unlimited; state: bytes
    that one sequence keeps after 128 tokens, None for what can't stream.
    """

    layer: str
    kind: str
    width: int
    parameters: int
    flops: int
    past: int | None
    future: int | None
    state: int | None


@dataclass(frozen=True, kw_only=True)
class Summary(Finding):
    """What a run's model is made of. context, bytes: how large its state is after so many tokens; looks: what else can be
    looked at (name -> what it shows), lacks: what can't (name -> why).
    """

    title = "What the model is made of"

    data: str = ""
    task: str = ""
    step: int = 0
    score: str = ""
    parameters: int = 0
    layers: list[LayerSummary] = field(default_factory=list)
    reach: int | None = None
    context: list[int] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    looks: dict[str, str] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        wide = max((len(one.layer) for one in self.layers), default=5)
        said = [f"trained   {self.task} on {self.data}, step {self.step}{self.score}"]
        if self.layers:
            said += [
                f"weights   {self.parameters:,}",
                f"reach     {_steps(self.reach)} back",
                "",
                f"{'layer':<{wide}}  {'kind':<13}  {'width':>5}  {'weights':>10}  {'flops a token':>13}  {'reach':>9}  "
                f"{'state':>9}",
            ]
        said += [
            f"{one.layer:<{wide}}  {one.kind:<13}  {one.width:>5}  {one.parameters:>10,}  {one.flops:>13,}  "
            f"{_steps(one.past):>9}  {_bytes(one.state):>9}"
            for one in self.layers
        ]
        if self.bytes:
            least, most = self.bytes[0], self.bytes[-1]
            size = (
                f"{_bytes(least)}, however long the text"
                if least == most
                else (
                    f"{_bytes(least)} after {self.context[0]} tokens, {_bytes(most)} after {self.context[-1]:,}"
                )
            )
            said += ["", f"state     {size}"]
        said += ["", *(f"{name:<11} {shows}" for name, shows in self.looks.items())]
        said += [f"{name:<11} not of this run: {why}" for name, why in self.lacks.items()]
        return [
            *said,
            *([f"next      unrolled inspect {self.run} {next(iter(self.looks))}"] if self.looks else []),
        ]

    def lead(self) -> str:
        if not self.layers:
            return "No model was saved yet."
        grows = len(self.bytes) > 1 and self.bytes[-1] > self.bytes[0]
        kept = (
            f"its state grows with the text: {_bytes(self.bytes[-1])} after {self.context[-1]:,} tokens"
            if grows
            else f"its state is {_bytes(self.bytes[0])}, however long the text"
            if self.bytes
            else "it sees whole sequences and keeps nothing between calls"
        )
        return f"{self.parameters:,} weights in {len(self.layers)} layers; {kept}."

    def blocks(self) -> list[Section]:
        rows = [
            [
                one.layer, one.kind, one.width, one.parameters, one.flops, _steps(one.past),
                _bytes(one.state) if one.state is not None else None,
            ]
            for one in self.layers
        ]  # fmt: skip
        table = Table(
            ["layer", "kind", "width", "weights", "flops a token", "reach back", "state"], rows,
            f"Work is counted in a sequence of {CONTEXT} tokens; the state is what one sequence keeps after as many.",
            title="Layer by layer", notes=self.notes,
        )  # fmt: skip
        made: list[Section] = [table]
        if len(self.bytes) > 1:
            made.append(
                LineChart(
                    [Series("this model", list(map(float, self.context)), list(map(float, self.bytes)))],
                    "bytes a sequence", "tokens read", title="State against context", x_log=True, y_log=True,
                    caption="What has to be kept so that the next token costs one step: of recurrences and convolutions "
                    "always the same, of full attention more with each token.",
                )
            )  # fmt: skip
        looks = [[name, shows] for name, shows in self.looks.items()]
        looks += [[name, f"not of this run: {why}"] for name, why in self.lacks.items()]
        if looks:
            made.append(
                Table(["look", "shows"], looks, "unrolled inspect RUN LOOK", title="What else to look at")
            )
        return made


def layers_of(model: Model) -> list[LayerSummary]:
    """Every part with weights or a state: embedder, the core's layers, the head; of a source's reader too."""
    made = [_part("embedder", model.embedder)]
    made += [_layer(f"core.layers.{n}", one, model) for n, one in enumerate(model.core.layers)]  # type: ignore[arg-type]
    made.append(_part("head", model.head))
    if isinstance(model, Seq2Seq):
        inner = model.source.core
        made += [_layer(f"source.core.layers.{n}", one, None) for n, one in enumerate(inner.layers)]  # type: ignore[arg-type]
    return made


def _part(name: str, part: nn.Module) -> LayerSummary:
    weights = sum(p.numel() for p in part.parameters())
    work = 0 if name == "embedder" else 2 * sum(p.numel() for p in part.parameters() if p.ndim > 1)
    kind = type(part).__name__
    return LayerSummary(name, kind, int(getattr(part, "width", 0)), weights, work, 0, 0, 0)


def _layer(name: str, layer: Mixer, model: Model | None) -> LayerSummary:
    past, future = layer.reach
    return LayerSummary(
        name, kind_of(layer), layer.width, sum(p.numel() for p in layer.parameters()),
        layer.flops(CONTEXT) // CONTEXT, int(past) if isfinite(past) else None,
        int(future) if isfinite(future) else None, None if future else _kept(layer, CONTEXT, model),
    )  # fmt: skip


def _kept(layer: Mixer, tokens: int, model: Model | None) -> int:
    """Bytes of one sequence's state after so many tokens (of a source as long, where it reads one)."""
    source = None
    if layer.conditioned:
        assert isinstance(model, Seq2Seq)
        anchor = layer.anchor
        values = anchor.new_zeros(1, tokens, model.source.width)
        source = Source(values, anchor.new_ones(1, tokens).bool())
    return nbytes(layer.start(1, tokens, source))


def state_sizes(model: Model) -> list[tuple[int, int]]:
    """(tokens, bytes of one sequence's state after them); nothing for a model that can't stream."""
    if model.reach.future:
        return []
    layers: list[Mixer] = list(model.core.layers)  # type: ignore[arg-type]
    return [(tokens, sum(_kept(layer, tokens, model) for layer in layers)) for tokens in CONTEXTS]


def _steps(past: int | None) -> str:
    return "unlimited" if past is None else f"{past:,}"


def _bytes(size: int | None) -> str:
    if size is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} B"
