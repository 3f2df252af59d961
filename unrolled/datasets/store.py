"""Sequences of unequal length in one flat array: in memory while that is small, on disk beyond it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import overload

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
        pieces: list[np.ndarray] = []
        lengths: list[int] = []
        size = 0
        with ExitStack() as opened:
            file = None
            for row in rows:
                pieces.append(row)
                lengths.append(len(row))
                size += row.nbytes
                if size > held:
                    file = file or opened.enter_context(tempfile.TemporaryFile())
                    _joined(pieces).tofile(file)
                    pieces, size = [row[:0]], 0  # an empty row keeps dtype and shape
            ends = np.cumsum(np.array(lengths, np.int64))
            flat = _joined(pieces) if pieces else np.zeros(0, np.float32)
            if file is not None:
                flat.tofile(file)
                file.flush()
                # The map keeps the file alive once it is closed.
                flat = np.memmap(file, flat.dtype, "r", shape=(int(ends[-1]), *flat.shape[1:]))
        return cls(flat, ends)

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


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """Rows one after another, ids as int32."""
    kind = np.int32 if pieces[0].dtype == np.int64 else pieces[0].dtype
    return np.concatenate(pieces, dtype=kind, casting="same_kind")
