"""What people have -> values that the codec reads: a text, a row of a table, a sound, an array."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def values(argument: str, told: dict[str, Any], codec: Any) -> Iterator[Any]:
    """The values of an argument: of a file by its suffix, else the argument itself."""
    file = Path(argument) if len(argument) < 1000 else None
    suffix = file.suffix.lower() if file is not None and file.is_file() else ""
    if file is None or not suffix:
        yield argument
    elif suffix in codec.reads:
        yield codec.read(file)
    elif suffix in (".csv", ".tsv"):
        with open(file, encoding="utf-8-sig", newline="") as opened:
            for row in csv.DictReader(opened, delimiter="\t" if suffix == ".tsv" else ","):
                yield of_row(row, told)
    elif suffix in (".jsonl", ".json"):
        whole = file.read_text("utf-8")
        rows = json.loads(whole) if suffix == ".json" else [json.loads(line) for line in whole.splitlines()]
        for row in rows if isinstance(rows, list) else [rows]:
            yield of_row(row, told)
    elif suffix == ".npy":
        yield np.load(file)
    else:
        raise SystemExit(f"{argument}: this model reads {', '.join(codec.reads)}, .csv, .jsonl, .npy")


def of_row(row: dict[str, Any], told: dict[str, Any]) -> Any:
    """A row's column that the model reads; of numbered columns (p00, p01, ...) all, as one series."""
    names = told["task"]["inputs"]
    missing = [name for name in names if name not in row]
    if not missing:
        return row[names[0]] if len(names) == 1 else {name: row[name] for name in names}
    numbered = [float(row[name] or "nan") for name in row if name and name[-1].isdigit()]
    if len(names) > 1 or not numbered:
        raise SystemExit(f"no column {missing[0]!r}; there are {', '.join(row)}")
    return numbered
