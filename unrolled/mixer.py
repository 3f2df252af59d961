"""The one idea: each token acts on a state. Padding changes nothing; a document start forgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.state import Source, State


class Reach(NamedTuple):
    """How far an output sees: y[t] depends on x[t - past] ... x[t + future] and on nothing else."""

    past: float = inf
    future: float = 0


class Mixer(nn.Module):
    """Mixes information along time. `y, state = mixer(x, state)` consumes any stretch of T >= 0 steps:
    a whole sequence to train, a prompt to prefill, one token to stream.

    The law, for every cut x = a ++ b:
        ya, t = mixer(a, s);  yb, u = mixer(b, t)      gives      (ya ++ yb, u) == mixer(x, s)

    Padding leaves the state as it is; a document start forgets it. Without a state, none is returned.

    A kind is constructed as `Kind(width, *, inputs=None, ...)`: the output width first, everything else by keyword.
    """

    reach: Reach = Reach()  # of this instance; future > 0 cannot stream
    sublayer: bool = True  # False: stands in a Core as it is, without norm and residual (positions, pooling)
    conditioned: bool = False  # True: reads a source, and raises without one
    guarded: bool = False  # True: T = 0 and NaN in padding are stopped at its door (a Core, a Model)
    anchor: Tensor

    def __init__(self, width: int, *, inputs: int | None = None) -> None:
        super().__init__()
        for name, value in (("width", width), ("inputs", inputs)):
            if value is not None and value < 1:
                raise UserError(f"{type(self).__name__}: {name} is {value}; it must be at least 1.")
        self.width = width
        self.inputs = width if inputs is None else inputs
        self.register_buffer(
            "anchor", torch.empty(0), persistent=False
        )  # where, and in which dtype, states begin

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        """The state before the first token. `capacity`: tokens that Slots hold before they must grow."""
        return ()

    def forward(
        self,
        x: Float[Tensor, "batch time inputs"],
        state: State = None,
        layout: Layout | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """x (B, T, inputs), state or None, layout or None -> y (B, T, width), the state after x (None without one)."""
        raise NotImplementedError

    def flops(self, tokens: int) -> int:
        """Floating-point operations of one forward pass over a sequence of `tokens`; a multiply-add counts two."""
        return 2 * tokens * sum(p.numel() for p in self.parameters() if p.ndim > 1)

    def zeros(self, *shape: int) -> Tensor:
        """Zeros where this mixer lives, in its dtype."""
        return self.anchor.new_zeros(shape)

    def count(self, batch: int) -> Tensor:
        """(B,) int64 zeros: counters of a state."""
        return torch.zeros(batch, dtype=torch.long, device=self.anchor.device)


_listeners: list[Callable[[str, Tensor], None]] = []


def note(name: str, value: Tensor) -> None:
    """Names an internal of a reference computation (a gate, a state, weights). Nothing happens unless one listens."""
    for listener in _listeners:
        listener(name, value)


def listening() -> bool:
    """True while a probe listens: dispatchers then take the reference path, which calls `note`."""
    return bool(_listeners)


@contextmanager
def listen(listener: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Within the block every `note` reaches `listener(name, value)`."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
