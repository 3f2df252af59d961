"""`unrolled serve`: runs behind HTTP on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from unrolled.errors import UserError

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled serve",
    "unrolled serve run=@best,lstm-irish-1 port=8080",
    "unrolled serve @last host=0.0.0.0 hosts=models.example.org",
)
WORDS = ("run",)
SWITCHES = ()
TOKEN = "UNROLLED_TOKEN"


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled serve`: those of `un.serve`."""

    run: tuple[str, ...] = field(
        default=("@last",),
        metadata={"help": "which runs, also as bare words: @last, @best, names or their beginnings, folders"},
    )
    host: str = field(
        default="127.0.0.1", metadata={"help": "the address; any but this machine's needs a token"}
    )
    port: int = field(default=8000, metadata={"help": "0 = any that is free", "at_least": 0})
    token: str | None = field(
        default=None, metadata={"help": f"what clients must show; better set {TOKEN}, which ps doesn't list"}
    )
    hosts: tuple[str, ...] = field(default=(), metadata={"help": "names others may call this server by"})
    origins: tuple[str, ...] = field(
        default=(), metadata={"help": "web pages that may use it: https://example.org"}
    )
    streams: int = field(
        default=64, metadata={"help": "sequences that advance at once, of each run", "at_least": 1}
    )
    queue: int = field(default=64, metadata={"help": "texts that wait before 429 is answered", "at_least": 1})
    sessions: int = field(
        default=256, metadata={"help": "open WebSocket sessions of each run", "at_least": 1}
    )
    ttl: int = field(default=600, metadata={"help": "seconds that a session is kept unused", "at_least": 1})
    body: int = field(default=8_000_000, metadata={"help": "bytes of a request", "at_least": 1000})
    held: int = field(
        default=1_000_000_000,
        metadata={"help": "bytes that all requests together may hold in memory", "at_least": 1000},
    )
    timeout: int = field(default=300, metadata={"help": "seconds that a request may take", "at_least": 1})
    drain: int = field(
        default=30, metadata={"help": "seconds for what runs, once told to stop", "at_least": 1}
    )
    runs: str = field(default="runs", metadata={"help": "the folder that holds the run folders"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Serves until it is told to stop."""
    import os

    if arguments.words:
        if "run" in arguments.pairs:
            raise UserError(f"run is given twice: {arguments.words[0]!r} and run={arguments.pairs['run']}.")
        named = {**arguments.pairs, "run": ",".join(arguments.words)}
        arguments = replace(arguments, words=(), pairs=named)
    chosen = asdict(arguments.resolve(Keys, WORDS).value)
    if chosen["token"] is None:
        chosen["token"] = os.environ.get(TOKEN) or None
    from unrolled.serving.serve import serve

    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        serve(**chosen)
    finally:
        if signal.getsignal(signal.SIGINT) is _interrupt:  # else the process ends
            signal.signal(signal.SIGINT, before)
    return None


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupts once: a hasty second Ctrl-C would break into the end of the event loop or of Python itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def healthy(started: Path = Path("/proc/1/cmdline")) -> None:
    """Raises OSError where the server of this container doesn't take requests. started: the words that it was started with,
    each ended by a zero byte; its port is in them, in the files that they name, or in the environment.
    """
    from urllib.request import ProxyHandler, build_opener

    from unrolled.cli.arguments import parse

    words = started.read_text().rstrip("\0").split("\0")
    port = parse(words[words.index("serve") :]).resolve(Keys, WORDS).value.port
    build_opener(ProxyHandler({})).open(f"http://localhost:{port}/ready", timeout=3).close()


def show(result: Any) -> str:
    """Nothing: all was said while it ran."""
    return ""


def brief(result: Any) -> str:
    """Nothing."""
    return ""
