"""The gate: one ASGI middleware before every route, HTTP and WebSocket alike.

A page of the open web can make a browser talk to 127.0.0.1. So a request must name a host that is allowed (DNS
rebinding: Jackson et al. 2007, sec. 4), an Origin, where there is one, must be this very server or be allowed by name,
and where a token is set it must be shown. Bodies are counted as they are read.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from unrolled.errors import UserError
from unrolled.serving.holding import PARSED, SHARE, Holding
from unrolled.serving.limits import Limits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HEADERS = 64  # of one request
HEADER_BYTES = 16_384  # of all of them together
OPEN = ("/health", "/ready")  # what an orchestrator asks has no token; it tells nothing but yes or no
SEE = ("hosts= of unrolled serve", "origins= of unrolled serve")
SLOWEST = 30  # seconds without a part of the body; the whole of it may take as long as a request
POLICY = 1008  # the WebSocket's close code of a refusal


def guarded_address(host: str, token: str | None) -> None:
    """Raises UserError where a server would listen to others without asking for a token."""
    if token is not None and (len(token) < 16 or not token.isascii() or not token.isprintable()):
        raise UserError(
            f"token: {len(token)} characters. Expected at least 16 printable ASCII ones, as those of: openssl rand -hex 16"
        )
    if not loopback(host) and not token:
        raise UserError(
            f"host={host}: others than this machine can reach this address, and there is no token. Set one: "
            "UNROLLED_TOKEN=$(openssl rand -hex 16) unrolled serve ..., or leave host=127.0.0.1."
        )


def loopback(host: str) -> bool:
    """True for an address that only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    """An IPv6 address as a Host header spells it; any other name as it is."""
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


class Gate:
    """Lets through what may pass, answers the rest: 400 malformed, 401 token, 403 origin, 413, 431 size, 421 host."""

    def __init__(
        self, app: App, *, port: int, hosts: Iterable[str] = (), origins: Iterable[str] = (),
        token: str | None = None, limits: Limits | None = None, holding: Holding | None = None,
        free: Iterable[str] = OPEN, see: tuple[str, str] = SEE,
    ) -> None:  # fmt: skip
        limits = limits or Limits()
        self.see = see  # where a host, and where an origin, is allowed
        self.free = frozenset(free)  # paths that need no token: they tell nothing
        self.app, self.body, self.seconds = app, limits.body, limits.timeout
        self.holding = holding or Holding(limits.held)
        self.token = None if token is None else token.encode()
        named = [_bracketed(host.lower()) for host in (*LOOPBACK, *hosts)]
        self.hosts = frozenset(spelled for host in named for spelled in (host, f"{host}:{port}"))
        # without a port a loopback name is the origin of another program's page, on port 80 or 443
        own = self.hosts if port in (80, 443) else self.hosts - {*LOOPBACK}
        self.origins = frozenset(
            [origin.lower() for origin in origins]
            + [f"{scheme}://{host}" for scheme in ("http", "https") for host in own]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] not in ("http", "websocket"):
            return None
        refused = self.refusal(scope)
        if scope["type"] == "websocket":
            if refused is not None:
                await receive()  # the connection's opening
                return await send({"type": "websocket.close", "code": POLICY, "reason": refused[1]})
            return await self.app(scope, receive, send)
        if refused is not None:
            return await answer(send, *refused)
        return await self._counted(scope, receive, send)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason; None for what may pass."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if len(headers) > HEADERS or sum(len(k) + len(v) for k, v in headers) > HEADER_BYTES:
            return 431, f"more than {HEADERS} headers or {HEADER_BYTES} bytes of them"
        if self._one(headers, b"host") not in self.hosts:
            return 421, f"this host name isn't served here: see {self.see[0]}"
        named = any(key == b"origin" for key, _ in headers)
        if named and self._one(headers, b"origin") not in self.origins:
            return 403, f"requests from this origin aren't allowed: see {self.see[1]}"
        if self.token is not None and scope["path"] not in self.free and not self._shown(headers):
            return 401, "no valid token: send the header Authorization: Bearer TOKEN"
        length = [value for key, value in headers if key == b"content-length"]
        if length and (len(length) > 1 or not length[0].isdigit()):
            return 400, "Content-Length is no number"
        if length and (len(length[0]) > 15 or int(length[0]) > self.body):
            return 413, f"the body has more than {self.body} bytes"
        return None

    @staticmethod
    def _one(headers: list[tuple[bytes, bytes]], name: bytes) -> str:
        """The header in small letters; "" where it is missing or stands there twice."""
        found = [value for key, value in headers if key == name]
        return found[0].decode("latin-1").lower() if len(found) == 1 else ""

    def _shown(self, headers: list[tuple[bytes, bytes]]) -> bool:
        found = [value for key, value in headers if key == b"authorization"]
        scheme, _, shown = found[0].partition(b" ") if len(found) == 1 else (b"", b"", b"")
        assert self.token is not None
        return hmac.compare_digest(shown.strip(), self.token) and scheme.lower() == b"bearer"

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; its body is counted while it is read, whatever its headers say."""
        read, whole, begun = 0, False, time.monotonic()

        async def counting() -> Message:
            nonlocal read, whole
            left = min(SLOWEST, max(0.0, begun + self.seconds - time.monotonic()))
            try:
                message = await asyncio.wait_for(receive(), None if whole else left)
            except TimeoutError:
                raise HTTPException(408, "the body came too slowly") from None
            if message["type"] == "http.request":
                whole = not message.get("more_body", False)
                read += len(message.get("body", b""))
                if read > self.body:
                    raise HTTPException(413, f"the body has more than {self.body} bytes")
                share.take(PARSED * len(message.get("body", b"")))
            return message

        with self.holding.share() as share:
            scope[SHARE] = share
            await self.app(scope, counting, send)


async def answer(send: Send, status: int, message: str) -> None:
    """A whole reply in the shape of all our errors."""
    kinds = {401: "authentication_error", 403: "permission_error"}
    body = json.dumps({
        "error": {"message": message, "type": kinds.get(status, "invalid_request_error"), "param": None, "code": None}
    }).encode()  # fmt: skip
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
