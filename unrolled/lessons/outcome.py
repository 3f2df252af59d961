"""What a stop's experiment hands back: its pictures, and the figures measured in that very run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from unrolled.report import Section


@dataclass(frozen=True)
class Figure:
    """One measured number: what it is, its value and its unit ("" for none)."""

    what: str
    value: float
    unit: str = ""

    def __str__(self) -> str:
        value = str(self.value) if isinstance(self.value, int) else f"{self.value:.4g}"
        return f"{value} {self.unit}".rstrip()


@dataclass(frozen=True)
class Outcome:
    """The result of `run(size)`: sections for the page, figures (the telling one first), files to write beside it.

    `trained` says in words what was trained and for how long.
    """

    sections: list[Section]
    figures: list[Figure]
    trained: str
    files: Mapping[str, bytes] = field(default_factory=dict)  # suffix (".wav") -> content
