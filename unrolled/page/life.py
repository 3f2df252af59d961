"""Whether a run trains right now, how to stop it as Ctrl-C does, and how to let it go on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from unrolled.errors import UserError
from unrolled.page.regular import regular

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
        with regular(folder / ".lock") as file:
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


class Stops:
    """Processes that were asked to stop. A second SIGINT means to stop at once, without saving: it is never sent."""

    def __init__(self) -> None:
        self._asked: dict[int, tuple[Path, int]] = {}  # a process, by the lock that it held then
        self._lock = threading.Lock()

    def stop(self, folder: Path, name: str) -> int:
        """Asks the process that trains this run to finish its step, save and end -> its number. What Ctrl-C does there; in
        a comparison, to all of it. Only answers where that was asked before. Raises UserError where none trains it.
        """
        with self._lock:
            process = running(folder)
            if process is None or not _holds(process, folder):
                raise UserError(f"{name}: nothing trains it now, so there is nothing to stop.")
            if not self._heard(process):
                try:
                    os.kill(process, signal.SIGINT)
                except OSError as error:
                    raise UserError(
                        f"{name}: process {process} can't be stopped from here ({error.strerror})."
                    ) from error
                self._asked[process] = (folder, _written(folder))
            return process

    def _heard(self, process: int) -> bool:
        """Whether it was asked, and still holds that lock: a notebook's process may train one run after another."""
        if process not in self._asked:
            return False
        folder, written = self._asked[process]
        return running(folder) == process and _written(folder) == written


def _written(folder: Path) -> int:
    """When the lock was taken, in nanoseconds: its holder then writes its number into it. 0 where there is none."""
    try:
        return (folder / ".lock").stat().st_mtime_ns
    except OSError:
        return 0


BUDGET = re.compile(r"\+\d{1,6}(\.\d{1,3})?(s|m|h|steps|Mtok|ktok|flops)")


class Resumed:
    """Trainings that this page began. They outlive it."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[subprocess.Popen[bytes], Any]] = {}
        self._lock = threading.Lock()

    def resume(self, folder: Path, name: str, budget: str | None) -> None:
        """Begins `unrolled train resume=...` in a process of its own. budget: more of it, as `+5m`. Raises UserError for
        a run that trains already or was let go on here by a process that hasn't ended, and for a budget that isn't one.
        """
        if budget is not None and BUDGET.fullmatch(budget) is None:
            raise UserError(f"budget={budget[:40]!r}: expected more of it, as +5m, +90s or +2000steps.")
        more = [] if budget is None else [f"budget={budget}"]
        command = [sys.executable, "-m", "unrolled", "train", f"resume={folder.resolve()}", *more]
        with self._lock:  # a child takes its lock only once it is up, and that of a finished run never
            if running(folder) is not None:
                raise UserError(f"{name}: it trains already.")
            if name in self._begun:
                begun, heard = self._begun[name]
                if begun.poll() is None:
                    raise UserError(f"{name}: process {begun.pid} goes on with it already.")
                heard.close()
            said: Any = tempfile.TemporaryFile()  # noqa: SIM115 - read once the process has ended
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
            self._begun[name] = (process, said)

    def failed(self, name: str) -> str | None:
        """What a training that was begun here said when it failed, once; None while there is no such thing."""
        with self._lock:
            if name not in self._begun or self._begun[name][0].poll() is None:
                return None
            process, said = self._begun.pop(name)
        with said:
            said.seek(0)
            text = said.read().decode("utf-8", "replace")
        return None if process.returncode in (0, 130, 143) else str(text[-SAID:])
