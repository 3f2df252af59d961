"""The two plainest codecs: UTF-8 bytes, and the characters seen in training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from unrolled.datasets.spelling import (
    BOUNDARY,
    FIRST,
    Ids,
    as_ids,
    code_points,
    from_nibbles,
    from_points,
    from_utf8,
    short_name,
    spell_unknown,
    within,
)


class Bytes:
    """UTF-8 bytes: byte b is the token b + 1. Nothing is learnt."""

    kind: ClassVar[str] = "bytes"
    size = 257

    def fit(self, values: Iterable[str]) -> Self:
        return self

    def encode(self, text: str) -> Ids:
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64) + 1

    def decode(self, ids: Iterable[int]) -> str:
        array = within(as_ids(ids), self.size)
        return from_utf8((array[array != BOUNDARY] - 1).astype(np.uint8).tobytes())

    def token_text(self, token: int) -> str:
        if token == BOUNDARY:
            return short_name(token)
        return chr(token - 1) if token - 1 < 128 else f"<{token - 1:02x}>"

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        return cls()


class Characters:
    """One token a character seen in training, in code point order; the rest as nibbles."""

    kind: ClassVar[str] = "characters"

    def __init__(self, characters: str = "") -> None:
        self._set(characters)

    def _set(self, characters: str) -> None:
        self.characters = characters
        self._points = code_points(characters)
        self._ids = np.full(int(self._points.max(initial=0)) + 1, -1, np.int64)
        self._ids[self._points] = np.arange(FIRST, FIRST + len(self._points))

    @property
    def size(self) -> int:
        return FIRST + len(self.characters)

    def fit(self, values: Iterable[str]) -> Self:
        seen: set[str] = set()
        for value in values:
            seen.update(value)
        self._set("".join(sorted(seen)))
        return self

    def encode(self, text: str) -> Ids:
        points = code_points(text)
        ids = np.full(len(points), -1, np.int64)
        known = points < len(self._ids)
        ids[known] = self._ids[points[known]]
        return spell_unknown(ids, points)

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self._runs(as_ids(ids)))

    def _runs(self, array: Ids) -> Iterable[str]:
        array = within(array[array != BOUNDARY], self.size)
        spelled = array < FIRST
        borders: Any = np.flatnonzero(np.diff(spelled, prepend=False, append=False)) if spelled.any() else []
        # Runs alternate between seen characters and nibbles, so these borders part the two sorts.
        for piece in np.split(array, borders):
            if piece.size and piece[0] < FIRST:
                yield from_nibbles(piece)
            else:
                yield from_points(self._points[piece - FIRST])

    def token_text(self, token: int) -> str:
        if token < FIRST:
            return short_name(token)
        return self.characters[token - FIRST]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "characters": self.characters}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        return cls(saved["characters"])
