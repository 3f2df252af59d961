"""Byte-level byte-pair encoding by the Hugging Face tokenizers library: whole words where they are frequent,
bytes where nothing else fits, so that every text comes back exactly (Sennrich et al. 2016; the byte alphabet
is GPT-2's).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from unrolled.datasets.spelling import BOUNDARY, Ids, as_ids, short_name, within
from unrolled.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SMALLEST, LARGEST = 512, 8000  # ids that are chosen when none are asked for
BYTES_A_TOKEN = 600  # of training text: rarer tokens are seen too seldom to be learnt


class Bpe:
    """`vocabulary` is the most ids there will be, the boundary included; a small text yields fewer. None: as many as
    the training text can teach, one a BYTES_A_TOKEN bytes. The library's id i is our i + 1: no special token exists,
    so no text can be mistaken for one.
    """

    kind: ClassVar[str] = "bpe"

    def __init__(self, vocabulary: int | None = None, tokenizer: Tokenizer | None = None) -> None:
        if vocabulary is not None and vocabulary < 257:
            raise UserError(
                f"vocabulary={vocabulary}: byte-level BPE needs at least 257 (256 bytes and the boundary)."
            )
        self.vocabulary = vocabulary
        self._tokenizer = tokenizer or _untrained()

    @property
    def size(self) -> int:
        return self._tokenizer.get_vocab_size() + 1

    def fit(self, values: Iterable[str]) -> Self:
        from tokenizers import pre_tokenizers, trainers

        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=(self.vocabulary or LARGEST) - 1, initial_alphabet=alphabet, show_progress=False
        )
        self._tokenizer = _untrained()
        counted = _Counted(values)
        self._tokenizer.train_from_iterator(counted, trainer)
        if self.vocabulary is None:
            self.vocabulary = min(max(counted.size // BYTES_A_TOKEN, SMALLEST), LARGEST)
            self._tokenizer = _cut(self._tokenizer, self.vocabulary - 1)
        return self

    def encode(self, text: str) -> Ids:
        try:
            return np.array(self._tokenizer.encode(text).ids, np.int64) + 1
        except (TypeError, UnicodeEncodeError) as error:
            raise UserError(
                f"not valid Unicode text: a lone surrogate in {text[:40]!r}. Expected text as from UTF-8."
            ) from error

    def decode(self, ids: Iterable[int]) -> str:
        array = within(as_ids(ids), self.size)
        return str(self._tokenizer.decode((array[array != BOUNDARY] - 1).tolist(), skip_special_tokens=False))

    def token_text(self, token: int) -> str:
        return short_name(token) if token == BOUNDARY else self.decode([token])

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "vocabulary": self.vocabulary,
            "tokenizer": json.loads(self._tokenizer.to_str()),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        from tokenizers import Tokenizer

        return cls(saved["vocabulary"], Tokenizer.from_str(json.dumps(saved["tokenizer"])))


class _Counted:
    """Texts as they pass by, and their bytes in all."""

    def __init__(self, values: Iterable[str]) -> None:
        self.size, self._values = 0, values

    def __iter__(self) -> Iterator[str]:
        for value in self._values:
            self.size += len(value.encode("utf-8", "surrogatepass"))
            yield value


def _cut(tokenizer: Tokenizer, size: int) -> Tokenizer:
    """The tokenizer with its first `size` tokens: merges are learnt in order, so it is the one a shorter training gives."""
    from tokenizers import Tokenizer

    saved = json.loads(tokenizer.to_str())
    model = saved["model"]
    model["vocab"] = {token: i for token, i in model["vocab"].items() if i < size}
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) in model["vocab"]]
    return Tokenizer.from_str(json.dumps(saved))


def _untrained() -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
