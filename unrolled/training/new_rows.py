"""The rows of new data as a run reads them: the columns it needs, and series as long as it knows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.datasets import samples
from unrolled.datasets.assemble import numbered
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import SERIES, Rows, raw_rows
from unrolled.datasets.standard import Values
from unrolled.datasets.together import Together
from unrolled.datasets.understand import BESIDE
from unrolled.errors import UserError, nearest
from unrolled.tasks.answering import Answering
from unrolled.training.progress import aloud
from unrolled.training.run import Run

SHOWN_COLUMNS = 8


def rows_for(
    task: Answering,
    data: str | Sequence[Mapping[str, Any]],
    answers: bool = False,
    run: Run | None = None,
    quiet: bool = False,
) -> Iterator[Record]:
    """The rows of `data` as the task reads them; of a task that also needs their answers, with these. Series of another
    length than all of training's are counted aloud, unless quiet.

    Raises UserError for a missing column; `run`, where it is one's, can tell which columns a series was made of.
    """
    if isinstance(data, str):
        source: Path | list[Record] = samples.resolve(data)
    else:
        source = [{"origin": f"row {number}", **row} for number, row in enumerate(data, 1)]
        data = "the rows"
    needed = [*task.inputs, *(task.targets if answers else ())]
    if task.long is not None:
        raw = next(iter(source if isinstance(source, list) else raw_rows(source)))
        long = task.long
        named = [long.id, *([long.time] if long.time else []), *long.values, *long.categories]
        _there([n for n in named if answers or n not in task.targets], raw, data)
        needed = [name for name in needed if name != SERIES]
    rows = Rows(source, task.long)
    first = next(iter(rows))
    for name, steps in lengths_of(task).items():
        if name in needed and name not in first:
            raise _no_series(name, steps, first, data, run)
    _there(needed, first, data)
    return iter(rows) if quiet else _lengths_told(rows, task, data)


def _no_series(name: str, steps: int, row: Record, data: str, run: Run | None) -> UserError:
    """The error for a series that isn't there, with the columns that made it in training."""
    says = f"{data}: this run reads {name!r}, a series of {steps} steps"
    if made := _numbered_in_training(name, run):
        lacks = [column for column in made if column not in row]
        some = ", ".join(lacks[:SHOWN_COLUMNS]) + (", ..." if len(lacks) > SHOWN_COLUMNS else "")
        says += (
            f" made of the {len(made)} columns {made[0]} ... {made[-1]}; {len(lacks)} aren't there: {some}"
        )
    else:
        says += f", as {steps} numbered columns (x1 ... x{steps}) or one column of series give it"
    return UserError(f"{says}. Its columns: {', '.join(n for n in row if n not in BESIDE)}.")


def _numbered_in_training(name: str, run: Run | None) -> list[str]:
    """The numbered columns that were this series in training, if its data can still be read."""
    try:
        head = next(iter(raw_rows(samples.resolve(run.recipe.data)))) if run else {}
    except UserError:
        return []
    groups = numbered(head)
    if len(groups) == 1 and name == SERIES:
        return next(iter(groups.values()))
    return next((names for stem, names in groups.items() if stem.strip(" _-.") == name), [])


def lengths_of(task: Answering) -> dict[str, int]:
    """The steps of each series of which all of training's had as many, more than one."""
    codec = task.codec
    read = {f.name: f.codec for f in codec.fields} if isinstance(codec, Together) else {task.inputs[0]: codec}
    steps = {name: one.steps for name, one in read.items() if isinstance(one, Values) and one.steps}
    return {name: longest for name, (shortest, longest) in steps.items() if 1 < shortest == longest}


def _lengths_told(rows: Iterable[Record], task: Answering, data: str) -> Iterator[Record]:
    """The rows as they are. Those with a series of another length than training's are counted, and told at the end."""
    wanted = lengths_of(task)
    odd: dict[str, tuple[int, Record]] = {}  # how many, and the first of them
    for row in rows:
        for name, steps in wanted.items():
            value = row.get(name)
            if isinstance(value, (np.ndarray, list)) and len(value) not in (0, steps):
                count, first = odd.get(name, (0, row))
                odd[name] = count + 1, first
        yield row
    for name, (count, first) in odd.items():
        aloud(
            f"{count} rows of {data} have another number of steps in {name} than the {wanted[name]} of all training rows, "
            f"the first is {first['origin']} with {len(first[name])}: answered, but the run has never seen the like"
        )


def _there(names: Sequence[str], row: Record, data: str) -> None:
    for name in names:
        if name not in row:
            there = [n for n in row if n not in BESIDE]
            near = nearest(name, there)
            hint = f" Is {near!r} meant? Rename it." if near else ""
            raise UserError(f"{data}: this run reads the column {name!r}; there is {', '.join(there)}.{hint}")
