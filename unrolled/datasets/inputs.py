"""What a column that is read becomes: ids of words or characters, or numbers a step. One table, by kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from unrolled.datasets.codecs import CODECS
from unrolled.datasets.media_codecs import MEDIA_CODECS, OF_COLUMN
from unrolled.datasets.standard import Values
from unrolled.datasets.words import Words
from unrolled.errors import UserError, unknown


class InputCodec(Protocol):
    """Turns one value into a sequence. Fitted on the training part only."""

    kind: ClassVar[str]

    def fit(self, values: Iterable[Any]) -> Self:
        """Learns what it has to from training values and returns itself."""

    def encode(self, value: Any) -> np.ndarray:
        """(T,) int64 ids or (T, D) float32 numbers."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""


TOKENS: dict[str, Any] = {**CODECS, Words.kind: Words}
INPUTS: dict[str, Any] = {**TOKENS, Values.kind: Values, **MEDIA_CODECS}
OF = {
    "text": "words", "category": "words", "tokens": "words", "series": "values", "number": "values",
    **{column: kinds[0] for column, kinds in OF_COLUMN.items()},
}  # fmt: skip


def choose_input(kind: str) -> str:
    """The codec's name for a column of this kind. Raises UserError where there is none."""
    if kind not in OF:
        raise UserError(f"a column that is {kind} can't be read as a sequence; name another with input=.")
    return OF[kind]


def input_codec_from_dict(saved: Mapping[str, Any]) -> InputCodec:
    """The codec that `to_dict` described. Raises UserError for a kind that isn't in `INPUTS` or an incomplete record."""
    kind = str(saved.get("kind"))
    if kind not in INPUTS:
        raise unknown("codec", kind, INPUTS)
    try:
        codec: InputCodec = INPUTS[kind].from_dict(saved)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"the saved {kind} codec is damaged: {error!r}. Expected what to_dict() wrote."
        ) from error
    return codec


def embedder_of(codec: Any) -> dict[str, Any]:
    """The spec of the embedder that reads what the codec writes, without its own width."""
    if codec.kind in TOKENS:
        return {"kind": "tokens", "vocabulary": codec.size}
    return {"kind": "values", "inputs": codec.size if isinstance(codec, Values) else codec.width}
