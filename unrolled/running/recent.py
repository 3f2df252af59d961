"""How much each row's Slots hold and, where a context ends, the steps that a row reads again when it slides."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Shaped
from torch import Tensor


class Recent:
    """Of `rows` rows with a context of `context` steps (None: without an end, so that nothing is read again)."""

    def __init__(self, rows: int, context: int | None) -> None:
        self.rows, self.context = rows, context
        self.used = [0] * rows  # steps in each row's Slots: known without asking the device
        self.steps: Tensor | None = None  # (rows, context, ...), from the first step on

    @property
    def most(self) -> int:
        """Steps in the fullest row."""
        return max(self.used)

    @property
    def alike(self) -> bool:
        """Whether all rows hold equally many."""
        return self.used.count(self.used[0]) == self.rows

    def overflowing(self, lengths: Sequence[int]) -> list[int]:
        """The rows that so many more steps each would take past the context."""
        if self.context is None:
            return []
        return [
            row
            for row, (used, more) in enumerate(zip(self.used, lengths, strict=True))
            if more and used + more > self.context
        ]

    def add(self, steps: Shaped[Tensor, "rows time *features"], lengths: Sequence[int]) -> None:
        """So many steps of each row are read."""
        if self.context is not None:
            self._hold(steps)
            if self.alike and lengths.count(lengths[0]) == self.rows:
                self.steps[:, self.used[0] : self.used[0] + lengths[0]] = steps[:, : lengths[0]]  # type: ignore[index]
            else:
                self._scatter(steps, lengths)
        self.used = [used + more for used, more in zip(self.used, lengths, strict=True)]

    def _hold(self, steps: Tensor) -> None:
        if self.steps is None:
            assert self.context is not None
            self.steps = steps.new_zeros(self.rows, self.context, *steps.shape[2:])

    def _scatter(self, steps: Tensor, lengths: Sequence[int]) -> None:
        assert self.steps is not None
        rows = [row for row, more in enumerate(lengths) for _ in range(more)]
        source = [t for more in lengths for t in range(more)]
        place = [used + t for used, more in zip(self.used, lengths, strict=True) for t in range(more)]
        self.steps[rows, place] = steps[rows, source]

    def tail(self, steps: Tensor, row: int | None = None) -> Tensor:
        """The last half of the context of a row, or of all rows, with `steps` at its end."""
        assert self.context is not None
        before = steps[:, :0]
        if self.steps is not None:
            rows, used = (slice(None), self.used[0]) if row is None else (slice(row, row + 1), self.used[row])
            before = self.steps[rows, :used]
        return torch.cat([before, steps], 1)[:, -max(1, self.context // 2) :]

    def forget(self, rows: Sequence[int] | None = None) -> None:
        """These rows, or all, begin anew."""
        for row in range(self.rows) if rows is None else rows:
            self.used[row] = 0

    def set(self, row: int, steps: Shaped[Tensor, "1 time *features"]) -> None:
        """A row that was forgotten holds these steps."""
        self._hold(steps)
        assert self.steps is not None
        self.steps[row, : steps.shape[1]] = steps[0]
        self.used[row] = steps.shape[1]

    def pick(self, rows: Sequence[int]) -> Recent:
        """Of these rows, in this order."""
        other = Recent(len(rows), self.context)
        other.used = [self.used[row] for row in rows]
        other.steps = None if self.steps is None else self.steps[list(rows)]
        return other

    def put(self, rows: Sequence[int], other: Recent) -> None:
        """These rows become those of `other`."""
        for row, used in zip(rows, other.used, strict=True):
            self.used[row] = used
        if other.steps is not None:
            if self.steps is None:
                self.steps = other.steps.new_zeros(self.rows, *other.steps.shape[1:])
            self.steps[list(rows)] = other.steps
