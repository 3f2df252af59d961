"""How the two memories that hold past inputs are extended: Tail (the last n) and Slots (all of them)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.errors import UserError
from unrolled.layout import Layout, counted_on
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


class Counts(NamedTuple):
    """What the counters of Slots say, as numbers: one wait for the device a call."""

    most: int  # slots written in the fullest row
    alike: bool  # all rows hold as many
    first: int  # where the latest of the rows' documents begins

    @classmethod
    def of(cls, filled: Tensor, begin: Tensor) -> Counts:
        held, begins = torch.stack((filled, begin)).tolist()
        most = max(held, default=0)
        return cls(most, min(held, default=-1) == most, max(begins, default=0))


class Written(NamedTuple):
    """Slots after a call, with each token's slot and the first slot its document occupies, both (B, T)."""

    slots: Slots
    place: Tensor
    begin: Tensor
    counts: Counts | None  # None under torch.compile


def write(slots: Slots, keys: Tensor, values: Tensor, layout: Layout | None) -> Written:
    """Puts keys and values (B, T, H, D) where each row stands; padding goes to the spare slot.

    Slots are overwritten in place when autograd is off and nothing is exported (a state is consumed by its call).
    Raises UserError when a row is full; under torch.compile the caller keeps the bound.
    """
    time = keys.shape[1]
    filled, begin = slots.filled, slots.begin
    if layout is not None:
        rewind = layout.start[:, 0]
        filled, begin = filled.where(~rewind, 0), begin.where(~rewind, 0)
    steps = counted_on(filled, time)
    place, begins = steps, begin[:, None].expand(-1, time)
    if layout is None:
        filled = filled + time
    else:
        place = steps.where(layout.valid, slots.capacity)
        begins = begins.maximum(steps.where(layout.start, 0).cummax(1).values)
        begin, filled = layout.at_last(begins, begin), filled + layout.lengths
    counts = None if torch.compiler.is_compiling() else Counts.of(filled, begin)
    if counts is not None and counts.most > slots.capacity:
        raise UserError(
            f"a row would hold {counts.most} tokens and its slots end at {slots.capacity}. "
            "Call unrolled.state.grow(state, capacity) before, or start(batch, capacity=...)."
        )
    end = counts.most if counts is not None and counts.alike and layout is None else None
    stored_keys = _store(slots.keys, keys, place, end)
    stored_values = _store(slots.values, values, place, end)
    return Written(Slots(stored_keys, stored_values, filled, begin), place, begins, counts)


def _store(old: Tensor, new: Tensor, place: Tensor, end: int | None) -> Tensor:
    """`old` (B, H, S, D) with `new` (B, T, H, D) at `place` (B, T); `end`: where all rows end alike, one plain copy."""
    new = new.to(old.dtype)
    functional = torch.is_grad_enabled() or torch.compiler.is_exporting()
    if end is not None and not functional:
        old[:, :, end - new.shape[1] : end] = new.transpose(1, 2)
        return old
    put = torch.ops.aten.index_put if functional else torch.ops.aten.index_put_
    rows = torch.arange(new.shape[0], device=new.device)[:, None].expand_as(place)
    stored: Tensor = put(old, [rows, None, place], new)
    return stored
