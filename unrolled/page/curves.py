"""The curves of a run: metrics.jsonl followed as it grows, and as many points of it as a screen can show."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from unrolled.page.regular import regular

COLUMNS = ("loss", "norm", "lr", "valid")
BLOCK = 2**24  # bytes read at once
KEPT = 24  # runs whose curves stay in memory
LARGEST = 1e300  # a number of a file; JSON spells integers that no float holds
MARK = 64  # bytes before the place read so far, by which a file that was cut and went on is told


class Curve:
    """One run's metrics.jsonl. `update` reads what is new; lines that aren't whole wait, those that are no rows are left
    out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self.read, self._mark = 0, b""
        self._points: dict[str, np.ndarray] = {name: np.empty((3, 0)) for name in COLUMNS}
        self.events: list[dict[str, Any]] = []

    def update(self) -> None:
        """Reads on. Of a file that was cut (the run went back), everything anew."""
        with self._lock:
            try:
                with regular(self._path) as file:
                    file.seek(max(0, self.read - MARK))
                    if file.read(min(MARK, self.read)) != self._mark:
                        self._forget()
                        file.seek(0)
                    while block := file.read(BLOCK):
                        whole = block.rfind(b"\n") + 1
                        if not whole:
                            break
                        self._take(block[:whole])
                        self.read += whole
                        self._mark = (self._mark + block[:whole])[-MARK:]
                        file.seek(self.read)
            except OSError:
                self._forget()

    def _take(self, block: bytes) -> None:
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in COLUMNS}
        for row in rows_of(block):
            step, seconds = row.get("step"), row.get("seconds", np.nan)
            if not isinstance(step, int) or not is_number(step):
                continue
            seconds = seconds if is_number(seconds) else np.nan
            for name in COLUMNS:
                value = row.get(name)
                if is_number(value):
                    found[name].append((step, seconds, value))
            if "nonfinite" in row or "rewound_over" in row:
                self.events.append(
                    {"step": step, "what": "rewound" if "rewound_over" in row else "not finite"}
                )
        for name, new in found.items():
            if new:
                self._points[name] = np.concatenate([self._points[name], np.asarray(new, np.float64).T], 1)

    def points(self, name: str) -> np.ndarray:
        """(N, 3): step, seconds, value."""
        return self._points[name].T  # stored a column each, so that one is quickly gone through

    def count(self) -> int:
        """All points."""
        return sum(points.shape[1] for points in self._points.values())


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number that a float holds."""
    return isinstance(value, int | float) and -LARGEST < value < LARGEST


def rows_of(block: bytes) -> list[dict[str, Any]]:
    """The objects of whole lines; a line that isn't one is left out."""
    try:
        found = json.loads(b"[" + b",".join(block.split(b"\n")[:-1]) + b"]")  # thrice as fast as line by line
    except (ValueError, RecursionError):
        found = []
        for line in block.split(b"\n"):
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError):
                continue
    return [row for row in found if isinstance(row, dict)]


class Curves:
    """The latest used curves of all runs."""

    def __init__(self) -> None:
        self._held: OrderedDict[Path, Curve] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, folder: Path) -> Curve:
        """A run's curve, read up to now."""
        path = folder / "metrics.jsonl"
        with self._lock:
            curve = self._held.setdefault(path, Curve(path))
            self._held.move_to_end(path)
            while len(self._held) > KEPT:
                self._held.popitem(last=False)
        curve.update()
        return curve


def thinned(
    x: np.ndarray, y: np.ndarray, width: int, low: float | None = None, high: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) points between `low` and `high` -> at most two for each of `width` equal stretches of x: the lowest and the
    highest, in their order, so that no peak is lost (and the ends stay). x rises, but for NaN, which is left out.
    """
    real = np.isfinite(x) & np.isfinite(y)
    if not real.all():
        x, y = x[real], y[real]
    if low is not None or high is not None:
        first = max(
            0, np.searchsorted(x, -np.inf if low is None else low, "left") - 1
        )  # the lines go on outside
        x, y = x[first:], y[first:]
        last = np.searchsorted(x, np.inf if high is None else high, "right") + 1
        x, y = x[:last], y[:last]
    if len(x) <= 2 * width:
        return x, y
    span = x[-1] - x[0] or 1.0
    bucket = np.minimum(((x - x[0]) / span * width).astype(np.int64), width - 1)
    begins = np.flatnonzero(np.diff(bucket, prepend=-1))
    counts = np.diff(begins, append=len(x))
    found = [np.array([0, len(x) - 1])]
    for extreme in (np.minimum, np.maximum):
        places = np.flatnonzero(y == np.repeat(extreme.reduceat(y, begins), counts))
        found.append(places[np.flatnonzero(np.diff(bucket[places], prepend=-1))])  # the first of equal ones
    kept = np.unique(np.concatenate(found))
    return x[kept], y[kept]


def smoothed(y: np.ndarray, window: int) -> np.ndarray:
    """The mean of the `window` points around each, fewer at the ends."""
    if window < 2 or not len(y):
        return y
    half = window // 2
    total = np.concatenate([[0.0], np.cumsum(y)])
    at = np.arange(len(y))
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(y))
    mean: np.ndarray = (total[high] - total[low]) / (high - low)
    return mean
