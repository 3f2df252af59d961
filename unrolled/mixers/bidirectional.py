"""Two directions over whole sequences: Schuster & Paliwal 1997, "Bidirectional recurrent neural networks"."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor

from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.mixer import Mixer, Reach
from unrolled.mixers.recurrent import GRU, LSTM, RNN
from unrolled.state import Source, State

KINDS: dict[str, Callable[..., Mixer]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class Bidirectional(Mixer):
    """One mixer forwards, one over each document reversed; each gives half of the width.

    of: "rnn", "lstm" or "gru". It can't stream: an output needs inputs that come later.
    """

    reach = Reach(inf, inf)

    def __init__(
        self, width: int, *, inputs: int | None = None, of: str = "lstm", weight_drop: float = 0.0
    ) -> None:
        super().__init__(width, inputs=inputs)
        if width % 2 or of not in KINDS:
            raise UserError(
                f"Bidirectional: got width={width}, of={of!r}; width must be even, of one of {', '.join(KINDS)}."
            )
        self.forwards = KINDS[of](width // 2, inputs=self.inputs, weight_drop=weight_drop)
        self.backwards = KINDS[of](width // 2, inputs=self.inputs, weight_drop=weight_drop)

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        raise UserError(
            "Bidirectional cannot stream: its output at t needs inputs after t. Call it on whole sequences (state=None)."
        )

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        ahead, _ = self.forwards(x, None, layout)
        if layout is None:
            behind = self.backwards(x.flip(1))[0].flip(1)
        else:
            behind = _read(self.backwards(_read(x, layout.mirror), None, layout)[0], layout.mirror)
        return torch.cat([ahead, behind], 2), None


def _read(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))
