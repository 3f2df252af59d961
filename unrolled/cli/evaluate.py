"""`unrolled evaluate`: a run's score on held-out data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled evaluate",
    "unrolled evaluate @best split=valid",
    "unrolled evaluate @last data=other.txt --json",
)
WORDS = ("run",)
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled evaluate`: those of `un.evaluate`."""

    run: str = field(default="@last", metadata={"help": "@last, @best, a name or its beginning, or a folder"})
    split: Literal["train", "valid", "test"] = field(
        default="test", metadata={"help": "which part of the data"}
    )
    runs: str = field(default="runs", metadata={"help": "the folder that holds the run folders"})
    data: str | None = field(default=None, metadata={"help": "other data than the run's own"})
    context: int | None = field(
        default=None,
        metadata={"help": "tokens of past given to a model without fixed-size state", "at_least": 1},
    )
    batch: int = field(
        default=64, metadata={"help": "rows at once: changes speed and memory, not the score", "at_least": 1}
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Scores the run."""
    chosen = arguments.resolve(Keys, WORDS).value
    from unrolled.training.evaluate import evaluate

    return evaluate(**arguments.with_run(chosen))


def show(result: Any) -> str:
    """The score with its interval, and what it was measured on."""
    return str(result.text())


def brief(result: Any) -> str:
    """The number."""
    return f"{result.value:.6f}"
