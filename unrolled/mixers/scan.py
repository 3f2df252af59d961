"""The first-order linear recurrence h_t = a_t h_{t-1} + b_t, elementwise: one equation, two engines, one reference.

On a CPU a loop of one fused multiply-add a step, with a backward of the same form, beats every parallel form (a
scan does log T times the work on a handful of cores). On an accelerator the doubling scan needs log2 T dependent
steps (Hillis & Steele 1986; for recurrences Martin & Cundy 2018, arXiv:1709.04057, sec. 2).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def linear_scan(
    a: Float[Tensor, "batch time width"],
    b: Float[Tensor, "batch time width"],
    h: Float[Tensor, "batch width"],
) -> Float[Tensor, "batch time width"]:
    """All h_t of h_t = a_t h_{t-1} + b_t, beginning from `h`. a = 1, b = 0 is padding; a = 0 forgets."""
    if a.shape[1] <= 1:
        return a * h[:, None] + b
    if a.is_cuda:
        return doubling_scan(a, b, h)
    return _SequentialScan.apply(a, b, h)  # type: ignore[no-any-return, no-untyped-call]


def linear_scan_reference(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """The equation as a loop over time."""
    outputs = []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t
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


class _SequentialScan(torch.autograd.Function):
    """Time-major, so that each step reads and writes contiguous memory.

    Backward, with g_t = dL/dh_t in full: g_t = dy_t + a_{t+1} g_{t+1}; da_t = g_t h_{t-1}; db_t = g_t; dh_0 = a_1 g_1.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h: Tensor) -> Tensor:
        a, b = a.transpose(0, 1).contiguous(), b.transpose(0, 1).contiguous()
        states = torch.empty(len(a) + 1, *h.shape, dtype=b.dtype, device=b.device)
        states[0] = h
        steps = states.unbind(0)
        for a_t, b_t, before, after in zip(a.unbind(0), b.unbind(0), steps, steps[1:], strict=False):
            torch.addcmul(b_t, a_t, before, out=after)
        ctx.save_for_backward(a, states)
        return states[1:].transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, states = ctx.saved_tensors
        g = dy.transpose(0, 1).contiguous()
        g = g.clone() if g.data_ptr() == dy.data_ptr() else g
        steps, factors = g.unbind(0), a.unbind(0)
        for t in range(len(a) - 2, -1, -1):
            torch.addcmul(steps[t], factors[t + 1], steps[t + 1], out=steps[t])
        return (g * states[:-1]).transpose(0, 1), g.transpose(0, 1), factors[0] * steps[0]
