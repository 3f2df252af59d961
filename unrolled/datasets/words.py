"""Words and punctuation as tokens, for tasks that read text only: what was said is kept, how it was spaced isn't."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from unrolled.datasets.spelling import BOUNDARY, Ids, as_ids, within
from unrolled.datasets.store import Block
from unrolled.errors import UserError, positive

UNKNOWN = 1
FIRST = 2  # id of the most frequent word
BYTES = 4  # of an id
CHUNKS = 1 << 18  # pieces of text whose ids are remembered

WORD = re.compile(r"\w+(?:['’\-]\w+)*|[^\w\s]")


def words_of(text: str) -> list[str]:
    """The lower-cased words, with their inner apostrophes and hyphens, and each other sign by itself."""
    return WORD.findall(str(text).lower())


class _Chunks(dict[str, bytes]):
    """The ids of what stands between two spaces, worked out once: most texts consist of a few thousand such pieces. As
    the bytes of int32, since those of a text are then joined without an object for each.
    """

    def __init__(self, ids: Mapping[str, int]) -> None:
        super().__init__()
        self._words = ids

    def __missing__(self, chunk: str) -> bytes:
        found = array("i", [self._words.get(word, UNKNOWN) for word in words_of(chunk)]).tobytes()
        if len(self) < CHUNKS:
            self[chunk] = found
        return found


class Words:
    """One token a word that training holds at least `minimum` times, the most frequent first; the rest is `UNKNOWN`.

    Id 0 is the boundary, 1 the unknown word. Not a codec to write text with: `decode` is for people.
    """

    kind: ClassVar[str] = "words"

    def __init__(self, minimum: int = 2, words: Iterable[str] = ()) -> None:
        positive("words", minimum=minimum)
        self.minimum = minimum
        self._set(tuple(words))

    def _set(self, words: tuple[str, ...]) -> None:
        self.words = words
        self._ids = {word: number for number, word in enumerate(words, FIRST)}
        if len(self._ids) < len(words):
            raise UserError("the words of this codec are not distinct.")
        self._chunks = _Chunks(self._ids)

    @property
    def size(self) -> int:
        """Number of ids: the words, the boundary and the unknown word."""
        return FIRST + len(self.words)

    def fit(self, values: Iterable[str]) -> Self:
        """Learns the words of training texts, in one pass: by frequency, then by name."""
        chunks: Counter[str] = Counter()
        for value in values:
            chunks.update(str(value).lower().split())
        counts: Counter[str] = Counter()
        for chunk, count in chunks.items():
            for word in words_of(chunk):
                counts[word] += count
        kept = [(word, count) for word, count in counts.items() if count >= self.minimum]
        self._set(tuple(word for word, _ in sorted(kept, key=lambda pair: (-pair[1], pair[0]))))
        return self

    def encode(self, text: str) -> Ids:
        """(n,) int64: a word or sign each, without boundaries."""
        return self.encode_many([text]).steps.astype(np.int64)

    def encode_many(self, texts: Iterable[str]) -> Block:
        """The ids of each text as `encode` gives them, but int32, as they are kept."""
        joined, ids = b"".join, self._chunks.__getitem__
        found = [joined(map(ids, str(text).lower().split())) for text in texts]
        sizes = np.fromiter(map(len, found), np.int64, len(found))
        return Block(np.frombuffer(joined(found), np.int32), sizes // BYTES)

    def decode(self, ids: Iterable[int]) -> str:
        """The words in a row, with spaces; boundaries vanish. Raises ValueError for an id that isn't in this codec."""
        array = as_ids(ids)
        return " ".join(map(self.token_text, within(array[array != BOUNDARY], self.size).tolist()))

    def token_text(self, token: int) -> str:
        """One token for people to read."""
        return ("<end>", "<unknown>")[token] if token < FIRST else self.words[token - FIRST]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        return {"kind": self.kind, "minimum": self.minimum, "words": list(self.words)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        return cls(int(saved["minimum"]), saved["words"])
