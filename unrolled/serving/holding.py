"""Bytes that all requests hold together: bodies as they come in, and what is made of them until it is answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from starlette.exceptions import HTTPException

PARSED = 8  # bytes that JSON takes once it is read, for each of its own: as of a list of numbers of four characters
SHARE = "unrolled.share"  # where a request's scope has its share
Take = Callable[[int], None]


class Holding:
    """Room for `most` bytes. Shares may be taken from on any thread."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0
        self.lock = threading.Lock()

    def share(self) -> Share:
        """A request's own part, empty yet: `with` frees it."""
        return Share(self)


class Share:
    """What one request holds."""

    def __init__(self, holding: Holding) -> None:
        self._holding, self._own = holding, 0

    def take(self, size: int) -> None:
        """So many bytes more. Raises HTTPException: 413 for more than there is at all, 429 for what others hold now."""
        room = self._holding
        with room.lock:
            if self._own + size > room.most:
                raise HTTPException(413, f"what was sent takes more than {room.most} bytes once it is read")
            if room.held + size > room.most:
                says = "too much is being read already. Try again in 1 s."
                raise HTTPException(429, says, {"Retry-After": "1"})
            room.held += size
            self._own += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._holding.lock:
            self._holding.held -= self._own
            self._own = 0
