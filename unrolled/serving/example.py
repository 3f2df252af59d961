"""The curl line that `serve` prints: a record of the run's own data, quoted so that it can be pasted."""

from __future__ import annotations

import json
from shlex import quote
from typing import TYPE_CHECKING, Any

from unrolled.datasets.media import MediaFile
from unrolled.training.example import prompt, record

if TYPE_CHECKING:
    from unrolled.model import Model


def curl(name: str, model: Model, data: str, address: str, token: bool) -> str:
    """The line for one served model. data: what the run was trained on; where it has gone, the columns stand for it."""
    task = model.task
    if task.kind == "generate":
        return _line(
            address, "completions", {"model": name, "prompt": prompt(task), "max_tokens": 200}, token
        )
    row = record(task, data)
    if row is None:
        row = {column: f"YOUR {column}" for column in task.inputs}
    return _line(address, task.kind, {"model": name, "rows": [row]}, token)


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
