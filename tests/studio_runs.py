"""A studio in a thread, over a folder of runs: what its tests share."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from unrolled.page.answers import Studio
from unrolled.page.app import guarded
from unrolled.serving.serve import listening_on

TOKEN = "a-token-of-the-tests-0123"
WRITTEN: dict[str, Any] = {
    "kind": "lstm", "data": "tunes", "finished": True, "step": 40, "seconds": 2.5, "parameters": 1234,
    "started": "2026-01-01T00:00:00+00:00", "plan": {"total": 40},
    "test": {"value": 2.0, "unit": "bits per character", "better": "lower", "interval": [1.9, 2.1]},
    "baseline": {"name": "5-gram", "value": 2.2},
}  # fmt: skip


@contextmanager
def studio(folder: Path) -> Iterator[tuple[str, httpx.Client]]:
    """(the address that the page is opened by, a client that shows the token)."""
    listening = listening_on("127.0.0.1", 0)
    port = listening.getsockname()[1]
    app = guarded(Studio(folder), port=port, token=TOKEN)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    until(lambda: server.started)
    headers = {"authorization": f"Bearer {TOKEN}"}
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60, trust_env=False
        ) as client:
            yield f"http://127.0.0.1:{port}/#token={TOKEN}", client
    finally:
        server.should_exit = True
        thread.join(20)


def until(holds: Any, seconds: float = 20) -> None:
    """Waits for it."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def run_at(folder: Path, lines: int = 20, task: str = "generate", **changes: Any) -> Path:
    """A run's folder as training leaves it, but for its model."""
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(WRITTEN | changes))
    (folder / "config.toml").write_text(
        f'data = "tunes"  # command line\ntask = "{task}"  # the data is text\nlr = 0.01\n'
    )
    (folder / "command.txt").write_text("unrolled train data=tunes\n")
    rows = [metrics_row(step) for step in range(1, lines + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def metrics_row(step: int) -> dict[str, Any]:
    """A line of metrics.jsonl; each fifth is an evaluation."""
    if step % 5 == 0:
        return {"step": step, "valid": 3 / step, "best": True, "seconds": step / 10}
    return {"step": step, "loss": 4 / step, "norm": 1.0, "lr": 0.01, "seconds": step / 10}
