"""What is exported: a model as a function of flat, named tensors. One step of it, and a whole sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.model import ModelState, Seq2Seq
from unrolled.model.embedders import Embedder, MixedEmbedder, TokenEmbedder
from unrolled.state import filled, leaves, names, vectors

if TYPE_CHECKING:
    from unrolled.model import Model


class Leaf(NamedTuple):
    """One tensor of the state as the graph's users see it: `0.hidden`, batch first."""

    name: str
    start: Tensor  # (1, ...) one row before the first step
    grows: (
        bool  # axis 2 holds every step so far and this one, and a spare slot behind them (see `state.grow`)
    )
    told: bool = False  # what a `Seq2Seq` has read of its source writes it
    along: int | None = None  # its axis of source steps: such a leaf never changes while a target is written

    @property
    def before(self) -> str:
        """The name of the graph's input: `state.0.hidden`."""
        return f"state.{self.name}"

    @property
    def after(self) -> str:
        """The name of the graph's output: `next.0.hidden`."""
        return f"next.{self.name}"


class Step(nn.Module):
    """One step of a model with its state flat: `answer, *after = step(raw, *before)`.

    raw: (B,) int64 ids or (B, D) float32 numbers, one step of each row. answer: (B, ...) what the task says of the
    head's output after this step (`task.settled`); without a task, that output. The leaves are those of
    `model.start(batch, capacity)` in its order, those of the core without its name: `0.hidden`, `embedder.seen`.

    Of a `Seq2Seq` the leaves are those of `read_source`; what never changes isn't handed on.
    Raises UserError for a model that sees what comes after a step.
    """

    def __init__(self, model: Model, capacity: int = 0) -> None:
        super().__init__()
        if model.reach.future:
            raise UserError(whole_only(model))
        self.model = model
        self.template = _first(model, capacity)
        longer = (leaf for _, leaf in leaves(_first(model, capacity + 1)))
        further = (leaf for _, leaf in leaves(_first(model, capacity, 3)))
        written = {id(leaf) for _, leaf in vectors(self.template.core)} if model.conditioned else ()
        self.leaves = tuple(
            Leaf(
                _shown(name), leaf, leaf.shape != other.shape, along is not None or id(leaf) in written, along
            )
            for (name, leaf), other, far in zip(leaves(self.template), longer, further, strict=True)
            for along in [_differing(leaf, far)]
        )

    def start(self, batch: int, capacity: int = 0, source: Tensor | None = None) -> tuple[Tensor, ...]:
        """The leaves before the first step of `batch` rows. source: what a `Seq2Seq` reads, an example unless given."""
        return tuple(leaf for _, leaf in leaves(_first(self.model, capacity, batch=batch, source=source)))

    def forward(self, raw: Tensor, *before: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(names(self.template), before, strict=True))
        said, after = self.model(raw.unsqueeze(1), filled(self.template, named))
        changed = (
            each for leaf, (_, each) in zip(self.leaves, leaves(after), strict=True) if leaf.along is None
        )
        return settled(self.model, said.squeeze(1)), *changed


class Sourced(nn.Module):
    """What a `Seq2Seq` makes of whole sources: raw (B, S) ids or (B, S, D) numbers, of one length, -> the leaves of
    its first state that are told of them, in `Step`'s order.
    """

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.model = model
        self.leaves = tuple(leaf for leaf in Step(model).leaves if leaf.told)
        self._told = [leaf.told for leaf in Step(model).leaves]

    def forward(self, raw: Tensor) -> tuple[Tensor, ...]:
        state = self.model.read_source(raw)
        return tuple(leaf for (_, leaf), told in zip(leaves(state), self._told, strict=True) if told)


def _first(
    model: Model, capacity: int = 0, steps: int = 2, batch: int = 1, source: Tensor | None = None
) -> ModelState:
    """The first state; of a `Seq2Seq` after a source, an example of so many steps unless given."""
    if not isinstance(model, Seq2Seq):
        return model.start(batch, capacity)
    with torch.no_grad():
        read = example(model.source.embedder, batch, steps) if source is None else source
        return model.read_source(read, capacity=capacity)


def _differing(one: Tensor, other: Tensor) -> int | None:
    """The axis in which two shapes differ."""
    axes = [
        axis for axis, sizes in enumerate(zip(one.shape, other.shape, strict=True)) if sizes[0] != sizes[1]
    ]
    return axes[0] if axes else None


class Whole(nn.Module):
    """A model over whole sequences: raw (B, T) ids or (B, T, D) numbers -> what it says after each step, (B, T, ...). Of a
    `Seq2Seq` raw is the target's and `source` comes beside.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, raw: Tensor, source: Tensor | None = None) -> Tensor:
        state = None
        if source is not None:
            assert isinstance(self.model, Seq2Seq)
            state = self.model.condition(source)
        return settled(self.model, self.model(raw, state)[0])


def settled(model: Model, said: Tensor) -> Tensor:
    """The head's output as the model's task says it; as it is, where there is no task."""
    task: Any = model.task
    found: Tensor = said if task is None else task.settled(said)
    return found


def sees_ahead(model: Model) -> str:
    """Why a model has no step, in words, naming the layer."""
    kinds = [type(layer).__name__ for layer in model.core.layers if layer.reach.future]  # type: ignore[union-attr]
    return f"{kinds[0]} cannot stream: its output at t needs inputs after t."


def whole_only(model: Model) -> str:
    """The same with what can be done instead."""
    return (
        f"{sees_ahead(model)} Export the whole-sequence graph (to=onnx), or train a model that reads in order: model=gru, "
        "lstm or transformer."
    )


def _shown(name: str) -> str:
    return name.removeprefix("core.")


def example(embedder: Embedder, batch: int, steps: int | None, seed: int = 0) -> Tensor:
    """Raw inputs that an embedder takes: (B, T) ids or (B, T, D) numbers; steps=None: one step, (B,) or (B, D)."""
    rng = torch.Generator().manual_seed(seed)
    shape = (batch,) if steps is None else (batch, steps)
    if isinstance(embedder, TokenEmbedder):
        return torch.randint(embedder.vocabulary, shape, generator=rng)
    if isinstance(embedder, MixedEmbedder):
        ids = [torch.randint(size, shape, generator=rng).float() for size in embedder.sizes]
        numbers = torch.randn(*shape, embedder.inputs, generator=rng)
        return torch.cat([*(column[..., None] for column in ids), numbers], -1)
    return torch.randn(*shape, embedder.inputs, generator=rng)
