"""`predict`: a run's answers to new rows, in their order, with the columns that they came with."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unrolled import durable
from unrolled.datasets import samples
from unrolled.datasets.rows import rows_of
from unrolled.datasets.understand import BESIDE
from unrolled.errors import UserError, unknown
from unrolled.training.device import choose_device
from unrolled.training.progress import aloud
from unrolled.training.run import Run

SHOWN = ("csv", "jsonl")


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
    run: Run | str = "@last",
    data: str = "",
    *,
    out: str | None = None,
    to: Literal["csv", "jsonl"] | None = None,
    runs: str = "runs",
    batch: int = 64,
    device: str = "auto",
) -> Predictions:
    """A run's answers to the rows of `data`; written to `out` where given, as its suffix says.

    Raises UserError for a run that gives no answers, a missing column and a row with nothing to read.
    """
    run = Run.open(run, runs) if isinstance(run, str) else run
    kind = to or (Path(out).suffix.lstrip(".") if out else "csv")
    if kind not in SHOWN:
        raise unknown("form (to=)", kind, SHOWN)
    model = run.model(str(choose_device(device, aloud)))
    task = model.task
    if task.kind == "generate":
        raise UserError(f"{run.name} goes on with text: use unrolled generate {run.name}.")
    if not data:
        raise UserError(
            f"say which rows: unrolled predict {run.name} data=FILE, with a column {task.input!r}."
        )
    rows, _ = rows_of(samples.resolve(data))
    if task.input not in rows[0]:
        raise unknown(
            f"column of {data}: this run reads", task.input, [name for name in rows[0] if name not in BESIDE]
        )
    inputs = [np.asarray(task.codec.encode(_value(row, task.input))) for row in rows]
    if empty := next((row for row, x in zip(rows, inputs, strict=True) if not len(x)), None):
        raise UserError(f"{empty['origin']}: nothing to read in {task.input!r}.")
    answers = task.rows(task.predict(model, inputs, batch))
    made = Predictions(
        [_short(row, task.target) | said for row, said in zip(rows, answers, strict=True)], kind, out
    )
    if out:
        with durable.disk(Path(out), "Free some space, or write elsewhere with out=."):
            durable.replace(Path(out), made.text().encode())
    return made


def _value(row: dict[str, Any], column: str) -> Any:
    value = row.get(column)
    if value is None:
        raise UserError(f"{row['origin']}: nothing in the column {column!r}.")
    return value


def _short(row: dict[str, Any], target: str) -> dict[str, Any]:
    """The row's own columns, but for series and for the answer, which stands there as `given`."""
    kept = {k: v for k, v in row.items() if k not in BESIDE and isinstance(v, (str, int, float))}
    if target in kept:
        kept["given"] = kept.pop(target)
    return kept
