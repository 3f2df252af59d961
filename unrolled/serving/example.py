"""The curl line that `serve` prints: a record of the run's own data, quoted so that it can be pasted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.datasets.media import MediaFile
from unrolled.errors import UnrolledError
from unrolled.training.new_rows import rows_for

if TYPE_CHECKING:
    from unrolled.model import Model

LOOKED = 20  # records of which the shortest is shown
LONGEST = 20_000  # characters of a command line that can still be pasted
DIGITS = 6  # of the numbers shown


def curl(name: str, model: Model, data: str, address: str, token: bool) -> str:
    """The line for one served model. data: what the run was trained on; where it has gone, the columns stand for it."""
    task = model.task
    if task.kind == "generate":
        prompt = "X:1" if task.music else "The "
        return _line(address, "completions", {"model": name, "prompt": prompt, "max_tokens": 200}, token)
    row = record(task, data)
    if row is None:
        row = {column: f"YOUR {column}" for column in task.inputs}
    return _line(address, task.kind, {"model": name, "rows": [row]}, token)


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


def _line(address: str, route: str, body: dict[str, Any], token: bool) -> str:
    files: list[MediaFile] = []

    def marked(value: Any) -> str:
        files.append(value)
        return f"\0{len(files) - 1}\0"

    said = json.dumps(body, ensure_ascii=False, default=marked).replace("\\u0000", "\0").split("\0")
    parts = [_read(files[int(part)]) if at % 2 else quote(part) for at, part in enumerate(said)]
    shown = ' -H "Authorization: Bearer $UNROLLED_TOKEN"' if token else ""
    return f"curl {address}/v1/{route}{shown} -H 'Content-Type: application/json' -d {''.join(parts)}"


def _read(file: MediaFile) -> str:
    """What a shell puts in place of a file: its bytes in base64, without line breaks."""
    path = quote(str(file.path))
    if file.member:
        return f"\"$(unzip -p {path} {quote(file.member)} | base64 | tr -d '\\n')\""
    return f"\"$(base64 < {path} | tr -d '\\n')\""
