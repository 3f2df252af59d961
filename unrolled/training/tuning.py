"""Which weights train, how fast, and from when on: the ways of going on with weights that are good already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from unrolled.errors import UserError
from unrolled.model import Model
from unrolled.training.recipe import Tuning
from unrolled.transfer.adapters import Adapters, adaptable, matching

RATE = 0.8  # of the layer above, unless another is asked for


@dataclass
class Part:
    """Parameters that train alike. rate: what the learning rate is multiplied by."""

    parameters: list[nn.Parameter]
    rate: float = 1.0


@dataclass
class Tuned:
    """What trains of a model. parts: from the bottom to the top; adapters: what trains in the place of some weights;
    every: steps after which a gradual run takes one part more (Howard and Ruder 2018, arXiv:1801.06146, sec. 3.3), None:
    all train from the beginning.
    """

    parts: list[Part]
    adapters: Adapters | None = None
    every: int | None = None

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that trains at some time."""
        return [p for part in self.parts for p in part.parameters]

    def thaw(self, step: int) -> None:
        """Makes exactly those parts train that do at `step`."""
        if self.every is None:
            return
        count = 1 + step // self.every
        for place, part in enumerate(reversed(self.parts)):
            for parameter in part.parameters:
                parameter.requires_grad_(place < count)

    def call(self, model: nn.Module, *arguments: Any) -> Any:
        """The model's output as it trains."""
        return model(*arguments) if self.adapters is None else self.adapters.call(*arguments)

    def says(self, model: Model) -> str:
        """The plan, for people: what stands still and what trains."""
        trained = sum(p.numel() for p in self.parameters)
        whole = sum(p.numel() for p in model.parameters())
        share = f"{trained:,} of {whole:,} weights train ({100 * trained / whole:.3g} %)"
        if self.adapters is not None:
            return f"{share}: {len(self.adapters.names)} matrices in {self.adapters.rank} directions each, and the head"
        rates = [part.rate for part in self.parts]
        how = f", learning rates from {min(rates):.2g} below to 1 above" if min(rates) < 1 else ""
        return share + how + (f", one layer more every {self.every} steps" if self.every else "")


def plain(model: nn.Module) -> Tuned:
    """A model of which everything trains alike."""
    return Tuned([Part([p for p in model.parameters() if p.requires_grad])])


def tuned(model: Model, tuning: Tuning, steps_a_pass: int, drawn: Sequence[str] = ()) -> Tuned:
    """What `tuning` trains of a model whose weights were given, but for those `drawn` anew, which always train. Raises
    UserError for patterns that name nothing, or leave nothing.
    """
    frozen = set(matching(model, tuning.freeze)) if tuning.freeze else set[str]()
    adapters = None
    if tuning.how == "lora":
        names = [name for name in adaptable(model, tuning.weights, tuning.rank) if name not in frozen]
        if not names:
            raise UserError(
                f"tune.freeze={tuning.freeze!r} leaves no matrix to adapt. Freeze less, or say tune.weights=."
            )
        own = (name for name, _ in model.named_parameters() if not name.startswith("head."))
        frozen |= {name for name in own if name not in drawn}
        adapters = Adapters(model, names, tuning.rank, tuning.scale)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    groups = [[p for name in group if (p := named(model, name)).requires_grad] for group in layers_of(model)]
    if adapters is not None:
        groups[-1] += list(adapters.parameters())
    if not any(groups):
        raise UserError(f"tune.freeze={tuning.freeze!r} leaves nothing that trains. Freeze less.")
    decay = tuning.decay or (RATE if tuning.how in ("full", "gradual") else 1.0)
    top = len(groups) - 1
    parts = [Part(group, decay ** (top - height)) for height, group in enumerate(groups)]
    return Tuned(
        [part for part in parts if part.parameters],
        adapters,
        steps_a_pass if tuning.how == "gradual" else None,
    )


def named(model: nn.Module, name: str) -> nn.Parameter:
    """The parameter of that name."""
    return model.get_parameter(name)


def layers_of(model: Model) -> list[list[str]]:
    """The parameters' names from the bottom to the top: the embedder with what adds to it, each layer that mixes along
    time with what follows it, the head.
    """
    heights, height = [0] * len(model.core.layers), 0
    for number, layer in enumerate(model.core.layers):
        height += bool(layer.sublayer and layer.reach != (0, 0))
        heights[number] = height
    found: list[list[str]] = [[] for _ in range(height + 2)]
    for name, _ in model.named_parameters():
        found[_height(name, heights)].append(name)
    return [group for group in found if group]


def _height(name: str, heights: Sequence[int]) -> int:
    words = name.split(".")
    if words[0] == "embedder":
        return 0
    if words[:2] in (["core", "layers"], ["core", "norms"]):
        return heights[int(words[2])]
    return (max(heights, default=0)) + (words[0] == "head")
