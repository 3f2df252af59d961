"""Symbols with spaces between, as phones are written: each is one token, and they are written back as they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from unrolled.datasets.labels import name_of
from unrolled.datasets.spelling import BOUNDARY, Ids, as_ids, within
from unrolled.errors import UserError

UNKNOWN = 1
FIRST = 2  # id of the most frequent symbol
UNKNOWN_TEXT = "<unknown>"


class Symbols:
    """One token a symbol that training holds: what stands between spaces in a text, or an item of a list.

    Id 0 is the boundary, 1 a symbol that training didn't hold. `decode(encode(text))` is the text with one space between
    its symbols, as long as training held all of them.
    """

    kind: ClassVar[str] = "symbols"

    def __init__(self, symbols: Iterable[str] = ()) -> None:
        self.symbols = tuple(symbols)
        self._ids = {symbol: number for number, symbol in enumerate(self.symbols, FIRST)}
        if len(self._ids) < len(self.symbols):
            raise UserError("the symbols of this codec are not distinct.")

    @property
    def size(self) -> int:
        """Number of ids: the symbols, the boundary and the unknown one."""
        return FIRST + len(self.symbols)

    def fit(self, values: Iterable[object]) -> Self:
        """Learns the symbols of training values, in one pass: by frequency, then by name."""
        counts = Counter(symbol for value in values for symbol in symbols_of(value))
        self.__init__(sorted(counts, key=lambda symbol: (-counts[symbol], symbol)))  # type: ignore[misc]
        return self

    def encode(self, value: object) -> Ids:
        """(T,) int64, without boundaries."""
        return np.array([self._ids.get(symbol, UNKNOWN) for symbol in symbols_of(value)], np.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """The symbols with a space between; boundaries vanish."""
        array = within(as_ids(ids), self.size)
        return " ".join(self.token_text(token) for token in array[array != BOUNDARY].tolist())

    def token_text(self, token: int) -> str:
        """One id for people to read."""
        return ("<end>", UNKNOWN_TEXT)[token] if token < FIRST else self.symbols[token - FIRST]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        return {"kind": self.kind, "symbols": list(self.symbols)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        return cls(saved["symbols"])


def symbols_of(value: object) -> list[str]:
    """The symbols of a text or of a list."""
    return [name_of(item) for item in value] if isinstance(value, (list, tuple)) else str(value).split()
