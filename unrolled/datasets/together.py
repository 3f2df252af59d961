"""Several columns read at once: what is known of each step, side by side, as one row of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import UserError

Steps = NDArray[np.float32]


@dataclass(frozen=True)
class Field:
    """One column. `each`: it says something of every step; else one thing that holds for all of them."""

    name: str
    codec: Any
    each: bool

    @property
    def ids(self) -> bool:
        """Whether its codec gives ids, not numbers."""
        return hasattr(self.codec, "token_text")

    @property
    def width(self) -> int:
        """Columns that it takes up."""
        return 1 if self.ids else int(getattr(self.codec, "width", 0) or self.codec.size)

    def encode(self, value: Any) -> NDArray[Any]:
        """(T, width); of a missing value no step or, where it would hold for the whole row, one that says so."""
        if value is None and self.each:
            return np.zeros((0, self.width), np.float32)
        part = np.asarray(self.codec.encode(np.nan if value is None and not self.ids else value))
        return part[:, None] if part.ndim == 1 else part


class Together:
    """Columns of one row -> (T, K + N) float32: the ids of K fields, as numbers, then the N numbers of the others.

    `aligned`: the fields that say something of every step are equally long and stand side by side (an event log);
    else they come one after another, the others' places 0 meanwhile (a title, then a text). What holds for a whole row
    stands at every step, so that a stream knows it from its first step on.
    """

    kind: ClassVar[str] = "together"

    def __init__(self, fields: Iterable[Field] = (), aligned: bool = False) -> None:
        named = list(fields)
        self.fields = [f for f in named if f.ids] + [f for f in named if not f.ids]
        self.aligned = aligned

    @property
    def tables(self) -> list[int]:
        """Ids of each field of ids."""
        return [f.codec.size for f in self.fields if f.ids]

    @property
    def width(self) -> int:
        """Numbers a step."""
        return sum(f.width for f in self.fields)

    def fit(self, values: Iterable[Mapping[str, Any]] | Callable[[], Iterable[Mapping[str, Any]]]) -> Self:
        """Fits each field's codec to its column of training rows; a function is called once a field."""
        rows = values if callable(values) else list(values).__iter__
        for field in self.fields:
            field.codec.fit(v for row in rows() if (v := row.get(field.name)) is not None)
        return self

    def encode(self, value: Mapping[str, Any]) -> Steps:
        """(T, K + N). Raises UserError where aligned columns aren't equally long."""
        found = [f.encode(value.get(f.name)) for f in self.fields]
        lengths = [len(part) for f, part in zip(self.fields, found, strict=True) if f.each]
        if self.aligned and len({*lengths}) > 1:
            names = ", ".join(
                f"{f.name} {len(part)}" for f, part in zip(self.fields, found, strict=True) if f.each
            )
            raise UserError(f"columns read side by side have unequal numbers of steps: {names}.")
        steps = (lengths[0] if self.aligned else sum(lengths)) if lengths else 1
        out = np.zeros((steps, self.width), np.float32)
        column = begin = 0
        for f, part in zip(self.fields, found, strict=True):
            own = slice(column, column := column + f.width)
            if not f.each:
                out[:, own] = part[:1] if len(part) else 0
            elif self.aligned:
                out[:, own] = part
            else:
                out[begin : (begin := begin + len(part)), own] = part
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        fields = [{"name": f.name, "codec": f.codec.to_dict(), "each": f.each} for f in self.fields]
        return {"kind": self.kind, "aligned": self.aligned, "fields": fields}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        from unrolled.datasets.inputs import input_codec_from_dict  # the table of codecs holds this one too

        fields = [
            Field(f["name"], input_codec_from_dict(f["codec"]), bool(f["each"])) for f in saved["fields"]
        ]
        return cls(fields, bool(saved["aligned"]))
