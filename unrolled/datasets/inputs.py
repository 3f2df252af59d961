"""What a column that is read becomes: ids of words or characters, or numbers a step. One table, by kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from unrolled.datasets.codecs import CODECS, IMPORTED
from unrolled.datasets.items import Items
from unrolled.datasets.media_codecs import MEDIA_CODECS, OF_COLUMN
from unrolled.datasets.prepared import PREPARED
from unrolled.datasets.standard import Values
from unrolled.datasets.symbols import Symbols
from unrolled.datasets.together import Field, Together
from unrolled.datasets.understand import Reading
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


TOKENS: dict[str, Any] = CODECS | IMPORTED | {Words.kind: Words, Items.kind: Items, Symbols.kind: Symbols}
SINGLE: dict[str, Any] = {
    **TOKENS,
    Values.kind: Values,
    **MEDIA_CODECS,
    **PREPARED,
}  # those that read one column
INPUTS: dict[str, Any] = {**SINGLE, Together.kind: Together}
OF = {
    "text": "words", "category": "items", "tokens": "items", "series": "values", "number": "values",
    **{column: kinds[0] for column, kinds in OF_COLUMN.items()},
}  # fmt: skip
WHOLE = ("number", "category")  # kinds of columns that say one thing of a whole row


def choose_input(kind: str) -> str:
    """The codec's name for a column of this kind. Raises UserError where there is none."""
    if kind not in OF:
        raise UserError(f"a column that is {kind} can't be read as a sequence; name another with input=.")
    return OF[kind]


def codec_for(names: Sequence[str], kinds: Sequence[str], asked: str = "auto", aligned: bool = False) -> Any:
    """The codec, not fitted yet, of these columns together. `asked`: the one column's codec, of several that of the text,
    sound or images among them. Raises UserError for a kind of column that can't be read.
    """
    if len(names) == 1:
        return INPUTS[choose_input(kinds[0]) if asked == "auto" else asked]()
    made = []
    for name, kind in zip(names, kinds, strict=True):
        chosen = asked if asked != "auto" and kind not in (*WHOLE, "series", "tokens") else choose_input(kind)
        made.append(Field(name, SINGLE[chosen](), kind not in WHOLE))
    return Together(made, aligned)


def suits(codec: str, reading: Reading) -> None:
    """Raises UserError where a codec can't read the one column that it is asked to."""
    kind = reading.kinds[0]
    if len(reading.kinds) > 1:
        return
    text = codec in TOKENS and codec not in (Items.kind, *IMPORTED)
    can = {
        "text": text or codec == Items.kind, "category": text or codec == Items.kind, "tokens": codec == Items.kind,
        "series": codec in (Values.kind, *OF_COLUMN["image"]), "number": codec == Values.kind,
    }.get(kind, codec in OF_COLUMN.get(kind, ()))  # fmt: skip
    if not can:
        raise UserError(f"codec={codec}: it can't read {reading.inputs[0]}, which is {kind}.")


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
    if isinstance(codec, Together):
        return {"kind": "mixed", "tables": codec.tables, "inputs": codec.width - len(codec.tables)}
    return {"kind": "values", "inputs": codec.size if isinstance(codec, Values) else codec.width}
