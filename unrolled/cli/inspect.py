"""`unrolled inspect`: a look inside a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled inspect @last embeddings",
    "unrolled inspect @best embeddings words=good,bad count=12",
)
WORDS = ("run", "what")
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled inspect`: those of `un.inspect`."""

    run: str = field(default="@last", metadata={"help": "@last, @best, a name or its beginning, or a folder"})
    what: str = field(
        default="embeddings", metadata={"help": "embeddings: which tokens lie together, and a map of them"}
    )
    words: tuple[str, ...] = field(
        default=(), metadata={"help": "whose neighbours; the most frequent tokens' if none is named"}
    )
    count: int = field(default=8, metadata={"help": "neighbours of each", "at_least": 1})
    out: str | None = field(
        default=None, metadata={"help": "where the page is written, instead of the run's folder"}
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
    """The neighbours, and where the page is."""
    return str(result.text())


def brief(result: Any) -> str:
    """The page."""
    return str(result.page)
