"""Categories as tokens: each distinct text is one id, as it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from unrolled.datasets.labels import name_of
from unrolled.datasets.spelling import Ids
from unrolled.errors import UserError

MISSING = 0
UNKNOWN = 1
FIRST = 2  # id of the most frequent item


class Items:
    """One id for each distinct text that training holds, the most frequent first: a list of events, or one category.

    Id 0 is a missing item, 1 one that training didn't hold.
    """

    kind: ClassVar[str] = "items"

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = tuple(names)
        self._ids = {name: number for number, name in enumerate(self.names, FIRST)}
        if len(self._ids) < len(self.names):
            raise UserError("the items of this codec are not distinct.")

    @property
    def size(self) -> int:
        """Number of ids."""
        return FIRST + len(self.names)

    def fit(self, values: Iterable[object]) -> Self:
        """Learns the items of training values, in one pass: by frequency, then by name."""
        counts = Counter(name for value in values for name in _names(value) if name)
        self.__init__(sorted(counts, key=lambda name: (-counts[name], name)))  # type: ignore[misc]
        return self

    def encode(self, value: object) -> Ids:
        """(T,) int64: an id an item of a list; of a single category (1,)."""
        ids = self._ids
        return np.array([ids.get(name, UNKNOWN) if name else MISSING for name in _names(value)], np.int64)

    def token_text(self, token: int) -> str:
        """One id for people to read."""
        return ("<missing>", "<unknown>")[token] if token < FIRST else self.names[token - FIRST]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        return {"kind": self.kind, "names": list(self.names)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        return cls(saved["names"])


def _names(value: object) -> Sequence[str]:
    return [name_of(item) for item in value] if isinstance(value, (list, tuple)) else [name_of(value)]
