"""Rows of one model that are continued token by token: they read, leave, multiply and change places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrolled.layout import Layout
from unrolled.state import Memory, Slots, State, grow, leaves, pick

if TYPE_CHECKING:
    from unrolled.model import Model

READ_AT_ONCE = 256  # steps of a prefix read in one call: bounds the memory that their predictions take
ROOM = 32  # tokens that Slots have room for at first


class Continuation:
    """A model and the state of its rows, which it consumes.

    least, most: slots that the emptiest and the fullest row have filled, known without asking the device.
    """

    def __init__(self, model: Model, state: State) -> None:
        self.model, self.state = model, state
        self.slotted = any(True for _ in _slots(state))
        held = [slots.filled for slots in _slots(state)]
        self.least, self.most = (int(n) for n in torch.aminmax(torch.cat(held))) if held else (0, 0)
        self.capacity = min((slots.capacity for slots in _slots(state)), default=0)

    def begin(
        self, ids: Int[Tensor, "rows steps"], lengths: list[int]
    ) -> tuple[Float[Tensor, "rows vocabulary"], Float[Tensor, " rows"]]:
        """Reads the boundary and each row's prefix: ids (R, 1 + P), of which lengths (1 + p) are real.

        Returns the logits of what comes next and the nats of each prefix.
        """
        self._make_room(ids.shape[1])
        if ids.shape[1] == 1:
            prediction, self.state = self.model.read(ids, self.state)
            self._count(lengths)
            return _wide(prediction), torch.zeros(len(ids), dtype=torch.double, device=ids.device)
        ends = torch.tensor(lengths, device=ids.device)
        ragged = Layout.of_lengths(ends) if min(lengths) < max(lengths) else None
        nats = torch.zeros(len(ids), dtype=torch.double, device=ids.device)
        last: Tensor | None = None
        for begin in range(0, ids.shape[1], READ_AT_ONCE):
            part = slice(begin, begin + READ_AT_ONCE)
            layout = ragged and Layout(ragged.valid[:, part], ragged.start[:, part])
            prediction, self.state = self.model(ids[:, part], self.state, layout)
            prediction = _wide(prediction)
            steps = torch.arange(begin, begin + prediction.shape[1], device=ids.device)
            following = ids[:, (steps + 1).clamp(max=ids.shape[1] - 1)]
            said = prediction.log_softmax(-1).gather(2, following[..., None])[..., 0].double()
            nats += torch.where(steps < ends[:, None] - 1, said, 0).sum(1)
            here = prediction[
                torch.arange(len(ids), device=ids.device), (ends - 1 - begin).clamp(0, len(steps) - 1)
            ]
            inside = ((ends > begin) & (ends <= begin + len(steps)))[:, None]
            last = here if last is None else torch.where(inside, here, last)
        self._count(lengths)
        assert last is not None
        return last, nats

    def read(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocabulary"]:
        """Each row reads a token; the logits of the next."""
        self._make_room(1)
        prediction, self.state = self.model.read(ids[:, None], self.state)
        self._count([1])
        return _wide(prediction)

    def pick(self, rows: Int[Tensor, " picked"], siblings: bool = False) -> None:
        """Only these rows go on, repeated where a row is named twice. siblings: rows of one source change places."""
        self.state = pick(self.state, rows, siblings)

    def move(self, rows: Int[Tensor, " moved"], origin: Int[Tensor, " moved"], unlike: int) -> None:
        """Rows become copies of siblings (rows of the same source) with whom they have read all but the last `unlike`
        tokens alike: what Slots hold the same already isn't written again.
        """
        self.state = _moved(self.state, rows, origin, self.least - unlike, self.most)

    def _make_room(self, steps: int) -> None:
        if self.slotted and self.most + steps > self.capacity:
            self.state = grow(self.state, max(self.most + steps, ROOM))
            self.capacity = min(slots.capacity for slots in _slots(self.state))

    def _count(self, steps: list[int]) -> None:
        self.least, self.most = self.least + min(steps), self.most + max(steps)


def rows_of(state: State) -> int:
    """How many rows a state has; one that holds nothing counts as 1."""
    return next((len(leaf) for _, leaf in leaves(state)), 1)


def _wide(prediction: Tensor) -> Tensor:
    return prediction.to(torch.promote_types(prediction.dtype, torch.float32))


def _slots(state: State) -> Iterator[Slots]:
    if isinstance(state, Slots):
        yield state
    elif isinstance(state, tuple):
        for child in state:
            yield from _slots(child)


def _moved(state: State, rows: Tensor, origin: Tensor, begin: int, end: int) -> State:
    """`state`, written in place, with `rows` become those of `origin`; of Slots only begin ... end - 1 differ."""
    if state is None or isinstance(state, Memory):
        return state
    if isinstance(state, Slots):
        for held in (state.keys, state.values):
            part = held[:, :, begin:end]
            part[rows] = part[origin]
        return state
    if isinstance(state, Tensor):
        return state.index_copy(0, rows, state.index_select(0, origin))
    children = [_moved(child, rows, origin, begin, end) for child in state]
    return type(state)(*children) if hasattr(state, "_fields") else tuple(children)
