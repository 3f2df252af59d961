"""The runs under one folder, by name: what the page lists, and the only way from a name to a place on the disk."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from unrolled.errors import UserError, nearest
from unrolled.page.curves import is_number
from unrolled.page.life import running
from unrolled.page.regular import regular
from unrolled.training.run import Run

TAIL = 8_192  # bytes of metrics.jsonl in which the latest lines stand
HEAD = 400  # bytes of config.toml in which the task stands


@dataclass
class _Known:
    """A run as its result.json said it, until that file changes."""

    stamp: tuple[int, int]
    run: Run
    task: str


class Index:
    """Every run under `folder`. Names are looked up among those found there: nothing else is ever opened.

    Safe on several threads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def runs(self) -> list[tuple[Run, str]]:
        """Every run with its task, oldest first. What isn't a run, or goes while it is read, isn't there."""
        with self._lock:
            found = {}
            for path in self._folders():
                name = path.relative_to(self.folder).as_posix()
                if (known := self._read(name, path)) is not None:
                    found[name] = known
            self._known = found
            listed = [(known.run, known.task) for known in found.values()]
        return sorted(listed, key=lambda one: (one[0].started, one[0].name))

    def _folders(self) -> list[Path]:
        found = []
        for path in _inside(self.folder):
            if (path / "result.json").is_file():
                found.append(path)
            else:
                found += [inner for inner in _inside(path) if (inner / "result.json").is_file()]
        return found

    def _read(self, name: str, path: Path) -> _Known | None:
        try:
            told = os.stat(path / "result.json")
            stamp = (told.st_mtime_ns, told.st_size)
            known = self._known.get(name)
            if known is not None and known.stamp == stamp:
                return known
            run = replace(Run.at(path), name=name)
            return _Known(stamp, run, _task(path)) if sound(run) else None
        except (OSError, UserError, RecursionError):
            return None

    def find(self, name: str) -> Run:
        """The run of this very name. Raises UserError for any other, whatever stands at such a path."""
        return self.some([name])[0][0]

    def some(self, names: Iterable[str]) -> list[tuple[Run, str]]:
        """The runs of these very names, each with its task; the folder is gone through once. Raises UserError as `find`."""
        known = {run.name: (run, task) for run, task in self.runs()}
        found = []
        for name in names:
            if name not in known:
                guess = nearest(name[:200], known)
                hint = f" Did you mean {guess!r}?" if guess else ""
                raise UserError(f"no run is called {name[:200]!r} here.{hint}")
            found.append(known[name])
        return found

    def rows(self) -> list[dict[str, Any]]:
        """What the list says of each run, the latest first."""
        return [row(run, task) for run, task in reversed(self.runs())]


def sound(run: Run) -> bool:
    """Whether all that its result.json says is of the kind that a run says there, and can be said on."""
    try:
        told = {entry.name: getattr(run, entry.name) for entry in fields(run) if entry.name != "path"}
        json.dumps(told, allow_nan=False)
    except (ValueError, RecursionError):  # NaN, or deeper than anything of ours
        return False
    texts = (run.kind, run.data, run.verdict, run.started, run.extends)
    scores = [one for one in (run.test, run.valid) if one is not None]
    others = [one for one in (run.baseline, run.naive, run.plan, run.work) if one is not None]
    return (
        all(isinstance(one, str) for one in texts)
        and all(is_number(one) for one in (run.step, run.seconds, run.parameters))
        and isinstance(run.finished, bool)
        and all(isinstance(one, dict) and is_number(one.get("value")) for one in scores)
        and all(_interval(one.get("interval")) for one in scores)
        and all(isinstance(one, dict) for one in others)
        and all(
            one.get(key) is None or is_number(one[key])
            for one in others
            for key in ("value", "total", "tokens", "flops")
        )
    )


def _interval(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(is_number, value)))


def row(run: Run, task: str) -> dict[str, Any]:
    """One run, in a line of the list."""
    alive = not run.finished and running(run.path) is not None
    told: dict[str, Any] = {
        "name": run.name, "kind": run.kind, "data": run.data, "task": task, "started": run.started,
        "parameters": run.parameters, "step": run.step, "seconds": run.seconds, "score": run.score,
        "unit": run.unit, "better": run.better, "baseline": None, "verdict": run.verdict, "work": run.work,
        "interval": (run.test or run.valid or {}).get("interval"), "total": (run.plan or {}).get("total"),
        "state": "finished" if run.finished else "running" if alive else "stopped",
    }  # fmt: skip
    if run.baseline is not None:
        told["baseline"] = {"name": run.baseline.get("name", ""), "value": run.baseline.get("value")}
    if not run.finished:
        told |= _latest(run.path / "metrics.jsonl")
    return told


def _latest(path: Path) -> dict[str, Any]:
    """Step, seconds and validation score of the last lines that are whole."""
    found: dict[str, Any] = {}
    for line in reversed(_tail(path)):
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(told, dict):
            continue
        for key, name in (("step", "step"), ("seconds", "seconds"), ("valid", "latest"), ("loss", "loss")):
            value = told.get(key)
            if name not in found and is_number(value):
                found[name] = value
        if len(found) == 4:
            break
    return found


def _tail(path: Path) -> list[bytes]:
    try:
        with regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    return lines[1 if size > TAIL else 0 : -1]


def _inside(folder: Path) -> list[Path]:
    """The folders in a folder but for hidden ones; no link leads out of it."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                folder / entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and entry.is_dir(follow_symlinks=False)
                and _sayable(entry.name)
            )
    except OSError:
        return []


def _sayable(name: str) -> bool:
    """Whether a folder's name is text: bytes that are no UTF-8 can't be said in JSON."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _task(path: Path) -> str:
    try:
        with regular(path / "config.toml") as file:
            head = file.read(HEAD).decode("utf-8", "replace")
    except OSError:
        return ""
    found = re.search(r'^task = "(\w+)"', head, re.MULTILINE)
    return found[1] if found else ""
