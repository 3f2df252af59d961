"""A model is three parts: embedder -> core -> head."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.layout import Layout, admit
from unrolled.mixer import Reach
from unrolled.model.core import Core
from unrolled.model.embedders import Embedder
from unrolled.model.heads import Head
from unrolled.model.patches import SeriesPatchEmbedder
from unrolled.state import Source, State, bounded, describe


class ModelState(NamedTuple):
    """What the embedder and the core remember."""

    embedder: State
    core: State


class Model(nn.Module):
    """Raw inputs to predictions, under the same law as its core: `prediction, state = model(raw, state, layout)`.

    spec: the plain dict it was built from (`build(spec)` makes it anew). task: what it was trained for, attached by
    training and by `un.load`.
    """

    guarded = True

    def __init__(self, embedder: Embedder, core: Core, head: Head, spec: dict[str, Any]) -> None:
        super().__init__()
        self.embedder, self.core, self.head = embedder, core, head
        self.spec = spec
        self.task: Any = None

    @property
    def reach(self) -> Reach:
        return self.core.reach

    @property
    def conditioned(self) -> bool:
        return self.core.conditioned

    @property
    def fixed_state(self) -> bool:
        """True when the state doesn't grow with what was consumed."""
        return self.reach.future == 0 and bounded(self.core.start(1))

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> ModelState:
        """The state before the first token of `batch` sequences."""
        return ModelState(self.embedder.start(batch), self.core.start(batch, capacity, source))

    def forward(
        self, raw: Tensor, state: ModelState | None = None, layout: Layout | None = None
    ) -> tuple[Tensor, ModelState | None]:
        """raw (B, T) -> prediction (B, T, ...), the state after (None without one).

        Raises UserError for raw inputs, a state or a layout that don't fit.
        """
        if not torch.compiler.is_compiling():
            layout = self.accept(raw, state, layout)
        x, embedded, layout = self.embedder(raw, None if state is None else state.embedder, layout)
        y, core = self.core(x, None if state is None else state.core, layout)
        return self.head(y), None if state is None else ModelState(embedded, core)

    def read(self, raw: Tensor, state: ModelState, layout: Layout | None = None) -> tuple[Tensor, ModelState]:
        """As a call, but without the door and for each row's last step's prediction only: for a loop that owns its state
        and knows its raw inputs and its layout to fit. raw (B, T >= 1) -> prediction (B, ...), the state after; of a row
        without a real step the prediction is anything.
        """
        x, embedded, layout = self.embedder(raw, state.embedder, layout)
        y, core = self.core.consume(x, state.core, layout)
        last = y[:, -1] if layout is None else layout.at_last(y, y[:, 0])
        return self.head(last), ModelState(embedded, core)

    def accept(self, raw: Tensor, state: ModelState | None, layout: Layout | None) -> Layout | None:
        """The door: what the embedder takes, a state of `start`, a layout of the same rows and steps."""
        self.embedder.accept(raw)
        if state is not None and not isinstance(state, ModelState):
            raise UserError(
                f"Model: the state is {describe(state)}; it must come from model.start({len(raw)})."
            )
        return None if layout is None else admit(layout, *raw.shape[:2])

    def parameter_count(self) -> int:
        """Trainable parameters, tied ones once."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def flops(self, tokens: int) -> int:
        """Floating-point operations of one forward pass over a sequence of `tokens`."""
        if isinstance(self.embedder, SeriesPatchEmbedder):
            tokens = self.embedder.tokens(tokens)
        return self.core.flops(tokens) + 2 * tokens * sum(
            p.numel() for p in self.head.parameters() if p.ndim > 1
        )
