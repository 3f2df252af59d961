"""How the two memories that hold past inputs are extended: Tail (the last n) and Slots (all of them)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.state import Slots, Tail


class Extended(NamedTuple):
    """A Tail's past and a call's inputs side by side along time."""

    items: tuple[Tensor, ...]  # each (B, n + T, ...)
    alive: Tensor  # (B, n + T) bool: a real token of the running document, or of this call
    segment: Tensor | None  # (B, n + T) document of each item within its row; None: one document
    tail: Tail  # the state after the call


def extend(tail: Tail, new: tuple[Tensor, ...], layout: Layout | None) -> Extended:
    """Appends a call's inputs (B, T, ...) to a tail."""
    batch, n = tail.items[0].shape[:2]
    time = new[0].shape[1]
    items = tuple(torch.cat([old, x.to(old.dtype)], 1) for old, x in zip(tail.items, new, strict=True))
    known = torch.arange(n, device=tail.seen.device)[None] >= n - tail.seen[:, None]
    if layout is None:
        alive = torch.cat([known, known.new_ones(batch, time)], 1)
        # a view would keep the whole call's inputs alive
        kept = tuple(item[:, time:].clone(memory_format=torch.contiguous_format) for item in items)
        return Extended(items, alive, None, Tail(kept, tail.seen + time))
    alive = torch.cat([known, layout.valid], 1)
    segment = torch.cat([layout.segment.new_zeros(batch, n), layout.segment], 1)
    # the last n before each row's end
    index = layout.lengths[:, None] + torch.arange(n, device=tail.seen.device)[None]
    kept = tuple(_take(item, index) for item in items)
    return Extended(items, alive, segment, Tail(kept, layout.after(tail.seen)))


def _take(item: Tensor, index: Tensor) -> Tensor:
    wide = index.view(*index.shape, *[1] * (item.ndim - 2))
    return item.gather(1, wide.expand(-1, -1, *item.shape[2:]))


class Written(NamedTuple):
    """Slots after a call, with each token's slot and the first slot its document occupies, both (B, T)."""

    slots: Slots
    place: Tensor
    begin: Tensor


def write(slots: Slots, keys: Tensor, values: Tensor, layout: Layout | None) -> Written:
    """Puts keys and values (B, T, H, D) where each row stands; padding goes to the spare slot.

    Slots are overwritten in place when autograd is off and nothing is exported (a state is consumed by its call).
    Raises UserError when a row is full; under torch.compile the caller keeps the bound.
    """
    batch, time = keys.shape[:2]
    filled, begin = slots.filled, slots.begin
    if layout is not None:
        rewind = layout.start[:, 0]
        filled, begin = filled.where(~rewind, 0), begin.where(~rewind, 0)
    steps = filled[:, None] + torch.arange(time, device=filled.device)[None]
    place, begins, added = steps, begin[:, None].expand(-1, time), torch.full_like(filled, time)
    if layout is not None:
        place, added = steps.where(layout.valid, slots.capacity), layout.lengths
        begins = begins.maximum(steps.where(layout.start, 0).cummax(1).values)
        begin = layout.at_last(begins, begin)
    filled = filled + added
    if not torch.compiler.is_compiling() and int(filled.max()) > slots.capacity:
        raise UserError(
            f"a row would hold {int(filled.max())} tokens and its slots end at {slots.capacity}. "
            "Call unrolled.state.grow(state, capacity) before, or start(batch, capacity=...)."
        )
    rows = torch.arange(batch, device=filled.device)[:, None].expand_as(place)
    if torch.is_grad_enabled() or torch.compiler.is_exporting():
        put = torch.index_put
    else:
        put = torch.index_put_
    stored_keys = put(slots.keys, (rows, place), keys.to(slots.keys.dtype))
    stored_values = put(slots.values, (rows, place), values.to(slots.values.dtype))
    return Written(Slots(stored_keys, stored_values, filled, begin), place, begins)
