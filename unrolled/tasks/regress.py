"""The task of answering with a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.datasets.inputs import InputCodec, input_codec_from_dict
from unrolled.datasets.standard import Numbers
from unrolled.tasks.answer import BATCH, answers
from unrolled.tasks.measures import measure_numbers
from unrolled.tasks.scored import Scored

if TYPE_CHECKING:
    from unrolled.model import Model


@dataclass(frozen=True)
class Regress:
    """`input`, `target`: columns. The model speaks in standardised numbers, people in the data's own."""

    codec: InputCodec
    numbers: Numbers
    input: str
    target: str
    kind: str = "regress"

    def head(self) -> dict[str, Any]:
        """The spec of its head."""
        return {"kind": "numbers", "targets": 1}

    def truth(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Answers as they stand in data, encoded. Raises UserError for one that training hadn't."""
        return [np.asarray(self.numbers.encode(value)) for value in values]

    def predict(self, model: Model, inputs: Sequence[np.ndarray], batch: int = BATCH) -> np.ndarray:
        """Numbers (N, 1) of encoded inputs, in the data's own unit."""
        return np.asarray(self.numbers.decode(answers(model, inputs, batch)), np.float64).reshape(-1, 1)

    def score(
        self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray], batch: int = BATCH
    ) -> Scored:
        """How good the predictions are; `truth` is encoded as training sees it."""
        said = answers(model, inputs, batch)
        wanted = np.asarray(truth, np.float64).reshape(len(said), -1)
        report = measure_numbers(
            self.numbers.decode(said), self.numbers.decode(wanted), (self.target,), primary="mae"
        )
        return Scored(report, float(((said - wanted) ** 2).mean()))

    def calibrated(self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> Regress:
        """Nothing is fitted after training."""
        return self

    def rows(self, said: np.ndarray) -> list[dict[str, Any]]:
        """Numbers (N, 1) -> one a row."""
        return [{self.target: float(row[0])} for row in said]

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes this task again."""
        codec = {"input": self.codec.to_dict(), "target": self.numbers.to_dict()}
        return {"kind": self.kind, "codec": codec, "input": self.input, "target": self.target}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Regress:
        """The task that `to_dict` described."""
        codec = data["codec"]
        return cls(
            input_codec_from_dict(codec["input"]),
            Numbers.from_dict(codec["target"]),
            data["input"],
            data["target"],
        )
