"""The first-order linear recurrence h_t = a_t h_{t-1} + b_t, elementwise: one equation, two engines, one reference.

On a CPU a loop of one fused multiply-add a step, with a backward of the same form, beats every parallel form (a
scan does log T times the work on a handful of cores). On an accelerator the doubling scan needs log2 T dependent
steps (Hillis & Steele 1986; for recurrences Martin & Cundy 2018, arXiv:1709.04057, sec. 2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch._higher_order_ops.scan import scan
from torch.utils._pytree import tree_map

from unrolled.mixer import note


def linear_scan(
    a: Float[Tensor, "batch time width"],
    b: Float[Tensor, "batch time width"],
    h: Float[Tensor, "batch width"],
) -> Float[Tensor, "batch time width"]:
    """All h_t of h_t = a_t h_{t-1} + b_t, beginning from `h`. a = 1, b = 0 is padding; a = 0 forgets."""
    if a.shape[1] <= 1:
        return a * h[:, None] + b
    if torch.compiler.is_exporting():
        return _exported(a, b, h)
    if a.is_cuda:
        return doubling_scan(a, b, h)
    return _loop(a.transpose(0, 1), b.transpose(0, 1), h).transpose(0, 1)


def linear_scan_reference(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """The equation as a loop over time. Names each state for a probe: what later steps make of it is its own gradient."""
    outputs = []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t
        note("hidden", h)
        outputs.append(h)
    return torch.stack(outputs, 1) if outputs else b


def doubling_scan(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """log2 T rounds; after round k every step has absorbed the 2^k steps before it."""
    b = torch.cat([b[:, :1] + a[:, :1] * h[:, None], b[:, 1:]], 1)
    step, time = 1, a.shape[1]
    while step < time:
        b = torch.cat([b[:, :step], b[:, step:] + a[:, step:] * b[:, :-step]], 1)
        a = torch.cat([a[:, :step], a[:, step:] * a[:, :-step]], 1)
        step *= 2
    return b


def stepwise(
    step: Callable[[Any, Any], tuple[Any, Tensor]], begin: Any, inputs: Any
) -> tuple[Any, Float[Tensor, "batch time width"]]:
    """`state, y = step(state, inputs of a time step)` over all of them -> the last state, y (B, T, width). inputs:
    tensors (B, T, ...). One operation, whose number of steps an exported graph leaves open; for such graphs only.
    """
    end, y = scan(step, begin, tree_map(lambda each: each.transpose(0, 1), inputs))
    return end, y.transpose(0, 1)


def _exported(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    def step(h: Tensor, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h = inputs[0] * h + inputs[1]
        return h, h.clone()  # a graph's outputs share no storage

    return stepwise(step, h, (a, b))[1]


def _loop(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Time-major, so that each step reads and writes contiguous memory: a, b (T, B, D), h (B, D) -> (T, B, D)."""
    return _SequentialScan.apply(a.contiguous(), b.contiguous(), h)  # type: ignore[no-any-return, no-untyped-call]


class _SequentialScan(torch.autograd.Function):
    """h_t = a_t h_{t-1} + b_t over (T, B, D).

    Backward, with g_t = dL/dh_t in full: g_t = dy_t + a_{t+1} g_{t+1}; da_t = g_t h_{t-1}; db_t = g_t; dh_0 = a_1 g_1.
    That is the same recurrence in reversed time, and so derivatives of every order are scans.
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
        states = torch.empty_like(b)
        steps = states.unbind(0)
        for a_t, b_t, before, after in zip(a.unbind(0), b.unbind(0), (h, *steps), steps, strict=False):
            torch.addcmul(b_t, a_t, before, out=after)
        return states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        a, _, h = inputs
        ctx.save_for_backward(a, h, output)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, h, states = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient itself will be differentiated
            factors = torch.cat([a[1:], torch.zeros_like(a[:1])]).flip(0)
            g = _loop(factors, dy.flip(0), torch.zeros_like(h)).flip(0)
            return g * torch.cat([h[None], states[:-1]]), g, a[0] * g[0]
        g = dy.clone(memory_format=torch.contiguous_format)
        steps, factors = g.unbind(0), a.unbind(0)
        for t in range(len(a) - 2, -1, -1):
            torch.addcmul(steps[t], factors[t + 1], steps[t + 1], out=steps[t])
        da = torch.empty_like(g)
        torch.mul(steps[0], h, out=da[0])
        torch.mul(g[1:], states[:-1], out=da[1:])
        return da, g, factors[0] * steps[0]
