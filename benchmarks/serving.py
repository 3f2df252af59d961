"""What serving costs: `python -m benchmarks.serving [engine | streams | overload] [seconds=60]`.

engine: tokens a second of 64 texts together beside one by one, without HTTP. streams: 64 ragged texts over HTTP, each held
against its offline text; time between tokens beside a single stream's. overload: 512 clients on a limit of 64.
Only loopback; clients share the machine's cores with the server.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
import uvloop

import unrolled as un
from unrolled.datasets.characters import Characters
from unrolled.model import Model, build, preset
from unrolled.running.sampling import Draw
from unrolled.running.writer import Writer
from unrolled.serving.engine import Engine
from unrolled.serving.limits import Limits
from unrolled.serving.seats import Piece, Writing
from unrolled.tasks import GenerateText

STREAMS, TOKENS = 64, 128


def writer(kind: str, width: int, layers: int) -> Model:
    """An untrained model that writes characters: speed doesn't depend on what it has learnt."""
    torch.manual_seed(0)
    codec = Characters().fit(["".join(map(chr, range(32, 126))) + "\n"])
    model = build(preset(kind, codec.size, width=width, layers=layers))
    with torch.no_grad():
        model.head.scores.bias[0] = -50.0  # nothing ends before its length
    model.task = GenerateText(codec, 512)
    return model.eval()


MODELS = {"transformer 11M": ("transformer", 384, 6, 8.0), "lstm 256": ("lstm", 256, 1, 3.0)}


def engine_figures() -> bool:
    """Tokens a second, together and one by one."""
    good = True
    for name, (kind, width, layers, wanted) in MODELS.items():
        model = writer(kind, width, layers)
        few = 3 if layers > 1 else 16
        for prompt in (1, 64):
            alone = min(_alone(model, prompt, few) for _ in range(3))
            together = min(_together(model, prompt) for _ in range(3))
            gain = alone / together
            good &= gain >= wanted
            print(
                f"{name:<16} {model.parameter_count() / 1e6:5.2f} M  prompt {prompt:>3} one by one {1 / alone:6.0f} tok/s "
                f"64 together {1 / together:8.0f} tok/s {gain:5.1f}x (wanted {wanted:.0f}x)",
                flush=True,
            )
    return good


def _alone(model: Model, prompt: int, texts: int) -> float:
    """Seconds a token, one text after another."""
    begun = time.perf_counter()
    for seed in range(texts):
        for _ in Writer(model, [5] * (prompt - 1), length=TOKENS, draw=Draw(0.8, seed=seed)):
            pass
    return (time.perf_counter() - begun) / (texts * TOKENS)


def _together(model: Model, prompt: int) -> float:
    """Seconds a token, 64 texts at once."""
    engine = Engine(model, Limits(streams=STREAMS, queue=STREAMS))
    engine.start()
    left, done = STREAMS, threading.Event()

    def tell(piece: Piece) -> None:
        nonlocal left
        left -= piece.reason is not None
        if not left:
            done.set()

    context = None if model.fixed_state else model.task.context
    seats = [
        Writing(
            tell, model.task.codec, [5] * (prompt - 1), draw=Draw(0.8, seed=n), length=TOKENS, context=context
        )
        for n in range(STREAMS)
    ]
    begun = time.perf_counter()
    engine.submit(seats)
    done.wait()
    took = time.perf_counter() - begun
    engine.close()
    return took / (STREAMS * TOKENS)


@contextmanager
def server(**limits: int) -> Iterator[tuple[int, int]]:
    """(port, process id) of a server in a process of its own, with an untrained LSTM of 256 called m."""
    command = [sys.executable, "-m", "benchmarks.serving", "server", *(f"{k}={v}" for k, v in limits.items())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.terminate()
        process.wait(60)


def serve_here(**limits: str) -> bool:
    """The process of `server`."""
    from unrolled.serving.serve import listening_on, run_server
    from unrolled.serving.served import Served

    torch.set_num_threads(1)
    with listening_on("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        print(port, flush=True)
        served = Served({"m": writer("lstm", 256, 1)}, Limits(**{k: int(v) for k, v in limits.items()}))
        run_server(served, listening, port)
    return True


def rss(pid: int) -> float:
    """Megabytes that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Reply(asyncio.Protocol):
    """One streamed reply: as little as can be is done while it arrives, since its reader shares the server's cores."""

    def __init__(self, sent: bytes, begin: asyncio.Event | None, abort_after: int | None) -> None:
        self.sent, self.begin, self.abort_after = sent, begin, abort_after
        self.parts: list[bytes] = []
        self.times: list[float] = []  # of each event
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def read(self, port: int) -> None:
        """Asks, and returns once it is over."""
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
        if self.begin is not None:
            await self.begin.wait()
        self.started = time.perf_counter()
        transport.write(self.sent)
        await self.over
        transport.abort()

    def data_received(self, data: bytes) -> None:
        """Some bytes: the moment, and how many events they hold."""
        self.parts.append(data)
        self.times += [time.perf_counter()] * (data.count(b"data: {") or not self.times)
        if self.abort_after is not None and len(self.times) > self.abort_after:
            self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        """The server is done."""
        if not self.over.done():
            self.over.set_result(None)


@dataclass
class Client:
    """What clients have seen: texts with what they asked, seconds between events, statuses."""

    texts: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    others: list[int] = field(default_factory=list)

    async def ask(
        self,
        port: int,
        body: dict[str, Any],
        abort_after: int | None = None,
        begin: asyncio.Event | None = None,
    ) -> None:
        """One streamed text over a connection of its own; every event holds a token. begin: asks once it is set."""
        sent = json.dumps(body | {"stream": True})
        head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        reply = Reply((head + sent).encode(), begin, abort_after)
        await reply.read(port)
        got = b"".join(reply.parts)
        status = int(got.split(maxsplit=2)[1]) if got else 0
        if status != 200:
            self.refused.append(reply.times[0] - reply.started) if status == 429 else self.others.append(
                status
            )
            return
        self.gaps += np.diff([reply.started, *reply.times[1:]]).tolist()
        if abort_after is None:
            events = [line[6:] for line in got.split(b"\n") if line.startswith(b"data: {")]
            self.texts.append((body, "".join(json.loads(event)["choices"][0]["text"] for event in events)))


def body_of(number: int, longest: int = 200) -> dict[str, Any]:
    """A request that nobody else makes: lengths, prompts, temperatures and seeds differ."""
    return {
        "model": "m", "prompt": "The quick brown fox"[: number % 20], "max_tokens": 40 + number * 7 % (longest - 39),
        "temperature": (0.7, 1.0, 1.3)[number % 3], "seed": number,
    }  # fmt: skip


def wrong(texts: list[tuple[dict[str, Any], str]]) -> int:
    """How many of the texts aren't their offline texts."""
    model, bad = writer("lstm", 256, 1), 0
    for body, text in texts:
        own = un.generate(
            model,
            body["prompt"],
            length=body["max_tokens"],
            temperature=body["temperature"],
            seed=body["seed"],
        )
        bad += own.texts[0] != body["prompt"] + text
    return bad


def quantiles(gaps: list[float]) -> tuple[float, float]:
    """p95 and p99 in milliseconds."""
    found = np.quantile(gaps, [0.95, 0.99]) * 1e3
    return float(found[0]), float(found[1])


async def flock(port: int, seconds: float, clients: int) -> Client:
    """So many clients, each asking again once it is answered."""
    seen, until, numbers = Client(), time.perf_counter() + seconds, itertools.count()

    async def one() -> None:
        while time.perf_counter() < until:
            await seen.ask(port, body_of(next(numbers)))

    await asyncio.gather(*(one() for _ in range(clients)))
    return seen


def streams(seconds: str = "60", check: str = "400") -> bool:
    """64 ragged streams over HTTP beside one."""
    with server() as (port, pid):
        alone = uvloop.run(flock(port, min(10.0, float(seconds)), 1))
        uvloop.run(flock(port, 3, 64))  # memory that stays is taken
        before = rss(pid)
        seen = uvloop.run(flock(port, float(seconds), 64))
        growth = 100 * (rss(pid) / before - 1)
    bad = wrong(random.Random(0).sample(seen.texts, min(int(check), len(seen.texts))))
    (a95, a99), (t95, t99) = quantiles(alone.gaps), quantiles(seen.gaps)
    print(
        f"streams  {len(seen.texts)} texts, {len(seen.gaps)} tokens in {seconds} s; refused {len(seen.refused)}, failed "
        f"{len(seen.others)}; not the offline text: {bad} of {min(int(check), len(seen.texts))}\n"
        f"         one stream p95 {a95:.2f} ms p99 {a99:.2f} ms; 64 streams p95 {t95:.2f} ms ({t95 / a95:.1f}x, wanted 5x) "
        f"p99 {t99:.2f} ms ({t99 / a99:.1f}x, wanted 10x); RSS {before:.0f} MB {growth:+.1f} % (wanted <= 5 %)",
        flush=True,
    )
    return not (bad or seen.others) and t95 <= 5 * a95 and t99 <= 10 * a99 and growth <= 5


async def crowd(port: int) -> tuple[Client, Client]:
    """512 at once, and then 300 that go away in the middle."""
    seen, gone, begin = Client(), Client(), asyncio.Event()
    asked = [asyncio.ensure_future(seen.ask(port, body_of(n), begin=begin)) for n in range(512)]
    await asyncio.sleep(2)  # all are connected
    begin.set()
    await asyncio.gather(*asked)
    for first in range(0, 300, 50):
        await asyncio.gather(*(gone.ask(port, body_of(n, 2000), 5) for n in range(first, first + 50)))
    return seen, gone


def overload() -> bool:
    """512 clients on a limit of 64."""
    with server(streams=64, queue=1) as (port, _):
        alone = uvloop.run(flock(port, 5, 1))
        seen, _ = uvloop.run(crowd(port))
        time.sleep(1)
        figures = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    left = next(line for line in figures.splitlines() if line.startswith("unrolled_rows{"))
    (_, a99), (_, t99) = quantiles(alone.gaps), quantiles(seen.gaps)
    slowest = max(seen.refused, default=0) * 1e3
    bad = wrong(seen.texts)
    print(
        f"overload {len(seen.texts)} answered ({bad} wrong), {len(seen.refused)} refused within {slowest:.0f} ms (p99 "
        f"{np.quantile(seen.refused or [0], 0.99) * 1e3:.0f} ms; wanted 100), p99 {t99:.1f} ms "
        f"({t99 / a99:.1f}x, wanted 10x); after 300 aborts: {left}",
        flush=True,
    )
    return not bad and slowest <= 100 and t99 <= 10 * a99 and left.endswith(" 0")


def main(words: list[str]) -> int:
    """Runs the parts named, or all."""
    options: dict[str, Any] = dict(word.split("=", 1) for word in words if "=" in word)
    names = [word for word in words if "=" not in word] or [*PARTS]
    if names == ["server"]:
        return int(not serve_here(**options))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    good = [PARTS[name](**(options if name == "streams" else {})) for name in names]
    return 0 if all(good) else 5


PARTS: dict[str, Any] = {"engine": engine_figures, "streams": streams, "overload": overload}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
