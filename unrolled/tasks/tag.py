"""The task of answering at every step: one tag for each word, event or reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor

from unrolled.datasets.labels import Tags
from unrolled.datasets.readers import Record
from unrolled.errors import UserError
from unrolled.tasks.answer import BATCH, every_answer
from unrolled.tasks.answering import Answering
from unrolled.tasks.calibration import careful_temperature, loss_at, temperature
from unrolled.tasks.classify import loss_settings
from unrolled.tasks.measures import TagReport, measure_tags
from unrolled.tasks.scored import Scored

if TYPE_CHECKING:
    from unrolled.model import Model


@dataclass(frozen=True, kw_only=True)
class Tag(Answering):
    """temperature: what the logits are divided by. smoothing, balanced: of the loss, see `LabelHead`."""

    kind: ClassVar[str] = "tag"
    stepwise: ClassVar[bool] = True

    answers: Tags
    temperature: float = 1.0
    smoothing: float = 0.0
    balanced: bool = False

    def head(self) -> dict[str, Any]:
        """The spec of its head."""
        return {"kind": "labels", "classes": self.answers.size, "stepwise": True} | loss_settings(
            self.answers, self.smoothing, self.balanced
        )

    def answer(self, row: Record, steps: np.ndarray) -> np.ndarray:
        """A row's own tags. Raises UserError where there aren't as many as steps."""
        found = super().answer(row, steps)
        if len(found) != len(steps):
            raise UserError(
                f"{row['origin']}: {len(found)} tags in {self.target!r} for {len(steps)} steps. "
                f"Expected one for each step of {', '.join(self.inputs)}."
            )
        return found

    def settled(self, raw: Tensor) -> Tensor:
        """Probabilities: softmax(raw / temperature)."""
        return (raw / self.temperature).softmax(-1)

    def predict(self, model: Model, inputs: Sequence[np.ndarray], batch: int = BATCH) -> list[np.ndarray]:
        """Probabilities (T, C) of each encoded input."""
        return [self.said(steps) for steps in every_answer(model, inputs, batch)]

    def predict_every(self, model: Model, inputs: Sequence[np.ndarray], batch: int = BATCH) -> list[Any]:
        """After each step, the tags so far."""
        return [[steps[: t + 1] for t in range(len(steps))] for steps in self.predict(model, inputs, batch)]

    def score(
        self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray], batch: int = BATCH
    ) -> Scored:
        """How good the tags are. What a run lowers is the log loss of a step, as in `Classify`."""
        logits = every_answer(model, inputs, batch)
        report = self.rated([self.said(steps) for steps in logits], truth)
        z, wanted = np.concatenate(logits), np.concatenate(list(truth))
        return Scored(report, loss_at(z, wanted, max(1.0, temperature(z, wanted))))

    def rated(self, said: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> TagReport:
        """The report on probabilities (T, C) and tags (T,), one each a sequence."""
        return measure_tags(said, truth, self.answers.names, primary="accuracy")

    def calibrated(self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> Tag:
        """This task with the temperature fitted on validation data."""
        z = np.concatenate(every_answer(model, inputs))
        fitted = careful_temperature(z, np.concatenate(list(truth)))
        return replace(self, temperature=fitted)

    def rows(self, said: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """Probabilities (T, C) of each item -> its tags, and how sure the least sure of them is."""
        names = self.answers.names
        return [
            {
                self.target: " ".join(names[at] for at in steps.argmax(1)),
                "least sure": float(steps.max(1).min(initial=1.0)),
            }
            for steps in said
        ]

    def shown(self, said: np.ndarray) -> list[dict[str, Any]]:
        """The tag of each stream's latest step, and every tag's probability."""
        names = self.answers.names
        return [
            {self.target: names[at], **{f"p({n})": float(p) for n, p in zip(names, row, strict=True)}}
            for at, row in zip(said.argmax(1).tolist(), said, strict=True)
        ]

    def settings(self) -> dict[str, Any]:
        """Temperature and what the loss was."""
        return {"temperature": self.temperature, "smoothing": self.smoothing, "balanced": self.balanced}

    @classmethod
    def answers_from(cls, saved: Mapping[str, Any]) -> Tags:
        """The tags that `to_dict` described."""
        return Tags.from_dict(saved)
