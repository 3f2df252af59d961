"""How much a server takes on at once: every number that bounds work, memory or waiting, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from unrolled.errors import positive


@dataclass(frozen=True)
class Limits:
    """streams: sequences that advance at once, of each model. queue: requests that wait for a row before 429 is answered.

    sessions: open WebSocket sessions of each model; ttl: seconds that one is kept without being used, whether its client
    is connected or not. body: bytes of a request; held: bytes that all requests hold together, JSON counted `PARSED`
    times. prompt, length: tokens of a prompt and of an answer. rows, steps: records of one request and steps of a
    record; looked: steps of one for models whose work grows with the square of them. buffer: tokens held for a reader
    before it is dropped as too slow; stalled: seconds after which a connection is cut whose reader takes nothing at all
    (Linux; elsewhere the timeout ends it). timeout: seconds that a request, or a push, may take. drain: seconds given to
    what runs once the server is told to stop.
    """

    streams: int = 64
    queue: int = 64
    sessions: int = 256
    ttl: int = 600
    body: int = 8_000_000
    held: int = 1_000_000_000
    prompt: int = 8_192
    length: int = 4_096
    rows: int = 256
    steps: int = 65_536
    looked: int = 8_192
    buffer: int = 1_024
    stalled: int = 60
    timeout: int = 300
    drain: int = 30

    def __post_init__(self) -> None:
        positive("serve", **vars(self))
