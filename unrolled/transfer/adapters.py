"""Low-rank adapters: what a weight has learnt beside itself, W + (scale / rank) B A, for every kind of weight.

Hu et al. 2021, "LoRA", arXiv:2106.09685, sec. 4.1. The sum is made before a call and given to the model in the place of
its own weight, so no module changes, no key is renamed, and a recurrent matrix is adapted as an attention's is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unrolled.errors import UserError
from unrolled.mixers.attention import Attention
from unrolled.mixers.recurrent import Recurrent


class Adapters(nn.Module):
    """A pair (A, B) for each adapted weight W (rows, columns) of a model: A (rank, columns) drawn as a linear map's, B
    (rows, rank) zero, so that at first nothing changes.

    Raises UserError where there is nothing of that name to adapt, and for a rank that saves nothing.
    """

    def __init__(self, model: nn.Module, names: list[str], rank: int = 4, scale: float = 8.0) -> None:
        super().__init__()
        self.names, self.rank, self.scale = names, rank, scale
        self._model = [model]  # in a list: not a part of this module
        weights = self.originals()
        if too := [name for name, weight in weights.items() if rank >= min(weight.shape)]:
            raise UserError(
                f"tune.rank={rank}: {too[0]} is {tuple(weights[too[0]].shape)}, so it has fewer directions than that. "
                f"Take a rank below {min(weights[too[0]].shape)}."
            )
        device = next(iter(weights.values())).device
        self.down = nn.ParameterList(
            (torch.randn(rank, w.shape[1]) * w.shape[1] ** -0.5).to(device) for w in weights.values()
        )
        self.up = nn.ParameterList(torch.zeros(len(w), rank, device=device) for w in weights.values())

    def originals(self) -> dict[str, nn.Parameter]:
        """The weights that are adapted, by their own names."""
        named = dict(self._model[0].named_parameters())
        return {name: named[name] for name in self.names}

    def adapted(self) -> dict[str, Tensor]:
        """W + (scale / rank) B A of each."""
        share = self.scale / self.rank
        pairs = zip(self.originals().items(), self.up, self.down, strict=True)
        with torch.autocast(
            self.down[0].device.type, enabled=False
        ):  # a sum keeps its weight's own precision
            return {
                name: torch.addmm(weight.detach(), up.to(weight.dtype), down.to(weight.dtype), alpha=share)
                for (name, weight), up, down in pairs
            }

    def call(self, *arguments: Any) -> Any:
        """The model's output with adapted weights; gradients reach A and B."""
        return functional_call(self._model[0], self.adapted(), arguments)

    @torch.no_grad()
    def swap(self, held: dict[str, Tensor]) -> dict[str, Tensor]:
        """Puts `held` in the place of the weights of these names and returns what stood there, bit for bit."""
        before = {}
        for name, weight in self.originals().items():
            before[name] = weight.data
            weight.data = held[name].detach()
        return before

    @contextmanager
    def merged(self) -> Iterator[None]:
        """The model as one without adapters: the changes in its weights; afterwards these are what they were."""
        before = self.swap(self.adapted())
        try:
            yield
        finally:
            self.swap(before)


def adaptable(model: nn.Module, pattern: str | None = None, rank: int = 4) -> list[str]:
    """The weights to adapt: the matrices of attentions and recurrent layers, of a core without these all that have more
    directions than `rank`; or all matrices of the core whose names `pattern` (a regular expression) is found in. Raises
    UserError that lists what there is where none is.
    """
    owners = {
        f"{path}.{name}": weight
        for path, module in model.named_modules()
        for name, weight in module.named_parameters(recurse=False)
        if weight.ndim == 2 and path.startswith("core.")
    }
    if pattern is None:
        within = [path for path, m in model.named_modules() if isinstance(m, (Attention, Recurrent))]
        found = [name for name in owners if any(name.startswith(f"{path}.") for path in within)]
        found = found or [name for name, weight in owners.items() if min(weight.shape) > rank]
    else:
        found = [name for name in owners if _search(pattern, name)]
    if not found:
        raise UserError(
            f"tune.weights={pattern!r}: no matrix of the core has that in its name. There are: {', '.join(owners)[:400]}."
        )
    return found


def _search(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error as error:
        raise UserError(
            f"{pattern!r} isn't a pattern for names ({error}). Write, say, attention or layers\\.2."
        ) from error


def matching(model: nn.Module, pattern: str) -> list[str]:
    """The parameters whose names `pattern` is found in. Raises UserError where there is none."""
    names = [name for name, _ in model.named_parameters()]
    found = [name for name in names if _search(pattern, name)]
    if not found:
        raise UserError(
            f"tune.freeze={pattern!r}: nothing is called so. There are: {', '.join(names)[:400]}."
        )
    return found
