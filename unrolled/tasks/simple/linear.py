"""Linear models with an L2 penalty: multinomial logistic regression, one logistic regression a label, ridge regression."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import UserError
from unrolled.tasks.simple.features import Features
from unrolled.tasks.simple.lbfgs import minimise

Numbers = NDArray[np.float64]
Goal = Literal["class", "labels", "numbers"]

STRENGTHS = tuple(10.0 ** (-power / 2) for power in range(-2, 9))  # penalties tried, the strongest first
HELD_OUT = 10  # every tenth item judges them
ENOUGH = 2000  # items of which one tenth is held out; of fewer up to five different tenths
MOST = 20_000  # items on which it is chosen: the best one hardly changes with more


class Targets(NamedTuple):
    """What is to be predicted: `goal`, and the targets as a matrix (N, K) of float64."""

    goal: Goal
    values: Numbers


def targets_of(targets: ArrayLike, classes: int | None = None) -> Targets:
    """Whole numbers (N,) are classes, whole numbers (N, C) labels of 0 and 1, real ones (N,) or (N, K) numbers.

    `classes`: how many there are, where the targets may lack some. Raises UserError for anything else, and for none.
    """
    y = np.asarray(targets)
    if not y.size or y.ndim > 2:
        raise UserError(
            f"targets of shape {y.shape}: expected (items,) or (items, columns), at least one item."
        )
    if np.issubdtype(y.dtype, np.floating):
        if not np.isfinite(y).all():
            raise UserError("the targets hold NaN or Inf. Expected finite numbers.")
        return Targets("numbers", y.reshape(len(y), -1).astype(np.float64))
    if y.ndim == 2:
        return Targets("labels", y.astype(np.float64))
    size = classes or int(y.max()) + 1
    if y.min() < 0 or y.max() >= size:
        raise UserError(f"classes from {y.min()} to {y.max()}: expected 0 to {size - 1}.")
    return Targets("class", np.eye(size)[y.astype(np.int64)])


class Linear:
    """scores = features @ weights + bias, with the strength of the penalty chosen on a tenth of the training data."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.strength = 1.0

    def fit(self, features: Features, targets: Targets) -> Linear:
        """Fits on features (N, F). Deterministic: the same data, the same weights."""
        goal, y = targets
        self.goal = goal
        self.shift, self.unit = np.zeros(y.shape[1]), np.ones(y.shape[1])
        if goal == "numbers":
            self.shift, self.unit = y.mean(0), np.where(np.ptp(y, 0) > 0, y.std(0), 1.0)
            y = (y - self.shift) / self.unit
        elif goal == "class" and y.shape[1] == 2:
            y = y[:, 1:]  # one logistic regression is the same model with half the weights
        self.strength = self._chosen(features, y)
        self.weights, self.bias = self._solved(features, y, self.strength, None)
        return self

    def predict(self, features: Features) -> Numbers:
        """(N, C) probabilities or (N, K) numbers."""
        scores = features.times(self.weights) + self.bias
        if self.goal == "numbers":
            return scores * self.unit + self.shift
        if scores.shape[1] > 1 and self.goal == "class":
            return _softmax(scores)
        p = _sigmoid(scores)
        return np.concatenate((1 - p, p), 1) if self.goal == "class" and p.shape[1] == 1 else p

    def _chosen(self, features: Features, y: Numbers) -> float:
        """The strength with the lowest loss on held-out tenths; two worse ones in a row end the search."""
        count = len(y)
        if count < 2 * HELD_OUT:
            return 1.0
        order = np.random.default_rng(self.seed).permutation(count)[:MOST]
        fold = np.arange(len(order)) % HELD_OUT
        losses = np.zeros(len(STRENGTHS))
        for held in range(1 if count >= ENOUGH else 5):
            train, valid = np.sort(order[fold != held]), np.sort(order[fold == held])
            losses += self._path(features.take(train), y[train], features.take(valid), y[valid])
        best: float = STRENGTHS[int(losses.argmin())]
        return best

    def _path(self, features: Features, y: Numbers, held: Features, truth: Numbers) -> Numbers:
        """Held-out loss at each strength, from the strongest penalty down, each starting from the one before."""
        found = np.full(len(STRENGTHS), np.inf)
        start: tuple[Numbers, Numbers] | None = None
        for at, strength in enumerate(STRENGTHS):
            start = self._solved(features, y, strength, start, tolerance=1e-2)
            found[at] = self._loss(held.times(start[0]) + start[1], truth)[0]
            if at > 2 and found[at] > found[at - 1] > found[at - 2]:
                break
        return found

    def _loss(self, scores: Numbers, y: Numbers) -> tuple[float, Numbers]:
        if self.goal == "numbers":
            return _squares(scores, y)
        return _one_of(scores, y) if self.goal == "class" and y.shape[1] > 1 else _each(scores, y)

    def _solved(
        self,
        features: Features,
        y: Numbers,
        strength: float,
        start: tuple[Numbers, Numbers] | None,
        tolerance: float = 1e-3,
    ) -> tuple[Numbers, Numbers]:
        (count, width), size = features.shape, y.shape[1]
        penalty, loss = strength * max(features.scale(), 1e-12) / count, self._loss
        weights, bias = start or (np.zeros((width, size)), np.zeros(size))

        def function(flat: Numbers) -> tuple[float, Numbers]:
            w, b = flat[:-size].reshape(width, size), flat[-size:]
            value, slope = loss(features.times(w) + b, y)
            slope /= count
            gradient = np.concatenate(((features.back(slope) + penalty * w).ravel(), slope.sum(0)))
            return value + penalty / 2 * float((w * w).sum()), gradient

        flat = np.concatenate((weights.ravel(), bias))
        steepest = float(np.abs(function(np.zeros_like(flat))[1]).max())  # warm or cold, the same exactness
        flat = minimise(function, flat, tolerance=tolerance * steepest)
        return flat[:-size].reshape(width, size), flat[-size:]


def _one_of(scores: Numbers, y: Numbers) -> tuple[float, Numbers]:
    """Mean nats of softmax, y one-hot (N, C); and N times its gradient."""
    top = scores.max(1, keepdims=True)
    total = top[:, 0] + np.log(np.exp(scores - top).sum(1))
    return float((total - (scores * y).sum(1)).mean()), _softmax(scores) - y


def _each(scores: Numbers, y: Numbers) -> tuple[float, Numbers]:
    """Mean nats of one sigmoid a column, summed over them; and N times its gradient."""
    return float((np.logaddexp(0, scores) - scores * y).sum()) / len(y), _sigmoid(scores) - y


def _squares(scores: Numbers, y: Numbers) -> tuple[float, Numbers]:
    error = scores - y
    return float((error * error).sum()) / 2 / len(y), error


def _sigmoid(scores: Numbers) -> Numbers:
    p: Numbers = (1 + np.tanh(scores / 2)) / 2
    return p


def _softmax(scores: Numbers) -> Numbers:
    shifted: Numbers = np.exp(scores - scores.max(1, keepdims=True))
    shifted /= shifted.sum(1, keepdims=True)
    return shifted
