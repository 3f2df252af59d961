"""Class names to numbers: one a row, or several. The classes are those of the training split, sorted by name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import UserError, nearest

SHOWN = 12  # classes named in an error


class Labels:
    """One class a row. `names` in order, `counts` of each in training."""

    kind: ClassVar[str] = "labels"

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self._set(counts or {})

    def _set(self, counts: Mapping[str, int]) -> None:
        self.names = tuple(sorted(counts))
        self.counts = tuple(int(counts[name]) for name in self.names)
        self._ids = {name: number for number, name in enumerate(self.names)}

    @property
    def size(self) -> int:
        """Number of classes."""
        return len(self.names)

    def fit(self, values: Iterable[object]) -> Self:
        """Learns the classes of the training split. Raises UserError where there is none, or one only."""
        counts = Counter(self._named(value, "training") for value in values)
        if len(counts) < 2:
            found = (
                f"one class only ({next(iter(counts))!r}, {counts.total()} times)" if counts else "no labels"
            )
            raise UserError(f"the training data hold {found}. Expected at least two classes to tell apart.")
        self._set(counts)
        return self

    def encode(self, value: object, origin: str = "") -> int:
        """The number of a class. Raises UserError, naming `origin` (file:line), for one that training doesn't hold."""
        if type(value) is str and value in self._ids:  # as most are, and quickly told
            return self._ids[value]
        name = self._named(value, origin)
        if name not in self._ids:
            raise self._unknown(name, origin)
        return self._ids[name]

    def encode_many(self, values: Sequence[object], origins: Sequence[str]) -> NDArray[np.int64]:
        """(N,) of one class a row, as `encode` has them."""
        try:
            return np.fromiter(map(self._ids.__getitem__, values), np.int64, len(values))  # type: ignore[arg-type]
        except (KeyError, TypeError):  # one of them isn't spelt as it is kept, or isn't known
            pairs = zip(values, origins, strict=True)
            return np.array([self.encode(value, origin) for value, origin in pairs], np.int64)

    def decode(self, number: int) -> str:
        """The class of a number."""
        return self.names[number]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        return {"kind": self.kind, "counts": dict(zip(self.names, self.counts, strict=True))}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        return cls(saved["counts"])

    def _named(self, value: object, origin: str) -> str:
        name = name_of(value)
        if not name:
            raise UserError(
                f"{_at(origin)}no label ({value!r}). Expected a class in every row that is learnt or scored."
            )
        return name

    def _unknown(self, name: str, origin: str) -> UserError:
        guess = nearest(name, self.names)
        hint = f" Did you mean {guess!r}?" if guess else ""
        listed = ", ".join(self.names[:SHOWN]) + (", ..." if self.size > SHOWN else "")
        return UserError(
            f"{_at(origin)}the class {name!r} does not occur in training.{hint} Known: {listed} ({self.size} in all)."
        )


class MultiLabels(Labels):
    """Several labels a row, or none: "a;b" or a list of names -> a vector of 0 and 1."""

    kind: ClassVar[str] = "multi_labels"

    def __init__(self, counts: Mapping[str, int] | None = None, separator: str = ";") -> None:
        super().__init__(counts)
        self.separator = separator

    def fit(self, values: Iterable[object]) -> Self:
        """Learns the labels of the training split. Raises UserError where there is none."""
        counts = Counter(name for value in values for name in self._parts(value))
        if not counts:
            raise UserError(f"the training data hold no labels. Expected names parted by {self.separator!r}.")
        self._set(counts)
        return self

    def encode(self, value: object, origin: str = "") -> NDArray[np.int64]:  # type: ignore[override]
        """(C,) 1 for each label that is there. Raises UserError for one that training doesn't hold."""
        out = np.zeros(self.size, np.int64)
        for name in self._parts(value):
            if name not in self._ids:
                raise self._unknown(name, origin)
            out[self._ids[name]] = 1
        return out

    def encode_many(self, values: Sequence[object], origins: Sequence[str]) -> NDArray[np.int64]:
        """(N, C) of the labels of a row each, as `encode` has them."""
        pairs = zip(values, origins, strict=True)
        found = [self.encode(value, origin) for value, origin in pairs]
        return np.array(found, np.int64).reshape(len(found), self.size)

    def decode(self, marks: Sequence[int] | NDArray[Any]) -> list[str]:  # type: ignore[override]
        """The names of the labels that are there."""
        return [name for name, mark in zip(self.names, marks, strict=True) if mark]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        return super().to_dict() | {"separator": self.separator}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        return cls(saved["counts"], saved["separator"])

    def _parts(self, value: object) -> list[str]:
        """The distinct names, in order."""
        listed = isinstance(value, (list, tuple, set, frozenset, np.ndarray))
        many: Any = value if listed else name_of(value).split(self.separator)
        return list(dict.fromkeys(name for each in many if (name := name_of(each))))


class Tags(Labels):
    """One class a step: a list, or words with spaces between -> (T,) class numbers."""

    kind: ClassVar[str] = "tags"

    def fit(self, values: Iterable[object]) -> Self:
        """Learns the tags of the training split."""
        return super().fit(tag for value in values for tag in pieces(value))

    def encode(self, value: object, origin: str = "") -> NDArray[np.int64]:  # type: ignore[override]
        """(T,). Raises UserError, naming `origin`, for a tag that training doesn't hold."""
        encode = super().encode
        return np.array([encode(tag, origin) for tag in pieces(value)], np.int64)


def pieces(value: object) -> Any:
    """The steps of a value: words of a text, anything else as it is."""
    return value.split() if isinstance(value, str) else value


def name_of(value: object) -> str:
    """A label as text: the white space around it dropped, 3.0 as "3", a missing one as ""."""
    if type(value) is str:
        return value.strip()
    if value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)):
        return ""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _at(origin: str) -> str:
    return f"{origin}: " if origin else ""
