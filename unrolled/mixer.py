"""The one idea: each token acts on a state. Padding changes nothing; a document start forgets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrolled.errors import UserError, positive
from unrolled.layout import Layout, admit
from unrolled.state import Source, State, describe, fits, sizes


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
    _sizes: State = None  # of this instance's state, once known

    def __init__(self, width: int, *, inputs: int | None = None) -> None:
        super().__init__()
        inputs = width if inputs is None else inputs
        positive(type(self).__name__, width=width, inputs=inputs)
        self.width, self.inputs = width, inputs
        # where, and in which dtype, states begin
        self.register_buffer("anchor", torch.empty(0), persistent=False)

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

    def __call__(self, x: Tensor, state: State = None, layout: Layout | None = None) -> tuple[Tensor, State]:
        """`forward` behind the door: what doesn't fit raises UserError, nothing to consume changes nothing, and what is
        written to y doesn't change the state.
        """
        if not torch.compiler.is_compiling():
            layout = self.accept(x, state, layout)
        rows, steps, _ = x.shape
        if rows == 0 or steps == 0:
            return x.new_zeros(rows, steps, self.width), state
        y, after = self.consume(x, state, layout)
        return (y.clone() if steps == 1 and after is not None else y), after

    def consume(self, x: Tensor, state: State = None, layout: Layout | None = None) -> tuple[Tensor, State]:
        """`forward` without the door: for the Core it stands in, which has looked at everything. The output of one step
        may share its storage with the state: what a mixer is given, it must not write to.
        """
        return super().__call__(x, state, layout)  # type: ignore[no-any-return]

    def accept(self, x: Tensor, state: State = None, layout: Layout | None = None) -> Layout | None:
        """Raises UserError for an x, a state or a layout that this mixer can't take: engines read past the end of
        tensors of other shapes. Returns the layout with starts in the padding dropped.
        """
        if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[2] != self.inputs or not x.is_floating_point():
            got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise UserError(
                f"{type(self).__name__}: x is {got}; it takes floating numbers (batch, time, {self.inputs})."
            )
        rows, steps, _ = x.shape
        if state is not None:
            self.check(state, rows)
        return None if layout is None else admit(layout, rows, steps)

    def check(self, state: State, batch: int) -> None:
        """Raises UserError unless `state` has the structure and sizes of `start(batch)`, whatever its capacity."""
        if self.conditioned:
            return  # what `start` gives depends on a source
        if self._sizes is None:
            self._sizes = sizes(self.start(1, 0), self.start(1, 1))
        if not fits(state, self._sizes, batch):
            raise self._misfit(state, batch)

    def _misfit(self, state: State, batch: int) -> UserError:
        return UserError(
            f"{type(self).__name__}: the state is {describe(state)}; x has {batch} rows and start({batch}) gives "
            f"{describe(self.start(batch))}."
        )

    def flops(self, tokens: int) -> int:
        """Floating-point operations of one forward pass over a sequence of `tokens`; a multiply-add counts two."""
        return 2 * tokens * sum(p.numel() for p in self.parameters() if p.ndim > 1)

    def zeros(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Zeros where this mixer lives, in its dtype unless given."""
        return self.anchor.new_zeros(shape, dtype=dtype)

    @property
    def wide(self) -> torch.dtype:
        """The dtype of sums over a document: this mixer's, but at least float32."""
        return torch.promote_types(self.anchor.dtype, torch.float32)

    def count(self, batch: int) -> Tensor:
        """(B,) int64 zeros: counters of a state."""
        return torch.zeros(batch, dtype=torch.long, device=self.anchor.device)


_listeners: tuple[
    Callable[[str, Tensor], None], ...
] = ()  # replaced, never changed: `note` may be going through it
_changing = threading.Lock()


def note(name: str, value: Tensor) -> None:
    """Names an internal of a reference computation (a gate, a state, weights). Nothing happens unless one listens.

    value: one step (B, units), a stretch (B, T, units) or attention's weights (B, heads, T, S). Note the very tensor that
    the computation goes on with, a recurrent state step by step, or its gradient isn't the whole.
    """
    for listener in _listeners:
        listener(name, value)


def listening() -> bool:
    """True while a probe listens: dispatchers then take the reference path, which calls `note`."""
    return bool(_listeners)


@contextmanager
def listen(listener: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Within the block every `note` reaches `listener(name, value)`."""
    _replace(lambda now: now.append(listener))
    try:
        yield
    finally:
        _replace(lambda now: now.remove(listener))


def _replace(change: Callable[[list[Callable[[str, Tensor], None]]], None]) -> None:
    global _listeners
    with _changing:
        change(now := list(_listeners))
        _listeners = tuple(now)
