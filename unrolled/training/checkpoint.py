"""Checkpoints that a crash, a full disk or a flipped bit can't turn into a wrong result.

Written as `.tmp-<pid>-step-N/`: each file fsynced, `manifest.json` (SHA-256 and size of every file) last, then
one rename and an fsync of the parent. *Latest* is derived, never a pointer: the highest step whose manifest
holds. Only safetensors and JSON; nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from unrolled import durable
from unrolled.errors import RunFailed
from unrolled.model.weights import packed

FORMAT = 1
Say = Callable[[str], None]


class Corrupt(RunFailed):
    """A checkpoint whose files aren't what its manifest says; the message names the file."""


@dataclass
class Checkpoint:
    """Everything a run needs to go on exactly: named tensors by file, and plain numbers."""

    step: int
    tensors: dict[str, dict[str, Tensor]]  # "weights", "optimizer", "average", "carried"
    progress: dict[str, Any]


def name_of(step: int) -> str:
    """`step-000500`."""
    return f"step-{step:06d}"


def save(root: Path, checkpoint: Checkpoint) -> Path:
    """Writes one checkpoint under `root` (`RUN/checkpoints`) and returns its folder. Raises RunFailed on a full disk."""
    folder = root / name_of(checkpoint.step)
    temporary = root / f".tmp-{os.getpid()}-{folder.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    with durable.disk(
        folder, "Free some space; the checkpoint before this one is whole, and the run goes on from it."
    ):
        try:
            temporary.mkdir(parents=True)
            files = {f"{name}.safetensors": packed(tensors) for name, tensors in checkpoint.tensors.items()}
            files["progress.json"] = _json(checkpoint.progress)
            for name, content in files.items():
                durable.write(temporary / name, content)
            manifest = {
                "format": FORMAT,
                "step": checkpoint.step,
                "files": {
                    n: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for n, c in files.items()
                },
            }
            durable.write(temporary / "manifest.json", _json(manifest))
            durable.sync_folder(temporary)
            # This step again: a resumed run was stopped before its first step, or a bit flipped.
            if folder.exists():
                if _holds(folder, manifest):
                    shutil.rmtree(temporary)
                    return folder
                folder.rename(root / f".tmp-{os.getpid()}-replaced-{folder.name}")
            temporary.rename(folder)
            durable.sync_folder(root)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    shutil.rmtree(root / f".tmp-{os.getpid()}-replaced-{folder.name}", ignore_errors=True)
    return folder


def _holds(folder: Path, manifest: dict[str, Any]) -> bool:
    try:
        verify(folder)
    except Corrupt:
        return False
    return bool(json.loads((folder / "manifest.json").read_bytes()) == manifest)


def verify(folder: Path) -> None:
    """Raises Corrupt, naming the file, unless every file is what the manifest says."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        expected = {str(name): (str(f["sha256"]), int(f["bytes"])) for name, f in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(
            f"{folder / 'manifest.json'}: can't be read ({error or type(error).__name__})."
        ) from error
    if manifest.get("format") != FORMAT:
        raise Corrupt(f"{folder}: checkpoint format {manifest.get('format')}; this version reads {FORMAT}.")
    for name, (digest, size) in expected.items():
        path = folder / name
        if not path.is_file():
            raise Corrupt(f"{path}: missing.")
        if path.stat().st_size != size:
            raise Corrupt(f"{path}: {path.stat().st_size} bytes instead of {size}.")
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise Corrupt(
                    f"{path}: its SHA-256 isn't the one in manifest.json (a flipped bit, or an edit)."
                )


def load(folder: Path) -> Checkpoint:
    """Reads one checkpoint after verifying it. Raises Corrupt."""
    verify(folder)
    files = json.loads((folder / "manifest.json").read_bytes())["files"]
    tensors = {n.removesuffix(".safetensors"): n for n in files if n.endswith(".safetensors")}
    return Checkpoint(
        step_of(folder),
        {name: safetensors.torch.load_file(folder / file) for name, file in tensors.items()},
        json.loads((folder / "progress.json").read_bytes()),
    )


def step_of(folder: Path) -> int:
    """500 of `step-000500`."""
    return int(folder.name.removeprefix("step-"))


def folders(root: Path) -> list[Path]:
    """The checkpoint folders under `root`, oldest step first, verified or not."""
    found = [p for p in root.glob("step-*") if p.is_dir() and p.name.removeprefix("step-").isdigit()]
    return sorted(found, key=step_of)


def latest(root: Path, say: Say, until: int | None = None) -> Checkpoint | None:
    """The highest step (of at most `until`) that verifies; each corrupt one on the way is named aloud."""
    for folder in reversed(folders(root)):
        if until is not None and step_of(folder) > until:
            continue
        try:
            return load(folder)
        except Corrupt as error:
            say(f"{error} Falling back to the checkpoint before it.")
    return None


def drop_after(root: Path, step: int) -> None:
    """Deletes the checkpoints of later steps, newest first: killed on the way, what is left is a run one can resume."""
    for folder in reversed(folders(root)):
        if step_of(folder) > step:
            _delete(folder)
    durable.sync_folder(root)


def prune(root: Path, keep: int, protect: Collection[int]) -> None:
    """Deletes all but the newest `keep` (at least two) and the protected steps. Call it after a durable save."""
    for folder in folders(root)[: -max(keep, 2)]:
        if step_of(folder) not in protect:
            _delete(folder)


def _delete(folder: Path) -> None:
    doomed = folder.with_name(f".tmp-{os.getpid()}-old-{folder.name}")
    folder.rename(doomed)  # a half-deleted folder must not look like a corrupt checkpoint
    shutil.rmtree(doomed, ignore_errors=True)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
