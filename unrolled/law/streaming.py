"""What holds for mixers that stream: cuts, single tokens, gradients through states, the rules of State."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unrolled.law.checker import Checker, real
from unrolled.layout import Layout
from unrolled.state import State, describe, fork, leaves, names, pick, put


def random_cuts(c: Checker) -> None:
    """Any cuts of ragged and packed rows: the same outputs, and a state that goes on the same."""
    with torch.no_grad():
        for attempt in range(c.cuts):
            x, layout = c.draw(), c.layout() if attempt % 4 else None
            _, state = c.run(c.draw(3), c.start(), None)
            cuts = sorted(c.number(0, c.time) for _ in range(c.number(1, 4)))
            want, end = c.run(x, fork(state), layout)
            got, end_of_pieces = c.in_pieces(x, fork(state), layout, cuts)
            where = f"cut {attempt} at {cuts}, {'dense' if layout is None else 'ragged and packed'}"
            c.compare("random cuts", real(got, layout), real(want, layout), where)
            c.same_state("state after random cuts", end_of_pieces, end, where)


def token_by_token(c: Checker) -> None:
    """One token a call is the whole sequence; and a call without a state returns none."""
    with torch.no_grad():
        for layout in (None, c.layout(), c.layout()):
            x = c.draw()
            want, end = c.run(x, c.start(), layout)
            got, last = c.in_pieces(x, c.start(), layout, list(range(1, c.time)))
            c.compare("token by token", real(got, layout), real(want, layout), "one token a call")
            c.same_state("state token by token", last, end, "one token a call")
            if c.conditioned:
                c.unchecked("with state = without", "without a state it has no source")
                continue
            alone, none = c.run(x, None, layout)
            c.compare("with state = without", real(alone, layout), real(want, layout), "from the start")
            c.holds("no state in, no state out", none is None or none == (), f"got {describe(none)}")


def no_tokens(c: Checker) -> None:
    """A call without tokens, or of padding alone, leaves the state as it is."""
    with torch.no_grad():
        _, state = c.run(c.draw(), c.start(), None)
        _, after = c.run(c.draw(0), fork(state), None)
        c.same_state("T = 0", after, state, "a call without tokens")
        for time in (1, c.time):
            empty = torch.zeros(c.batch, time, dtype=torch.bool, device=c.device)
            x = c.draw(time)
            x = torch.full_like(x, c.poison) if x.is_floating_point() else x
            _, after = c.run(x, fork(state), Layout(empty, empty))
            c.same_state("only padding", after, state, f"a call of {time} steps of padding alone")


def gradients_across_cuts(c: Checker) -> None:
    """Backpropagation through the states of pieces: the gradients of the whole, parameters included."""
    for layout in (None, c.layout(), c.layout()):
        x = c.draw()
        shape = c.run(x, c.begin(), layout)[0].shape
        weight = torch.randn(shape, generator=c.generator, dtype=torch.float64).to(x.device)
        gradients = []
        for cuts in ([], sorted({c.number(1, c.time), c.number(1, c.time)})):
            raw = x.clone().requires_grad_() if x.is_floating_point() else x
            y, _ = c.in_pieces(raw, c.start(), layout, cuts)
            wanted = [p for p in (raw, *c.mixer.parameters()) if p.requires_grad]
            total = (real(y, layout) * real(weight, layout).to(y.dtype)).sum()
            gradients.append(
                torch.autograd.grad(total, wanted, allow_unused=True) if total.requires_grad else ()
            )
        want, got = gradients
        c.same_gradients("gradients across cuts", got, want, f"cut at {cuts}")


def rules_of_state(c: Checker) -> None:
    """A tree of tensors, batch first; a call returns the structure, shapes, dtypes, strides and bytes of `start`, in
    storage that nothing else shares.
    """
    with torch.no_grad():
        for batch in (c.batch, 1):
            begin, again = c.start(batch), c.start(batch)
            odd = list(_odd(begin))
            c.holds("state: tensors only", not odd, f"start holds {', '.join(odd)}")
            if odd:
                return
            owned = _named({**c.mixer.state_dict(keep_vars=True), **dict(c.mixer.named_buffers())}.items())
            _apart(c, {**_leaves("start", begin), **_leaves("another start", again), **owned})
            for time in (c.time, 1):
                for layout in (None, c.layout(time)):
                    layout = layout and Layout(layout.valid[:batch], layout.start[:batch])
                    x = c.draw(time, batch)
                    y, end = c.run(x, c.start(batch), layout)
                    c.holds("state: structure", names(end) == names(begin), f"got {describe(end)}")
                    _as_started(c, begin, end, batch)
                    _apart(c, {**_leaves("the state", end), **_named([("y", y), ("x", x)])})


def _odd(state: Any) -> Iterator[str]:
    """The types in a state that have no place there."""
    if isinstance(state, tuple):
        for child in state:
            yield from _odd(child)
    elif state is not None and not isinstance(state, Tensor):
        yield type(state).__name__


def _leaves(whose: str, state: State) -> dict[str, Tensor]:
    return _named((f"{name or 'vector'} of {whose}", leaf) for name, leaf in leaves(state))


def _named(tensors: Any) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors if tensor.numel()}


def _apart(c: Checker, tensors: dict[str, Tensor]) -> None:
    """No leaf of a state shares storage with anything; what isn't a state may (tied parameters, y = x)."""
    first: dict[int, str] = {}
    complaints = []
    for name, tensor in tensors.items():
        other = first.setdefault(tensor.untyped_storage().data_ptr(), name)
        if other != name and " of " in other:
            complaints.append(f"{name} shares storage with {other}")
    c.holds("state: storage of its own", not complaints, "; ".join(complaints))


def _as_started(c: Checker, begin: State, end: State, batch: int) -> None:
    for (name, before), (_, leaf) in zip(leaves(begin), leaves(end), strict=True):
        name = name or "vector"
        c.holds("state: batch first", leaf.shape[:1] == (batch,), f"{name} is {tuple(leaf.shape)}")
        same = (leaf.shape, leaf.dtype) == (before.shape, before.dtype)
        got = f"{name} is {tuple(leaf.shape)} {leaf.dtype}, start gave {tuple(before.shape)} {before.dtype}"
        c.holds("state: shapes and dtypes", same, got)
        if not leaf.numel():
            continue  # nothing is stored, nothing to step over
        strides = f"{name} has {leaf.stride()}, start gave {before.stride()} for {batch} rows"
        c.holds("state: strides", leaf.stride() == before.stride(), strides)
        kept, given = (tensor.untyped_storage().nbytes() for tensor in (leaf, before))
        c.holds("state: bytes", kept == given, f"{name} keeps {kept} bytes alive, start gave {given}")


def rows_of_state(c: Checker) -> None:
    """Rows are picked out of a state and put into one."""
    with torch.no_grad():
        _, state = c.run(c.draw(), c.start(), None)
        rows = torch.tensor([2, 0, 1], device=c.device)
        x = c.draw(3)
        want, _ = c.run(x, fork(state), None)
        got, _ = c.run(x[rows], pick(state, rows), None)
        c.compare("pick and put rows", got, want[rows], "rows 2, 0, 1")
        swapped = put(c.start(), rows, pick(state, rows))
        c.compare("pick and put rows", c.run(x, swapped, None)[0], want, "rows put back")


def many_documents(c: Checker) -> None:
    """100 documents, one after the other, through a capacity of twice the longest."""
    with torch.no_grad():
        longest, state = 6, c.start(capacity=12)
        for number in range(100):
            x = c.draw(c.number(1, longest + 1))
            start = torch.zeros(c.batch, x.shape[1], dtype=torch.bool, device=c.device)
            start[:, 0] = True
            got, state = c.run(x, state, Layout(torch.ones_like(start), start))
            want, _ = c.run(x, c.start(), None)
            c.compare("100 documents, one state", got, want, f"document {number}")
