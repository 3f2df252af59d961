"""`studio`: the page of a folder of runs, served on this machine until it is told to stop."""

from __future__ import annotations

import secrets
from urllib.parse import quote

from unrolled.errors import MissingExtra

try:
    import fastapi  # noqa: F401
    import uvicorn
except ImportError as error:
    raise MissingExtra(error.name or "fastapi", "serve", "unrolled studio") from None

from unrolled.page import files
from unrolled.page.answers import Studio
from unrolled.page.app import guarded
from unrolled.page.where import where
from unrolled.serving.gate import guarded_address
from unrolled.serving.serve import listening_on
from unrolled.training.progress import aloud

CLOSING = 2  # seconds for connections to end


def studio(
    run: str | None = None, *, runs: str = "runs", host: str = "127.0.0.1", port: int = 8300,
    token: str | None = None, hosts: tuple[str, ...] = (), device: str = "cpu",
) -> None:  # fmt: skip
    """Serves the page until Ctrl-C and prints its address, which carries the token.

    run: where the page opens: a run's name, @last, @best, or a folder, of runs or of one. port=0: any that is free.
    token: what the page must show; a new one each time unless given. Raises UserError for a run or folder that isn't
    there and a port that is taken; MissingExtra without fastapi and uvicorn.
    """
    token = token or secrets.token_urlsafe(24)
    guarded_address(host, token)
    files.check()
    folder, opened = where(run, runs)
    with listening_on(host, port) as listening:
        port = listening.getsockname()[1]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        place = "" if opened is None else f"/run/{quote(opened, safe='')}"
        aloud(f"studio    {folder}")
        print(f"http://{shown}:{port}/#token={quote(token, safe='')}{place}", flush=True)
        app = guarded(Studio(folder, device), port=port, token=token, hosts=(host, *hosts))
        config = uvicorn.Config(
            app, log_level="critical", access_log=False, lifespan="off", ws="none", proxy_headers=False,
            server_header=False, timeout_graceful_shutdown=CLOSING, limit_concurrency=256,
        )  # fmt: skip
        uvicorn.Server(config).run([listening])
