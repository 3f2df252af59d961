"""State: a tree of tensors, batch first. Everything one does to states is written here, once.

A state is a tensor, a NamedTuple of states, a tuple of states, `()` (nothing to remember) or `None` (not
streaming, or conditioned leaves that a `Seq2Seq` has not filled). Position lives in the state, a row at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from unrolled.errors import UserError

# Tensor | NamedTuple[State] | tuple[State, ...] | None; recursive types defeat beartype
State: TypeAlias = Any
K = TypeVar("K")


class Source(NamedTuple):
    """What a conditioned mixer may look at: `values` (B, S, D) and which of them are real, `valid` (B, S)."""

    values: Tensor
    valid: Tensor


class Tail(NamedTuple):
    """The last n inputs of the running document (causal convolution, windowed attention)."""

    items: tuple[Tensor, ...]  # each (B, n, ...)
    seen: Tensor  # (B,) int64: tokens of the running document so far; the last min(seen, n) items are real


class Slots(NamedTuple):
    """Keys and values of full attention; each row writes at its own slot, the spare last slot takes the padding."""

    keys: Tensor  # (B, H, capacity + 1, D): a head's slots lie together, as a step reads them
    values: Tensor  # (B, H, capacity + 1, D)
    filled: Tensor  # (B,) int64: slots written
    begin: Tensor  # (B,) int64: first slot of the running document

    @property
    def capacity(self) -> int:
        """Tokens that fit before the slots must grow."""
        return self.keys.shape[2] - 1


class Memory(NamedTuple):
    """Projected keys and values of a source: constant while a target is written."""

    keys: Tensor  # (B, H, S, D)
    values: Tensor  # (B, H, S, D)
    filled: Tensor  # (B, S) bool: real source steps


def _map(function: Callable[..., Any], *trees: State) -> State:
    """Applies `function` to the leaves of trees of one structure."""
    first = trees[0]
    if first is None:
        return None
    if isinstance(first, Tensor):
        return function(*trees)
    children = [_map(function, *parts) for parts in zip(*trees, strict=True)]
    return type(first)(*children) if hasattr(first, "_fields") else tuple(children)


def leaves(state: State) -> Iterator[tuple[str, Tensor]]:
    """The (dotted name, tensor) pairs of a state, in a fixed order: `0.hidden`, `0.cell`, `1.keys`."""
    if isinstance(state, Tensor):
        yield "", state
    elif state is not None:
        fields = getattr(state, "_fields", range(len(state)))
        for field, child in zip(fields, state, strict=True):
            for name, leaf in leaves(child):
                yield (f"{field}.{name}" if name else str(field)), leaf


def filled(state: State, named: Mapping[str, Tensor]) -> State:
    """A tree of this structure whose leaves are the tensors of their names, as `leaves` gives them. Raises UserError for a
    name that is missing.
    """
    if gone := [name for name in names(state) if name not in named]:
        raise UserError(f"the state lacks {', '.join(gone)}; it has {', '.join(sorted(named)) or 'nothing'}.")
    found = iter([named[name] for name in names(state)])
    return _map(lambda _: next(found), state)


def sizes(*states: State) -> State:
    """A tree of what lies behind the batch dimension of each leaf: -1 where the states differ."""

    def behind(*same: Tensor) -> torch.Size:
        shapes = zip(*(leaf.shape[1:] for leaf in same), strict=True)
        return torch.Size(each[0] if len(set(each)) == 1 else -1 for each in shapes)

    return _map(behind, *states)


def fits(state: State, wanted: State, batch: int) -> bool:
    """True when `state` has the structure of `wanted` (a tree of `sizes`) and `batch` rows in every leaf."""
    kind = type(wanted)
    if kind is torch.Size:
        if not isinstance(state, Tensor):
            return False
        rows, *behind = state.shape or (-1,)
        return rows == batch and (
            behind == [*wanted] or (len(behind) == len(wanted) and all(map(_same, behind, wanted)))
        )
    if wanted is None:
        return True
    if type(state) is not kind or len(state) != len(wanted):
        return False
    return all(map(fits, state, wanted, repeat(batch)))


def _same(size: int, wanted: int) -> bool:
    return size == wanted or wanted < 0


def describe(state: State) -> str:
    """What a state, or what was given for one, consists of, as messages show it."""
    if isinstance(state, Tensor):
        return str(tuple(state.shape))
    if not isinstance(state, tuple):
        return type(state).__name__
    fields = getattr(state, "_fields", ("",) * len(state))
    parts = [f"{field} {describe(child)}".strip() for field, child in zip(fields, state, strict=True)]
    return f"{type(state).__name__}({', '.join(parts)})"


def names(state: State) -> list[str]:
    """The flat names of a state's leaves, as an exported graph shows them."""
    return [name for name, _ in leaves(state)]


def nbytes(state: State) -> int:
    """Bytes held: the size of what the model remembers."""
    return sum(leaf.numel() * leaf.element_size() for _, leaf in leaves(state))


def fork(state: State) -> State:
    """An independent copy: a call consumes the state it is given."""
    return _map(torch.clone, state)


def detach(state: State) -> State:
    """The same values without their history: where truncated backpropagation through time cuts."""
    return _map(Tensor.detach, state)


def last(values: Tensor) -> Tensor:
    """(B, T, ...) -> (B, ...): the last step, in storage of its own. A view would keep all T steps alive, and what is
    written to an output would change the state.
    """
    return values[:, -1].clone(memory_format=torch.contiguous_format)


def pick(state: State, rows: Tensor, siblings: bool = False) -> State:
    """The state of `rows` (N,), in that order. `siblings`: rows of one source change places (beam search), Memory stays."""
    if siblings and isinstance(state, Memory):
        return state
    if state is None or isinstance(state, Tensor):
        return None if state is None else state.index_select(0, rows)
    children = [pick(child, rows, siblings) for child in state]
    return type(state)(*children) if hasattr(state, "_fields") else tuple(children)


def put(state: State, rows: Tensor, other: State) -> State:
    """`state` with the rows named in `rows` (N,) replaced by those of `other`: sequences join or leave a batch.

    Slots of unequal capacity and Memory of unequal sources are lengthened to the largest first. Without autograd `state`
    is consumed, as by a call: what it holds is overwritten.
    """
    capacity = max((s.capacity for s in _kinds(Slots, state, other)), default=0)
    steps = max((m.filled.shape[1] for m in _kinds(Memory, state, other)), default=0)
    state, other = (_lengthened(tree, lambda _: capacity, steps) for tree in (state, other))
    copy = torch.Tensor.index_copy if torch.is_grad_enabled() else torch.Tensor.index_copy_
    return _map(lambda mine, theirs: copy(mine, 0, rows, theirs.to(mine.dtype)), state, other)


def _kinds(kind: type[K], *trees: State) -> Iterator[K]:
    """The memories of one kind that stand in trees."""
    for tree in trees:
        if isinstance(tree, kind):
            yield tree
        elif isinstance(tree, tuple):
            yield from _kinds(kind, *tree)


def bounded(state: State) -> bool:
    """True when the state's size doesn't depend on how much was consumed: it holds no Slots."""
    return next(_kinds(Slots, state), None) is None


def vectors(state: State) -> Iterator[tuple[str, Tensor]]:
    """The (name, tensor) pairs of the Vectors in a state: what the past is summed up in, whatever its length."""
    if isinstance(state, Tensor):
        yield "", state
    elif isinstance(state, tuple) and not isinstance(state, Tail | Slots | Memory):
        fields = getattr(state, "_fields", ("",) * len(state))
        for field, child in zip(fields, state, strict=True):
            yield from ((name or field, leaf) for name, leaf in vectors(child) if leaf.is_floating_point())


def with_vectors(state: State, given: Iterator[Tensor]) -> State:
    """The state with its `vectors` replaced, in their order."""
    if isinstance(state, Tensor):
        return next(given) if state.is_floating_point() else state
    if not isinstance(state, tuple) or isinstance(state, Tail | Slots | Memory):
        return state
    children = [with_vectors(child, given) for child in state]
    return type(state)(*children) if hasattr(state, "_fields") else tuple(children)


def grow(state: State, capacity: int) -> State:
    """Slots that hold at least `capacity` tokens: at least doubled, so that growing costs little on the whole."""
    return _lengthened(state, lambda held: max(capacity, 2 * held) if held < capacity else held)


def _lengthened(state: State, wanted: Callable[[int], int], steps: int = 0) -> State:
    """Slots of capacity `wanted(capacity)` and Memory of `steps` source steps, where that is more than they have."""
    if isinstance(state, Memory):
        more = steps - state.filled.shape[1]
        if more <= 0:
            return state
        keys, values = (pad(leaf, (0, 0, 0, more)) for leaf in (state.keys, state.values))
        return Memory(keys, values, pad(state.filled, (0, more)))
    if isinstance(state, Slots):
        capacity = wanted(state.capacity)
        if capacity <= state.capacity:
            return state
        return Slots(
            _longer(state.keys, capacity), _longer(state.values, capacity), state.filled, state.begin
        )
    if state is None or isinstance(state, Tensor):
        return state
    children = [_lengthened(child, wanted, steps) for child in state]
    return type(state)(*children) if hasattr(state, "_fields") else tuple(children)


def _longer(slots: Tensor, capacity: int) -> Tensor:
    batch, heads, held, size = slots.shape
    wider = slots.new_zeros(batch, heads, capacity + 1, size)
    wider[:, :, : held - 1] = slots[:, :, :-1]
    return wider
