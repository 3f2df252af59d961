"""`unrolled forecast`: what a run foretells after the end of series, as CSV or JSON lines, and as a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled forecast @last",
    "unrolled forecast @last data=newer.csv horizon=48",
    "unrolled forecast @best data=newer.csv out=next.csv svg=fan.svg",
)
WORDS = ("run", "data")
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled forecast`: those of `un.forecast`."""

    run: str = field(default="@last", metadata={"help": "@last, @best, a name or its beginning, or a folder"})
    data: str = field(
        default="",
        metadata={"help": "the series' past, with the columns of training; else the run's own data"},
    )
    horizon: int | None = field(
        default=None, metadata={"help": "steps ahead; at most those of training", "at_least": 1}
    )
    out: str | None = field(default=None, metadata={"help": "a file to write, .csv or .jsonl"})
    to: Literal["csv", "jsonl"] | None = field(default=None, metadata={"help": "the form of what is printed"})
    svg: str | None = field(
        default=None, metadata={"help": "a picture of the first series and its intervals"}
    )
    runs: str = field(default="runs", metadata={"help": "the folder that holds the run folders"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Foretells."""
    chosen = arguments.resolve(Keys, WORDS).value
    from unrolled.training.forecast import forecast

    result = forecast(**arguments.with_run(chosen))
    for note in result.notes:
        arguments.say(f"note      {note}")
    for file in result.files:
        arguments.say(f"wrote     {file}")
    return result


def show(result: Any) -> str:
    """The rows, unless they were written to a file."""
    if result.written:
        return f"{len(result.rows)} rows in {result.written}"
    return str(result.text().rstrip("\n"))


def brief(result: Any) -> str:
    """The file, or the rows."""
    return result.written or str(result.text().rstrip("\n"))
