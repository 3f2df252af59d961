"""Whole runs that take a moment: what the tests of training share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unrolled.training.progress import Talk
from unrolled.training.run import Run
from unrolled.training.train import train

TINY: dict[str, Any] = {
    "model": "lstm", "model.width": 16, "batch": 4, "length": 16, "budget": "12steps", "evaluate_every": 4, "log_every": 3,
    "codec": "characters", "dtype": "float32", "device": "cpu",
}  # fmt: skip


class Heard(Talk):
    """Talk that is remembered."""

    def __init__(self) -> None:
        super().__init__(bar=False)
        self.lines: list[str] = []

    def warn(self, line: str) -> None:
        self.lines.append(line)


def tiny(place: Path, runs: Path, talk: Talk | None = None, **changes: Any) -> Run:
    """A finished run of a tiny model in `runs`."""
    keys = {**TINY, "data": str(place / "tunes.abc"), "runs": str(runs), **changes}
    run = train(talk=talk or Heard(), **keys)
    assert run is not None
    return run
