"""Pretrained word vectors: GloVe's and word2vec's text (also .gz), and `.npy` with the words in a file beside it.

Files are streamed, and only the words asked for are kept: what a file of 1 GB costs is the time to read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.decoding import EmptyFile, lines
from unrolled.datasets.problems import Problems
from unrolled.datasets.readers import missing
from unrolled.datasets.values import shown
from unrolled.errors import UserError

INDEXES = (".txt", ".vocab", ".json")  # what may hold the words of a .npy, in this order
HEADER = "Expected lines of a word and its numbers, or of word2vec a first line of two: how many, how wide."


@dataclass(frozen=True)
class Vectors:
    """The vectors of those words asked for that a file has: `matrix[i]` is that of the word `places[i]`, counted from 0
    in the order asked.

    notes: what is to be said aloud of the file.
    """

    asked: int
    places: NDArray[np.int64]  # (n,), rising
    matrix: NDArray[np.float32]  # (n, width)
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Numbers a word."""
        return int(self.matrix.shape[1])

    def __str__(self) -> str:
        share = 100 * len(self.places) / self.asked
        return f"{len(self.places):,} of {self.asked:,} words ({share:.0f} %) start from {self.width} numbers each"


class _Wanted:
    """The words asked for, and what was found of each: as it is spelt, or else in other letters' case."""

    def __init__(self, words: Iterable[str]) -> None:
        self.places = {word: place for place, word in enumerate(words)}
        self.found: dict[int, Any] = {}
        self._folded: dict[int, Any] = {}
        self.twice = 0

    def sees(self, word: str) -> tuple[dict[int, Any], int] | None:
        """Where the word's vector is to be put: a table and a place in it; None where it isn't wanted (any more)."""
        place = self.places.get(word)
        if place is not None:
            if place in self.found:
                self.twice += 1
                return None
            return self.found, place
        place = self.places.get(word.lower())
        return None if place is None or place in self._folded else (self._folded, place)

    def all(self, notes: list[str], name: str) -> dict[int, Any]:
        """place -> what was put there, in order; what is to be said goes into `notes`."""
        cased = {place: found for place, found in self._folded.items() if place not in self.found}
        if cased:
            notes.append(f"{name}: {len(cased)} words found with capital letters only")
        if self.twice:
            notes.append(f"{name}: {self.twice} words stand there twice or more: the first vector counts")
        return dict(sorted((self.found | cased).items()))


def read_vectors(path: str | Path, words: Iterable[str]) -> Vectors:
    """The vectors in `path` of these (distinct) words. What isn't in `words` is counted through but not looked at.

    A word is found as it is spelt, else in capitals. Raises UserError with file and line for what can't be read: all
    problems of a file together (ragged lines, what is no finite number, a header that isn't true), bad UTF-8, an empty
    file, a .npy that is no table of floats or whose index has another length; and where no word is found at all.
    """
    path, wanted, notes = Path(path), _Wanted(words), list[str]()
    if not wanted.places:
        raise UserError(f"{path}: no words to look for.")
    if not path.exists():
        raise missing(path)
    if not path.is_file():
        raise UserError(f"{path}: not a plain file. Expected word vectors as text (also .gz), or .npy.")
    if path.suffix.lower() == ".npy":
        places, matrix = _of_array(path, wanted, notes)
    else:
        places, matrix = _of_text(path, wanted, notes)
    if not len(places):
        sample = ", ".join(repr(word) for word in islice(wanted.places, 5))
        raise UserError(
            f"{path}: holds none of the {len(wanted.places):,} words of the data ({sample} ...). Expected vectors of "
            "words in the data's language."
        )
    return Vectors(len(wanted.places), places, matrix, tuple(notes))


def _of_text(path: Path, wanted: _Wanted, notes: list[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """A word and its numbers a line, parted by spaces or a tab; the numbers are the last `width` of them."""
    problems = Problems()
    count, width, sep, rows = _start(path, lines(path, notes))
    at = 0
    for number, line in rows:
        if problems.enough():
            break
        line = line.rstrip(" \t\r\n")
        if not line:
            continue
        at += 1
        if line.count(sep) < width:
            problems.add(f"{path}:{number}: {line.count(sep)} numbers, expected {width}: {shown(line)}")
            continue
        # A word may hold spaces itself: some sets have tokens such as ". . .".
        word = line.rsplit(sep, width)[0] if line.count(sep) > width else line.partition(sep)[0]
        if (place := wanted.sees(word)) is None:
            if line.count(sep) > width and _number(line.split(sep)[1]):
                problems.add(f"{path}:{number}: {line.count(sep)} numbers, expected {width}: {shown(line)}")
            continue
        try:
            place[0][place[1]] = _numbers(line[len(word) + 1 :].split(sep))
        except ValueError as error:
            problems.add(f"{path}:{number}: the vector of {word!r}: {error}")
    if count is not None and at != count and not problems.found:
        problems.add(
            f"{path}:1: says {count:,} words, but {at:,} follow. Cut short? Fetch it again, or drop its first line."
        )
    problems.settle()
    found = wanted.all(notes, path.name)
    matrix = np.stack(list(found.values())) if found else np.zeros((0, width), np.float32)
    return np.array(list(found), np.int64), matrix


def _start(path: Path, source: Iterator[str]) -> tuple[int | None, int, str, Iterator[tuple[int, str]]]:
    """What a word2vec header promises (None without one), the numbers a line, what parts them, and the numbered lines."""
    numbered = enumerate(source, 1)
    head = list(islice(((n, line) for n, line in numbered if line.strip()), 2))
    if not head:
        raise EmptyFile(f"{path}: the file holds nothing but blank lines. {HEADER}")
    first = head[0][1].split()
    if len(first) == 2 and all(part.isdecimal() and len(part) < 19 for part in first):
        count, width = map(int, first)
        if not (count and 0 < width <= 1_000_000):
            raise UserError(f"{path}:{head[0][0]}: {count} words of {width} numbers. {HEADER}")
        body = head[1:]
    else:
        count, body = None, head
        width = len(head[0][1].rstrip(" \t\r\n").split(_separator(head[0][1]))) - 1
    if width < 1 or (count is None and not _number(first[-1])):
        raise UserError(f"{path}:{head[0][0]}: no vector of a word: {shown(head[0][1].strip())}. {HEADER}")
    sep = _separator(body[0][1]) if body else " "
    return count, width, sep, chain(body, numbered)


def _separator(line: str) -> str:
    return "\t" if "\t" in line else " "


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(parts: list[str]) -> NDArray[np.float32]:
    """(width,) of texts. Raises ValueError in words for what is no number, not finite, or beyond float32."""
    try:
        with np.errstate(over="ignore"):
            found = np.array(parts, np.float64).astype(np.float32)
    except ValueError:
        wrong = next((part for part in parts if not _number(part)), parts[0])
        raise ValueError(f"{shown(wrong)} is no number") from None
    if not np.isfinite(found).all():
        raise ValueError(
            f"{parts[int(np.flatnonzero(~np.isfinite(found))[0])]} is no finite number of 32 bits"
        )
    return found


def _of_array(path: Path, wanted: _Wanted, notes: list[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of a .npy, mapped into memory, so that only those wanted are read."""
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path}: can't be read as one NumPy array ({error}). Expected what numpy.save writes of floats."
        ) from error
    if table.ndim != 2 or table.dtype.kind != "f" or not table.size:
        raise UserError(
            f"{path}: holds {table.dtype} of the shape {table.shape}; expected floats of the shape (words, width)."
        )
    index = next((file for end in INDEXES if (file := path.with_suffix(end)).is_file()), None)
    if index is None:
        raise UserError(
            f"{path}: which word is which row? Expected the words beside it, one a line, in "
            f"{' or '.join(path.with_suffix(end).name for end in INDEXES)}."
        )
    count = 0
    for row, word in enumerate(_index(index, notes)):
        count += 1
        if (place := wanted.sees(word)) is not None:
            place[0][place[1]] = row
    if count != len(table):
        raise UserError(
            f"{index}: {count:,} words for the {len(table):,} rows of {path.name}. Expected one word a row."
        )
    found = wanted.all(notes, index.name)
    rows = np.array(list(found.values()), np.int64)
    with np.errstate(over="ignore"):
        matrix = (
            np.asarray(table[rows]).astype(np.float32)
            if len(rows)
            else np.zeros((0, table.shape[1]), np.float32)
        )
    if not np.isfinite(matrix).all():
        wrong = rows[~np.isfinite(matrix).all(1)]
        raise UserError(
            f"{path}: row {', '.join(str(row) for row in wrong[:20])} (from 0) holds what is no finite number of 32 bits."
        )
    return np.array(list(found), np.int64), matrix


def _index(path: Path, notes: list[str]) -> Iterator[str]:
    """The words in the order of their rows: one a line, or in .json a list."""
    if path.suffix != ".json":
        for line in lines(path, notes):
            yield line.rstrip("\r\n")
        return
    try:
        words = json.loads("".join(lines(path, notes)))
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path}: not JSON ({error}). Expected a list of words, in the order of the rows."
        ) from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UserError(
            f"{path}: expected a JSON list of words, in the order of the rows; got {shown(words)}."
        )
    yield from words
