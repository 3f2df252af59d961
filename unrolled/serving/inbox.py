"""What an engine tells one client, until it is sent: bounded, and left when the client goes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from unrolled.serving.faults import Refused

T = TypeVar("T")
GONE = 499  # what nobody reads any more


class Inbox:
    """`tell` is called on the event loop; `slow` once more than `most` messages wait to be sent."""

    def __init__(self, most: int, slow: Callable[[], None] = lambda: None) -> None:
        self.most, self.slow = most, slow
        self.dropped = asyncio.Event()
        self._held: deque[Any] = deque()
        self._some = asyncio.Event()

    def tell(self, what: Any) -> None:
        """One more message."""
        if self.dropped.is_set():
            return
        if len(self._held) >= self.most:
            self._held.clear()
            self.dropped.set()
            self.slow()
        else:
            self._held.append(what)
        self._some.set()

    async def next(self) -> list[Any]:
        """All that waits, at least one message. Raises Refused once the reader was dropped."""
        while not self._held:
            if self.dropped.is_set():
                raise Refused(GONE, "dropped: it read too slowly", code="slow_reader")
            self._some.clear()
            await self._some.wait()
        found = list(self._held)
        self._held.clear()
        return found


class Events(Response):
    """A stream of server-sent events; `left` is called when it ends in whatever way. It ends, said or not, once the client
    goes, once `dropped` is set, or after `seconds`.
    """

    def __init__(
        self, events: AsyncIterator[str], dropped: asyncio.Event, left: Callable[[], None], seconds: float
    ) -> None:
        super().__init__(headers={"cache-control": "no-store"}, media_type="text/event-stream")
        del self.headers["content-length"]
        self._events, self._dropped, self._left, self._seconds = events, dropped, left, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ended = asyncio.wait_for(self._dropped.wait(), self._seconds)
        try:
            await first_of(self._sent(send), ended, gone(receive))
        except TimeoutError:
            pass
        finally:
            self._left()

    async def _sent(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for text in self._events:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def gone(receive: Receive) -> None:
    """Returns once the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def first_of(work: Coroutine[Any, Any, T], *others: Coroutine[Any, Any, Any]) -> T | None:
    """Runs all until one ends -> what `work` returned, None where another was first. Those left are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in (work, *others)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def while_there(request: Request, work: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What `work` returns. Raises Refused once the client has gone, or the time is over."""

    async def timed() -> tuple[T]:
        return (await asyncio.wait_for(work(), seconds),)

    try:
        done = await first_of(timed(), gone(request.receive))
    except TimeoutError:
        raise Refused(504, f"not done within {seconds:g} s", code="timeout") from None
    if done is None:
        raise Refused(GONE, "the client has gone")
    return done[0]
