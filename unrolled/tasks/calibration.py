"""Probabilities that mean what they say: one temperature, and one decision threshold, both fitted on validation data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import UserError

Numbers = NDArray[np.float64]

RANGE = (0.05, 20.0)  # temperatures tried: a validation part without an error would ask for 0
ERRORS = 20  # wrong items from which a model may be made surer of itself
STEPS = 100  # halvings, far more than float64 has digits


class Threshold(NamedTuple):
    """Positive where the probability is at least `value`; `score` is what that reached on the validation data."""

    value: float
    score: float
    measure: str


def temperature(logits: ArrayLike, truth: ArrayLike) -> float:
    """The T > 0 for which softmax(logits / T) has the lowest log loss: logits (N, C), truth (N,).

    Guo et al. 2017, arXiv:1706.04599, sec. 4.2. The loss is convex in 1 / T, so its slope
    mean(E_p[z] - z_true) is bisected; T stays from 0.05 to 20. The order of the classes never changes. Raises UserError
    for no items, NaN and shapes that don't fit.
    """
    z, y = _checked(logits, truth)
    true = z[np.arange(len(y)), y]
    low, high = 1 / RANGE[1], 1 / RANGE[0]
    if _slope(z, true, low) >= 0:
        best = low
    elif _slope(z, true, high) <= 0:
        best = high
    else:
        for _ in range(STEPS):
            middle = float(np.sqrt(low * high))
            low, high = (low, middle) if _slope(z, true, middle) > 0 else (middle, high)
        best = float(np.sqrt(low * high))
    # Where all temperatures are equal (constant logits) or differ by rounding, nothing is changed.
    return 1 / best if loss_at(z, y, 1 / best) < loss_at(z, y, 1.0) else 1.0


def careful_temperature(logits: ArrayLike, truth: ArrayLike) -> float:
    """As `temperature`, but never below 1 where fewer than `ERRORS` items are wrong: rows without an error would ask for
    certainty, and say nothing about how often it is deceived.
    """
    z, y = _checked(logits, truth)
    found = temperature(z, y)
    return found if int((z.argmax(1) != y).sum()) >= ERRORS else max(1.0, found)


def loss_at(logits: ArrayLike, truth: ArrayLike, temperature: float) -> float:
    """Mean nats of the truth (N,) under softmax(logits / temperature)."""
    z, y = _checked(logits, truth)
    scaled = z / temperature
    top = scaled.max(1)
    total = top + np.log(np.exp(scaled - top[:, None]).sum(1))
    return float((total - scaled[np.arange(len(y)), y]).mean())


def softened(logits: ArrayLike, temperature: float) -> Numbers:
    """softmax(logits / temperature) over the last axis, in float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    shifted: Numbers = np.exp(scaled - scaled.max(-1, keepdims=True))
    shifted /= shifted.sum(-1, keepdims=True)
    return shifted


def threshold(probabilities: ArrayLike, truth: ArrayLike, measure: str = "f1") -> Threshold:
    """The threshold on the positive class's probability (N,) with the best F1 or balanced accuracy: truth (N,) of 0 and 1.

    It lies half-way between two probabilities that occur; of equally good ones the nearest to 0.5. With one class only
    in the truth, 0.5. Raises UserError for no items, another measure and shapes that don't fit.
    """
    p, y = np.asarray(probabilities, np.float64), np.asarray(truth).astype(bool)
    if measure not in ("f1", "balanced_accuracy"):
        raise UserError(f"measure={measure!r}: expected 'f1' or 'balanced_accuracy'.")
    if not p.size or p.shape != y.shape or p.ndim != 1 or not np.isfinite(p).all():
        raise UserError(
            f"probabilities of shape {p.shape}, truth of shape {y.shape}: expected (items,) twice, at least one item, "
            "no NaN."
        )
    # Each candidate lies below one distinct probability and above the next; 0.5 itself is one of them too.
    distinct = np.unique(p)
    borders = np.concatenate((distinct[:1], (distinct[1:] + distinct[:-1]) / 2, [0.5]))
    scores = _scores(np.sort(p[y]), np.sort(p[~y]), borders, measure)
    if not y.any() or y.all():
        return Threshold(0.5, float(scores[-1]), measure)
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    at = best[np.argmin(np.abs(borders[best] - 0.5))]
    return Threshold(float(borders[at]), float(scores[at]), measure)


def _scores(positive: Numbers, negative: Numbers, borders: Numbers, measure: str) -> Numbers:
    """The measure at each border, from the sorted probabilities of both classes."""
    right = len(positive) - np.searchsorted(positive, borders)
    wrong = len(negative) - np.searchsorted(negative, borders)
    if measure == "f1":
        f1: Numbers = 2 * right / np.maximum(len(positive) + right + wrong, 1)
        return f1
    recalls = right / max(len(positive), 1), 1 - wrong / max(len(negative), 1)
    mean: Numbers = (recalls[0] + recalls[1]) / 2
    return mean


def _slope(z: Numbers, true: Numbers, inverse: float) -> float:
    """Of the mean log loss in 1 / T: E_p[z] - z_true, which only grows with 1 / T."""
    p = softened(z, 1 / inverse)
    return float(((p * z).sum(1) - true).mean())


def _checked(logits: ArrayLike, truth: ArrayLike) -> tuple[Numbers, NDArray[np.int64]]:
    z, y = np.asarray(logits, np.float64), np.asarray(truth, np.int64)
    if z.ndim != 2 or y.shape != z.shape[:1] or not z.size:
        raise UserError(
            f"logits of shape {z.shape} and truth of shape {y.shape}: expected (items, classes) and (items,), at least "
            "one item."
        )
    if not np.isfinite(z).all():
        row = int(np.flatnonzero(~np.isfinite(z).all(1))[0])
        raise UserError(f"the logits of item {row} are not finite: {z[row][:8].tolist()}.")
    return z - z.max(1, keepdims=True), y  # a shift changes no probability, and keeps the digits
