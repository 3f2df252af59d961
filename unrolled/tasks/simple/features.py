"""Feature matrices for linear models: dense ones, and sparse ones as compressed rows in plain numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Rows = NDArray[np.int64]


class Features(Protocol):
    """A matrix (N, F) that a linear model can be fitted on."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def times(self, weights: Numbers) -> Numbers:
        """(F, K) -> (N, K)."""

    def back(self, rows: Numbers) -> Numbers:
        """The transpose: (N, K) -> (F, K)."""

    def take(self, rows: Rows) -> Self:
        """Some rows, in this order."""

    def scale(self) -> float:
        """The mean squared length of a row."""


@dataclass(frozen=True)
class Dense:
    """All entries: values (N, F)."""

    values: Numbers

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape[0], self.values.shape[1]

    def times(self, weights: Numbers) -> Numbers:
        """(F, K) -> (N, K)."""
        return self.values @ weights

    def back(self, rows: Numbers) -> Numbers:
        """The transpose: (N, K) -> (F, K)."""
        return self.values.T @ rows

    def take(self, rows: Rows) -> Dense:
        """Some rows, in this order."""
        return Dense(self.values[rows])

    def scale(self) -> float:
        """The mean squared length of a row."""
        return float(np.einsum("nf,nf->", self.values, self.values)) / max(len(self.values), 1)


@dataclass(frozen=True)
class Sparse:
    """Compressed rows: row n holds `values[starts[n]:starts[n + 1]]` in the columns `columns[...]`."""

    starts: Rows  # (N + 1,)
    columns: NDArray[np.int32]
    values: NDArray[np.float32]
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.starts) - 1, self.width

    def times(self, weights: Numbers) -> Numbers:
        """(F, K) -> (N, K)."""
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.starts))
        return np.stack(
            [self._sums(rows, self.values * w[self.columns], self.shape[0]) for w in _columns(weights)], 1
        )

    def back(self, rows: Numbers) -> Numbers:
        """The transpose: (N, K) -> (F, K)."""
        counts = np.diff(self.starts)
        return np.stack(
            [
                self._sums(self.columns, self.values * np.repeat(r, counts), self.width)
                for r in _columns(rows)
            ],
            1,
        )

    @staticmethod
    def _sums(places: NDArray[np.integer], values: NDArray[np.floating], size: int) -> Numbers:
        return np.bincount(places, values, size).astype(np.float64, copy=False)

    def take(self, rows: Rows) -> Sparse:
        """Some rows, in this order."""
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate(([0], np.cumsum(counts)))
        at = np.repeat(self.starts[rows] - starts[:-1], counts) + np.arange(starts[-1])
        return Sparse(starts, self.columns[at], self.values[at], self.width)

    def scale(self) -> float:
        """The mean squared length of a row."""
        return float(np.square(self.values, dtype=np.float64).sum()) / max(self.shape[0], 1)


def _columns(matrix: Numbers) -> list[Numbers]:
    return [np.ascontiguousarray(column) for column in matrix.T]
