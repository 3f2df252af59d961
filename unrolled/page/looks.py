"""Diagnoses of a run for the page: which there are, and each as the blocks of a report."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from unrolled.errors import unknown
from unrolled.training.run import Run

KEPT = 40


class Looks:
    """The looks of runs, one at a time, each kept until the run's model changes."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[Any, ...], dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, run: Run) -> list[str]:
        """The names of the looks that this run has."""
        return []

    def look(self, run: Run, what: str) -> dict[str, Any]:
        """One of them. Raises UserError for a name that isn't one of `known`."""
        raise unknown("look", what, self.known(run))
