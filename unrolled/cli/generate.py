"""`unrolled generate`: a run's model writes, on the terminal as it goes."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    'unrolled generate @last prompt="X:1" length=400 wav=tune.wav',
    "unrolled generate @best count=50 --check",
    'unrolled generate @last prompt="I took my cat for a" top=10',
)
WORDS = ("run",)
SWITCHES = ("check",)


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled generate`: those of `un.generate`, with the run in the model's place."""

    run: str = field(default="@last", metadata={"help": "@last, @best, a name or its beginning, or a folder"})
    runs: str = field(default="runs", metadata={"help": "the folder that holds the run folders"})
    prompt: str = field(default="", metadata={"help": "the text to go on from"})
    count: int = field(default=1, metadata={"help": "how many texts"})
    length: int | None = field(
        default=None, metadata={"help": "tokens at most; by default what suits the data"}
    )
    temperature: float | None = field(
        default=None,
        metadata={"help": "0 always takes the likeliest; above 1 is wild; by default what suits the data"},
    )
    top_k: int | None = field(default=None, metadata={"help": "draw from the k likeliest tokens only"})
    top_p: float | None = field(
        default=None, metadata={"help": "draw from the likeliest that reach probability p"}
    )
    seed: int = field(default=0, metadata={"help": "the same seed writes the same text"})
    stop: str | None = field(default=None, metadata={"help": "a text after which to stop"})
    shortest: int = field(default=0, metadata={"help": "tokens before which no end may be drawn"})
    top: int | None = field(
        default=None, metadata={"help": "write nothing; list this many likeliest next tokens"}
    )
    wav: Path | None = field(
        default=None, metadata={"help": "write the likeliest playable tune as sound here"}
    )
    midi: Path | None = field(default=None, metadata={"help": "and as notes here"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Writes on stdout as it goes, unless the result is wanted as JSON or in brief."""
    options = asdict(arguments.resolve(Keys, WORDS).value)
    from unrolled.running.generate import generate
    from unrolled.training.run import load, located

    streams = not arguments.switches & {"json", "quiet"}
    name, runs = options.pop("run"), options.pop("runs")
    arguments.say(f"run       {located(name, runs)}")
    model = load(name, runs)
    return generate(model, **options, check="check" in arguments.switches, write=_write if streams else None)


def _write(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()


def show(result: Any) -> str:
    """Nothing more on stdout: the text is there already. How it went is talk."""
    if result.texts and not result.next and not result.texts[-1].endswith("\n"):
        _write("\n")
    said = [] if result.next else [f"{sum(result.tokens)} tokens, {result.tokens_per_second:.0f} a second"]
    said += [str(result.report)] if result.report is not None else []
    print("\n".join([*said, *(f"wrote {file}" for file in result.files)]), file=sys.stderr)
    return ""


def brief(result: Any) -> str:
    """The files, or else the texts."""
    return "\n".join(result.files or result.texts)
