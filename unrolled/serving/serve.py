"""`serve`: models behind HTTP until the server is told to stop, and then no longer than what runs needs."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Sequence
from types import FrameType

from unrolled.errors import MissingExtra, UserError

try:
    import fastapi  # noqa: F401
    import uvicorn
except ImportError as error:
    raise MissingExtra(error.name or "fastapi", "serve", "unrolled serve") from None

from unrolled.serving.app import guarded
from unrolled.serving.example import curl
from unrolled.serving.gate import guarded_address
from unrolled.serving.limits import Limits
from unrolled.serving.served import Served
from unrolled.training.device import choose_device
from unrolled.training.progress import aloud
from unrolled.training.run import Run

BACKLOG = 2048
UNSENT = 65_536  # bytes that the system holds for a client that doesn't read
SWITCH = 0.0005  # seconds that an engine and the event loop wait for each other; Python's 0.005 halves both
CLOSING = 3  # seconds for connections to end once nothing runs any more


def serve(
    run: str | Sequence[str] = "@last", *, host: str = "127.0.0.1", port: int = 8000, token: str | None = None,
    hosts: Sequence[str] = (), origins: Sequence[str] = (), runs: str = "runs", device: str = "auto", **limits: int,
) -> None:  # fmt: skip
    """Serves runs under their names until SIGTERM or Ctrl-C.

    hosts: names by which others may call this server, beside localhost. origins: web pages that may use it, as
    `https://example.org`. port=0: any that is free. limits: see `Limits`. Prints a curl line for each run.

    Raises UserError for an address that others can reach without a token, a port that is taken, and runs of one name;
    MissingExtra without fastapi and uvicorn.
    """
    guarded_address(host, token)
    opened = [Run.open(name, runs) for name in ([run] if isinstance(run, str) else run)]
    names = [one.name for one in opened]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{twice} is named twice; each run is served once.")
    where = str(choose_device(device, aloud))
    models = {one.name: one.model(where) for one in opened}
    served = Served(models, Limits(**limits))
    with listening_on(host, port, served.limits.stalled) as listening:
        port = listening.getsockname()[1]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{port}"
        aloud(f"serving   {', '.join(models)} on {address}")
        for one in opened:
            print(curl(one.name, models[one.name], one.recipe.data, address, token is not None), flush=True)
        run_server(served, listening, port, hosts=(host, *hosts), origins=tuple(origins), token=token)


def run_server(
    served: Served, listening: socket.socket, port: int, *, hosts: tuple[str, ...] = (),
    origins: tuple[str, ...] = (), token: str | None = None,
) -> None:  # fmt: skip
    """Serves on a socket that listens already, until the process is told to stop."""
    app = guarded(served, port=port, hosts=hosts, origins=origins, token=token)
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, lifespan="on", ws="websockets-sansio", proxy_headers=False,
        server_header=False, ws_max_size=served.limits.body, ws_per_message_deflate=False, backlog=BACKLOG,
        timeout_graceful_shutdown=CLOSING, limit_concurrency=BACKLOG,
    )  # fmt: skip
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    gc.freeze()  # a full collection would look at all that was imported, between two tokens of everybody
    try:
        Draining(config, served).run([listening])
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


class Draining(uvicorn.Server):
    """Told to stop, it refuses what is new with 503 and lets what runs come to its end; told again, it stops."""

    def __init__(self, config: uvicorn.Config, served: Served) -> None:
        super().__init__(config)
        self.served = served
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Remembers the loop that signals speak to."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT."""
        if self._loop is None or self.served.draining:
            super().handle_exit(sig, frame)
            return
        self._captured_signals.append(sig)
        self.served.refuse()
        self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        aloud(f"stopping  what runs has {self.served.limits.drain} s")
        self._end = asyncio.ensure_future(self._drained())

    async def _drained(self) -> None:
        if not await self.served.drain():
            aloud("stopping  not all of it came to its end")
        self.should_exit = True


def listening_on(host: str, port: int, stalled: int = Limits.stalled) -> socket.socket:
    """A socket that listens. stalled: seconds that a client may take nothing of what was sent, before the system ends
    its connection, where it can (RFC 5482). Raises UserError where it can't listen.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not 0 <= port <= 65_535:
        raise UserError(f"port={port}: can't listen there. Expected 1 to 65535, or 0 for any that is free.")
    try:
        made = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT)  # connections inherit these
        if sys.platform == "linux":
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stalled * 1000)
        return made
    except OSError as error:
        raise UserError(
            f"host={host} port={port}: can't listen there ({error.strerror or error}). Choose another: port=0 is any "
            "that is free."
        ) from error
