"""Products of vectors with the model's matrices, and of what is computed with what is computed."""

from __future__ import annotations

import torch
from torch import Tensor

from unrolled.exports.c.arrays import (
    Array,
    Pointwise,
    Value,
    in_memory,
    moved_by,
    nested,
    place_of,
    terms,
    used,
    variables,
    viewed,
)
from unrolled.exports.c.program import Program, uniform
from unrolled.exports.c.weights import Matrix


def addmm(p: Program, bias: Value, x: Value, w: Value, *, beta: float = 1, alpha: float = 1) -> Value:
    """bias + x w."""
    if beta != 1 or alpha != 1:
        raise p.unknown(f" with beta={beta}, alpha={alpha}")
    if _is_vector(x) and isinstance(w, Tensor):
        flat = p.contiguous(_reshaped(p, bias, (w.shape[1],)))
        return _product(p, p.contiguous(x), w, flat.pointer)
    return _sum(p, bias, mm(p, x, w))


def mm(p: Program, x: Value, w: Value) -> Array:
    """x (M, K) times w (K, N)."""
    if _is_vector(x) and isinstance(w, Tensor):
        return _product(p, p.contiguous(x), w, "NULL")
    batched = bmm(p, viewed(x, lambda t: t.unsqueeze(0)), viewed(w, lambda t: t.unsqueeze(0)))
    return in_memory(viewed(batched, lambda t: t.squeeze(0)))


def bmm(p: Program, a: Value, b: Value) -> Array:
    """(B, M, K) times (B, K, N), neither known beforehand: sums along K where that lies together, else rows are added."""
    b, scale = _unscaled(b)  # the smaller side is scaled
    left, right = (
        p.contiguous(a if scale is None else Pointwise("({0} * {1})", (a, scale), tuple(a.shape), a.dtype)),
        p.array(b),
    )
    if 1 not in right.place.stride()[1:]:
        right = p.contiguous(right)
    batch, rows, inner = left.shape
    columns = right.shape[2]
    out = p.new((batch, rows, columns), left.dtype)
    offset, (outer, down, across) = place_of(right)
    names = variables("i", (batch, rows))
    x = moved_by(left, terms((names[0], rows * inner), (names[1], inner), offset=place_of(left)[0]))
    y = moved_by(out, terms((names[0], rows * columns), (names[1], columns)))
    w = moved_by(right, terms((names[0], outer), offset=offset))
    kind, step = ("dots", across) if down == 1 else ("sums", down)
    call = f"unrolled_{kind}({w}, {x}, {y}, {columns}, {inner}, {step});"
    p.line(*nested(used(names, (batch, rows)), [call]))
    return out


def _unscaled(value: Value) -> tuple[Value, Tensor | None]:
    """What is multiplied with one number, and that number."""
    if isinstance(value, Pointwise) and value.template == "({0} * {1})":
        inner, scale = value.operands
        if (
            isinstance(scale, Tensor)
            and tuple(inner.shape) == value.shape
            and (number := uniform(scale)) is not None
        ):
            return inner, torch.tensor(number, dtype=scale.dtype)
    return value, None


def baddbmm(p: Program, bias: Value, a: Value, b: Value, *, beta: float = 1, alpha: float = 1) -> Value:
    """bias + a b."""
    if beta != 1 or alpha != 1:
        raise p.unknown(f" with beta={beta}, alpha={alpha}")
    return _sum(p, bias, bmm(p, a, b))


def _product(p: Program, x: Array, w: Tensor, bias: str) -> Array:
    """One vector times a matrix of weights: the work of a step."""
    matrix = p.weights.matrix(w.t(), panels=True)
    out = p.new((1, matrix.rows), torch.float32)
    p.line(product_call(matrix, x.pointer, bias, out.memory.token))
    return out


def product_call(matrix: Matrix, x: str, bias: str, y: str) -> str:
    """y = matrix x + bias."""
    form = "" if matrix.form == "fp32" else f"_{matrix.form}"
    scales = f"{matrix.name}_scales, " if matrix.form == "int8" else ""
    return (
        f"unrolled_product{form}({matrix.name}, {scales}{x}, {bias}, {y}, {matrix.rows}, {matrix.columns});"
    )


def _is_vector(x: Value) -> bool:
    return x.shape[0] == 1


def _sum(p: Program, bias: Value, made: Array) -> Array:
    if isinstance(bias, Tensor) and uniform(bias) == 0:
        return made
    out = p.new(made.shape, made.dtype)
    p.store(out, Pointwise("({0} + {1})", (bias, made), made.shape, made.dtype))
    return out


def _reshaped(p: Program, value: Value, shape: tuple[int, ...]) -> Value:
    return viewed(p.contiguous(value), lambda t: t.reshape(-1).expand(shape))
