"""The page's own files, as they were built, and the headers that keep everything else out of it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unrolled.errors import RunFailed

BUILT = Path(__file__).parent / "built"
FILES = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/app.css": ("app.css", "text/css"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@lru_cache
def content(name: str) -> bytes:
    """A file of the built page. Raises RunFailed where it is missing."""
    try:
        return (BUILT / name).read_bytes()
    except OSError as error:
        raise RunFailed(
            f"{BUILT / name}: the page isn't built ({error.strerror}). Install unrolled anew; in a checkout: "
            "cd page && npm ci && npm run build"
        ) from error


def check() -> None:
    """Raises RunFailed where a file of the page is missing."""
    for name, _ in FILES.values():
        content(name)


async def file(path: str) -> Response:
    """One of the page's files."""
    name, kind = FILES[path]
    return Response(content(name), media_type=kind)


class Sealed:
    """Sets `HEADERS` on every reply: scripts and styles from here only, no frame, no cache, nothing sent elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, sealed)
