"""What a table or folder of sequences will be read as: its columns, the task and why, lengths and classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from unrolled.datasets.rows import Rows
from unrolled.datasets.understand import Asked, Reading, columns, understand
from unrolled.errors import UserError

CLASSES = 12  # shown


@dataclass(frozen=True)
class ColumnLook:
    """One column: what its values are, how many there are and are missing, and one of them."""

    name: str
    kind: str
    values: int
    missing: int
    distinct: int | None  # None: not counted, or too many to count
    example: str


@dataclass(frozen=True)
class RowsLook:
    """What `data look` says of rows, as plain data; `text()` is for people."""

    data: str
    rows: int
    columns: list[ColumnLook]
    reading: Reading | None
    open: str  # what the user has to say where there is no one reading
    classes: dict[str, int]
    lengths: tuple[int, float, int] | None  # shortest, mean, longest series
    notes: list[str]

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """For a terminal of 100 columns."""
        width = max(len(c.name) for c in self.columns)
        lines = [f"{self.data}: {self.rows:,} rows", ""]
        for c in self.columns:
            missing = f", {c.missing:,} missing" if c.missing else ""
            distinct = f", {c.distinct:,} distinct" if c.distinct is not None else ""
            lines.append(f"  {c.name:<{width}}  {c.kind}{distinct}{missing}: {c.example}")
        if self.lengths:
            low, mean, high = self.lengths
            lines += ["", f"  steps: {low} to {high}, {mean:.1f} in the mean"]
        if self.classes:
            shown = [f"{name} {count:,}" for name, count in list(self.classes.items())[:CLASSES]]
            more = f" and {len(self.classes) - CLASSES} more" if len(self.classes) > CLASSES else ""
            lines += ["", f"  classes: {', '.join(shown)}{more}"]
        lines += [f"  {note}" for note in self.notes[:6]]
        if self.reading is None:
            return "\n".join([*lines, "", self.open])
        lines += ["", f"  task {self.reading.task}: {self.reading.reads} -> {self.reading.target}"]
        lines += [f"    {key}={value}: {reason}" for key, value, reason in self.reading.why]
        if self.reading.left_out:
            lines.append(f"    left out: {', '.join(self.reading.left_out)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)


def look_rows(data: str, path: Path) -> RowsLook:
    """Looks at the rows of a table, a folder or a zip. Raises UserError as readers do."""
    read = Rows(path)
    rows, notes = list(read), read.notes
    found = columns(rows)
    try:
        reading, unclear = understand(found, Asked(), data), ""
    except UserError as error:
        reading, unclear = None, str(error)
    shown = []
    for column in found.values():
        example = next((row[column.name] for row in rows if row.get(column.name) is not None), "")
        countable = column.kind in ("number", "category") and len(column.distinct) <= 1000
        distinct = len(column.distinct) if countable else None
        shown.append(
            ColumnLook(column.name, column.kind, column.values, column.missing, distinct, _shown(example))
        )
    classes: dict[str, int] = {}
    if reading is not None and reading.task == "classify":
        classes = dict(Counter(str(row[reading.target]) for row in rows).most_common())
    series = [len(row[c]) for row in rows for c in found if isinstance(row.get(c), np.ndarray)]
    lengths = (min(series), float(np.mean(series)), max(series)) if series else None
    return RowsLook(data, len(rows), shown, reading, unclear, classes, lengths, notes)


def _shown(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {' x '.join(map(str, value.shape))}"
    text = str(value).replace("\n", " ")
    return text if len(text) <= 50 else text[:49] + "…"
