"""The elementwise operations: each aten operation is a C expression of its operands."""

from __future__ import annotations

from collections.abc import Callable
from math import isinf, isnan
from typing import Any

import torch
from torch import Tensor

from unrolled.exports.c.arrays import C_TYPES, Array, Pointwise, Value

# name -> (expression, what operands are cast to: the result's type, their common type, or what each is)
Rule = tuple[str, str]
_SAME = "result"
POINTWISE: dict[str, Rule] = {
    "abs": ("fabsf({0})", _SAME),
    "bitwise_and": ("({0} & {1})", _SAME),
    "bitwise_not": ("!{0}", _SAME),
    "bitwise_or": ("({0} | {1})", _SAME),
    "bitwise_xor": ("({0} ^ {1})", _SAME),
    "ceil": ("ceilf({0})", _SAME),
    "cos": ("cosf({0})", _SAME),
    "div": ("({0} / {1})", _SAME),
    "elu": ("({0} > 0.0f ? {0} : expm1f({0}))", _SAME),
    "eq": ("({0} == {1})", "common"),
    "erf": ("unrolled_erf({0})", _SAME),
    "exp": ("unrolled_exp({0})", _SAME),
    "expm1": ("expm1f({0})", _SAME),
    "floor": ("floorf({0})", _SAME),
    "ge": ("({0} >= {1})", "common"),
    "gelu": ("unrolled_gelu({0})", _SAME),
    "gt": ("({0} > {1})", "common"),
    "isnan": ("({0} != {0})", "common"),
    "le": ("({0} <= {1})", "common"),
    "log": ("logf({0})", _SAME),
    "log1p": ("log1pf({0})", _SAME),
    "logical_and": ("({0} && {1})", "each"),
    "logical_not": ("!{0}", "each"),
    "logical_or": ("({0} || {1})", "each"),
    "lt": ("({0} < {1})", "common"),
    "maximum": ("unrolled_larger({0}, {1})", _SAME),
    "minimum": ("unrolled_smaller({0}, {1})", _SAME),
    "mul": ("({0} * {1})", _SAME),
    "ne": ("({0} != {1})", "common"),
    "neg": ("-{0}", _SAME),
    "pow": ("powf({0}, {1})", _SAME),
    "reciprocal": ("(1.0f / {0})", _SAME),
    "relu": ("unrolled_larger({0}, 0)", _SAME),
    "round": ("nearbyintf({0})", _SAME),
    "rsqrt": ("(1.0f / sqrtf({0}))", _SAME),
    "sigmoid": ("unrolled_sigmoid({0})", _SAME),
    "sign": ("(float)(({0} > 0.0f) - ({0} < 0.0f))", _SAME),
    "silu": ("({0} * unrolled_sigmoid({0}))", _SAME),
    "sin": ("sinf({0})", _SAME),
    "sqrt": ("sqrtf({0})", _SAME),
    "tanh": ("unrolled_tanh({0})", _SAME),
    "where": ("({0} ? {1} : {2})", "choice"),
}
FLOATING_ONLY = {"abs", "relu", "maximum", "minimum", "clamp", "sign", "pow"}  # of integers C has others


def _add(sign: str) -> Callable[..., tuple[str, list[Any]]]:
    def make(a: Any, b: Any, alpha: float = 1) -> tuple[str, list[Any]]:
        return (
            (f"({{0}} {sign} {{1}})", [a, b])
            if alpha == 1
            else (f"({{0}} {sign} {{2}} * {{1}})", [a, b, alpha])
        )

    return make


def _clamp(x: Any, low: Any = None, high: Any = None) -> tuple[str, list[Any]]:
    if high is None:
        return "unrolled_larger({0}, {1})", [x, low]
    if low is None:
        return "unrolled_smaller({0}, {1})", [x, high]
    return "unrolled_smaller(unrolled_larger({0}, {1}), {2})", [x, low, high]


def _pow(x: Any, y: Any) -> tuple[str, list[Any]]:
    return ("({0} * {0})", [x]) if y == 2 else ("powf({0}, {1})", [x, y])


def _reversed_sub(a: Any, b: Any, alpha: float = 1) -> tuple[str, list[Any]]:
    return _add("-")(b, a, alpha)


# those whose expression depends on their arguments
MADE: dict[str, Callable[..., tuple[str, list[Any]]]] = {
    "add": _add("+"), "sub": _add("-"), "rsub": _reversed_sub, "clamp": _clamp, "clamp_min": _clamp,
    "clamp_max": lambda x, high: _clamp(x, None, high), "pow": _pow,
    "addcmul": lambda a, b, c, value=1: ("({0} + {3} * {1} * {2})", [a, b, c, value]),
    "lerp": lambda a, b, w: ("({0} + {2} * ({1} - {0}))", [a, b, w]),
    "masked_fill": lambda x, mask, value: ("({0} ? {1} : {2})", [mask, value, x]),
}  # fmt: skip


def expression(
    name: str, arguments: tuple[Any, ...], options: dict[str, Any], shape: tuple[int, ...], dtype: torch.dtype
) -> Pointwise | None:
    """The expression of an operation, uncomputed. None where C has no such expression: the caller says so."""
    integral = not dtype.is_floating_point
    if integral and name in FLOATING_ONLY and dtype is torch.bool:
        return None
    if name in MADE:
        template, operands = MADE[name](*arguments, **options)
        rule = "choice" if name == "masked_fill" else _SAME
    elif name == "gelu" and options.get("approximate", "none") != "none":
        template, operands, rule = "unrolled_gelu_tanh({0})", list(arguments), _SAME
    elif name in POINTWISE and not options:
        (template, rule), operands = POINTWISE[name], list(arguments)
    else:
        return None
    if integral:
        if any(part in template for part in ("fabsf", "powf", "(float)", "floorf", "unrolled_tanh")):
            return None
        template = template.replace("unrolled_larger", "unrolled_larger_whole")
        template = template.replace("unrolled_smaller", "unrolled_smaller_whole")
    wanted = _types(rule, operands, dtype)
    made = tuple(
        cast(operand, kind) if kind else operand for operand, kind in zip(operands, wanted, strict=True)
    )
    tensors = tuple(torch.tensor(x, dtype=_of_number(x)) if not _known(x) else x for x in made)
    return Pointwise(template, tensors, shape, dtype)


def _types(rule: str, operands: list[Any], dtype: torch.dtype) -> list[torch.dtype | None]:
    if rule == _SAME:
        return [dtype] * len(operands)
    if rule == "each":
        return [None] * len(operands)
    if rule == "choice":
        return [None, dtype, dtype]
    samples = [torch.empty(x.shape, dtype=x.dtype, device="meta") if _known(x) else x for x in operands]
    common = torch.result_type(*samples) if len(samples) > 1 else samples[0].dtype
    return [common] * len(operands)


def _known(x: object) -> bool:
    return isinstance(x, (Tensor, Array, Pointwise))


def _of_number(x: object) -> torch.dtype:
    return torch.bool if isinstance(x, bool) else torch.int64 if isinstance(x, int) else torch.float32


def cast(value: Any, dtype: torch.dtype) -> Value:
    """A value as another type of number; a Python number becomes a tensor of none."""
    if not isinstance(value, (Array, Pointwise)):
        return torch.as_tensor(value).to(dtype)
    if value.dtype == dtype:
        return value
    if dtype is torch.bool:
        template = "({0} != 0)"
    elif value.dtype.is_floating_point:
        template = f"({C_TYPES[dtype]})unrolled_whole({{0}})"
    else:
        template = f"({C_TYPES[dtype]}){{0}}"
    return Pointwise(template, (value,), tuple(value.shape), dtype)


def literal(number: float | int | bool, dtype: torch.dtype) -> str:
    """A number in C. Nine digits of a float are exact."""
    if not dtype.is_floating_point:
        return f"INT64_C({int(number)})" if abs(int(number)) > 2**31 - 1 else str(int(number))
    if isnan(number):
        return "NAN"
    if isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    digits = f"{number:.9g}"
    return (digits if "." in digits or "e" in digits else digits + ".0") + "f"
