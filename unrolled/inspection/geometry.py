"""Which vectors lie together: cosines, nearest neighbours, and the plane in which a cloud of points is widest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def directions(vectors: NDArray[np.floating]) -> Matrix:
    """(n, width): each vector divided by its length; one of length 0 stays 0."""
    rows = np.asarray(vectors, np.float64)
    length = np.sqrt((rows * rows).sum(1, keepdims=True))
    unit: Matrix = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return unit


def cosines(a: NDArray[np.floating], b: NDArray[np.floating]) -> Matrix:
    """(n, m): the cosine of the angle between each of a (n, width) and each of b (m, width): a b / |a| |b|."""
    cosine: Matrix = directions(a) @ directions(b).T
    return cosine


def neighbours(
    vectors: NDArray[np.floating], of: int, among: NDArray[np.int64], count: int
) -> list[tuple[int, float]]:
    """The `count` rows of `among` whose cosine with the row `of` is largest, itself left out, and that cosine.

    Of equals the one that stands first in `among` comes first.
    """
    others = among[among != of]
    cosine = cosines(vectors[of : of + 1], vectors[others])[0]
    order = np.argsort(-cosine, kind="stable")[:count]
    return [(int(others[i]), float(cosine[i])) for i in order]


def by_chance(rows: int, width: int, draws: int = 100) -> float:
    """The cosine of the nearest of `rows` vectors of random directions, in the mean: what a neighbour has to exceed."""
    if rows < 1:
        return 0.0
    draw = np.random.default_rng(0)
    cloud, probes = draw.normal(size=(rows, width)), draw.normal(size=(draws, width))
    return float(cosines(probes, cloud).max(1).mean())


@dataclass(frozen=True)
class Plane:
    """Points as they lie in the plane of their two principal axes, and the share of their variance along each."""

    points: Matrix  # (n, 2)
    shares: tuple[float, float]


def plane(vectors: NDArray[np.floating]) -> Plane:
    """The first two principal components of (n, width) (Pearson 1901): the rows about their mean, X = U S V^T, as U S.

    The sign of an axis is free; it is chosen so that its largest weight is positive, the same on every machine. Axes that
    the vectors haven't got are 0.
    """
    rows = np.asarray(vectors, np.float64)
    centred = rows - rows.mean(0)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    axes = vt[:2] * np.sign(vt[:2][np.arange(len(vt[:2])), np.abs(vt[:2]).argmax(1)])[:, None]
    points = np.zeros((len(rows), 2))
    points[:, : len(axes)] = centred @ axes.T
    whole = float((s * s).sum()) or 1.0
    shares = [float(part * part) / whole for part in s[:2]] + [0.0, 0.0]
    return Plane(points, (shares[0], shares[1]))
