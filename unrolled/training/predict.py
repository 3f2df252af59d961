"""`predict`: a run's answers to new rows, in their order, with the columns that they came with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from unrolled import durable
from unrolled.datasets import samples
from unrolled.datasets.labels import name_of
from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.readers import Record, files_of
from unrolled.datasets.rows import data_files
from unrolled.datasets.understand import BESIDE
from unrolled.errors import UserError, unknown
from unrolled.model.weights import fingerprint
from unrolled.tasks import Forecast, Transcribe, Translate
from unrolled.tasks.answering import Answering
from unrolled.training.answer_file import SHOWN, AnswerFile, as_text
from unrolled.training.corpus import fingerprints
from unrolled.training.device import choose_device
from unrolled.training.forecast import forecast
from unrolled.training.new_rows import rows_for
from unrolled.training.progress import aloud
from unrolled.training.run import Run

if TYPE_CHECKING:
    from unrolled.model import Model

AT_ONCE = 20_000  # rows read and answered at a time
FINISHED = ".answered.json"  # in a folder of answers: which files are whole, and what they follow from


@dataclass(frozen=True)
class Predictions:
    """`rows`: one a row of the data: its own short columns, then the answer and, of classes, every probability. Where they
    were written to a file, or to one for each file of the data, they are there, and `count` tells how many.
    """

    rows: list[dict[str, Any]]
    count: int
    form: str = "csv"
    written: str | None = None  # the file or folder, where one was asked for

    def text(self) -> str:
        """The rows in the form that was asked for."""
        return as_text(self.rows, self.form)

    def csv(self) -> str:
        """The rows as CSV."""
        return as_text(self.rows, "csv")

    def jsonl(self) -> str:
        """The rows as JSON, one a line."""
        return as_text(self.rows, "jsonl")

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from unrolled.training.display import answered

        return answered(self)


def predict(
    run: Run | Model | str = "@last",
    data: str | Sequence[Mapping[str, Any]] = "",
    *,
    out: str | None = None,
    to: Literal["csv", "jsonl"] | None = None,
    every: bool = False,
    beam: int | None = None,
    runs: str = "runs",
    batch: int = 64,
    device: str = "auto",
) -> Predictions:
    """The answers of a run, or of a loaded model, to the rows of a file or to these: a dict of columns each. every: also
    the early answers, one after each step of a row. beam: of tasks that write texts, how many are kept while searching; as
    the run was scored unless given.

    out: written there as they come, in order, in bounded memory; a file, as its suffix says, or a folder, which gets one
    for each file of the data. Broken off, the same call goes on where it stood; files that are whole stay.

    Raises UserError for a run that gives no answers, or no early ones, a missing column and a row with nothing to read.
    """
    run = Run.open(run, runs) if isinstance(run, str) else run
    into_folder = bool(out) and (str(out).endswith("/") or Path(str(out)).is_dir())
    kind = to or (Path(out).suffix.lstrip(".") if out and not into_folder else "csv")
    if kind not in SHOWN:
        raise unknown("form (to=)", kind, SHOWN)
    name = run.name if isinstance(run, Run) else "this model"
    model = run.model(str(choose_device(device, aloud))) if isinstance(run, Run) else run
    task = model.task
    if isinstance(task, Forecast):
        _refuse_for_series(name, every, beam, into_folder)
        made = forecast(run if isinstance(run, Run) else model, data, out=out, to=to, device=device)
        return Predictions(made.rows, len(made.rows), kind, out)
    if not isinstance(task, Answering):
        raise UserError(f"{name} goes on with text: use unrolled generate {name}.")
    if not data:
        raise UserError(
            f"say which rows: unrolled predict {name} data=FILE, with the columns {', '.join(task.inputs)}."
        )
    if beam is not None:
        model, task = copy(model), _searching(task, beam, name)
        model.task = task
    if every and model.reach.future:
        raise UserError(
            f"every=true: {name} sees a sequence as a whole and has no early answers. Train a model that reads in "
            "order: model=gru, lstm or transformer."
        )
    if out and not Path(out).absolute().parent.is_dir():
        raise UserError(f"out={out}: there is no folder {Path(out).parent}. Make it first.")
    answer = Asker(model, batch, every, run if isinstance(run, Run) else None)
    if into_folder:
        return Predictions([], _each_file(answer, data, Path(str(out)), kind), kind, out)
    if out:
        return Predictions([], _one_file(answer, data, Path(out), kind), kind, out)
    found = [row for block in answer.blocks(data) for row in block[0]]
    return Predictions(found, len(found), kind)


def _refuse_for_series(name: str, every: bool, beam: int | None, into_folder: bool) -> None:
    """Raises UserError for what a forecast hasn't."""
    for key, given in (("every=true", every), ("beam=", beam is not None), ("out=FOLDER", into_folder)):
        if given:
            raise UserError(
                f"{key}: {name} foretells series, and has none. Leave it out; see unrolled forecast --help."
            )


def _searching(task: Answering, beam: int, name: str) -> Answering:
    """The task with another beam. Raises UserError for a task that searches nothing, and for a beam below 1."""
    if not isinstance(task, (Transcribe, Translate)):
        raise UserError(
            f"beam={beam}: it is for runs that write texts, and {name} was trained for {task.kind}."
        )
    searching = replace(task, beam=beam)
    searching.check()
    return searching


@dataclass(frozen=True)
class Asker:
    """A model that is asked, and how."""

    model: Model
    batch: int
    every: bool
    run: Run | None = None

    def blocks(
        self, data: str | Sequence[Mapping[str, Any]], skip: int = 0
    ) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """The answers to the rows of `data` after the first `skip`, some at a time, with how many rows they answer."""
        rows = islice(rows_for(self.model.task, data, run=self.run), skip, None)
        while some := list(islice(rows, AT_ONCE)):
            yield _answered(self.model, some, self.batch, self.every), len(some)

    def depends(self, data: str | Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """What the answers follow from, as plain data; None where the rows are only in memory."""
        if not isinstance(data, str):
            return None
        return {
            "weights": fingerprint(self.model),
            "task": json.loads(json.dumps(self.model.task.to_dict())),  # its thresholds are no weights
            "files": fingerprints(data_files(samples.resolve(data))), "every": self.every,
        }  # fmt: skip


def _one_file(answer: Asker, data: str | Sequence[Mapping[str, Any]], out: Path, kind: str) -> int:
    """Writes the answers to one file; returns how many rows they answer. Raises UserError for a file of the data."""
    files = data_files(samples.resolve(data)) if isinstance(data, str) and out.exists() else ()
    if any(out.samefile(file) for file in files):
        raise UserError(f"out={out}: the answers would take the place of the data. Name another file.")
    with AnswerFile(out, kind, answer.depends(data)) as file:
        if file.rows:
            aloud(f"{out}: goes on after {file.rows} rows that were answered before")
        for rows, answered in answer.blocks(data, file.rows):
            file.add(rows, answered)
    return file.rows


def _each_file(answer: Asker, data: str | Sequence[Mapping[str, Any]], out: Path, kind: str) -> int:
    """Writes one file of answers for each file of the data, under its name; returns how many rows they answer. What is
    whole already, from the same model and the same file, stays as it is.
    """
    if not isinstance(data, str):
        raise UserError(
            f"out={out}: a folder gets one file for each file of the data; rows in memory need a file."
        )
    files, _ = files_of(samples.resolve(data))
    named = {f"{file.name.split('.')[0]}.{kind}": file for file in files}
    if len(named) < len(files):
        raise UserError(
            f"{data}: some of its {len(files)} files have one name but for the suffix; answer them apart."
        )
    if taken := [name for name in named if any((out / name).resolve() == file.resolve() for file in files)]:
        raise UserError(
            f"out={out}: the answers would take the place of the data, as {taken[0]}. Name another folder."
        )
    out.mkdir(exist_ok=True)
    done = _finished(out)
    before = total = 0
    for name, file in named.items():
        depends = answer.depends(str(file))
        if (out / name).is_file() and done.get(name, {}).get("depends") == depends:
            before, total = before + 1, total + done[name]["rows"]
            continue
        rows = _one_file(answer, str(file), out / name, kind)
        total += rows
        done[name] = {"depends": depends, "rows": rows}
        durable.replace(out / FINISHED, json.dumps(done).encode())
    if before:
        aloud(f"{out}: {before} of {len(named)} files were answered before")
    return total


def _finished(out: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((out / FINISHED).read_bytes()))
    except (OSError, ValueError):
        return {}


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
    for remark in task.remarks([rows[number] for number in read], inputs):
        aloud(remark)
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
