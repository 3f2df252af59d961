"""Whether a run trains right now, how to stop it as Ctrl-C does, and how to let it go on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from unrolled.errors import UserError

try:
    import fcntl

    LOCKS = True
except ImportError:  # Windows: whether a run is being written can't be told, so nothing is ever signalled
    LOCKS = False

SAID = 2_000  # characters of what a failed start said


def running(folder: Path) -> int | None:
    """The process that writes to this run folder; None where there is none.

    The file .lock names it, but only the lock itself proves it: the system frees that however the process ends.
    """
    if not LOCKS:
        return None
    try:
        with open(folder / ".lock", "rb") as file:
            found = re.fullmatch(r"pid (\d{1,9})", file.read(32).decode("ascii", "replace").strip())
            if found is None or not _alive(int(found[1])):
                return None
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(found[1])
    except OSError:
        pass
    return None


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return process > 1


def _holds(process: int, folder: Path) -> bool:
    """Whether the process has the run's lock open, where the system tells (Linux): a file may name any process."""
    opened = Path(f"/proc/{process}/fd")
    if not Path("/proc/self/fd").is_dir():
        return True
    lock = os.path.realpath(folder / ".lock")
    try:
        return any(os.path.realpath(opened / one) == lock for one in os.listdir(opened))
    except OSError:
        return False


def stop(folder: Path, name: str) -> int:
    """Asks the process that trains this run to finish its step, save and end -> its number. What Ctrl-C does there; in a
    comparison, to all of it. Raises UserError where none trains it.
    """
    process = running(folder)
    if process is None or not _holds(process, folder):
        raise UserError(f"{name}: nothing trains it now, so there is nothing to stop.")
    try:
        os.kill(process, signal.SIGINT)
    except OSError as error:
        raise UserError(
            f"{name}: process {process} can't be stopped from here ({error.strerror})."
        ) from error
    return process


BUDGET = re.compile(r"\+\d{1,6}(\.\d{1,3})?(s|m|h|steps|Mtok|ktok|flops)")


class Resumed:
    """Trainings that this page began. They outlive it."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._begun: dict[str, tuple[subprocess.Popen[bytes], Any]] = {}

    def resume(self, folder: Path, name: str, budget: str | None) -> None:
        """Begins `unrolled train resume=...` in a process of its own. budget: more of it, as `+5m`. Raises UserError for
        a run that trains already, and for a budget that isn't one.
        """
        if running(folder) is not None:
            raise UserError(f"{name}: it trains already.")
        if budget is not None and BUDGET.fullmatch(budget) is None:
            raise UserError(f"budget={budget[:40]!r}: expected more of it, as +5m, +90s or +2000steps.")
        more = [] if budget is None else [f"budget={budget}"]
        command = [sys.executable, "-m", "unrolled", "train", f"resume={folder.resolve()}", *more]
        said: Any = tempfile.TemporaryFile()  # noqa: SIM115 - read once the process has ended
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
        )
        self._begun[name] = (process, said)

    def failed(self, name: str) -> str | None:
        """What a training that was begun here said when it failed, once; None while there is no such thing."""
        if name not in self._begun:
            return None
        process, said = self._begun[name]
        if process.poll() is None:
            return None
        del self._begun[name]
        with said:
            said.seek(0)
            text = said.read().decode("utf-8", "replace")
        return None if process.returncode in (0, 130, 143) else str(text[-SAID:])
