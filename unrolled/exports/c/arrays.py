"""What a C program computes with: memory, strided views of it, and elementwise expressions over such views.

Views cost nothing: what `permute`, `slice` or `expand` do to shape, strides and offset is asked of torch itself, on a
tensor without storage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import prod

import torch
from torch import Tensor

C_TYPES = {
    torch.float32: "float",
    torch.int64: "int64_t",
    torch.int32: "int32_t",
    torch.bool: "uint8_t",
}
_numbers = count()


@dataclass(eq=False)
class Memory:
    """A C array of `size` numbers. name: what it is called; None: a temporary, named once all lifetimes are known."""

    size: int
    dtype: torch.dtype
    name: str | None = None
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def token(self) -> str:
        """How statements call it."""
        return f"@{self.number}@" if self.name is None else self.name


@dataclass(frozen=True, eq=False)
class Array:
    """A view of memory; `place` is a tensor without storage that has its shape, strides and offset."""

    memory: Memory
    place: Tensor

    @classmethod
    def of(cls, shape: Sequence[int], dtype: torch.dtype, name: str | None = None) -> Array:
        """New memory, contiguous."""
        place = torch.empty(tuple(shape), dtype=dtype, device="meta")
        return cls(Memory(max(1, place.numel()), dtype, name), place)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.place.shape)

    @property
    def dtype(self) -> torch.dtype:
        return self.place.dtype

    @property
    def pointer(self) -> str:
        """Its first element's address."""
        offset = self.place.storage_offset()
        return f"{self.memory.token} + {offset}" if offset else self.memory.token


@dataclass(frozen=True, eq=False)
class Pointwise:
    """An expression that was not computed yet: `template` with {0}, {1} ... for the operands, broadcast to `shape`."""

    template: str
    operands: tuple[Value, ...]
    shape: tuple[int, ...]
    dtype: torch.dtype


Value = (
    Array | Pointwise | Tensor
)  # a Tensor is known when the program is written: weights and what follows from them


class NotAView(Exception):
    """torch would have to copy."""


def viewed(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """A view of a value. Of an expression the operands are viewed, which is the same. Raises NotAView."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Array):
        return Array(value.memory, _shared(value.place, change))
    operands = tuple(viewed(_expanded(operand, value.shape), change) for operand in value.operands)
    shape = change(torch.empty(value.shape, device="meta")).shape
    return Pointwise(value.template, operands, tuple(shape), value.dtype)


def _shared(place: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    try:
        after = change(place)
    except RuntimeError as error:  # view: strides that no shape like this can have
        raise NotAView from error
    if place.numel() and after.untyped_storage()._cdata != place.untyped_storage()._cdata:
        raise NotAView
    return after


def _expanded(value: Value, shape: tuple[int, ...]) -> Value:
    return value if tuple(value.shape) == shape else viewed(value, lambda tensor: tensor.expand(shape))


def loops(
    shape: Sequence[int], places: Sequence[tuple[int, Sequence[int]]]
) -> tuple[list[tuple[str, int]], list[str]]:
    """The fewest loops over `shape`, [(variable, size)], and the index into each of `places` (offset, strides)."""
    dims = [number for number, size in enumerate(shape) if size != 1]
    merged: list[tuple[int, list[int]]] = []  # (size, stride of each place), outermost first
    for dim in dims:
        strides = [place[dim] for _, place in places]
        if merged and all(
            outer == inner * shape[dim] for outer, inner in zip(merged[-1][1], strides, strict=True)
        ):
            merged[-1] = (merged[-1][0] * shape[dim], strides)
        else:
            merged.append((shape[dim], strides))
    named = [(f"i{depth}", size) for depth, (size, _) in enumerate(merged)]
    indices = []
    for number, (offset, _) in enumerate(places):
        terms = [
            name if strides[number] == 1 else f"{name} * {strides[number]}"
            for (name, _), (_, strides) in zip(named, merged, strict=True)
            if strides[number]
        ]
        indices.append(" + ".join([*terms, *([str(offset)] if offset or not terms else [])]))
    return named, indices


def nested(named: Sequence[tuple[str, int]], body: Sequence[str]) -> list[str]:
    """`body` inside the loops."""
    lines = [
        "    " * depth + f"for (int {name} = 0; {name} < {size}; ++{name})"
        for depth, (name, size) in enumerate(named)
    ]
    inner = "    " * len(named)
    if len(body) == 1:
        return [*lines, inner + body[0]]
    if not named:
        return ["{", *("    " + line for line in body), "}"]
    lines[-1] += " {"
    return [*lines, *(inner + line for line in body), "    " * (len(named) - 1) + "}"]


def place_of(array: Array) -> tuple[int, tuple[int, ...]]:
    """(offset, strides)."""
    return int(array.place.storage_offset()), tuple(array.place.stride())


def numel(value: Value) -> int:
    """How many numbers it has."""
    return prod(value.shape)


def moved_by(array: Array, by: str) -> str:
    """The address of an array's element."""
    return array.memory.token if by == "0" else f"{array.memory.token} + {by}"


def variables(letter: str, sizes: Sequence[int]) -> list[str]:
    """A loop's variable for each dimension; 0 where there is nothing to go along."""
    return [f"{letter}{number}" if size != 1 else "0" for number, size in enumerate(sizes)]


def used(names: Sequence[str], sizes: Sequence[int]) -> list[tuple[str, int]]:
    """The loops that are needed."""
    return [(name, size) for name, size in zip(names, sizes, strict=True) if name != "0"]


def terms(*terms: tuple[str, int], offset: int = 0) -> str:
    """An index: each variable times its stride."""
    written = [
        name if stride == 1 else f"{name} * {stride}" for name, stride in terms if stride and name != "0"
    ]
    return " + ".join([*written, *([str(offset)] if offset or not written else [])])


def packed_strides(shape: Sequence[int]) -> list[int]:
    """The strides of numbers that lie one after the other."""
    return [prod(shape[dim + 1 :]) for dim in range(len(shape))]


def in_memory(value: Value) -> Array:
    """An array that is known to be one."""
    assert isinstance(value, Array)
    return value
