"""`unrolled studio`: the page of a folder of runs, on this machine, until Ctrl-C."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled studio",
    "unrolled studio @last",
    "unrolled studio elsewhere/runs port=0",
)
WORDS = ("run",)
SWITCHES = ()
TOKEN = "UNROLLED_TOKEN"


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled studio`."""

    run: str | None = field(
        default=None, metadata={"help": "where it opens: @last, @best, a name, a run's folder or one of runs"}
    )
    runs: str = field(default="runs", metadata={"help": "the folder that holds the run folders"})
    host: str = field(default="127.0.0.1", metadata={"help": "the address it listens on"})
    port: int = field(default=8300, metadata={"help": "0 = any that is free", "at_least": 0})
    token: str | None = field(
        default=None,
        metadata={"help": f"what the page must show; better set {TOKEN}; - = a new one each time"},
    )
    hosts: tuple[str, ...] = field(default=(), metadata={"help": "names others may call this machine by"})
    device: str = field(default="cpu", metadata={"help": "where the glass box computes: cpu, cuda, mps"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Serves until it is told to stop."""
    chosen = asdict(arguments.resolve(Keys, WORDS).value)
    if chosen["token"] is None:
        chosen["token"] = os.environ.get(TOKEN) or None
    from unrolled.page.studio import studio

    studio(**chosen)
    return None


def show(result: Any) -> str:
    """Nothing: all was said while it ran."""
    return ""


def brief(result: Any) -> str:
    """Nothing."""
    return ""
