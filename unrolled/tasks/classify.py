"""The task of answering with a class: one label a sequence, with a probability that means what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor

from unrolled.datasets.labels import Labels
from unrolled.errors import UserError
from unrolled.tasks.answer import BATCH, answers
from unrolled.tasks.answering import Answering
from unrolled.tasks.calibration import careful_temperature, loss_at, temperature, threshold
from unrolled.tasks.measures import ClassReport, measure_classes
from unrolled.tasks.scored import Scored

if TYPE_CHECKING:
    from unrolled.model import Model


@dataclass(frozen=True, kw_only=True)
class Classify(Answering):
    """temperature: what the logits are divided by (Guo et al. 2017, sec. 4.2). smoothing, weights: see `LabelHead`.

    threshold, of two classes: the probability from which the rarer one is said, "auto" until it is fitted on validation
    data to the best F1; None: the likelier class is said.
    """

    kind: ClassVar[str] = "classify"

    answers: Labels
    temperature: float = 1.0
    threshold: float | str | None = None
    smoothing: float = 0.0
    balanced: bool = False

    def head(self) -> dict[str, Any]:
        """The spec of its head."""
        return {"kind": "labels", "classes": self.answers.size} | loss_settings(
            self.answers, self.smoothing, self.balanced
        )

    @property
    def rarer(self) -> int:
        """The class whose probability the threshold is for: the rarer one in training."""
        return int(np.argmin(self.answers.counts))

    def settled(self, raw: Tensor) -> Tensor:
        """Probabilities: softmax(raw / temperature)."""
        return (raw / self.temperature).softmax(-1)

    def score(
        self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray], batch: int = BATCH
    ) -> Scored:
        """How good the predictions are. What a run lowers is the log loss at the temperature above 1 that suits it best:
        being too sure is not held against a model before it is calibrated, and being right on a few rows is not
        worth all.
        """
        logits, wanted = answers(model, inputs, batch), np.asarray(truth).reshape(-1)
        report = self.rated(self.said(logits), wanted)
        return Scored(report, loss_at(logits, wanted, max(1.0, temperature(logits, wanted))))

    def rated(self, said: np.ndarray, truth: np.ndarray) -> ClassReport:
        """The report on probabilities (N, C) and classes (N,)."""
        names = self.answers.names
        return measure_classes(said, truth, names, primary="accuracy", decided=self._decided(said))

    def _decided(self, said: np.ndarray) -> np.ndarray | None:
        """(N,) the classes that are said; None: the likeliest ones."""
        if not isinstance(self.threshold, float):
            return None
        rarer = self.rarer
        return np.where(said[:, rarer] >= self.threshold, rarer, 1 - rarer)

    def calibrated(self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> Classify:
        """This task with temperature and threshold fitted on validation data."""
        logits, wanted = answers(model, inputs), np.asarray(truth).reshape(-1)
        fitted = replace(self, temperature=careful_temperature(logits, wanted))
        if self.threshold != "auto":
            return fitted
        said = fitted.said(logits)[:, self.rarer]
        return replace(fitted, threshold=threshold(said, wanted == self.rarer).value)

    def check(self) -> None:
        """A threshold is between two classes."""
        if self.threshold is not None and self.answers.size != 2:
            raise UserError(
                f"threshold={self.threshold}: {self.target} has {self.answers.size} classes, and a threshold lies "
                "between two. Leave it out."
            )

    def plain(self) -> Classify:
        """This task with no threshold of a model's."""
        return replace(self, threshold=None)

    def rows(self, said: np.ndarray) -> list[dict[str, Any]]:
        """Probabilities (N, C) -> for each item its class and every class's probability."""
        names = self.answers.names
        decided = self._decided(said)
        chosen = said.argmax(1) if decided is None else decided
        return [
            {self.target: names[at], **{f"p({n})": float(p) for n, p in zip(names, row, strict=True)}}
            for at, row in zip(chosen.tolist(), said, strict=True)
        ]

    def settings(self) -> dict[str, Any]:
        """Temperature, threshold and what the loss was."""
        return {
            "temperature": self.temperature, "threshold": self.threshold, "smoothing": self.smoothing,
            "balanced": self.balanced,
        }  # fmt: skip

    @classmethod
    def answers_from(cls, saved: Mapping[str, Any]) -> Labels:
        """The classes that `to_dict` described."""
        return Labels.from_dict(saved)


def loss_settings(labels: Labels, smoothing: float, balanced: bool) -> dict[str, Any]:
    """What a label head is told of its loss. balanced: every class weighs the same in sum (King and Zeng 2001, eq. 7)."""
    if not balanced:
        return {"smoothing": smoothing}
    counts = np.array(labels.counts, np.float64)
    return {"smoothing": smoothing, "weights": (counts.sum() / (len(counts) * counts)).tolist()}
