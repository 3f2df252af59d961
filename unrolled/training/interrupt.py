"""Ctrl-C and SIGTERM: the first finishes the step and saves, the second stops now."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from unrolled.errors import UnrolledError


class Interrupted(UnrolledError):
    """The user (exit code 130) or the system (SIGTERM, 143) asked the run to stop; it was saved."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class Interrupts:
    """Within the block, the first SIGINT or SIGTERM only sets `asked`; the second raises Interrupted at once.

    Signals reach the main thread alone; in another thread the block changes nothing.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None:
            raise Interrupted("stopped at once; what was saved before is whole.", number)
        self.asked = number
