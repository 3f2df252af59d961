"""The problems of one file, collected so that they can be said together."""

from __future__ import annotations

from unrolled.datasets.decoding import SHOWN
from unrolled.errors import UserError

LOOKED_ON = 50_000  # rows read after the first problem in search of more: about a second


class Problems:
    """Up to `SHOWN` problems. A reader yields nothing more once there is one, reads on until `enough()`, and
    ends with `settle()`.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self.rows = 0

    def __len__(self) -> int:
        return len(self.found)

    def add(self, problem: str) -> None:
        """One more problem, in words, its place first."""
        self.found.append(problem)

    @property
    def full(self) -> bool:
        """Whether no more will be shown."""
        return len(self.found) >= SHOWN

    def enough(self) -> bool:
        """Whether to stop looking. To be asked once a row."""
        if not self.found:
            return False
        self.rows += 1
        return self.full or self.rows > LOOKED_ON

    def settle(self) -> None:
        """Raises UserError with all problems, a line each, if there are any."""
        if self.found:
            more = ["(there may be more: only the first are listed)"] if self.full else []
            raise UserError("\n".join(self.found[:SHOWN] + more))
