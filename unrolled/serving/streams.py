"""The WebSocket route: push steps, get the answer after each.

A client sends {"push": value}, a raw value as the run's data have it; {"ids": [...]}, token ids; {"piece": value}, a part
of one sound as it comes, and {"end": true} behind its last; {"reset": true}; {"close": true}. It gets {"type": "session",
"id": ...} first, which the opening's reply says too, as X-Session; then for each step {"type": "answer", "step": n,
"answer": {...}} and {"type": "pushed", "steps": k} once a push is through, or {"type": "error", "error": {...}}. A session
that nothing comes for in `ttl` seconds, or whose push isn't answered and read in `timeout` seconds, is closed with 4408.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from unrolled.datasets.spelling import BOUNDARY
from unrolled.serving.faults import Refused, body_of, invalid, refusal_of
from unrolled.serving.holding import PARSED, Share
from unrolled.serving.inbox import first_of
from unrolled.serving.raw import followed, following, ids_of, pushed
from unrolled.serving.served import Served
from unrolled.serving.sessions import Open, step_told

CLOSE = 4000  # + status: the close code of a refusal once the connection is open
GONE = (
    WebSocketDisconnect,
    RuntimeError,
    OSError,
)  # what sending to a client that has gone, or doesn't read, raises
GOODBYE = 5  # seconds for a refusal to be sent: its reader may be the reason for it
T = TypeVar("T")
KEYS = ("push", "ids", "piece", "end", "reset", "close")
FLAGS = ("end", "reset", "close")  # said with true


async def stream(socket: WebSocket, served: Served) -> None:
    """One connection, from its opening to its end."""
    try:
        one = _opened(served, socket.query_params.get("model"), socket.query_params.get("session"))
    except Exception as error:
        await socket.accept()
        return await _refuse(socket, refusal_of(error))
    closing = False
    try:
        await socket.accept(headers=[(b"x-session", one.id.encode())])  # a balancer pins the session by it
        await _send(socket, 
            {"type": "session", "id": one.id, "model": one.model, "steps": one.seat.steps, "ttl": served.limits.ttl}
        )  # fmt: skip
        while not closing:
            closing = await _message(socket, served, one)
        await _send(socket, {"type": "closed", "steps": one.seat.steps})
        await socket.close()
    except Refused as refused:
        closing = True
        await _refuse(socket, refused)
    except GONE:
        pass  # the client has gone: the session may be resumed
    finally:
        if closing or one.inbox.dropped.is_set():
            one.engine.counters.dropped += not closing
            served.sessions.close(one)
        else:
            served.sessions.part(one)


def _opened(served: Served, model: str | None, session: str | None) -> Open:
    if model is None and session is None and len(served.engines) > 1:
        raise Refused(422, f"say which: ?model= one of {', '.join(served.engines)}", "model")
    if session is not None:
        one = served.sessions.resume(session, model)
        try:
            served.engine(one.model)
        except Refused:
            served.sessions.part(one)
            raise
        return one
    name = next(iter(served.engines)) if model is None else model
    served.engine(name)
    return served.sessions.begin(name)


async def _message(socket: WebSocket, served: Served, one: Open) -> bool:
    """Waits for one message and answers it -> whether it closes the session. Raises Refused where either takes too long."""
    received = await _within(
        served.limits.ttl, socket.receive(), "nothing came for {} s: the session is closed"
    )
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code", 1006))
    with served.holding.share() as share:
        answered = _answered(socket, served, one, received.get("text"), share)
        over = "not answered and read in {} s: the session is closed"
        return await _within(served.limits.timeout, answered, over)


async def _within(seconds: float, work: Awaitable[T], over: str) -> T:
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError:
        raise Refused(408, over.format(f"{seconds:g}"), code="timeout") from None


async def _answered(socket: WebSocket, served: Served, one: Open, text: str | None, share: Share) -> bool:
    try:
        share.take(PARSED * len(text or ""))
        asked = _parsed(text, served)
        if "close" in asked:
            return True
        if "reset" in asked:
            one.engine.forget(one.seat)
            one.begun, one.fed, one.sound = False, 0, None
            await _send(socket, {"type": "reset"})
            return False
        steps = _steps(asked, served, one, share)
        if steps:  # a piece of sound may complete no step yet
            one.engine.feed(one.seat, steps)
        one.begun, one.fed = True, one.fed + len(steps)
    except Exception as error:
        await _send(socket, {"type": "error", **_fault(refusal_of(error))})
        return False
    await _answers(socket, one, len(steps))
    return False


def _parsed(text: str | None, served: Served) -> dict[str, Any]:
    if text is None:
        raise invalid("message", "expected JSON text, got bytes")
    if len(text) > served.limits.body:
        raise Refused(413, f"the message has more than {served.limits.body} characters")
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused(400, "the message is no JSON", code="invalid_json") from None
    if not isinstance(asked, dict) or len(asked) != 1 or next(iter(asked)) not in KEYS:
        got = (
            next((key for key in asked if key not in KEYS), "message")
            if isinstance(asked, dict)
            else "message"
        )
        raise invalid(str(got)[:80], f"expected an object with one of {', '.join(KEYS)}")
    if any(asked.get(flag, True) is not True for flag in FLAGS):
        raise invalid(next(iter(asked)), "expected true")
    return asked


def _steps(asked: dict[str, Any], served: Served, one: Open, share: Share) -> list[Any]:
    model, least, steps = one.engine.model, 1, list[Any]()
    if "piece" in asked or "end" in asked:
        one.sound = one.sound or following(model.task)
        steps, least = followed(model.task, one.sound, asked, one.engine.limits, share.take), 0
        one.sound = None if "end" in asked else one.sound
    elif "ids" in asked:
        vocabulary = getattr(model.embedder, "vocabulary", None)
        if vocabulary is None:
            raise invalid("ids", "this model reads no tokens: use push")
        steps = ids_of(vocabulary, asked["ids"], "ids")
    else:
        steps = pushed(model.task, asked["push"], "push", one.engine.limits, share.take)
        if model.task.kind == "generate" and not one.begun:
            steps = [BOUNDARY, *steps]
    if not least <= len(steps) <= served.limits.prompt:
        raise invalid(next(iter(asked)), f"{len(steps)} steps; expected {least} to {served.limits.prompt}")
    return steps


async def _answers(socket: WebSocket, one: Open, steps: int) -> None:
    """Sends the answers of a push; a client that doesn't read them is dropped."""

    async def sending() -> None:
        done = not steps
        while not done:  # what an earlier connection hadn't heard comes first
            for told in await one.inbox.next():
                await _send(socket, step_told(told))
                done = told["step"] == one.fed
        await _send(socket, {"type": "pushed", "steps": steps})

    await first_of(sending(), one.inbox.dropped.wait())
    if one.inbox.dropped.is_set():
        raise WebSocketDisconnect(1008)


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    """One message, in ASCII: JSON's escapes can say half a character, which a message may quote, and UTF-8 can't."""
    await socket.send_text(json.dumps(message))


async def _refuse(socket: WebSocket, refused: Refused) -> None:
    """Says why, and closes."""
    with suppress(*GONE):
        async with asyncio.timeout(GOODBYE):
            await _send(socket, {"type": "error", **_fault(refused)})
            await socket.close(CLOSE + refused.status)


def _fault(refused: Refused) -> dict[str, Any]:
    return body_of(refused.status, refused.message, refused.param, refused.code)
