"""Making and writing a run folder: its name, its lock, its settings, its metrics."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from contextlib import suppress
from dataclasses import replace
from io import BufferedRandom
from pathlib import Path
from typing import Any

from unrolled import __version__, durable
from unrolled.config import to_toml
from unrolled.errors import RunFailed, UserError
from unrolled.training.defaults import differing
from unrolled.training.recipe import Recipe

try:
    import fcntl
except ImportError:  # Windows has no advisory locks of this kind: there two writers aren't told apart
    fcntl = None  # type: ignore[assignment]

TRIES = 5  # to take a lock
MOMENT = 0.02  # seconds between them


def make(runs: Path, stem: str) -> Path:
    """`runs/STEM-N` with the first free N from the highest on; mkdir decides between two who start at once."""
    with durable.disk(runs, "Choose another folder with runs=."):
        runs.mkdir(parents=True, exist_ok=True)
        taken = [re.fullmatch(rf"{re.escape(stem)}-(\d+)", p.name) for p in runs.iterdir()]
        number = max((int(m[1]) for m in taken if m), default=0) + 1
        while True:
            with suppress(FileExistsError):
                (runs / f"{stem}-{number}").mkdir()
                return runs / f"{stem}-{number}"
            number += 1


def make_at(path: Path) -> Path:
    """The folder that `out=` names; never one that holds something."""
    with durable.disk(path, "Choose another folder with out=."):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(
                f"out={path}: exists and isn't an empty folder. Nothing is overwritten: "
                f"choose another name, or resume={path}."
            )
        path.mkdir(parents=True, exist_ok=True)
    return path


class Lock:
    """Held by the one process that may write to a run folder. The system frees it however the process ends."""

    def __init__(self, folder: Path) -> None:
        self._file: BufferedRandom | None = None
        with durable.disk(folder, "Is the folder yours to write to?"):
            file = open(folder / ".lock", "a+b")  # noqa: SIM115 - held until release
        if fcntl is not None:
            try:
                _take(file)
            except OSError:
                file.seek(0)
                writer = file.read().decode(errors="replace").strip()
                file.close()
                raise RunFailed(
                    f"{folder}: another process ({writer or 'unknown'}) is writing to this run. Wait until it "
                    "ends, stop it with Ctrl-C (it saves), or begin a run of its own: leave resume= out."
                ) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}".encode())
        file.flush()
        self._file = file

    def release(self) -> None:
        """Another process may write from now on."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _take(file: BufferedRandom) -> None:
    """The lock, after a few tries: whoever asks whether it is held shares it for a moment. Raises OSError."""
    for _ in range(TRIES - 1):
        with suppress(OSError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(MOMENT)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Metrics:
    """metrics.jsonl, appended line by line; `bytes` is its length, to which a resumed run cuts it back."""

    def __init__(self, path: Path, keep: int = 0) -> None:
        self._path = path
        with durable.disk(path, "Free some space and resume the run."):
            self._file = open(path, "ab")  # noqa: SIM115 - held until close
            if path.stat().st_size < keep:
                self._file.close()
                raise RunFailed(
                    f"{path}: {path.stat().st_size} bytes, but the checkpoint knows {keep}. Was it edited?"
                )
            self._file.truncate(keep)
        self.bytes = keep

    def append(self, row: dict[str, Any]) -> None:
        """Writes one line, whole or not at all."""
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        with durable.disk(self._path, "Free some space and resume the run."):
            try:
                self._file.write(line)
                self._file.flush()
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._file.fileno(), self.bytes)
                raise
        self.bytes += len(line)

    def cut(self, length: int) -> None:
        """Forgets what was written after `length` bytes: the run went back."""
        self._file.truncate(length)
        self.bytes = length

    def sync(self) -> None:
        """Makes the lines so far durable; a checkpoint that counts on them comes after."""
        with durable.disk(self._path, "Free some space and resume the run."):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file; a line that a full disk refused is already reported."""
        with suppress(OSError):
            self._file.close()


def write_json(path: Path, value: Any) -> None:
    """One JSON file, whole or as it was. Raises RunFailed on a full disk."""
    with durable.disk(path, "Free some space and resume the run."):
        durable.replace(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object of a run folder. Raises UserError that names the file when it's missing or damaged."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: missing or damaged ({error}). Restore it, or train a new run.") from error


def settings_text(recipe: Recipe, sources: dict[str, str], notes: list[str]) -> str:
    """config.toml: every key and where its value came from, under `notes`. Where a run is written isn't part of it."""
    head = [f"# Written by unrolled {__version__}. Repeat the run with: unrolled train -c config.toml"]
    settings = to_toml(replace(recipe, out=None, runs="runs", resume=None), sources)
    return "\n".join([*head, *(f"# {note}" for note in notes), "", settings])


def sources_of(path: Path) -> dict[str, str]:
    """The source of each value as `settings_text` wrote it: a config.toml that is renewed keeps them."""
    found: dict[str, str] = {}
    table = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"\[([\w.]+)\]", line):
            table = f"{heading[1]}."
        elif entry := re.fullmatch(r"(\w+) = .*  # (.+)", line):
            found[table + entry[1]] = entry[2]
    return found


def command_of(recipe: Recipe) -> str:
    """The command that repeats this recipe: only what differs from the defaults."""
    words = []
    for key, value in differing(recipe).items():
        if key not in ("runs", "out"):
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(shlex.quote(f"{key}={shown.lower() if isinstance(value, bool) else shown}"))
    return " ".join(["unrolled train", *words])
