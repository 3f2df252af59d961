"""Which source steps each written token looked at: one pass over finished sequences while a probe listens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from unrolled.errors import UserError
from unrolled.mixer import Mixer
from unrolled.model.core import Core
from unrolled.running.continuation import Continuation, rows_of
from unrolled.running.hypotheses import padded
from unrolled.running.overhear import overheard
from unrolled.state import Memory, State

if TYPE_CHECKING:
    from unrolled.model import Model


@torch.inference_mode()
def align(
    model: Model, state: State, tokens: Sequence[Sequence[int]]
) -> list[Float[Tensor, "written source"]]:
    """The cross-attention of each row's `tokens`, as `decode` returns them: R arrays (n + 1, S), a line a token and one for
    the closing 0, S the real steps of the row's source. Lines sum to 1: the mean over layers and heads.

    state: as `decode` takes it, and consumed as there. Raises UserError for a model that looks at no source.
    """
    looking = list(_looking(model.core))
    if not looking:
        raise UserError("align: this model has no cross-attention, so there are no weights to show.")
    if len(tokens) != rows_of(state):
        raise UserError(f"align: got {len(tokens)} sequences for a state of {rows_of(state)} rows.")
    heard: dict[str, list[Tensor]] = {path: [] for path in looking}

    def hear(path: str, name: str, value: Tensor) -> None:
        for layer in looking:
            if name == "weights" and (path == layer or path.startswith(f"{layer}.")):
                heard[layer].append(value)

    training = model.training
    model.eval()
    try:
        real = next(_memories(state)).filled.sum(1).tolist()
        with overheard(model.core, hear):
            ids, lengths = padded([list(one) for one in tokens], model.core.anchor.device)
            Continuation(model, state).begin(ids, lengths)
    finally:
        model.train(training)
    layers = [torch.cat(weights, 2).float().mean(1) for weights in heard.values()]  # (R, T, S) each
    mean = torch.stack(layers).mean(0).cpu()
    return [each[:length, :steps].clone() for each, length, steps in zip(mean, lengths, real, strict=True)]


def _looking(core: Core, above: str = "") -> Iterator[str]:
    """Where the layers stand that look at a source, whatever they do it with inside."""
    for number, layer in enumerate(core.layers):
        path = f"{above}layers.{number}"
        if isinstance(layer, Core):
            yield from _looking(layer, f"{path}.")
        elif isinstance(layer, Mixer) and layer.conditioned:
            yield path


def _memories(state: State) -> Iterator[Memory]:
    if isinstance(state, Memory):
        yield state
    elif isinstance(state, tuple):
        for child in state:
            yield from _memories(child)
