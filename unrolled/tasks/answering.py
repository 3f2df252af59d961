"""What all tasks that answer rows share: the columns they read, the codecs of both sides, and how they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from unrolled.datasets.dealt import value_of
from unrolled.datasets.inputs import InputCodec, input_codec_from_dict
from unrolled.datasets.labels import pieces
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import Long
from unrolled.datasets.standard import Values
from unrolled.errors import UserError
from unrolled.tasks.answer import BATCH, answers, every_answer
from unrolled.tasks.scored import Scored

if TYPE_CHECKING:
    from unrolled.model import Model


@dataclass(frozen=True, kw_only=True)
class Answering:
    """`inputs`: the columns read, `targets`: those foretold; `answers`: their codec; `long`: how rows make sequences.

    The model's raw answers become what people see through `predict` and `rows`.
    """

    kind: ClassVar[str]
    stepwise: ClassVar[bool] = False
    ragged: ClassVar[bool] = False  # an answer is a sequence of symbols, as long as it happens to be

    codec: InputCodec
    answers: Any
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    long: Long | None = None
    longest: int | None = (
        None  # steps that the model counts; of longer inputs the beginning is read, and the last step
    )

    @property
    def target(self) -> str:
        """The columns that answer, for people."""
        return ", ".join(self.targets)

    def head(self) -> dict[str, Any]:
        """The spec of its head."""
        raise NotImplementedError

    def settled(self, raw: Tensor) -> Tensor:
        """What the head says (..., C) -> probabilities (..., C), or numbers in the data's own unit. Of tensors, so that it
        can be part of an exported graph.
        """
        raise NotImplementedError

    def said(self, raw: np.ndarray) -> np.ndarray:
        """`settled` of arrays."""
        return self.settled(torch.from_numpy(raw)).numpy()

    def predict(self, model: Model, inputs: Sequence[np.ndarray], batch: int = BATCH) -> Any:
        """Probabilities or numbers (N, C) of encoded inputs."""
        return self.said(answers(model, inputs, batch))

    def predict_every(self, model: Model, inputs: Sequence[np.ndarray], batch: int = BATCH) -> list[Any]:
        """What `predict` would say had each input ended after each of its steps, one (T, ...) an input. Of a causal model
        only.
        """
        return [self.said(steps) for steps in every_answer(model, inputs, batch)]

    def score(
        self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray], batch: int = BATCH
    ) -> Scored:
        """How good the predictions are; `truth` is encoded as training sees it."""
        raise NotImplementedError

    def rated(self, said: Any, truth: Any) -> Any:
        """The report on predictions, of a rival as of a model."""
        raise NotImplementedError

    def rows(self, said: Any) -> list[dict[str, Any]]:
        """Predictions as columns, one dict an item."""
        raise NotImplementedError

    def shown(self, said: np.ndarray) -> list[dict[str, Any]]:
        """What streams say after their latest step, (N, C), as columns, one dict a stream."""
        return self.rows(said)

    def continued(self, answer: dict[str, Any], said: np.ndarray, memo: Any) -> tuple[dict[str, Any], Any]:
        """What a stream shows after a step where that takes the steps before it too. answer: `shown` of this step alone,
        said (C,). memo: what was remembered of the steps before, None at the beginning. Here the step's own answer.
        """
        return answer, None

    def calibrated(self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> Self:
        """This task with what it fits on validation data; here nothing."""
        return self

    def check(self) -> None:
        """Raises UserError where the answers found in training don't suit what was asked; here never."""

    def remarks(self, rows: Sequence[Record], inputs: Sequence[np.ndarray]) -> list[str]:
        """What is to be said aloud of new rows and their encoded inputs before they are answered."""
        return self.shortened(inputs)

    def shortened(self, inputs: Sequence[np.ndarray]) -> list[str]:
        """That inputs are as long as the model counts, so that more of them may not have been read."""
        whole = sum(len(steps) == self.longest for steps in inputs) if self.longest else 0
        if not whole:
            return []
        return [
            f"{whole} of {len(inputs)} have {self.longest} steps, all that the model counts: no more is read of them"
        ]

    def plain(self) -> Self:
        """This task without what was fitted to a model, as rivals are rated; here itself."""
        return self

    def value(self, row: Record) -> Any:
        """What the codec reads of a row: the one column, or a dict of several. None where one is missing."""
        return value_of(row, self.inputs, self.stepwise)

    def encoded(self, row: Record) -> np.ndarray:
        """The steps (T,) or (T, D) of a row. Raises UserError, naming the row, where there is nothing to read."""
        value = self.value(row)
        if value is None:
            gone = [name for name in self.inputs if row.get(name) is None]
            raise UserError(f"{row['origin']}: nothing in the column {gone[0]!r}.")
        try:
            steps = np.asarray(self.codec.encode(value))
        except UserError as error:
            raise (
                error if str(row["origin"]) in str(error) else UserError(f"{row['origin']}: {error}")
            ) from error
        return self.within(steps)

    def within(self, steps: np.ndarray) -> np.ndarray:
        """The steps (T, ...) that the model can count: of too many the first ones and the last, which closes them."""
        if self.longest is None or len(steps) <= self.longest:
            return steps
        return np.concatenate([steps[: self.longest - 1], steps[-1:]])

    def steps(self, value: Any) -> np.ndarray:
        """The steps (T,) or (T, D) of what people have: the column that is read, or a dict of columns. One reading of
        several channels is one step.
        """
        if isinstance(value, Mapping):
            if not all(name in value for name in self.inputs):
                raise UserError(
                    f"got the columns {', '.join(map(str, value))}; expected {', '.join(self.inputs)}."
                )
            value = self.value(dict(value))
        elif self.stepwise:
            value = pieces(value)
        if isinstance(self.codec, Values) and self.codec.channels > 1 and np.ndim(value) == 1:
            value = np.reshape(value, (1, -1))
        return self.within(np.asarray(self.codec.encode(value)))

    def answer(self, row: Record, steps: np.ndarray) -> np.ndarray:
        """A row's own answer, encoded; `steps`: its encoded input. Raises UserError, naming the row, for none and for one
        that training hadn't.
        """
        values = [row.get(name) for name in self.targets]
        return np.asarray(self.answers.encode(values[0] if len(values) == 1 else values, str(row["origin"])))

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes this task again."""
        counts = {"longest": self.longest} if self.longest else {}
        return {
            "kind": self.kind, "codec": {"input": self.codec.to_dict(), "target": self.answers.to_dict()},
            "inputs": list(self.inputs), "targets": list(self.targets),
            "long": self.long and self.long.to_dict(), **counts, **self.settings(),
        }  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """What this kind of task has beside, as plain data; constructor arguments."""
        return {}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The task that `to_dict` described."""
        rest = {k: v for k, v in data.items() if k not in ("kind", "codec", "inputs", "targets", "long")}
        return cls(
            codec=input_codec_from_dict(data["codec"]["input"]),
            answers=cls.answers_from(data["codec"]["target"]),
            inputs=tuple(data["inputs"]),
            targets=tuple(data["targets"]),
            long=Long.from_dict(data["long"]) if data.get("long") else None,
            **rest,
        )

    @classmethod
    def answers_from(cls, saved: Mapping[str, Any]) -> Any:
        """The codec of the answers that `to_dict` described."""
        raise NotImplementedError
