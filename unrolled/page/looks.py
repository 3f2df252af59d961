"""Diagnoses of a run for the page: which there are, and each as the blocks of a report."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.errors import UserError, unknown
from unrolled.inspection.inspect import LOOKS, SUMMARY, available, summary
from unrolled.inspection.subject import Subject
from unrolled.training.run import Run

KEPT = 100  # findings in memory
SUMMARY_SHOWS = "what the model is made of: its layers, their reach and cost, what it remembers"
Key = tuple[Path, tuple[int, int], str]


class Looks:
    """The looks of runs, one at a time; each is kept until the run's model changes."""

    def __init__(self) -> None:
        self._found: OrderedDict[Key, Any] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, run: Run) -> list[dict[str, str]]:
        """The looks that this run has, by name, and what each shows; none where no model was saved yet."""
        stamp = _stamp(run)
        if stamp is None:
            return []
        with self._lock:
            key = (run.path, stamp, "")
            if key not in self._found:
                self._keep(key, [name for name, why in available(run.model()).items() if not why])
            shows = {name: LOOKS[name].shows for name in self._found[key]}
        return [{"name": name, "says": says} for name, says in ({SUMMARY: SUMMARY_SHOWS} | shows).items()]

    def look(self, run: Run, what: str) -> dict[str, Any]:
        """One of them. Raises UserError for a name that isn't one of `known`, and where there is nothing to look at."""
        names = [one["name"] for one in self.known(run)]
        if what not in names:
            raise unknown("look", what, names)
        stamp = _stamp(run)
        if stamp is None:
            raise UserError(f"{run.name}: its model is gone.")
        with self._lock:
            key = (run.path, stamp, what)
            if key not in self._found:
                subject = Subject(run)
                finding = summary(subject) if what == SUMMARY else LOOKS[what].find(subject)
                told = {"title": finding.title, "lead": finding.lead(), "notes": finding.notes}
                self._keep(key, told | {"blocks": plain(finding.blocks())})
            found: dict[str, Any] = self._found[key]
            return found

    def _keep(self, key: Key, value: Any) -> None:
        self._found[key] = value
        while len(self._found) > KEPT:
            self._found.popitem(last=False)


def _stamp(run: Run) -> tuple[int, int] | None:
    try:
        told = (run.path / "model" / "model.safetensors").stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size


def plain(value: Any) -> Any:
    """Blocks as JSON takes them: a dataclass as a dict with its `kind`, numbers that aren't finite as null, no bytes."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
        return {"kind": type(value).__name__} | named
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if isfinite(value) else None
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(one) for one in value]
    return None
