"""What people have -> values that the codec reads: a text, a row of a table, a sound, an array."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def values(argument: str, told: dict[str, Any], codec: Any) -> Iterator[Any]:
    """The values of an argument: of a file by its suffix, else the argument itself."""
    file = Path(argument)
    suffix = file.suffix.lower() if os.path.isfile(argument) else ""  # a long text is no name of a file
    if not suffix and file.suffix.lower() in (*codec.reads, ".csv", ".tsv", ".jsonl", ".json", ".npy"):
        raise SystemExit(f"{argument}: there is no such file")
    if not suffix:
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
    """A row's column that the model reads; of numbered columns (p00, p01, ...) those of its name, or else of the most
    frequent, as one series.
    """
    names = told["task"]["inputs"]
    missing = [name for name in names if name not in row]
    if not missing:
        return row[names[0]] if len(names) == 1 else {name: row[name] for name in names}
    stems: dict[str, list[str]] = {}
    for name in row:
        if name and name[-1].isdigit():
            stems.setdefault(re.split(r"\d", name)[0], []).append(name)
    if len(names) > 1 or not stems:
        raise SystemExit(f"no column {missing[0]!r}; there are {', '.join(row)}")
    best = max(stems, key=lambda stem: (stem.strip(" _-.") == names[0], len(stems[stem])))
    ordered = sorted(stems[best], key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])
    return [float(row[name] or "nan") for name in ordered]
