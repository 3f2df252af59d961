"""A server in a thread, with small untrained models: what the tests of serving share."""

from __future__ import annotations

import base64
import io
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import uvicorn

from unrolled.serving.app import guarded
from unrolled.serving.limits import Limits
from unrolled.serving.serve import listening_on
from unrolled.serving.served import Served


@contextmanager
def serving(
    models: dict[str, Any], token: str | None = None, port: int = 0, **limits: int
) -> Iterator[tuple[Served, str, int]]:
    """(the models, http://address, port) of a server that runs until the block ends."""
    served = Served(models, Limits(**limits))
    listening = listening_on("127.0.0.1", port, served.limits.stalled)
    port = listening.getsockname()[1]
    config = uvicorn.Config(
        guarded(served, port=port, token=token), log_level="error", lifespan="on", ws="websockets-sansio",
        ws_max_size=served.limits.body, timeout_graceful_shutdown=2, ws_per_message_deflate=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < until and thread.is_alive()
        time.sleep(0.01)
    try:
        yield served, f"http://127.0.0.1:{port}", port
    finally:
        server.should_exit = True
        thread.join(20)


def until(holds: Any, seconds: float = 60) -> None:
    """Waits for it; a server that doesn't listen yet doesn't hold."""
    end = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < end
        time.sleep(0.01)


def wav(seconds: float = 0.5, rate: int = 8000) -> str:
    """A tone as a WAV file in base64."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        steps = np.arange(int(seconds * rate))
        file.writeframes((8000 * np.sin(steps * 0.2)).astype("<i2").tobytes())
    return base64.b64encode(out.getvalue()).decode()
