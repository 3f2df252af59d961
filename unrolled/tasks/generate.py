"""The task of writing text: predict the next token, score held-out documents in bits, report on tunes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from unrolled.datasets.codecs import Codec, codec_from_dict
from unrolled.datasets.spelling import BOUNDARY
from unrolled.tasks.score import nats
from unrolled.tasks.task import Record, Score
from unrolled.tasks.tunes import TuneReport, play, tune_report

if TYPE_CHECKING:
    from unrolled.model import Model

LIKELIEST = 10  # next tokens that a stream shows


@dataclass(frozen=True)
class GenerateText:
    """Next-token prediction over text that `codec` spells. `context`: tokens of a training sequence."""

    codec: Codec
    context: int | None = None
    kind: str = "generate"
    shift: int = 1

    @property
    def music(self) -> bool:
        """True when the texts are tunes in ABC notation."""
        return self.codec.kind == "abc"

    @property
    def length(self) -> int:
        """Tokens after which `generate` stops by default: tunes should end by themselves."""
        return 1000 if self.music else 400

    @property
    def temperature(self) -> float:
        """How daring `generate` draws by default: a tune has bars to fill exactly, prose gets dull when it is cold."""
        return 0.5 if self.music else 0.8

    def example(self, record: Record) -> tuple[np.ndarray, np.ndarray]:
        """A record's inputs [0, t1..tn] and targets [t1..tn, 0]."""
        tokens = np.asarray(self.codec.encode(record["text"]), dtype=np.int64)
        return np.concatenate(([BOUNDARY], tokens)), np.concatenate((tokens, [BOUNDARY]))

    def steps(self, value: str) -> np.ndarray:
        """A text's token ids (T,), without boundaries."""
        return np.asarray(self.codec.encode(value))

    def settled(self, raw: Tensor) -> Tensor:
        """The logits themselves: what is drawn from them depends on temperature, top-k and top-p."""
        return raw

    def shown(self, said: np.ndarray) -> list[dict[str, Any]]:
        """The ten likeliest next tokens of each stream (N, V), with their probabilities."""
        shifted = np.exp(said - said.max(-1, keepdims=True))
        probabilities = shifted / shifted.sum(-1, keepdims=True)
        best = np.argsort(-probabilities, 1, kind="stable")[:, :LIKELIEST]
        return [
            {"next": [[self.codec.token_text(i), float(p[i])] for i in ids.tolist()]}
            for ids, p in zip(best, probabilities, strict=True)
        ]

    def score(
        self,
        model: Model,
        documents: Sequence[np.ndarray],
        characters: int,
        bytes: int,  # noqa: A002 - the unit's name
        context: int | None = None,
        batch: int = 64,
    ) -> Score:
        """Bits per character and byte of held-out documents (token ids without boundaries); every token once.

        `characters`, `bytes`: of the documents' text. `context` defaults to the training length and matters
        only to models with full attention. `batch` changes speed, not the score.
        """
        limit = self.context if context is None else context
        given = "all before it" if model.fixed_state else f"up to {limit} tokens"
        return Score.of(nats(model, documents, limit, batch), characters, bytes, given)

    def report(self, texts: Sequence[str]) -> TuneReport | None:
        """How many of the texts are playable tunes; None where texts aren't tunes."""
        return tune_report(texts) if self.music else None

    def play(
        self, texts: Sequence[str], wav: str | Path | None = None, midi: str | Path | None = None
    ) -> tuple[int, list[str]]:
        """Writes the first playable of the texts as sound -> its number, the files written."""
        return play(texts, wav=wav, midi=midi)

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes this task again."""
        return {"kind": self.kind, "codec": self.codec.to_dict(), "context": self.context}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> GenerateText:
        """The task that `to_dict` described."""
        return cls(codec_from_dict(data["codec"]), data.get("context"))
