"""Diagnoses of a run for the page: which there are, and each as the blocks of a report."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.errors import UserError, unknown
from unrolled.inspection.inspect import LOOKS, SUMMARY, available, summary
from unrolled.inspection.subject import Subject
from unrolled.serving.engine import Busy
from unrolled.training.run import Run

KEPT = 100  # findings in memory
WAITING = 4  # looks that wait for the one that is being made; each holds a thread of the server
LATER = 5  # seconds after which a refused one may be asked for again
SUMMARY_SHOWS = "what the model is made of: its layers, their reach and cost, what it remembers"
Key = tuple[Path, tuple[int, int], str]


class Looks:
    """The looks of runs, one at a time; each is kept until the run's model changes."""

    def __init__(self) -> None:
        self._found: OrderedDict[Key, Any] = OrderedDict()
        self._lock = threading.Lock()  # of what is found; never held while a model reads
        self._naming = threading.Lock()  # one model at a time is opened to say which looks it has
        self._turn = threading.Lock()  # one look at a time
        self._asked = 0

    def known(self, run: Run) -> list[dict[str, str]]:
        """The looks that this run has, by name, and what each shows; none where no model was saved yet."""
        stamp = _stamp(run)
        if stamp is None:
            return []
        key = (run.path, stamp, "")
        with self._naming:
            names = self._have(key)
            if names is None:
                names = [name for name, why in available(run.model()).items() if not why]
                self._keep(key, names)
        shows = {name: LOOKS[name].shows for name in names}
        return [{"name": name, "says": says} for name, says in ({SUMMARY: SUMMARY_SHOWS} | shows).items()]

    def look(self, run: Run, what: str) -> dict[str, Any]:
        """One of them. Raises UserError for a name that isn't one of `known`, and where there is nothing to look at; Busy
        where too many wait already.
        """
        names = [one["name"] for one in self.known(run)]
        if what not in names:
            raise unknown("look", what, names)
        stamp = _stamp(run)
        if stamp is None:
            raise UserError(f"{run.name}: its model is gone.")
        key = (run.path, stamp, what)
        found: dict[str, Any] | None = self._have(key)
        if found is not None:
            return found
        with self._queue(), self._turn:
            found = self._have(key)  # the one before may have been the same
            if found is None:
                subject = Subject(run)
                finding = summary(subject) if what == SUMMARY else LOOKS[what].find(subject)
                found = {"title": finding.title, "lead": finding.lead(), "notes": finding.notes}
                found["blocks"] = plain(finding.blocks())
                self._keep(key, found)
        return found

    @contextmanager
    def _queue(self) -> Iterator[None]:
        with self._lock:
            if self._asked > WAITING:
                raise Busy(LATER)
            self._asked += 1
        try:
            yield
        finally:
            with self._lock:
                self._asked -= 1

    def _have(self, key: Key) -> Any:
        with self._lock:
            return self._found.get(key)

    def _keep(self, key: Key, value: Any) -> None:
        with self._lock:
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
