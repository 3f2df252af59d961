"""What a task is: how records become tokens, how a model is scored, and what a portable model remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log
from typing import Any, Protocol

import numpy as np

from unrolled.errors import UserError

Record = dict[str, Any]  # one sequence as people see it


@dataclass(frozen=True)
class Score:
    """Bits a model needs for held-out text; every token of it, closing boundaries included, scored once.

    `interval` is the 95 % bootstrap interval of `bits_per_character`: documents resampled, or blocks of 1000
    tokens where there are fewer than 20 documents.
    """

    bits_per_character: float
    bits_per_byte: float
    interval: tuple[float, float]
    nats: float
    tokens: int
    characters: int
    bytes: int
    documents: int
    context: str  # what each token was given: "all before it", or "up to 512 tokens"

    @property
    def objective(self) -> float:
        """What a run lowers on its validation split."""
        return self.bits_per_character

    @property
    def nats_per_token(self) -> float:
        """The mean loss, comparable with training's."""
        return self.nats / self.tokens

    @property
    def interval_per_byte(self) -> tuple[float, float]:
        """The interval of `bits_per_byte`."""
        scale = self.characters / max(self.bytes, 1)
        return self.interval[0] * scale, self.interval[1] * scale

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        headline = {"value": self.bits_per_character, "unit": "bits per character", "better": "lower"}
        return (
            headline | asdict(self) | {"interval": list(self.interval), "nats_per_token": self.nats_per_token}
        )

    def text(self) -> str:
        """The score with its interval, and what it was measured on."""
        low, high = self.interval
        return (
            f"{self.bits_per_character:.4f} bits per character [{low:.4f}, {high:.4f}], {self.bits_per_byte:.4f} per byte\n"
            f"{self.tokens} tokens of {self.documents} documents, each given {self.context}"
        )

    @property
    def value(self) -> float:
        """The figure that counts."""
        return self.bits_per_character

    @classmethod
    def of(
        cls,
        nats: Sequence[np.ndarray],
        characters: int,
        bytes: int,  # noqa: A002 - the unit's name
        context: str = "all before it",
        seed: int = 0,
    ) -> Score:
        """From each document's nats a token, whoever predicted them: a model, an n-gram.

        Raises UserError when there is no token: a perfect score over nothing would be the best of all.
        """
        if not sum(map(len, nats)):
            raise UserError(
                f"nothing to score: {len(nats)} documents without a token. Expected held-out text: give more "
                "data, or a larger share of it to this part (split=)."
            )
        units = _units(nats)  # (N, 2): nats, tokens
        total, tokens = float(units[:, 0].sum()), int(units[:, 1].sum())
        per_character = 1 / (log(2) * max(characters, 1))
        low, high = _bootstrap(units, seed)
        scale = tokens * per_character  # nats a token -> bits a character
        return cls(
            total * per_character,
            total / (log(2) * max(bytes, 1)),
            (low * scale, high * scale),
            total,
            tokens,
            characters,
            bytes,
            len(nats),
            context,
        )


BLOCK, FEW, RESAMPLES = 1000, 20, 2000


def _units(nats: Sequence[np.ndarray]) -> np.ndarray:
    """(N, 2) nats and tokens of what the bootstrap resamples: documents, or blocks where they are few."""
    if len(nats) < FEW:
        nats = [block for document in nats for block in _blocks(document)]
    return np.array([(n.sum(dtype=np.float64), len(n)) for n in nats], dtype=np.float64).reshape(-1, 2)


def _blocks(document: np.ndarray) -> list[np.ndarray]:
    """Nearly equal blocks of about BLOCK tokens: a short last one would weigh too little."""
    return np.array_split(document, max(1, round(len(document) / BLOCK)))


def _bootstrap(units: np.ndarray, seed: int) -> tuple[float, float]:
    """The 95 % percentile interval of nats per token (Efron and Tibshirani 1993, chapter 13)."""
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):  # one at a time: a resample of many documents is large
        nats, tokens = units[rng.integers(len(units), size=len(units))].sum(0)
        means[i] = nats / max(tokens, 1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


class Task(Protocol):
    """A model's purpose, remembered with it and kept in its portable folder."""

    @property
    def kind(self) -> str:
        """Its name in `TASKS`."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `task_from_dict` makes this task again; `codec` holds what its data was encoded with."""
        ...
