"""`unrolled inspect`: a look inside a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled inspect @last",
    "unrolled inspect @last gradients",
    'unrolled inspect @last attention text="The dog chased the ball because it was excited."',
    "unrolled inspect @best embeddings words=good,bad count=12",
)
WORDS = ("run", "what")
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled inspect`: those of `un.inspect`."""

    run: str = field(default="@last", metadata={"help": "@last, @best, a name or its beginning, or a folder"})
    what: str = field(
        default="",
        metadata={
            "help": "gradients, memory, states, attention, saliency, units, position, calibration, confusion, embeddings; "
            "without one: what the model is made of, and which of these it has"
        },
    )
    words: tuple[str, ...] = field(
        default=(), metadata={"help": "whose neighbours; the most frequent tokens' if none is named"}
    )
    count: int = field(default=8, metadata={"help": "how many of each are listed", "at_least": 1})
    text: str = field(default="", metadata={"help": "looked at in place of the run's held-out data"})
    split: Literal["test", "valid", "train"] = field(
        default="test", metadata={"help": "the part of the data that is looked at"}
    )
    rows: int = field(default=16, metadata={"help": "sequences that are looked at", "at_least": 1})
    steps: int = field(default=128, metadata={"help": "steps of each, at most", "at_least": 2})
    out: str | None = field(
        default=None, metadata={"help": "where the page and its pictures go, instead of the run's folder"}
    )
    runs: str = field(default="runs", metadata={"help": "the folder that holds the run folders"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Looks."""
    chosen = arguments.resolve(Keys, WORDS).value
    from unrolled.inspection.inspect import inspect

    return inspect(**arguments.with_run(chosen))


def show(result: Any) -> str:
    """What was found, and where the page is."""
    return str(result.text())


def brief(result: Any) -> str:
    """The page."""
    return str(result.page)
