"""The task of answering with any number of labels: each by itself holds or doesn't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor

from unrolled.datasets.labels import MultiLabels
from unrolled.tasks.answer import BATCH, answers
from unrolled.tasks.answering import Answering
from unrolled.tasks.calibration import threshold
from unrolled.tasks.measures import LabelReport, measure_labels
from unrolled.tasks.scored import Scored

if TYPE_CHECKING:
    from unrolled.model import Model


@dataclass(frozen=True, kw_only=True)
class ClassifySeveral(Answering):
    """threshold: the probability from which a label holds; "auto" until it is fitted on validation data, 0.5 if None."""

    kind: ClassVar[str] = "classify_several"

    answers: MultiLabels
    threshold: float | str | None = None
    smoothing: float = 0.0

    def head(self) -> dict[str, Any]:
        """The spec of its head."""
        return {
            "kind": "labels", "classes": self.answers.size, "several": True, "smoothing": self.smoothing,
        }  # fmt: skip

    @property
    def least(self) -> float:
        """The probability from which a label is said."""
        return self.threshold if isinstance(self.threshold, float) else 0.5

    def settled(self, raw: Tensor) -> Tensor:
        """Each label's probability: sigmoid(raw)."""
        return raw.sigmoid()

    def score(
        self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray], batch: int = BATCH
    ) -> Scored:
        """How good the predictions are. What a run lowers is the mean log loss of a label."""
        z, wanted = answers(model, inputs, batch), np.asarray(truth)
        loss = np.logaddexp(0, z) - wanted * z
        return Scored(self.rated(self.said(z), wanted), float(loss.mean()))

    def rated(self, said: np.ndarray, truth: np.ndarray) -> LabelReport:
        """The report on probabilities (N, C) and labels (N, C)."""
        return measure_labels(said, truth, self.answers.names, threshold=self.least)

    def calibrated(
        self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray]
    ) -> ClassifySeveral:
        """This task with one threshold for all labels, fitted on validation data to the best F1 over all of them."""
        if self.threshold != "auto":
            return self
        said, wanted = self.predict(model, inputs), np.asarray(truth)
        return replace(self, threshold=threshold(said.ravel(), wanted.ravel()).value)

    def plain(self) -> ClassifySeveral:
        """This task with no threshold of a model's."""
        return replace(self, threshold=None)

    def rows(self, said: np.ndarray) -> list[dict[str, Any]]:
        """Probabilities (N, C) -> for each item its labels and every label's probability."""
        names, separator = self.answers.names, self.answers.separator
        return [
            {
                self.target: separator.join(self.answers.decode((row >= self.least).astype(int))),
                **{f"p({n})": float(p) for n, p in zip(names, row, strict=True)},
            }
            for row in said
        ]

    def settings(self) -> dict[str, Any]:
        """Threshold and smoothing."""
        return {"threshold": self.threshold, "smoothing": self.smoothing}

    @classmethod
    def answers_from(cls, saved: Mapping[str, Any]) -> MultiLabels:
        """The labels that `to_dict` described."""
        return MultiLabels.from_dict(saved)
