"""The task of answering with numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor

from unrolled.datasets.standard import Numbers
from unrolled.tasks.answer import BATCH, answers
from unrolled.tasks.answering import Answering
from unrolled.tasks.measures import NumberReport, measure_numbers
from unrolled.tasks.scored import Scored

if TYPE_CHECKING:
    from unrolled.model import Model


@dataclass(frozen=True, kw_only=True)
class Regress(Answering):
    """The model speaks in standardised numbers, people in the data's own."""

    kind: ClassVar[str] = "regress"

    answers: Numbers

    def head(self) -> dict[str, Any]:
        """The spec of its head."""
        return {"kind": "numbers", "targets": self.answers.size}

    def settled(self, raw: Tensor) -> Tensor:
        """Numbers in the data's own unit."""
        return raw * raw.new_tensor(self.answers.deviation) + raw.new_tensor(self.answers.mean)

    def score(
        self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray], batch: int = BATCH
    ) -> Scored:
        """How good the predictions are. What a run lowers is the mean squared error in standardised numbers."""
        said = answers(model, inputs, batch)
        wanted = np.asarray(truth, np.float64).reshape(len(said), -1)
        return Scored(self.rated(self.said(said), wanted), float(((said - wanted) ** 2).mean()))

    def rated(self, said: np.ndarray, truth: np.ndarray) -> NumberReport:
        """The report on numbers (N, K) in the data's unit and answers (N, K) as training sees them."""
        return measure_numbers(said, self._back(truth), self.targets, primary="mae")

    def _back(self, standardised: np.ndarray) -> np.ndarray:
        return np.asarray(self.answers.decode(standardised), np.float64).reshape(-1, self.answers.size)

    def rows(self, said: np.ndarray) -> list[dict[str, Any]]:
        """Numbers (N, K) -> a column each."""
        return [{name: float(v) for name, v in zip(self.targets, row, strict=True)} for row in said]

    @classmethod
    def answers_from(cls, saved: Mapping[str, Any]) -> Numbers:
        """The scale that `to_dict` described."""
        return Numbers.from_dict(saved)
