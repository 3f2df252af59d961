"""A tokenizer that came with somebody's weights, as its tokenizer.json describes it, under our ids: 0 is the boundary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from unrolled.datasets.spelling import BOUNDARY, Ids, as_ids, short_name, within
from unrolled.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class ImportedTokenizer:
    """Ids are the tokenizer's own, but for two: `first`, the token that begins documents (or pads, where none are written),
    is our 0, and its own 0 has the place of `first`.

    vocabulary: rows of the model's table, at least as many as tokens; wrapped: texts get the special tokens that the
    tokenizer puts around them ([CLS], [SEP]). A special token that stands in a text is text. Texts come back exactly only
    where the tokenizer keeps everything, which those that lower case don't. One that marks the spaces between words (not
    bytes, as GPT-2's) decodes as what a text goes on with: with the space before the first word.
    """

    kind: ClassVar[str] = "tokenizer"

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, first: int = 0, wrapped: bool = False) -> None:
        self.size, self.first, self.wrapped = vocabulary, first, wrapped
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        self._before = [] if wrapped else before(tokenizer)
        largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        if largest >= vocabulary:
            raise UserError(
                f"the tokenizer has ids up to {largest} and the model's table {vocabulary} rows: it belongs to another "
                "model."
            )
        if tokenizer.id_to_token(first) is None:
            raise UserError(
                f"the model's documents begin with the id {first}, which the tokenizer doesn't have: it belongs to another "
                "model."
            )

    @classmethod
    def read(cls, file: Path, vocabulary: int, first: int = 0, wrapped: bool = False) -> Self:
        """The tokenizer of a tokenizer.json. Raises UserError, naming it, for one that can't be read or doesn't fit."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_str(file.read_text("utf-8"))
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise UserError(f"{file}: not a tokenizer ({error}). Fetch it again.") from error
        try:
            return cls(tokenizer, vocabulary, first, wrapped)
        except UserError as error:
            raise UserError(f"{file}: {error}") from error

    def fit(self, values: Iterable[str]) -> Self:
        """Itself: its vocabulary belongs to the weights."""
        return self

    def encode(self, text: str) -> Ids:
        try:
            ids = self._tokenizer.encode(text, add_special_tokens=self.wrapped).ids
        except (TypeError, UnicodeEncodeError) as error:
            raise UserError(
                f"not valid Unicode text: a lone surrogate in {text[:40]!r}. Expected text as from UTF-8."
            ) from error
        return self.turned(np.array(ids, np.int64))

    def turned(self, ids: Ids) -> Ids:
        """Our ids of theirs, and theirs of ours."""
        return np.where(ids == self.first, BOUNDARY, np.where(ids == BOUNDARY, self.first, ids))

    def decode(self, ids: Iterable[int]) -> str:
        array = within(as_ids(ids), self.size)
        theirs = self.turned(array[array != BOUNDARY])
        held = len(self._tokenizer.decode(self._before))
        return str(self._tokenizer.decode([*self._before, *theirs.tolist()]))[held:]

    def id_of(self, name: str) -> int | None:
        """Their id of a token by its own name; None where it has none."""
        found = self._tokenizer.token_to_id(name)
        return None if found is None else int(found)

    def token_text(self, token: int) -> str:
        if token == BOUNDARY:
            return short_name(token)
        name = self._tokenizer.id_to_token(int(self.turned(np.array([token], np.int64))[0]))
        return self.decode([token]) or name or f"<unused {token}>"

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "vocabulary": self.size,
            "first": self.first,
            "wrapped": self.wrapped,
            "tokenizer": json.loads(self._tokenizer.to_str()),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(json.dumps(saved["tokenizer"]))
        return cls(tokenizer, saved["vocabulary"], saved["first"], saved["wrapped"])


def before(tokenizer: Tokenizer) -> list[int]:
    """Ids to decode others behind, so that these keep the space before them; none where each token has its own text."""
    word: list[int] = tokenizer.encode("a", add_special_tokens=False).ids
    alone = tokenizer.decode(word)
    return [] if tokenizer.decode(word * 2) == alone * 2 else word
