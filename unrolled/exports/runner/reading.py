"""What people have -> values that the codec reads: a text, a row of a table, a sound, an array."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

TABLES = (".csv", ".tsv", ".jsonl", ".json")


def values(argument: str, told: dict[str, Any], codec: Any) -> Iterator[Any]:
    """The values of an argument: of a file by its suffix, else the argument itself."""
    file = Path(argument)
    suffix = file.suffix.lower() if os.path.isfile(argument) else ""  # a long text is no name of a file
    if not suffix and file.suffix.lower() in (*codec.reads, *TABLES, ".npy"):
        raise SystemExit(f"{argument}: there is no such file")
    if not suffix:
        yield of_text(argument, told)
    elif suffix in codec.reads:
        yield codec.read(file)
    elif suffix in TABLES:
        rows = rows_of(file, suffix)
        for row in gathered(rows, told["task"]["long"]) if told["task"]["long"] else rows:
            yield of_row(row, told)
    elif suffix == ".npy" and len(told["task"]["inputs"]) == 1:
        yield np.load(file)
    else:
        raise SystemExit(f"{argument}: this model reads {', '.join([*codec.reads, *TABLES])}")


def rows_of(file: Path, suffix: str) -> Iterator[dict[str, Any]]:
    """The rows of a table. An empty cell is None, and so is a column that only lines before had."""
    text = file.read_text("utf-8-sig")
    if suffix in (".jsonl", ".json"):
        whole = json.loads(
            text if suffix == ".json" else f"[{','.join(filter(str.strip, text.split(chr(10))))}]"
        )
        known: dict[str, Any] = {}
        for row in whole if isinstance(whole, list) else [whole]:
            known |= dict.fromkeys(row)
            yield known | row
        return
    mark = max(",;\t|", key=text.partition("\n")[0].count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    names = [name.strip() for name in next(rows)]
    blank = 0
    for cells in rows:
        if not cells:
            blank += 1
            continue
        if len(cells) != len(names):
            raise ValueError(f"line {rows.line_num}: {len(cells)} cells where {len(names)} were expected")
        if len(names) == 1:  # a blank line is a missing value
            yield from [{names[0]: None}] * blank
        blank = 0
        yield {name: cell or None for name, cell in zip(names, cells, strict=True)}


def gathered(rows: Iterable[dict[str, Any]], long: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of each id as one, its steps in the order of time."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[long["id"]], []).append(row)
    for own in groups.values():
        if long["time"]:
            own.sort(key=lambda row: seconds(row[long["time"]]))
        series = [
            [float("nan") if row[name] is None else float(row[name]) for name in long["values"]]
            for row in own
        ]
        yield {
            **own[0],
            "series": series,
            **{name: [row[name] for row in own] for name in long["categories"]},
        }


def seconds(value: Any) -> float:
    """A time to sort by: a number, or an ISO date."""
    try:
        return float(value)
    except ValueError:
        when = datetime.fromisoformat(value + "-01" if len(value) == 7 else value.strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def of_text(text: str, told: dict[str, Any]) -> Any:
    """A JSON object or, for a model of several columns, one row of CSV; else the text itself."""
    names = told["task"]["inputs"]
    if text.startswith("{"):
        with contextlib.suppress(ValueError):
            row = json.loads(text)
            if len(names) > 1 or names[0] in row:
                return of_row(row, told)
    if len(names) == 1:
        return text
    cells = next(csv.reader([text]), [])
    if len(cells) != len(names):
        raise SystemExit(f"{text!r:.60}: {len(cells)} cells; this model reads the columns {', '.join(names)}")
    return {name: cell or None for name, cell in zip(names, cells, strict=True)}


def of_row(row: dict[str, Any], told: dict[str, Any]) -> Any:
    """What the model reads of a row: its column, or a dict of several."""
    names = told["task"]["inputs"]
    read = {name: row[name] if name in row else series_of(row, name, len(names) > 1) for name in names}
    return read[names[0]] if len(names) == 1 else read


def series_of(row: dict[str, Any], wanted: str, several: bool) -> list[float]:
    """Numbered columns (p00, p01, ...) as one series: those of this name, or else the most frequent; of several columns
    only where theirs is the usual name.
    """
    stems: dict[str, list[str]] = {}
    for name in row:
        if name and name[-1].isdigit():
            stems.setdefault(re.split(r"\d", name)[0], []).append(name)
    best = max(stems, key=lambda stem: (stem.strip(" _-.") == wanted, len(stems[stem])), default="")
    if not stems or (several and wanted not in ("series", best.strip(" _-."))):
        raise SystemExit(f"no column {wanted!r}; there are {', '.join(row)}")
    ordered = sorted(stems[best], key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])
    return [float(row[name] or "nan") for name in ordered]
