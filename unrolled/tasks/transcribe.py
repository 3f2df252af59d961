"""The task of writing down what is heard: sound to text, by connectionist temporal classification (CTC)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from unrolled.datasets.characters import Characters
from unrolled.datasets.collate import padded
from unrolled.datasets.readers import Record
from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.model.ctc import BLANK, steps_needed, text_nats
from unrolled.running.ctc import collapse, likeliest_path, prefix_beam_search
from unrolled.tasks.answer import BATCH, every_answer
from unrolled.tasks.answering import Answering
from unrolled.tasks.measures.texts import TextReport, measure_texts
from unrolled.tasks.scored import Scored

if TYPE_CHECKING:
    from unrolled.model import Model

AT_ONCE = 512  # sounds whose scores are held together
LEAN = (
    0.01  # what a nat a symbol counts beside the error rate, which stays 1 while a young model says nothing
)


@dataclass(frozen=True, kw_only=True)
class Transcribe(Answering):
    """beam: 1 takes the likeliest symbol of each step; more searches over prefixes, so many at a time."""

    kind: ClassVar[str] = "transcribe"
    ragged: ClassVar[bool] = True

    answers: Characters
    beam: int = 1

    def head(self) -> dict[str, Any]:
        """The spec of its head."""
        return {"kind": "ctc", "symbols": self.answers.size}

    def check(self) -> None:
        """Raises UserError for a beam below 1, and where training holds no character."""
        if self.beam < 1:
            raise UserError(f"beam={self.beam}: expected a whole number of at least 1.")
        if not self.answers.characters:
            raise UserError(f"{self.target} holds no text in training. Expected what is said in each sound.")

    def answer(self, row: Record, steps: np.ndarray) -> np.ndarray:
        """A row's text as ids. One that has more symbols than `steps` has steps is encoded all the same: it is scored,
        and nothing can be learnt from it.
        """
        return np.asarray(self.answers.encode(str(row[self.target])))

    def settled(self, raw: Tensor) -> Tensor:
        """Probabilities of the blank and the symbols at each step."""
        return raw.softmax(-1)

    def predict(self, model: Model, inputs: Sequence[np.ndarray], batch: int = BATCH) -> list[str]:
        """The text of each encoded sound."""
        return [self._text(scores) for scores in self._scores(model, inputs, batch)]

    def predict_every(
        self, model: Model, inputs: Sequence[np.ndarray], batch: int = BATCH
    ) -> list[list[str]]:
        """The transcript after each step of each sound, by the likeliest symbols: what is said stays said."""
        return [self._growing(scores) for scores in self._scores(model, inputs, batch)]

    def _scores(self, model: Model, inputs: Sequence[np.ndarray], batch: int) -> Iterator[np.ndarray]:
        for at in range(0, len(inputs), AT_ONCE):
            yield from every_answer(model, inputs[at : at + AT_ONCE], batch)

    def _text(self, scores: np.ndarray) -> str:
        """(T, symbols) -> the text."""
        if self.beam == 1:
            return self.answers.decode(collapse(likeliest_path(torch.from_numpy(scores)[None])).symbols[0])
        logs = torch.from_numpy(scores).log_softmax(-1).numpy()
        return self.answers.decode(prefix_beam_search(logs, self.beam)[0].symbols)

    def _growing(self, scores: np.ndarray) -> list[str]:
        path = likeliest_path(torch.from_numpy(scores)[None])
        texts, text, said, last = [], "", list[int](), None
        for at in range(path.shape[1]):
            (new,), last = collapse(path[:, at : at + 1], last)
            if new:
                said += new
                text = self.answers.decode(said)
            texts.append(text)
        return texts

    def score(
        self, model: Model, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray], batch: int = BATCH
    ) -> Scored:
        """How good the texts are. What a run lowers is the character error rate, and a little the loss."""
        said: list[str] = []
        nats = symbols = 0.0
        for at in range(0, len(inputs), AT_ONCE):
            scores = every_answer(model, inputs[at : at + AT_ONCE], batch)
            said += map(self._text, scores)
            lost, count = _loss(scores, truth[at : at + AT_ONCE])
            nats, symbols = nats + lost, symbols + count
        report = self.rated(said, truth)
        return Scored(report, report.values["cer"] + LEAN * nats / max(symbols, 1.0))

    def rated(self, said: Sequence[str], truth: Sequence[np.ndarray]) -> TextReport:
        """The report on texts and the ids of what is right."""
        return measure_texts(said, [self.answers.decode(ids) for ids in truth], "cer")

    def rows(self, said: Sequence[str]) -> list[dict[str, Any]]:
        """Texts -> a column."""
        return [{self.target: text} for text in said]

    def shown(self, said: np.ndarray) -> list[dict[str, Any]]:
        """What each stream's latest step says, (N, symbols): `symbol`, empty where it is the blank, and its probability.
        The transcript so far takes the steps before it too: see `continued`, and `Transcriber`.
        """
        best = said.argmax(-1).tolist()
        names = ["" if at == BLANK else self.answers.decode([at]) for at in best]
        return [
            {"symbol": name, "p": float(row[at])} for name, at, row in zip(names, best, said, strict=True)
        ]

    def continued(self, answer: dict[str, Any], said: np.ndarray, memo: Any) -> tuple[dict[str, Any], Any]:
        """The latest symbol with the transcript so far. memo: the latest step's symbol, and all that were said."""
        last, symbols = memo or (None, [])
        (new,), last = collapse(likeliest_path(torch.from_numpy(said)[None, None]), last)
        symbols = symbols + new if new else symbols
        return answer | {self.target: self.answers.decode(symbols)}, (last, symbols)

    def settings(self) -> dict[str, Any]:
        """How texts are searched."""
        return {"beam": self.beam}

    @classmethod
    def answers_from(cls, saved: Mapping[str, Any]) -> Characters:
        """The characters that `to_dict` described."""
        return Characters.from_dict(saved)


def _loss(scores: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> tuple[float, float]:
    """Nats of the texts that have a path, and their symbols."""
    nats = symbols = 0.0
    for at in range(0, len(scores), BATCH):
        x, lengths = padded(scores[at : at + BATCH])
        y, _ = padded([np.asarray(ids, np.int64) for ids in truth[at : at + BATCH]])
        each, fits = text_nats(x, y, Layout.of_lengths(lengths, x.shape[1]))
        nats += float(each[fits].sum())
        symbols += float((y[fits] != BLANK).sum())
    return nats, symbols


def too_short(inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> list[int]:
    """The numbers of the sounds that have fewer steps than the shortest path of their text."""
    return [
        number
        for number, (x, ids) in enumerate(zip(inputs, truth, strict=True))
        if len(x) < int(steps_needed(torch.from_numpy(np.asarray(ids, np.int64))[None])[0])
    ]
