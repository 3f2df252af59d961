"""`unrolled runs`: the run folders, oldest first."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments
    from unrolled.training.run import Run

EXAMPLES = ("unrolled runs", "unrolled runs runs=elsewhere", "unrolled runs --json")
WORDS = ("runs",)
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled runs`."""

    runs: str = field(default="runs", metadata={"help": "the folder that holds the run folders"})


@dataclass(frozen=True)
class Runs:
    """Every run under a folder, oldest first."""

    folder: str
    runs: list[Run]


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Runs:
    """Reads every run's result."""
    from unrolled.training.run import Run

    folder = arguments.resolve(Keys, WORDS).value.runs
    return Runs(folder, Run.all(folder))


def show(result: Any) -> str:
    """A table: name, data, steps, score."""
    if not result.runs:
        return f"no runs in {result.folder}; begin with: unrolled train"
    where = "" if result.folder == "runs" else f" {shlex.quote(f'runs={result.folder}')}"
    rows = [("run", "data", "steps", "score", "")]
    for one in result.runs:
        score = "-" if one.score is None else f"{one.score:.4f} {one.unit}"
        state = "" if one.finished else f"unfinished: unrolled train resume={one.name}{where}"
        rows.append((one.name, one.data, str(one.step), score, state))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    name, data, steps, scores = widths
    return "\n".join(
        f"{r[0]:<{name}}  {r[1]:<{data}}  {r[2]:>{steps}}  {r[3]:<{scores}}  {r[4]}".rstrip() for r in rows
    )


def brief(result: Any) -> str:
    """The folders."""
    return "\n".join(str(one.path) for one in result.runs)
