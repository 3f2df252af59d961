"""The task of answering with a class: one label a sequence, with a probability that means what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.datasets.inputs import InputCodec, input_codec_from_dict
from unrolled.datasets.labels import Labels
from unrolled.tasks.answer import BATCH, answers
from unrolled.tasks.calibration import loss_at, softened, temperature
from unrolled.tasks.measures import ClassReport, measure_classes
from unrolled.tasks.scored import Scored

if TYPE_CHECKING:
    from unrolled.model import Model


@dataclass(frozen=True)
class Classify:
    """`input`, `target`: columns. temperature: what the logits are divided by (Guo et al. 2017, sec. 4.2)."""

    codec: InputCodec
    labels: Labels
    input: str
    target: str
    temperature: float = 1.0
    kind: str = "classify"

    def head(self) -> dict[str, Any]:
        """The spec of its head."""
        return {"kind": "labels", "classes": len(self.labels.names)}

    def truth(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Answers as they stand in data, encoded. Raises UserError for one that training hadn't."""
        return [np.asarray(self.labels.encode(value)) for value in values]

    def predict(self, model: Model, inputs: Sequence[np.ndarray], batch: int = BATCH) -> np.ndarray:
        """Probabilities (N, C) of encoded inputs."""
        return softened(answers(model, inputs, batch), self.temperature)

    def score(
        self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray], batch: int = BATCH
    ) -> Scored:
        """How good the predictions are. What a run lowers is the log loss at the temperature that suits it best: being
        sure of itself is not held against a model before it is calibrated.
        """
        logits, wanted = answers(model, inputs, batch), np.asarray(truth).reshape(-1)
        report: ClassReport = measure_classes(
            softened(logits, self.temperature), wanted, self.labels.names, primary="accuracy"
        )
        return Scored(report, loss_at(logits, wanted, temperature(logits, wanted)))

    def calibrated(self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> Classify:
        """This task with the temperature fitted on validation data."""
        fitted = temperature(answers(model, inputs), np.asarray(truth).reshape(-1))
        return Classify(self.codec, self.labels, self.input, self.target, fitted)

    def rows(self, said: np.ndarray) -> list[dict[str, Any]]:
        """Probabilities (N, C) -> for each item its class and every class's probability."""
        names = self.labels.names
        return [
            {
                self.target: names[int(row.argmax())],
                **{f"p({n})": float(p) for n, p in zip(names, row, strict=True)},
            }
            for row in said
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes this task again."""
        codec = {"input": self.codec.to_dict(), "target": self.labels.to_dict()}
        return {
            "kind": self.kind, "codec": codec, "input": self.input, "target": self.target,
            "temperature": self.temperature,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Classify:
        """The task that `to_dict` described."""
        codec = data["codec"]
        return cls(
            input_codec_from_dict(codec["input"]),
            Labels.from_dict(codec["target"]),
            data["input"],
            data["target"],
            data.get("temperature", 1.0),
        )
