"""`predict`: a run's answers to new rows, in their order, with the columns that they came with."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from unrolled import durable
from unrolled.datasets import samples
from unrolled.datasets.assemble import numbered
from unrolled.datasets.labels import name_of
from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import SERIES, Rows, raw_rows
from unrolled.datasets.standard import Values
from unrolled.datasets.together import Together
from unrolled.datasets.understand import BESIDE
from unrolled.errors import UserError, unknown
from unrolled.tasks.answering import Answering
from unrolled.training.device import choose_device
from unrolled.training.progress import aloud
from unrolled.training.run import Run

if TYPE_CHECKING:
    from unrolled.model import Model

SHOWN = ("csv", "jsonl")
SHOWN_COLUMNS = 8
AT_ONCE = 20_000  # rows read and answered at a time


@dataclass(frozen=True)
class Predictions:
    """`rows`: one a row of the data: its own short columns, then the answer and, of classes, every probability."""

    rows: list[dict[str, Any]]
    form: str = "csv"
    written: str | None = None  # the file, where one was asked for

    def text(self) -> str:
        """The rows in the form that was asked for."""
        return self.jsonl() if self.form == "jsonl" else self.csv()

    def csv(self) -> str:
        """The rows as CSV."""
        out = io.StringIO()
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue()

    def jsonl(self) -> str:
        """The rows as JSON, one a line."""
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)


def predict(
    run: Run | Model | str = "@last",
    data: str | Sequence[Mapping[str, Any]] = "",
    *,
    out: str | None = None,
    to: Literal["csv", "jsonl"] | None = None,
    every: bool = False,
    runs: str = "runs",
    batch: int = 64,
    device: str = "auto",
) -> Predictions:
    """The answers of a run, or of a loaded model, to the rows of a file or to these: a dict of columns each. Written to
    `out` where given, as its suffix says. every: also the early answers, one after each step of a row.

    Raises UserError for a run that gives no answers, or no early ones, a missing column and a row with nothing to read.
    """
    run = Run.open(run, runs) if isinstance(run, str) else run
    kind = to or (Path(out).suffix.lstrip(".") if out else "csv")
    if kind not in SHOWN:
        raise unknown("form (to=)", kind, SHOWN)
    name = run.name if isinstance(run, Run) else "this model"
    model = run.model(str(choose_device(device, aloud))) if isinstance(run, Run) else run
    task = model.task
    if not isinstance(task, Answering):
        raise UserError(f"{name} goes on with text: use unrolled generate {name}.")
    if not data:
        raise UserError(
            f"say which rows: unrolled predict {name} data=FILE, with the columns {', '.join(task.inputs)}."
        )
    if every and model.reach.future:
        raise UserError(
            f"every=true: {name} sees a sequence as a whole and has no early answers. Train a model that reads in "
            "order: model=gru, lstm or transformer."
        )
    if out and not Path(out).absolute().parent.is_dir():
        raise UserError(f"out={out}: there is no folder {Path(out).parent}. Make it first.")
    rows = rows_for(task, data, run=run if isinstance(run, Run) else None)
    found: list[dict[str, Any]] = []
    while some := list(islice(rows, AT_ONCE)):
        found += _answered(model, some, batch, every)
    made = Predictions(found, kind, out)
    if out:
        with durable.disk(Path(out), "Free some space, or write elsewhere with out=."):
            durable.replace(Path(out), made.text().encode())
    return made


def rows_for(
    task: Answering,
    data: str | Sequence[Mapping[str, Any]],
    answers: bool = False,
    run: Run | None = None,
) -> Iterator[Record]:
    """The rows of `data` as the task reads them; of a task that also needs their answers, with these. Series of another
    length than all of training's are counted aloud.

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
    return _lengths_told(rows, task, data)


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
            raise unknown(f"column of {data}: this run reads", name, [n for n in row if n not in BESIDE])


def _answered(model: Model, rows: list[Record], batch: int, every: bool) -> list[dict[str, Any]]:
    """Each row's own columns with the answer, which is empty where there is nothing to read; every: one after each step."""
    task = model.task
    nothing = np.zeros((0,), np.float32)
    encoded = [nothing if task.value(row) is None else task.encoded(row) for row in rows]
    read = [number for number, x in enumerate(encoded) if len(x)]
    if len(read) < len(rows):
        gone = next(row for row, x in zip(rows, encoded, strict=True) if not len(x))
        aloud(
            f"{len(rows) - len(read)} rows have nothing in {', '.join(task.inputs)}, the first is {gone['origin']}: "
            "they get no answer"
        )
    inputs = [encoded[number] for number in read]
    if every:
        steps = task.predict_every(model, inputs, batch)
        return [
            _row(rows[number], task, {"step": step} | said)
            for number, answers in zip(read, steps, strict=True)
            for step, said in enumerate(task.rows(answers), 1)
        ]
    said = dict(zip(read, task.rows(task.predict(model, inputs, batch)), strict=True)) if read else {}
    empty = dict.fromkeys(task.targets, "")
    return [_row(row, task, said.get(number, empty)) for number, row in enumerate(rows)]


def _row(row: Record, task: Answering, said: dict[str, Any]) -> dict[str, Any]:
    """The row's own columns and the answer; where both have one of a name, the row's is called so too."""
    own = _short(row, task.targets)
    return {f"{name} (given)" if name in said else name: value for name, value in own.items()} | said


def _called(value: MediaFile | Clip, row: Record) -> str:
    """A file's name, with the folders that tell it from others of that name."""
    origin = str(row["origin"])
    return origin if origin.endswith(value.name) else value.name


def _short(row: Record, targets: tuple[str, ...]) -> dict[str, Any]:
    """The row's own columns, but for series; an answer that stands there already is called `given`."""
    kept = {
        k: _called(v, row) if isinstance(v, MediaFile | Clip) else v
        for k, v in row.items()
        if k not in BESIDE and isinstance(v, (str, int, float, MediaFile, Clip))
    }
    for target in targets:
        value = row.get(target)
        if value is not None:
            kept.pop(target, None)
            kept["given" if len(targets) == 1 else f"given {target}"] = (
                " ".join(map(name_of, value)) if isinstance(value, (list, np.ndarray)) else value
            )
    return kept or {"row": row["origin"]}
