"""What is exported: a model as a function of flat, named tensors. One step of it, and a whole sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.model.embedders import MixedEmbedder, TokenEmbedder
from unrolled.state import filled, leaves, names

if TYPE_CHECKING:
    from unrolled.model import Model


class Leaf(NamedTuple):
    """One tensor of the state as the graph's users see it: `0.hidden`, batch first."""

    name: str
    start: Tensor  # (1, ...) one row before the first step
    grows: (
        bool  # axis 2 holds every step so far and this one, and a spare slot behind them (see `state.grow`)
    )

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

    Raises UserError for a model that sees what comes after a step.
    """

    def __init__(self, model: Model, capacity: int = 0) -> None:
        super().__init__()
        if model.reach.future:
            raise UserError(whole_only(model))
        self.model = model
        self.template = model.start(1, capacity)
        longer = (leaf for _, leaf in leaves(model.start(1, capacity + 1)))
        self.leaves = tuple(
            Leaf(_shown(name), leaf, leaf.shape != other.shape)
            for (name, leaf), other in zip(leaves(self.template), longer, strict=True)
        )

    def start(self, batch: int, capacity: int = 0) -> tuple[Tensor, ...]:
        """The leaves before the first step of `batch` rows."""
        return tuple(leaf for _, leaf in leaves(self.model.start(batch, capacity)))

    def forward(self, raw: Tensor, *before: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(names(self.template), before, strict=True))
        said, after = self.model(raw.unsqueeze(1), filled(self.template, named))
        return settled(self.model, said.squeeze(1)), *(leaf for _, leaf in leaves(after))


class Whole(nn.Module):
    """A model over whole sequences: raw (B, T) ids or (B, T, D) numbers -> what it says after each step, (B, T, ...)."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, raw: Tensor) -> Tensor:
        return settled(self.model, self.model(raw)[0])


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


def example(model: Model, batch: int, steps: int | None, seed: int = 0) -> Tensor:
    """Raw inputs that a model takes: (B, T) ids or (B, T, D) numbers; steps=None: one step, (B,) or (B, D)."""
    rng = torch.Generator().manual_seed(seed)
    shape = (batch,) if steps is None else (batch, steps)
    embedder = model.embedder
    if isinstance(embedder, TokenEmbedder):
        return torch.randint(embedder.vocabulary, shape, generator=rng)
    if isinstance(embedder, MixedEmbedder):
        ids = [torch.randint(size, shape, generator=rng).float() for size in embedder.sizes]
        numbers = torch.randn(*shape, embedder.inputs, generator=rng)
        return torch.cat([*(column[..., None] for column in ids), numbers], -1)
    return torch.randn(*shape, embedder.inputs, generator=rng)
