"""What the columns of a table hold: one pass over the records, and a few numbers of each column."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite, isnan
from typing import Any, Literal

import numpy as np

from unrolled.datasets.assemble import seconds
from unrolled.datasets.media import SOUND, Clip, MediaFile, array_column
from unrolled.datasets.readers import Record
from unrolled.datasets.values import number

Kind = Literal["number", "category", "text", "series", "tokens", "sound", "image", "frames", "empty"]
BESIDE = ("origin", "notes", "continues")  # keys of a record that are no columns
CLASSES = 50  # distinct values of a number up to which it names classes
TRACKED = 1000  # distinct values that are counted at all
WORDY = 3.0  # words a value from which a column is text
LOOKED_AT = 50  # of them that are all dates where a column holds dates
COMPARED = 100  # rows whose numbers of steps are compared
SEPARATOR = ";"  # between labels, where a row may have several


@dataclass
class Column:
    """One column as its values are."""

    name: str
    values: int = 0
    missing: int = 0
    numbers: int = 0
    arrays: int = 0
    lists: int = 0
    media: str = ""  # of the first file's handle
    words: int = 0
    several: int = 0  # texts that hold a semicolon
    distinct: set[str] = field(default_factory=set)
    whole: bool = True  # the numbers in lists seen so far are whole
    fractions: bool = False  # a number that isn't whole came up
    lengths: list[int] = field(
        default_factory=list
    )  # steps, items or words in the first rows, -1 where missing

    def see(self, value: Any) -> None:
        """Counts one more value."""
        if value is None or (isinstance(value, str) and not value) or _nan(value):
            self.missing += 1
            self._long(-1)
            return
        self.values += 1
        if isinstance(value, (MediaFile, Clip)):
            self.media = self.media or _media(value)
            return
        if isinstance(value, np.ndarray):
            kind = array_column(value)
            if kind != "series":
                self.media = self.media or kind
                return
            self.arrays += bool(value.size)  # an empty list may be of anything
            if self.whole and len(self.lengths) < COMPARED:
                self.whole = value.ndim == 1 and bool((value == np.floor(value)).all())
        elif isinstance(value, list):
            self.lists += 1
        else:
            self._see_text(value)
            return
        self._long(len(value))

    def _long(self, length: int) -> None:
        if len(self.lengths) < COMPARED:
            self.lengths.append(length)

    def _see_text(self, value: Any) -> None:
        if self.numbers == self.values - 1:  # else one was none already, and asking is dear
            self._see_number(value)
        text = str(value)
        words = text.count(" ") + 1 if len(self.lengths) >= COMPARED else len(text.split())
        self.words += words
        self.several += SEPARATOR in text
        self._long(words)
        if len(self.distinct) <= TRACKED:
            self.distinct.add(text)

    def _see_number(self, value: Any) -> None:
        with contextlib.suppress(ValueError):
            found = number(value)
            self.numbers += 1
            self.fractions = self.fractions or (isfinite(found) and not found.is_integer())

    @property
    def kind(self) -> Kind:
        """What all its values are."""
        if not self.values:
            return "empty"
        if self.media:
            return self.media  # type: ignore[return-value]
        if self.arrays:
            return "series"
        if self.lists or not self.distinct:
            return "tokens"
        if self.numbers == self.values:
            return "number"
        few = len(self.distinct) <= max(CLASSES, min(TRACKED, self.values // 20))
        return "category" if few and self.words < WORDY * self.values else "text"

    @property
    def dates(self) -> bool:
        """Whether its texts are dates, or dates with a time: what stands there is no text to be read."""
        if self.kind not in ("text", "category"):
            return False
        try:
            return all(seconds(text) is not None for text in islice(self.distinct, LOOKED_AT))
        except ValueError:
            return False


def _nan(value: Any) -> bool:
    """A number that is none, or a cell that says so."""
    if isinstance(value, float):
        return isnan(value)
    return isinstance(value, str) and len(value) < 8 and value.strip().lower() == "nan"


def _media(value: MediaFile | Clip) -> str:
    if isinstance(value, Clip):
        return "frames"
    return "sound" if value.name.lower().endswith(SOUND) else "image"


def columns(records: Iterable[Record]) -> dict[str, Column]:
    """Every column of the records, in the order in which they come up."""
    found: dict[str, Column] = {}
    for place, record in enumerate(records):
        for name, value in record.items():
            if name not in BESIDE:
                column = found.setdefault(name, Column(name))
                if len(column.lengths) < min(place, COMPARED):  # records before it hadn't the column
                    column.lengths += [-1] * (min(place, COMPARED) - len(column.lengths))
                column.see(value)
    return found
