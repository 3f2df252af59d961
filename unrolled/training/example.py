"""A record of a run's own data, as an example of what it takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np

from unrolled.datasets.media import MediaFile
from unrolled.errors import UnrolledError
from unrolled.training.new_rows import rows_for

LOOKED = 20  # records of which the shortest is shown
LONGEST = 20_000  # characters of a command line that can still be pasted
DIGITS = 6  # of the numbers shown


def prompt(task: Any) -> str:
    """The beginning of a text for a task that goes on with one."""
    return "X:1" if task.music else "The "


def record(task: Any, data: str) -> dict[str, Any] | None:
    """The columns that are read, of the shortest of the first records; None where there is none to show."""
    try:
        rows = list(islice(rows_for(task, data, quiet=True), LOOKED))
        found = [_shown(row, task.inputs) for row in rows if task.long is None]
    except (UnrolledError, OSError, StopIteration):
        return None
    whole = [row for row in found if row is not None]
    return min(whole, key=lambda row: len(json.dumps(row, default=str)), default=None)


def _shown(row: Mapping[str, Any], inputs: tuple[str, ...]) -> dict[str, Any] | None:
    made = {name: _plain(row.get(name)) for name in inputs}
    fits = all(value is not None for value in made.values())
    return made if fits and len(json.dumps(made, default=str)) < LONGEST else None


def _plain(value: Any) -> Any:
    """As JSON says it; a file stays what it is, and is read when the line is run."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        wide = value.astype(float)
        shown = np.vectorize(lambda v: float(f"{v:.{DIGITS}g}") if np.isfinite(v) else None, otypes=[object])
        return shown(wide).tolist()
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, list) and not all(isinstance(one, str) for one in value):
        return None
    return value if isinstance(value, (str, int, float, list, MediaFile)) else None
