"""Sessions: streams whose state stays on the server between messages, and between connections."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unrolled.datasets.stacked import Followed
from unrolled.serving.engine import Engine
from unrolled.serving.faults import Refused
from unrolled.serving.inbox import Inbox
from unrolled.serving.limits import Limits
from unrolled.serving.seats import Session

BYTES = 16  # of an id: 128 bits, as many as can't be guessed


@dataclass
class Open:
    """One session. `begun`: whether a text's first step, the boundary, was read. `fed`: steps pushed since. `sound`: of
    one that comes in pieces, what is held back.
    """

    id: str
    model: str
    engine: Engine
    seat: Session
    inbox: Inbox
    connected: bool = True
    begun: bool = False
    fed: int = 0
    sound: Followed | None = None
    used: float = field(default_factory=time.monotonic)


class Sessions:
    """All that are open, by id. One that isn't connected is forgotten after `ttl` seconds; a connection that brings nothing
    for so long ends its session itself.
    """

    def __init__(self, engines: Mapping[str, Engine], limits: Limits) -> None:
        self._engines, self._limits = engines, limits
        self._open: dict[str, Open] = {}

    def count(self, model: str) -> int:
        """How many a model has."""
        return sum(one.model == model for one in self._open.values())

    def begin(self, model: str) -> Open:
        """A new one. Raises Refused for a model that can't stream, and where there are too many."""
        engine = self._engines[model]
        if not engine.streams:
            raise Refused(422, cannot_stream(engine), "model", "cannot_stream")
        if self.count(model) >= self._limits.sessions:
            raise Refused(429, f"{self._limits.sessions} sessions are open. Close one.", code="busy")
        inbox = Inbox(self._limits.buffer)
        one = Open(secrets.token_hex(BYTES), model, engine, Session(inbox.tell), inbox)
        self._open[one.id] = one
        return one

    def resume(self, id: str, model: str | None) -> Open:
        """One that is open and not connected. Raises Refused for others, and for another model's."""
        one = self._open.get(id)
        if one is None:
            raise Refused(404, "no session has this id: it was closed, or not used for too long", "session")
        if model is not None and model != one.model:
            raise Refused(422, f"this session is of {one.model}, not of {model[:80]}", "session")
        if one.connected:
            raise Refused(409, "this session is connected already", "session")
        one.connected, one.inbox = True, Inbox(self._limits.buffer)
        one.seat.tell = one.inbox.tell
        return one

    def part(self, one: Open) -> None:
        """Its connection has ended; it may be resumed."""
        one.connected, one.used = False, time.monotonic()

    def close(self, one: Open) -> None:
        """It is over: its row is free."""
        self._open.pop(one.id, None)
        one.engine.leave(one.seat)

    def expire(self) -> None:
        """Closes those that nobody has been connected to for too long."""
        before = time.monotonic() - self._limits.ttl
        for one in [o for o in self._open.values() if not o.connected and o.used < before]:
            self.close(one)

    async def sweep(self) -> None:
        """Looks for them, for ever."""
        while True:
            await asyncio.sleep(min(5.0, self._limits.ttl / 4))
            self.expire()


def cannot_stream(engine: Engine) -> str:
    """Why, in the words of the mixer itself."""
    try:
        engine.model.start(1)
    except Exception as error:
        return str(error)
    return "this model cannot stream: it is conditioned on a source."


def step_told(told: Any) -> dict[str, Any]:
    """What the engine tells a session, as the message that is sent. Raises Refused for its failure."""
    if not isinstance(told, dict):
        raise Refused(500, told.error or "the model failed", code="internal")
    return {"type": "answer", **told}
