"""Operations that sum up dimensions, or go along one."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from unrolled.exports.c.arrays import C_TYPES, Value, nested, packed_strides, terms, used, variables
from unrolled.exports.c.pointwise import cast, literal
from unrolled.exports.c.program import Emitter, Program


def reduction(begin: dict[torch.dtype, str] | str, step: str, mean: bool = False) -> Emitter:
    """An operation that sums up dimensions. step: the statement for the sum `a` and a number `x`."""

    def emit(
        p: Program, x: Value, dims: Sequence[int] | int | None = None, keep: bool = False, **options: Any
    ) -> Value:
        known = p.node.meta["val"]  # type: ignore[union-attr]
        many = len(x.shape)
        gone = range(many) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
        gone = [dim % many for dim in gone]
        source = p.array(cast(x, known.dtype) if not isinstance(begin, dict) and begin != "0b" else x)
        out = p.new(tuple(known.shape), known.dtype)
        first = begin if isinstance(begin, str) else begin[known.dtype]
        order = [dim for dim in range(many) if dim not in gone] + gone
        moved = source.place.permute(order)
        kept = [source.shape[dim] for dim in range(many) if dim not in gone]
        offset, strides = int(moved.storage_offset()), moved.stride()
        sizes = [source.shape[dim] for dim in gone]
        over, under = variables("o", kept), variables("r", sizes)
        outer, inner = used(over, kept), used(under, sizes)
        to = terms(*zip(over, packed_strides(kept), strict=True))
        of = terms(*zip([*over, *under], strides, strict=True), offset=offset)
        count = prod(sizes)
        last = f"a / {literal(count, torch.float32)}" if mean else "a"
        body = [
            f"{C_TYPES[known.dtype]} a = {first.removesuffix('b')};",
            *nested(inner, [step.format(x=f"{source.memory.token}[{of}]")]),
            f"{out.memory.token}[{to}] = {last};",
        ]
        p.line(*nested(outer, body))
        return out

    return emit


def running(step: str, pairs: bool = False) -> Emitter:
    """An operation that goes along one dimension. step: the sum `a` after a number `x`. pairs: torch gives indices too."""

    def emit(p: Program, x: Value, dim: int, **options: Any) -> Any:
        known = p.node.meta["val"]  # type: ignore[union-attr]
        known = known[0] if pairs else known
        source = p.array(cast(x, known.dtype))
        out = p.new(tuple(known.shape), known.dtype)
        dim = dim % len(source.shape)
        rest = [size for d, size in enumerate(source.shape) if d != dim]
        to, of = (array.place.movedim(dim, -1) for array in (out, source))
        over = variables("o", rest)
        outer = used(over, rest)
        names = [*over, "t"]
        target = f"{out.memory.token}[{terms(*zip(names, to.stride(), strict=True))}]"
        first = terms(*zip(over, of.stride(), strict=False), offset=int(of.storage_offset()))
        begin = f"{source.memory.token}[{first}]"
        entry = f"{source.memory.token}[{terms(*zip(names, of.stride(), strict=True), offset=int(of.storage_offset()))}]"
        body = [
            f"{C_TYPES[known.dtype]} a = {begin};",
            f"for (int t = 0; t < {source.shape[dim]}; ++t) {{",
            f"    if (t) a = {step.format(x=entry)};",
            f"    {target} = a;",
            "}",
        ]
        p.line(*nested(outer, body))
        return (out, None) if pairs else out

    return emit
