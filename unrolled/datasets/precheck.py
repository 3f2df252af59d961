"""A first reading before anything heavy is imported: data that can't be trained on is refused at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from unrolled.datasets.parts import SHARES
from unrolled.datasets.readers import Record, records
from unrolled.datasets.rows import continues, raw_rows, shaped
from unrolled.datasets.samples import resolve
from unrolled.datasets.split import GENERATE, split
from unrolled.datasets.trial import inputs_of, try_out
from unrolled.datasets.understand import Asked, columns, understand
from unrolled.errors import UserError

ROWS = 20_000  # that are read; of more rows the first so many are, and the rest is left to the reading that follows
CELLS = 500_000  # the same
FILES = 200  # of sound or images that are decoded
TEXT = 8_000_000  # characters of plain text
SHORT = 10_000  # the same, up to which a text is split


def precheck(
    data: str, asked: Asked, *, task: str = "auto", codec: str = "auto", shares: Sequence[float] | None = None
) -> None:
    """Reads, understands and encodes what `data` names, up to a fixed amount, and keeps nothing.

    Raises what training would raise for it: UserError with file and line, row, byte or frame.
    """
    try:
        _checked(resolve(data), data, asked, task, codec, shares)
    except UserError as error:
        if Path(data).name in str(error):
            raise
        raise UserError(f"{data}: {error}") from error


def _checked(
    path: Path, data: str, asked: Asked, task: str, codec: str, shares: Sequence[float] | None
) -> None:
    if continues(path):
        _check_text(path, shares)
        return
    if task == "generate":
        return
    rows = list(islice(raw_rows(path), ROWS + 1))
    if len(rows) > ROWS or len(rows) * len(rows[0]) > CELLS:
        return
    rows, _ = shaped(rows)
    found = columns(rows)
    reading = understand(found, asked, data)
    if any(found[name].media for name in inputs_of(reading)) and len(rows) > FILES:
        return
    try_out(rows, reading, found, data, codec=codec, shares=shares or SHARES).check()


def _check_text(path: Path, shares: Sequence[float] | None) -> None:
    """The text's beginning; a short text is dealt to its parts too, as it may leave some of them empty."""
    held, size = list[Record](), 0
    for record in records(path):
        size += len(record["text"])
        if size <= SHORT:
            held.append(record)
        elif size > TEXT:
            break
    if size <= SHORT:
        split(held, fractions=shares or GENERATE)
