"""The operations that are more than an expression of single numbers: each function writes the C of one."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled.exports.c.arrays import (
    Array,
    Value,
    in_memory,
    loops,
    moved_by,
    nested,
    packed_strides,
    place_of,
    terms,
    used,
    variables,
    viewed,
)
from unrolled.exports.c.pointwise import cast, literal
from unrolled.exports.c.products import addmm, baddbmm, bmm, mm
from unrolled.exports.c.program import Emitter, Program, uniform
from unrolled.exports.c.reductions import reduction, running

LOWEST = {torch.float32: "-INFINITY", torch.int64: "INT64_MIN"}


def embedding(p: Program, table: Value, ids: Value, *_: Any) -> Value:
    """Rows of a table."""
    if not isinstance(table, Tensor) or table.ndim != 2:
        raise p.unknown(" of a table that is not known beforehand")
    matrix, at = p.weights.matrix(table, panels=False), p.contiguous(ids)
    out = p.new((*at.shape, matrix.columns), table.dtype)
    named, (place, row) = loops(
        at.shape, [place_of(at), (0, [matrix.columns * n for n in packed_strides(at.shape)])]
    )
    index = f"{at.memory.token}[{place}]"
    p.line(*nested(named, [f"if ({index} < 0 || {index} >= {matrix.rows}) return UNROLLED_OUTSIDE;"]))
    into = moved_by(out, row)
    form = "" if matrix.form == "fp32" else f"_{matrix.form}"
    scales = f"{matrix.name}_scales, " if matrix.form == "int8" else ""

    def lookup() -> str:
        kind = "panel_row" if matrix.panels else "row"
        call = f"unrolled_{kind}{form}({matrix.name}, {scales}{into}, (size_t){index}, {matrix.columns});"
        return "\n".join(nested(named, [call]))

    p.late(lookup)
    return out


def index(p: Program, base: Value, indices: Sequence[Value | None]) -> Value:
    """base[indices]: rows of a table, or numbers picked one by one."""
    if isinstance(base, Tensor) and base.ndim == 2 and len(indices) == 1 and indices[0] is not None:
        return embedding(p, base, indices[0])
    source = p.array(base)
    known = p.node.meta["val"]  # type: ignore[union-attr]
    out = p.new(tuple(known.shape), known.dtype)
    _picked(p, source, indices, out, put=False)
    return out


def index_put(
    p: Program, base: Value, indices: Sequence[Value | None], values: Value, accumulate: bool = False
) -> Value:
    """base with values at indices: in place where nobody else reads a state that is then replaced by it."""
    if accumulate:
        raise p.unknown(" with accumulate=True")
    target = p.array(base)
    if not _own(p, target):
        copied = p.new(target.shape, target.dtype)
        p.store(copied, target)
        target = copied
    _picked(p, target, indices, p.contiguous(cast(values, target.dtype)), put=True)
    return target


def _own(p: Program, target: Array) -> bool:
    """Whether the node's first argument is a leaf of the state whose only reader this is, and whose successor it makes."""
    node = p.node
    assert node is not None
    leaf = node.args[0]
    if not isinstance(leaf, torch.fx.Node) or leaf.op != "placeholder" or len(leaf.users) > 1:
        return False
    (returned,) = node.graph.output_node().args
    places = [n for n in node.graph.nodes if n.op == "placeholder" and n.name in p.leaves]
    return returned[1 + places.index(leaf)] is node  # type: ignore[index]


def _picked(p: Program, base: Array, indices: Sequence[Value | None], other: Array, put: bool) -> None:
    """Copies between base[indices] and `other`, whose dimensions are those of the indices and then what they leave over
    (the indices' first where they stand apart, else where they stand: numpy's rule).
    """
    given = {dim: p.array(at) for dim, at in enumerate(indices) if at is not None}
    shape = np.broadcast_shapes(*(at.shape for at in given.values()))
    dims = sorted(given)
    together = dims == list(range(dims[0], dims[-1] + 1))
    rest = [dim for dim in range(len(base.shape)) if dim not in given]
    before = [dim for dim in rest if together and dim < dims[0]]
    order = [*before, *(None for _ in shape), *(dim for dim in rest if dim not in before)]
    wanted = iter(shape)
    sizes = [next(wanted) if place is None else base.shape[place] for place in order]
    names = variables("i", sizes)
    offset, strides = place_of(base)
    moved, checks = [str(offset)] if offset else [], []
    picked = [name for name, place in zip(names, order, strict=True) if place is None]
    for dim, at in given.items():
        wide = at.place.expand(shape)
        entry = f"{at.memory.token}[{terms(*zip(picked, wide.stride(), strict=True), offset=int(wide.storage_offset()))}]"
        if isinstance(known := indices[dim], Tensor) and (number := uniform(known)) is not None:
            entry = str(number)
        else:
            checks.append(f"if ({entry} < 0 || {entry} >= {base.shape[dim]}) return UNROLLED_OUTSIDE;")
        if entry != "0":
            moved.append(f"{entry} * {strides[dim]}")
    rest_terms = [(n, strides[place]) for n, place in zip(names, order, strict=True) if place is not None]
    target = f"{base.memory.token}[{' + '.join([*moved, terms(*rest_terms)])}]"
    wide = other.place.expand(sizes)
    mine = f"{other.memory.token}[{terms(*zip(names, wide.stride(), strict=True), offset=int(wide.storage_offset()))}]"
    every = used(names, sizes)
    if checks:
        p.line(*nested([(name, size) for name, size in every if name in picked], checks))
    p.line(*nested(every, [f"{target} = {mine};" if put else f"{mine} = {target};"]))


def layer_norm(
    p: Program, x: Value, shape: Sequence[int], weight: Value | None, bias: Value | None, eps: float
) -> tuple[Value, None, None]:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last dimensions; the statistics are not kept."""
    source = p.contiguous(x)
    size = prod(shape)
    out = p.new(source.shape, source.dtype)
    weights = [p.contiguous(part).pointer if part is not None else "NULL" for part in (weight, bias)]
    _by_row(
        p, "norm", source, out, size, f"{weights[0]}, {weights[1]}, {size}, {literal(eps, torch.float32)}"
    )
    return out, None, None


def softmax(p: Program, x: Value, dim: int, half: bool = False) -> Value:
    """exp(x - max) over its sum."""
    return _softmax(p, x, dim, "softmax")


def log_softmax(p: Program, x: Value, dim: int, half: bool = False) -> Value:
    """x - max - log(sum exp(x - max))."""
    return _softmax(p, x, dim, "log_softmax")


def _softmax(p: Program, x: Value, dim: int, kind: str) -> Value:
    source = p.contiguous(viewed(x, lambda t: t.movedim(dim, -1)))
    out = p.new(source.shape, source.dtype)
    _by_row(p, kind, source, out, source.shape[-1], str(source.shape[-1]))
    return viewed(out, lambda t: t.movedim(-1, dim))


def _by_row(p: Program, kind: str, source: Array, out: Array, size: int, rest: str) -> None:
    rows = prod(source.shape) // size
    named = [("i0", rows)] if rows > 1 else []
    at = f" + i0 * {size}" if rows > 1 else ""
    p.line(*nested(named, [f"unrolled_{kind}({source.pointer}{at}, {out.pointer}{at}, {rest});"]))


def cat(p: Program, parts: Sequence[Value], dim: int = 0) -> Value:
    """Parts side by side; each is computed where it will lie."""
    known = p.node.meta["val"]  # type: ignore[union-attr]
    out = p.new(tuple(known.shape), known.dtype)
    at = 0
    for part in parts:
        if prod(part.shape) == 0:  # torch lets empty parts have another shape
            continue
        length, begin = part.shape[dim], at
        place = viewed(out, lambda t, b=begin, n=length: t.narrow(dim, b, n))  # type: ignore[misc]
        p.store(in_memory(place), cast(part, known.dtype))
        at += length
    return out


def flip(p: Program, x: Value, dims: Sequence[int]) -> Value:
    """Dimensions read backwards."""
    source = p.array(x)
    out = p.new(source.shape, source.dtype)
    offset, strides = place_of(source)
    turned = list(strides)
    for dim in (d % len(source.shape) for d in dims):
        offset += strides[dim] * (source.shape[dim] - 1)
        turned[dim] = -strides[dim]
    named, (to, of) = loops(source.shape, [place_of(out), (offset, turned)])
    p.line(*nested(named, [f"{out.memory.token}[{to}] = {source.memory.token}[{of}];"]))
    return out


def constant_pad_nd(p: Program, x: Value, pads: Sequence[int], value: float = 0) -> Value:
    """x with borders of one number."""
    out = p.new(tuple(p.node.meta["val"].shape), x.dtype)  # type: ignore[union-attr]
    p.store(out, torch.tensor(value, dtype=x.dtype))
    inside: Value = out
    for back, (low, size) in enumerate(zip(pads[::2], reversed(x.shape), strict=False)):
        dim = len(x.shape) - 1 - back
        inside = viewed(inside, lambda t, d=dim, b=low, n=size: t.narrow(d, b, n))  # type: ignore[misc]
    p.store(in_memory(inside), x)
    return out


def repeat(p: Program, x: Value, times: Sequence[int]) -> Value:
    """x several times side by side."""
    shape = (*(1 for _ in range(len(times) - len(x.shape))), *x.shape)
    source = viewed(x, lambda t: t.reshape(shape))
    out = p.new(tuple(n * size for n, size in zip(times, shape, strict=True)), x.dtype)
    pairs = [part for n, size in zip(times, shape, strict=True) for part in (n, size)]
    single = [part for size in shape for part in (1, size)]
    wide = viewed(viewed(p.contiguous(source), lambda t: t.view(single)), lambda t: t.expand(pairs))
    p.store(in_memory(viewed(out, lambda t: t.view(pairs))), wide)
    return out


def to_copy(p: Program, x: Value, **options: Any) -> Value:
    """Another type of number."""
    return cast(x, options.get("dtype") or x.dtype)


# every operation that has a C form beyond the expressions of `pointwise` and the views of `program`
TABLE: dict[str, Emitter] = {
    "_log_softmax": log_softmax,
    "_softmax": softmax,
    "_to_copy": to_copy,
    "addmm": addmm,
    "amax": reduction(LOWEST, "a = {x} > a ? {x} : a;"),
    "any": reduction("0b", "a = a || {x};"),
    "baddbmm": baddbmm,
    "bmm": bmm,
    "cat": cat,
    "constant_pad_nd": constant_pad_nd,
    "cummax": running("({x} >= a ? {x} : a)", pairs=True),
    "cumprod": running("a * {x}"),
    "cumsum": running("a + {x}"),
    "embedding": embedding,
    "flip": flip,
    "index": index,
    "index_put": index_put,
    "mean": reduction("0", "a += {x};", mean=True),
    "mm": mm,
    "native_layer_norm": layer_norm,
    "prod": reduction("1", "a *= {x};"),
    "repeat": repeat,
    "sum": reduction("0", "a += {x};"),
}
