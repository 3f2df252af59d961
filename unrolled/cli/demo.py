"""`unrolled demo`: zero arguments; trains, compares, and writes a tune you can hear."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled demo",
    "unrolled demo budget=2m",
    "unrolled demo budget=10s models=gru,mingru runs=elsewhere",
)
WORDS = ()
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled demo`: those of `un.demo`."""

    budget: str = field(default="40s", metadata={"help": "of each model"})
    data: str = field(default="irish", metadata={"help": "a shipped set, a file, a folder or a glob"})
    models: tuple[str, ...] = field(
        default=("rnn", "lstm", "gru", "mingru", "transformer"), metadata={"help": "kinds of model"}
    )
    tunes: int = field(
        default=16, metadata={"help": "how many the best model composes, to play one", "at_least": 1}
    )
    seed: int = field(default=0, metadata={"help": "of weights, sample order and tunes", "at_least": 0})
    parameters: int | None = field(default=None, metadata={"help": "weights of each model, within 5 %"})
    threads: int | None = field(default=None, metadata={"help": "CPU threads", "at_least": 1})
    runs: str = field(default="runs", metadata={"help": "where the folder is made"})
    out: str | None = field(default=None, metadata={"help": "the folder itself, instead of runs/demo-DATA-N"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Trains, composes, reports."""
    options = asdict(arguments.resolve(Keys, WORDS).value)
    from unrolled.comparison.board import Board
    from unrolled.comparison.demo import demo

    return demo(**options, board=Board(quiet="quiet" in arguments.switches))


def show(result: Any) -> str:
    """The table, the tune, the files, and what to type next."""
    from unrolled.comparison.words import table
    from unrolled.training.budget import pretty_seconds

    lines = [table(result.comparison), ""]
    if result.tune is not None:
        lines += [f"{result.tune.title}: {result.tune.said}.", "", result.tune.abc]
    lines += [
        *result.files,
        f"{result.report}   <- open this one",
        f"done in {pretty_seconds(result.seconds)}",
        "",
    ]
    return "\n".join([*lines, "next", *(f"  {command}" for command in result.next)])


def brief(result: Any) -> str:
    """The folder."""
    return str(result.path)
