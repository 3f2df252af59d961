"""A first reading before anything heavy is imported: data that can't be trained on is refused at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from unrolled.datasets import sets
from unrolled.datasets.asked import Asked, Open, check_plain
from unrolled.datasets.dealt import deal_rows
from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.readers import Record, records
from unrolled.datasets.rows import Rows, continues, raw_rows
from unrolled.datasets.samples import resolve
from unrolled.datasets.series_columns import seen_as_series
from unrolled.datasets.series_table import read_series
from unrolled.datasets.split import GENERATE, split
from unrolled.datasets.trial import try_out
from unrolled.datasets.unread import unread
from unrolled.errors import UserError

ROWS = 20_000  # that are read; of more rows the first so many are, and the rest is left to the reading that follows
CELLS = 500_000  # the same
FILES = 200  # of sound or images that are decoded
TEXT = 8_000_000  # characters of plain text
SHORT = 10_000  # the same, up to which a text is split


def precheck(data: str, asked: Asked, typed: Sequence[str] = ()) -> None:
    """Reads, understands and encodes what `data` names, up to a fixed amount, and keeps nothing. `typed`: other keys of
    the command, which the commands that are offered keep.

    Raises what training would raise for it: UserError with file and line, row, byte or frame.
    """
    try:
        _checked(resolve(data), data, asked, typed)
    except UserError as error:
        if Path(data).name in str(error):
            raise
        raise UserError(f"{data}: {error}") from error


def _checked(path: Path, data: str, asked: Asked, typed: Sequence[str]) -> None:
    if continues(path):
        check_plain(asked, data)
        _check_text(path, asked.shares)
        return
    if asked.task == "generate" or sets.of(path):
        return
    if columns := seen_as_series(path, asked):
        first = islice(raw_rows(path), ROWS)
        read_series(first, columns, "rows", data)  # how far apart steps are may be said by a key
        return
    rows = list(islice(raw_rows(path), ROWS + 1))
    if len(rows) > ROWS or len(rows) * len(rows[0]) > CELLS:
        return
    media = any(isinstance(value, (MediaFile, Clip)) for value in rows[0].values())
    if not media or len(rows) <= FILES:
        try:
            dealt = deal_rows(Rows(rows), asked, data)
        except Open as error:
            raise UserError(unread(error, rows, asked, typed)) from error
        try_out(dealt).check()


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
