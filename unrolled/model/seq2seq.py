"""A source model that writes a target model's first state: conditioning is initial state."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.kernels import Affine
from unrolled.layout import Layout
from unrolled.mixer import Reach
from unrolled.model.core import Core
from unrolled.model.embedders import Embedder
from unrolled.model.heads import Head
from unrolled.model.model import Model, ModelState
from unrolled.state import Memory, Source, State, bounded, vectors, with_vectors


class Read(NamedTuple):
    """What a source model makes of its input: an output a step, and the `summary` (B, M) of all of them."""

    source: Source
    summary: Tensor


class SourceReader(nn.Module):
    """An embedder and a core of any kind, read once and as a whole.

    The summary is the core's last state, the Vectors of all its layers. A core that has none (attention, convolution), or
    that can't stream, is summed up by its outputs after the last and the first step: of a bidirectional one these are
    where either direction has read everything.
    """

    def __init__(self, embedder: Embedder, core: Core) -> None:
        super().__init__()
        if core.conditioned:
            raise UserError("SourceReader: its core reads a source itself; only a target's core may.")
        self.embedder, self.core = embedder, core
        held = [] if core.reach.future else [leaf.shape[1] for _, leaf in vectors(core.start(1))]
        self.carries = bool(held)
        self.width = core.width
        self.summary = sum(held) if held else 2 * core.width

    def forward(self, raw: Tensor, layout: Layout | None = None) -> Read:
        """raw (B, S) ids or (B, S, D) numbers."""
        x, _, layout = self.embedder(raw, None, layout)
        y, after = self.core(x, self.core.start(*x.shape[:2]) if self.carries else None, layout)
        if self.carries:
            summary = torch.cat([leaf for _, leaf in vectors(after)], 1)
        else:
            last = y[:, -1] if layout is None else layout.at_last(y, torch.zeros_like(y[:, 0]))
            summary = torch.cat([last, y[:, 0]], 1)
        valid = y.new_ones(y.shape[:2], dtype=torch.bool) if layout is None else layout.valid
        return Read(Source(y, valid), summary)


class Bridge(nn.Module):
    """The source's summary -> each Vector of the target's first state: tanh(W s + b) for what a tanh bounds (Bahdanau et
    al. 2015, arXiv:1409.0473, app. A.2.2), W s + b for an LSTM's cell. Sizes and numbers of layers may differ.
    """

    def __init__(self, summary: int, target: State) -> None:
        super().__init__()
        held = list(vectors(target))
        self.bounded = [name != "cell" for name, _ in held]
        self.maps = nn.ModuleList(Affine(summary, leaf.shape[1]) for _, leaf in held)
        for one in self.maps:
            nn.init.xavier_uniform_(one.weight)  # type: ignore[arg-type]
            nn.init.zeros_(one.bias)  # type: ignore[arg-type]

    def forward(self, summary: Float[Tensor, "batch summary"], state: State) -> State:
        """The state with its Vectors written."""
        mapped = [one(summary) for one in self.maps]
        given = [torch.tanh(h) if tanh else h for h, tanh in zip(mapped, self.bounded, strict=True)]
        kept = [h.to(old.dtype) for h, (_, old) in zip(given, vectors(state), strict=True)]
        return with_vectors(state, iter(kept))


class Handed(nn.Module):
    """The source's summary as the target's first state, as it is (Sutskever et al. 2014, arXiv:1409.3215, sec. 2): each of
    the target's Vectors is the source's in its place. Raises UserError where their sizes differ.
    """

    def __init__(self, summary: State, target: State) -> None:
        super().__init__()
        self.sizes = [leaf.shape[1] for _, leaf in vectors(target)]
        given = [leaf.shape[1] for _, leaf in vectors(summary)]
        if not given or given != self.sizes:
            raise UserError(
                f"bridge='handed': the source's state has vectors of sizes {given} and the target's of {self.sizes}; make "
                "them equal, or take bridge='mapped'."
            )

    def forward(self, summary: Float[Tensor, "batch summary"], state: State) -> State:
        """The state with its Vectors written."""
        parts = zip(torch.split(summary, self.sizes, 1), vectors(state), strict=True)
        return with_vectors(state, iter([part.to(old.dtype) for part, (_, old) in parts]))


class Seq2Seq(Model):
    """A target model, whose embedder, core and head are its own, and the `source` it is conditioned on (Sutskever et al.
    2014, arXiv:1409.3215, sec. 2; with cross-attention in its core: Bahdanau et al. 2015).

    `read_source` gives the first state; from there on it is a model as any other. bridge: how the source's summary becomes
    the target's first Vectors, "mapped" or "handed" over as it is. A target with neither Vectors nor
    cross-attention would never hear of its source, and is refused.
    """

    def __init__(
        self,
        embedder: Embedder,
        core: Core,
        head: Head,
        source: SourceReader,
        spec: dict[str, Any],
        bridge: str = "mapped",
    ) -> None:
        super().__init__(embedder, core, head, spec)
        self.source = source
        if bridge not in ("mapped", "handed"):
            raise UserError(f"Seq2Seq: bridge={bridge!r}; it is 'mapped' or 'handed'.")
        first = core.start(1, 0, self._nothing(1))
        handed = bridge == "handed"
        self.bridge = (
            Handed(source.core.start(1) if source.carries else (), first)
            if handed
            else Bridge(source.summary, first)
        )
        if isinstance(self.bridge, Bridge) and not self.bridge.maps and not core.conditioned:
            raise UserError(
                "Seq2Seq: this target has no state of fixed size that its source could write to, so without attention it "
                "would hear nothing of it. Choose attention=, or a recurrent target."
            )

    @property
    def conditioned(self) -> bool:
        return True

    @property
    def fixed_state(self) -> bool:
        """True when the state doesn't grow with what was written."""
        return self.reach.future == 0 and bounded(self.core.start(1, 0, self._nothing(1)))

    @property
    def reach(self) -> Reach:
        return self.core.reach

    def read_source(self, raw: Tensor, layout: Layout | None = None, capacity: int = 0) -> ModelState:
        """The first state of targets whose sources are raw (B, S) ids or (B, S, D) numbers. capacity: as of `start`."""
        read = self.source(raw, layout)
        core = self.core.start(raw.shape[0], capacity, read.source)
        return ModelState(self.embedder.start(raw.shape[0]), self.bridge(read.summary, core))

    def condition(self, raw: Tensor, layout: Layout | None = None) -> ModelState:
        """As `read_source`, for one call over whole targets: what needn't be told of the source begins without a state."""
        state = self.read_source(raw, layout)
        return state._replace(core=tuple(part if _told(part) else None for part in state.core))

    def _nothing(self, batch: int) -> Source:
        """A source of one step, to learn the shape of a state from."""
        anchor = self.core.anchor
        return Source(
            anchor.new_zeros(batch, 1, self.source.width), anchor.new_ones(batch, 1, dtype=torch.bool)
        )

    def flops(self, tokens: int) -> int:
        """Floating-point operations for a source and a target of `tokens` each."""
        return super().flops(tokens) + int(self.source.core.flops(tokens))


def _told(state: State) -> bool:
    """Whether a layer's first state says anything of the source."""
    if isinstance(state, Memory):
        return True
    if next(vectors(state), None) is not None:
        return True
    return isinstance(state, tuple) and not hasattr(state, "_fields") and any(map(_told, state))
