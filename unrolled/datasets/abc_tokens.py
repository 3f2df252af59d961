"""The codec for ABC notation: a note with its accidental, octave and length, a bar line, a header line is one
token where it is frequent in training, else its smaller pieces, else its characters, else nibbles. Exact for
every string.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, ClassVar, Self

import numpy as np

from unrolled.datasets.spelling import BOUNDARY, FIRST, Ids, as_ids, from_nibbles, nibbles, short_name, within

MINIMUM = 10  # times a token must occur in training to be one

COARSE = re.compile(
    r"""
      ^[KLMPQR]:(?![|:])[^\r\n]*(?:\r?\n)?       # a header line with few values, whole: `K:D Major`
    | ^[A-Z]:(?![|:])[^\r\n\d]*                  # another field up to its first digit: `X:`, `T:Blackbird`
    | (?:[|:\[\]]*\|[|:\]]*|::|\[(?=\d))         # a bar line, with the number of
      \d?!?(?:\r?\n)?                            # its ending and the end of the line: `|`, `:|!`, `[1`
    | \(\d(?::\d*)*                              # a tuplet: `(3`
    | [_^=]*[A-Ga-gxzZ][,']*(?:\d+/*\d*|/+\d*)?  # a note or rest: `^c'2`, `B,`, `e/`
    | [<>]+ | [\s\S]
    """,
    re.VERBOSE | re.MULTILINE,
)
FINE = re.compile(r"^[A-Z]:\s?|[_^=]+[A-Ga-gz][,']*|[A-Za-z']{2,}|[\s\S]")


class AbcTokens:
    """`minimum` is the granularity: how often a token must occur in training; a huge one leaves single
    characters.
    """

    kind: ClassVar[str] = "abc"

    def __init__(self, minimum: int = MINIMUM, tokens: Iterable[str] = ()) -> None:
        self.minimum = minimum
        self._set(list(tokens))

    def _set(self, tokens: list[str]) -> None:
        self.tokens = tokens  # tokens[i] is id FIRST + i
        self._ids = {token: FIRST + i for i, token in enumerate(tokens)}

    @property
    def size(self) -> int:
        return FIRST + len(self.tokens)

    def fit(self, values: Iterable[str]) -> Self:
        coarse: Counter[str] = Counter()
        for value in values:
            coarse.update(COARSE.findall(value))
        fine: Counter[str] = Counter()
        for token, count in coarse.items():
            if count < self.minimum:
                for piece in FINE.findall(token):
                    fine[piece] += count
        frequent = {
            t for counts in (coarse, fine) for t, n in counts.items() if n >= self.minimum and len(t) > 1
        }
        characters = {character for token in coarse for character in token}
        self._set(sorted(characters) + sorted(frequent))
        return self

    def encode(self, text: str) -> Ids:
        known = self._ids
        found: list[int] = []
        for token in COARSE.findall(text):
            number = known.get(token)
            if number is None:
                found.extend(self._finer(token))
            else:
                found.append(number)
        return np.array(found, np.int64)

    def _finer(self, token: str) -> Iterator[int]:
        for piece in FINE.findall(token):
            if piece in self._ids:
                yield self._ids[piece]
                continue
            for character in piece:
                if character in self._ids:
                    yield self._ids[character]
                else:
                    yield from nibbles(character).tolist()

    def decode(self, ids: Iterable[int]) -> str:
        array = within(as_ids(ids), self.size)
        runs = groupby(array[array != BOUNDARY].tolist(), lambda number: number < FIRST)
        return "".join(
            from_nibbles(np.array(list(run), np.int64))
            if spelled
            else "".join(self.tokens[n - FIRST] for n in run)
            for spelled, run in runs
        )

    def token_text(self, token: int) -> str:
        return short_name(token) if token < FIRST else self.tokens[token - FIRST]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "minimum": self.minimum, "tokens": list(self.tokens)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        return cls(saved["minimum"], saved["tokens"])
