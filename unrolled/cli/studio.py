"""`unrolled studio`: the page of a folder of runs, on this machine, until Ctrl-C; or of a run, as a file."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from unrolled.errors import UserError

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled studio",
    "unrolled studio @last",
    "unrolled studio elsewhere/runs port=0",
    "unrolled studio @best --static",
)
WORDS = ("run",)
SWITCHES = ("static",)
TOKEN = "UNROLLED_TOKEN"
SERVED = ("host", "port", "token", "hosts")  # keys of a server


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
    out: str | None = field(
        default=None,
        metadata={"help": "with --static: the file; - = studio.html in the run's folder or the runs'"},
    )
    device: str = field(default="cpu", metadata={"help": "where the glass box computes: cpu, cuda, mps"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Serves until it is told to stop; with --static writes the file."""
    chosen = asdict(arguments.resolve(Keys, WORDS).value)
    out = chosen.pop("out")
    if "static" in arguments.switches:
        return _file(arguments, chosen, out)
    if out is not None:
        raise UserError(f"out={out}: it is for --static, which writes a file. Leave it out, or add --static.")
    if chosen["token"] is None:
        chosen["token"] = os.environ.get(TOKEN) or None
    from unrolled.page.studio import studio

    studio(**chosen)
    return None


@dataclass(frozen=True)
class Written:
    """Where the page went, and its size in bytes."""

    path: str
    bytes: int


def _file(arguments: Arguments, chosen: dict[str, Any], out: str | None) -> Written:
    from unrolled.page.static import static
    from unrolled.page.where import where

    served = {key: chosen[key] for key in SERVED if chosen[key] != getattr(Keys, key)}
    if served:
        raise UserError(f"{', '.join(served)}: no server is started with --static. Leave it out.")
    folder, run = where(chosen["run"], chosen["runs"])
    path = static(folder, run, out, device=chosen["device"], say=arguments.say)
    return Written(str(path), path.stat().st_size)


def show(result: Any) -> str:
    """The file; of a server nothing, since all was said while it ran."""
    if result is None:
        return ""
    return f"{result.path}  ({result.bytes / 1e6:.1f} MB; open it in any browser, it needs no server)"


def brief(result: Any) -> str:
    """The file's path."""
    return "" if result is None else str(result.path)
