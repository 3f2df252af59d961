"""Files that are either whole or not there: written, fsynced, then renamed into place."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unrolled.errors import RunFailed


def write(path: Path, content: bytes) -> None:
    """Writes and fsyncs one file; not atomic by itself, so only for files inside a temporary folder."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes renames inside `folder` survive a power cut. Windows can't open folders, and needn't."""
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def replace(path: Path, content: bytes) -> None:
    """One file, whole or as it was before."""
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        write(temporary, content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sweep(folder: Path, dead_only: bool = False, named: str = ".tmp-*") -> None:
    """Removes what a killed process left half-written in `folder`, not in folders below. named: a pattern of names, where
    others keep files of theirs.

    Under a run's lock all of it is left over. Where several processes write (`dead_only`), what belongs to a process
    that is alive stays.
    """
    for leftover in folder.glob(named):
        owner = leftover.name.split("-")[1]
        if dead_only and owner.isdigit() and _alive(int(owner)):
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    """Whether there is such a process. On Windows, where asking would end it, always."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def disk(path: Path, advice: str) -> Iterator[None]:
    """Turns a full or broken disk inside the block into RunFailed, with what was lost (nothing) and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            why = f"no space left ({free_space(path)} free)"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            why = str(error.strerror).lower()
            place = next((p for p in path.absolute().parents if p.exists()), path)
            advice = f"Name a place that this user may write to, or change the permissions of {place}."
        elif error.errno == errno.EIO:
            why = str(error.strerror).lower()
        else:
            raise
        raise RunFailed(f"{path}: can't write: {why}. Nothing half-written was left. {advice}") from error


def free_space(path: Path) -> str:
    """`1.2 GB`, of the disk that `path` is or would be on."""
    existing = next((p for p in (path, *path.parents) if p.exists()), Path("."))
    return f"{shutil.disk_usage(existing).free / 1e9:.1f} GB"
