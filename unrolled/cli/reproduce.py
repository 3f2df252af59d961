"""`unrolled reproduce`: the named experiments, each beside the figures that it must reach."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = ("unrolled reproduce", "unrolled reproduce music", "unrolled reproduce irish quick=true")
WORDS = ("name",)
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled reproduce`: those of `un.reproduce`."""

    name: str | None = field(default=None, metadata={"help": "the experiment; without one they are listed"})
    quick: bool = field(default=False, metadata={"help": "a few steps only, to see that everything works"})
    runs: str = field(default="runs", metadata={"help": "where run folders are made"})
    threads: int | None = field(default=None, metadata={"help": "CPU threads", "at_least": 1})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Runs the experiment. When a figure isn't met, the result's `require` raises after it was printed: exit code 5."""
    options = asdict(arguments.resolve(Keys, WORDS).value)
    from unrolled.comparison.board import Board
    from unrolled.comparison.reproduce import reproduce

    return reproduce(**options, board=Board(quiet="quiet" in arguments.switches))


def show(result: Any) -> str:
    """The figures, or the list."""
    experiments = getattr(result, "experiments", None)
    if experiments is None:
        return str(result)
    width = max(len(name) for name in experiments)
    return "\n".join(
        f"unrolled reproduce {name:<{width}}  {summary}" for name, summary in experiments.items()
    )


def brief(result: Any) -> str:
    """The folder, or the names."""
    return str(result.path) if hasattr(result, "path") else "\n".join(result.experiments)
