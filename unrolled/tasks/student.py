"""Quantiles of Student's t distribution, which neither torch nor numpy has: from a table, made once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from unrolled.tasks.measures.bootstrap import Numbers

INVERSE = np.linspace(0.0, 0.5, 41)  # of the degrees of freedom: from the normal distribution to two of them
POINTS = 20_001


@lru_cache(maxsize=64)
def _row(level: float) -> Numbers:
    """The quantile of a level for each of INVERSE, by the trapezoid rule over the density on x = sinh(u)."""
    x = np.sinh(np.linspace(0.0, 12.0, POINTS))
    found = []
    for inverse in INVERSE:
        log = -(x**2) / 2 if inverse == 0 else -(1 / inverse + 1) / 2 * np.log1p(x**2 * inverse)
        mass = np.concatenate([[0.0], np.cumsum(np.diff(x) * (np.exp(log)[1:] + np.exp(log)[:-1]) / 2)])
        found.append(np.interp(abs(level - 0.5), 0.5 * mass / mass[-1], x))
    return np.copysign(np.array(found), level - 0.5)


def quantile(level: float, degrees: Numbers) -> Numbers:
    """The `level` quantile for degrees of freedom of 2 at least; infinitely many give the normal distribution's."""
    inverse = np.divide(1.0, degrees, out=np.zeros_like(degrees), where=np.isfinite(degrees))
    return np.asarray(np.interp(inverse, INVERSE, _row(float(level))), np.float64)
