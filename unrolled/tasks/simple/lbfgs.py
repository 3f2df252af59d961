"""Minimising a smooth function of many numbers: L-BFGS in float64, the same steps for the same data."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Function = Callable[[Numbers], tuple[float, Numbers]]  # x -> (value, gradient)

MEMORY = 10  # steps remembered
SUFFICIENT, CURVATURE = 1e-4, 0.9  # of the weak Wolfe conditions
TRIALS = 30  # of one line search


def minimise(function: Function, start: Numbers, *, tolerance: float, steps: int = 200) -> Numbers:
    """The x that minimises a convex function, from `start` (n,).

    Nocedal and Wright, Numerical Optimization (2nd ed. 2006), algorithm 7.5, with the line search by bisection of Lewis
    and Overton 2013 (algorithm 2.6). It ends where no component of the gradient exceeds `tolerance`, where the value falls
    no further, or after `steps`.
    """
    x = start.astype(np.float64)
    value, gradient = function(x)
    past: deque[tuple[Numbers, Numbers, float]] = deque(maxlen=MEMORY)
    for _ in range(steps):
        if np.abs(gradient).max(initial=0.0) <= tolerance:
            break
        direction = _direction(gradient, past)
        slope = _dot(direction, gradient)
        if slope >= 0:  # only rounding is left
            break
        first = 1.0 if past else 1.0 / max(_dot(gradient, gradient) ** 0.5, 1e-300)
        found = _search(function, x, value, slope, direction, first)
        if found is None:
            break
        step, new_value, new_gradient = found
        change = new_gradient - gradient
        curvature = _dot(step, change)
        if curvature > 0:
            past.append((step, change, 1 / curvature))
        fell = value - new_value
        x, value, gradient = x + step, new_value, new_gradient
        if fell <= 1e-10 * max(abs(value), 1e-10):
            break
    return x


def _direction(gradient: Numbers, past: deque[tuple[Numbers, Numbers, float]]) -> Numbers:
    """- inverse Hessian x gradient, from the last steps (two-loop recursion, algorithm 7.4)."""
    direction = -gradient
    shares = []
    for step, change, rho in reversed(past):
        share = rho * _dot(step, direction)
        direction = direction - share * change
        shares.append(share)
    if past:
        step, change, rho = past[-1]
        direction = direction / (rho * _dot(change, change))
    for (step, change, rho), share in zip(past, reversed(shares), strict=True):
        direction = direction + (share - rho * _dot(change, direction)) * step
    return direction


def _search(
    function: Function, x: Numbers, value: float, slope: float, direction: Numbers, length: float
) -> tuple[Numbers, float, Numbers] | None:
    """(step, value, gradient) at a length that meets both conditions, or the best one met; None for none."""
    low, high = 0.0, np.inf
    best: tuple[Numbers, float, Numbers] | None = None
    for _ in range(TRIALS):
        step = length * direction
        new_value, gradient = function(x + step)
        if not new_value <= value + SUFFICIENT * length * slope:
            high = length
        elif _dot(gradient, direction) < CURVATURE * slope:
            low, best = length, (step, new_value, gradient)
        else:
            return step, new_value, gradient
        length = (low + high) / 2 if high < np.inf else 2 * low
    return best


def _dot(a: Numbers, b: Numbers) -> float:
    """Not BLAS's, whose threads on a busy machine take many times as long and change the last digits."""
    return float(np.einsum("i,i->", a, b))
