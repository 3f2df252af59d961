"""The gate: the matrix of hostile requests is made from the route table, so that no route can be forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import Route, WebSocketRoute
from tiny_models import writer_of

from unrolled.errors import UserError
from unrolled.serving.app import guarded
from unrolled.serving.gate import OPEN, Gate, guarded_address, loopback
from unrolled.serving.limits import Limits
from unrolled.serving.served import Served

TOKEN = "0123456789abcdef0123"
GOOD = [(b"host", b"127.0.0.1:8000"), (b"authorization", b"Bearer " + TOKEN.encode())]


@pytest.fixture(scope="module")
def gate() -> Gate:
    served = Served({"tiny": writer_of("gru")}, Limits(body=2_000))
    return guarded(
        served, port=8000, hosts=("models.example.org",), origins=("https://page.example.org",), token=TOKEN
    ).app


def routes(gate: Gate) -> Iterator[tuple[str, str, str]]:
    """(type, method, path) of every route, documented or not, and of one that doesn't exist."""
    for route in flat(gate.app.routes):  # type: ignore[attr-defined]
        path = route.path.replace("{model}", "tiny")
        if isinstance(route, WebSocketRoute):
            yield "websocket", "GET", path
        elif isinstance(route, Route):
            for method in sorted(route.methods or ()):
                yield "http", method, path
    yield "http", "GET", "/../../etc/passwd"
    yield "websocket", "GET", "/nowhere"


def flat(found: Any) -> Iterator[Any]:
    for route in found:
        yield route
        yield from flat(getattr(route, "routes", ()) or ())


def call(
    gate: Any,
    kind: str,
    method: str,
    path: str,
    headers: list[tuple[bytes, bytes]],
    body: list[bytes] | None = None,
) -> list[dict[str, Any]]:
    """What an ASGI application sends for one request."""
    sent: list[dict[str, Any]] = []
    chunks = list(body or [b""])

    async def receive() -> dict[str, Any]:
        if kind == "websocket":
            return {"type": "websocket.connect"}
        if not chunks:
            return {"type": "http.disconnect"}
        part = chunks.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": kind, "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers,
        "scheme": "http", "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 9), "http_version": "1.1", "asgi": {},
        "root_path": "", "subprotocols": [],
    }  # fmt: skip
    asyncio.run(gate(scope, receive, send))
    return sent


HOSTILE: list[tuple[str, int, list[tuple[bytes, bytes]]]] = [
    ("no host", 421, [GOOD[1]]),
    ("another host", 421, [(b"host", b"evil.example.org"), GOOD[1]]),
    ("rebound host", 421, [(b"host", b"127.0.0.1.evil.example.org:8000"), GOOD[1]]),
    ("another port", 421, [(b"host", b"127.0.0.1:9000"), GOOD[1]]),
    ("two hosts", 421, [(b"host", b"127.0.0.1:8000"), (b"host", b"evil.example.org"), GOOD[1]]),
    ("user in host", 421, [(b"host", b"x@127.0.0.1:8000"), GOOD[1]]),
    ("another origin", 403, [*GOOD, (b"origin", b"https://evil.example.org")]),
    ("no origin", 403, [*GOOD, (b"origin", b"null")]),
    ("empty origin", 403, [*GOOD, (b"origin", b"")]),
    ("longer origin", 403, [*GOOD, (b"origin", b"https://page.example.org.evil.org")]),
    ("origin of another port", 403, [*GOOD, (b"origin", b"http://127.0.0.1:8001")]),
    ("two origins", 403, [*GOOD, (b"origin", b"http://127.0.0.1:8000"), (b"origin", b"https://evil.org")]),
    ("no token", 401, [GOOD[0]]),
    ("wrong token", 401, [GOOD[0], (b"authorization", b"Bearer " + TOKEN[:-1].encode() + b"4")]),
    ("shorter token", 401, [GOOD[0], (b"authorization", b"Bearer " + TOKEN[:-1].encode())]),
    ("longer token", 401, [GOOD[0], (b"authorization", b"Bearer " + TOKEN.encode() + b"0")]),
    ("empty token", 401, [GOOD[0], (b"authorization", b"Bearer ")]),
    ("another scheme", 401, [GOOD[0], (b"authorization", b"Basic " + TOKEN.encode())]),
    ("two tokens", 401, [*GOOD, GOOD[1]]),
    ("token of no ASCII", 401, [GOOD[0], (b"authorization", "Bearer ключ".encode())]),
    ("the page of another port", 403, [*GOOD, (b"origin", b"http://localhost")]),
    ("many headers", 431, [*GOOD, *[(b"x-%d" % n, b"y") for n in range(100)]]),
    ("long header", 431, [*GOOD, (b"cookie", b"x" * 20_000)]),
    ("large body", 413, [*GOOD, (b"content-length", b"2001")]),
    ("no length", 400, [*GOOD, (b"content-length", b"-1")]),
    ("two lengths", 400, [*GOOD, (b"content-length", b"1"), (b"content-length", b"2")]),
]


def test_every_route_refuses_what_is_hostile(gate: Gate) -> None:
    found = list(routes(gate))
    assert {"/v1/completions", "/v1/predict", "/v1/stream", "/metrics", "/openapi.json"} <= {
        p for _, _, p in found
    }
    for kind, method, path in found:
        for name, status, headers in HOSTILE:
            if status == 401 and path in OPEN:
                continue
            sent = call(gate, kind, method, path, headers)
            if kind == "websocket":
                assert [m["type"] for m in sent] == ["websocket.close"], (path, name)  # before it is accepted
            else:
                assert sent[0]["status"] == status, (method, path, name)
                assert json.loads(sent[1]["body"])["error"]["message"], (method, path, name)


@pytest.mark.parametrize(
    "origin", [None, b"http://127.0.0.1:8000", b"http://localhost:8000", b"https://page.example.org"]
)
@pytest.mark.parametrize("host", [b"127.0.0.1:8000", b"LOCALHOST:8000", b"[::1]:8000", b"models.example.org"])
def test_what_is_allowed_passes(gate: Gate, host: bytes, origin: bytes | None) -> None:
    headers = [(b"host", host), GOOD[1], *([(b"origin", origin)] if origin else [])]
    assert call(gate, "http", "GET", "/v1/models", headers)[0]["status"] == 200
    assert call(gate, "http", "GET", "/health", headers[:1])[0]["status"] == 200


def test_an_ipv6_address_is_known_as_browsers_spell_it() -> None:
    gate = Gate(lambda *_: None, port=8000, hosts=("2001:DB8::1",))  # type: ignore[arg-type, return-value]
    for host in (b"[2001:db8::1]:8000", b"[2001:db8::1]"):
        assert gate.refusal({"path": "/", "headers": [(b"host", host)]}) is None


def test_a_body_is_counted_while_it_is_read(gate: Gate) -> None:
    for chunks in ([b"x" * 900] * 3, [b"x" * 2_001]):  # no length is promised
        sent = call(
            gate, "http", "POST", "/v1/completions", [*GOOD, (b"content-type", b"application/json")], chunks
        )
        assert sent[0]["status"] == 413
    fits = json.dumps({"model": "none"}).encode()
    sent = call(
        gate, "http", "POST", "/v1/completions", [*GOOD, (b"content-type", b"application/json")], [fits]
    )
    assert sent[0]["status"] == 404


def test_a_body_may_not_come_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part in time, and the whole of it never: it would hold its room for others."""
    served = Served({"tiny": writer_of("gru")}, Limits(timeout=1))
    slow, sent = guarded(served, port=8000).app, []
    body = [b" "] * 1000

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": body.pop(), "more_body": bool(body)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "raw_path": b"/v1/predict", "query_string": b"",
             "headers": [GOOD[0], (b"content-type", b"application/json")], "scheme": "http",
             "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 9), "http_version": "1.1", "root_path": ""}  # fmt: skip
    asyncio.run(slow(scope, receive, send))
    assert sent[0]["status"] == 408 and body and served.holding.held == 0


def test_others_only_with_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(UserError, match="no token"):
            guarded_address(host, None)
        guarded_address(host, TOKEN)
    for host in ("127.0.0.1", "localhost", "::1", "[::1]", "127.3.2.1"):
        assert loopback(host)
        guarded_address(host, None)
    for token in ("short", "ключключключключключ", "with\nnewline-and-more-of-it"):
        with pytest.raises(UserError, match="token"):
            guarded_address("127.0.0.1", token)
