"""`unrolled predict`: a run's answers to new rows, as CSV or JSON lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled predict @last data=new_reviews.csv",
    "unrolled predict @best data=new_reviews.csv out=answers.jsonl",
    "unrolled predict @last data=new_series.csv every=true",
    "unrolled predict @last 'data=shards/*.csv' out=answers/",
)
WORDS = ("run",)
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled predict`: those of `un.predict`."""

    run: str = field(default="@last", metadata={"help": "@last, @best, a name or its beginning, or a folder"})
    data: str = field(default="", metadata={"help": "the rows to answer: a file, a folder or a glob"})
    out: str | None = field(
        default=None,
        metadata={"help": "a file to write, .csv or .jsonl, or folder/: a file for each one of the data"},
    )
    to: Literal["csv", "jsonl"] | None = field(default=None, metadata={"help": "the form of what is printed"})
    every: bool = field(
        default=False, metadata={"help": "also the early answers, one after each step of a row"}
    )
    beam: int | None = field(
        default=None,
        metadata={
            "help": "of runs that write texts: how many are kept while searching; 1 = greedy",
            "at_least": 1,
        },
    )
    runs: str = field(default="runs", metadata={"help": "the folder that holds the run folders"})
    batch: int = field(
        default=64,
        metadata={"help": "rows at once: changes speed and memory, not the answers", "at_least": 1},
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Answers the rows."""
    chosen = arguments.resolve(Keys, WORDS).value
    from unrolled.training.predict import predict

    return predict(**arguments.with_run(chosen))


def show(result: Any) -> str:
    """The rows, unless they were written to a file."""
    if result.written:
        return f"{result.count} rows answered in {result.written}"
    return str(result.text().rstrip("\n"))


def brief(result: Any) -> str:
    """The file, or the rows."""
    return result.written or str(result.text().rstrip("\n"))
