"""Sequences of unequal length in one flat array: in memory while that is small, on disk beyond it."""

from __future__ import annotations

import tempfile
import weakref
from array import array
from collections.abc import Iterable, Sequence
from typing import IO, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

HELD = 1 << 26  # bytes kept in memory; what is larger goes to a file that vanishes with the process


class Ragged(Sequence[np.ndarray]):
    """Rows (T_i, ...) of one dtype and one shape after the first axis. A row is a view, not to be written to."""

    def __init__(self, flat: NDArray[np.generic], ends: NDArray[np.int64]) -> None:
        self._flat, self._ends = flat, ends

    @classmethod
    def of(cls, rows: Iterable[np.ndarray], held: int = HELD) -> Ragged:
        """Takes in the rows one by one. Ids become int32, which halves them."""
        store = Store(held)
        for row in rows:
            store.add(row)
        return store.ragged()

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each row."""
        return np.diff(self._ends, prepend=0)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, at: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, at: slice) -> list[np.ndarray]: ...
    def __getitem__(self, at: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        at = range(len(self))[at]
        return self._flat[self._ends[at - 1] if at else 0 : self._ends[at]]


class Block(NamedTuple):
    """Rows in one piece: all their steps one after another (S, ...), and how many each row has (N,) int64."""

    steps: NDArray[Any]
    lengths: NDArray[np.int64]

    def rows(self) -> list[NDArray[Any]]:
        """Each row, a view."""
        return np.split(self.steps, np.cumsum(self.lengths)[:-1]) if len(self.lengths) else []


class Store:
    """Takes in rows and blocks of rows, in their order; `ragged` then has them all, and the store is used up."""

    def __init__(self, held: int = HELD) -> None:
        self._held, self._size = held, 0
        self._pieces: list[np.ndarray] = []
        self._lengths = array("q")
        self._file: IO[bytes] | None = None

    def add(self, row: np.ndarray) -> None:
        """One more row."""
        self._lengths.append(len(row))
        self._take(row)

    def extend(self, block: Block) -> None:
        """More rows, all at once."""
        self._lengths.frombytes(np.asarray(block.lengths, np.int64).tobytes())
        self._take(block.steps)

    def ragged(self) -> Ragged:
        """All rows; of none, empty ones of numbers."""
        ends = np.cumsum(np.frombuffer(self._lengths, np.int64))
        flat = _joined(self._pieces) if self._pieces else np.zeros(0, np.float32)
        if self._file is not None:
            with self._file as file:  # the map keeps it alive once it is closed
                flat.tofile(file)
                file.flush()
                flat = np.memmap(file, flat.dtype, "r", shape=(int(ends[-1]), *flat.shape[1:]))
        return Ragged(flat, ends)

    def _take(self, steps: np.ndarray) -> None:
        self._pieces.append(steps)
        self._size += steps.nbytes
        if self._size > self._held:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it stays open until all rows are in)
                weakref.finalize(self, self._file.close)  # should anything fail before
            _joined(self._pieces).tofile(self._file)
            self._pieces, self._size = [steps[:0]], 0  # an empty row keeps dtype and shape


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """Rows one after another, ids as int32."""
    kind = np.int32 if pieces[0].dtype == np.int64 else pieces[0].dtype
    return np.concatenate(pieces, dtype=kind, casting="same_kind")
