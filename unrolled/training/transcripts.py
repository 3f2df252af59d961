"""Sounds with what is said in them as material: texts of any length, learnt without knowing when each symbol is said."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unrolled.datasets.dealt import Dealt
from unrolled.datasets.examples import Examples
from unrolled.datasets.inputs import embedder_of
from unrolled.datasets.pairs import Pairs
from unrolled.datasets.sampler import Batch
from unrolled.datasets.split import PARTS
from unrolled.errors import UserError
from unrolled.model import answering
from unrolled.tasks import Transcribe, Translate
from unrolled.tasks.rivals import Placed
from unrolled.tasks.scored import Scored
from unrolled.tasks.simple import MostFrequent, NearestText
from unrolled.tasks.transcribe import too_short
from unrolled.training.kinds import Reads
from unrolled.training.labelled import Labelled

if TYPE_CHECKING:
    from unrolled.model import Model


class Heard(NamedTuple):
    """The simple rivals of a transcriber, scored on the test part."""

    naive: Placed
    strong: Placed


def heard(task: Transcribe | Translate, train: Examples | Pairs, test: Examples | Pairs) -> Heard:
    """The rivals fitted on training's sounds and texts, and scored on the test's."""
    texts, placed = [task.answers.decode(ids) for ids in train.targets], []
    for rival in (MostFrequent(), NearestText()):
        said = rival.fit(train.inputs, texts).predict(test.inputs)
        placed.append(Placed(rival.name, Scored(task.rated(said, test.targets), float("nan"))))
    return Heard(*placed)


class Transcripts(Labelled):
    """A table of sounds and their texts, ready for a model that transcribes."""

    reads: Reads = "speech"
    _task: Transcribe

    def __init__(
        self, name: str, dealt: Dealt, task: Transcribe, shuffled: bool = False, fitted: bool = False
    ) -> None:
        super().__init__(name, dealt, task, shuffled, fitted)
        for part in PARTS:
            self._count_short(part)

    def _count_short(self, part: str) -> None:
        """Says how many sounds have fewer steps than their text needs. Raises UserError where all of training's have."""
        examples = self.examples(part)
        short = too_short(examples.inputs, examples.targets)
        if not short:
            return
        steps, text = len(examples.inputs[short[0]]), self._task.answers.decode(examples.targets[short[0]])
        first = f"{steps} steps for {text[:40]!r}"
        if part == "train" and len(short) == len(examples):
            raise UserError(
                f"{self.name}: every training sound has fewer steps than its text has symbols (the first: {first}). A "
                "step says one symbol at most. Use codec=log_mel, which makes a step each 10 ms, or check that sounds and "
                "texts belong together."
            )
        then = (
            "nothing is learnt from them" if part == "train" else "they count as they are, and can't be right"
        )
        self.notes.append(
            f"{len(short)} sounds for {part} have fewer steps than their text has symbols (the first: {first}): {then}"
        )

    def _spec(self, kind: str, options: dict[str, Any]) -> dict[str, Any]:
        task = self._task
        return answering(kind, embedder_of(task.codec), task.head(), stepwise=True, **options)

    def targets(self, batch: Batch) -> int:
        return len(batch.y)

    def feeding(self, model: Model) -> str:
        symbols = len(self._task.answers.characters)
        return f"{self._task.codec.kind} in, {symbols} characters and the blank out (CTC), sounds of similar length"

    @cached_property
    def _rivals(self) -> Heard:  # type: ignore[override]
        return heard(self._task, self.examples("train"), self.examples("test"))

    def words(self, score: dict[str, Any]) -> str:
        values = score["values"]
        return f"{super().words(score)}, word error rate {values['wer']:.4f}"

    def sample(self, model: Model, seed: int) -> str | None:
        """What a sound of the validation part says, beside its text."""
        valid = self.examples("valid")
        if not len(valid):
            return None
        number = int(np.random.default_rng(seed).integers(len(valid)))
        said = model.task.predict(model, valid.inputs[number : number + 1])[0]
        return f"{said!r} for {self._task.answers.decode(valid.targets[number])!r}"

    def about(self) -> str:
        reading = self.dealt.reading
        return (
            f"writes down the {reading.target} said in a row's {reading.reads}, trained by Unrolled on `{self.name}` "
            f"({len(self.examples('train'))} sounds)"
        )
