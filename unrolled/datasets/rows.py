"""Every row of a data set, whatever it lies in: a table, a folder of sound or images, a zip of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from unrolled.datasets.assemble import gather, grid, numbered
from unrolled.datasets.folders import media_records
from unrolled.datasets.listing import listed
from unrolled.datasets.readers import TEXT, Record, files_of, kind_of, records
from unrolled.datasets.understand import SPLIT
from unrolled.errors import UserError


def continues(path: Path) -> bool:
    """True when all that stands there is plain text, to be gone on with; False for rows with columns."""
    if (path.is_dir() or path.suffix.lower() == ".zip") and media_records(path) is not None:
        return False
    return all(kind_of(file) in TEXT for file in files_of(path)[0])


def rows_of(path: Path) -> tuple[list[Record], list[str]]:
    """The rows as `shaped` makes them, and what is to be said aloud of them. Raises UserError as readers do."""
    return shaped(list(raw_rows(path)))


def raw_rows(path: Path) -> Iterator[Record]:
    """The rows as they stand there, one by one. Raises UserError as readers do."""
    media = media_records(path)
    return records(path) if media is None else _parted(media)


def shaped(rows: list[Record]) -> tuple[list[Record], list[str]]:
    """The rows, numbered columns gathered into one series each, and what is to be said aloud of them.

    A grid of numbered columns (p00 ... p77) is read row by row: a step is one row of it.
    """
    notes = [note for row in rows for note in row.pop("notes", [])]
    for stem, names in numbered(list(rows[0])).items():
        shape = grid(names)
        rows = list(gather(rows, stem, names))
        steps = ""
        if shape is not None:
            for row in rows:
                row["series"] = row["series"].reshape(shape)
            steps = f", a step a row of {shape[1]}"
        notes.append(f"the {len(names)} columns {names[0]} ... {names[-1]} are one series{steps}")
    return rows, notes


def _parted(media: Iterator[Record]) -> Iterator[Record]:
    for record in media:
        if "part" in record:
            record[SPLIT] = record.pop("part")
        yield record


def data_files(path: Path) -> list[Path]:
    """The files whose content is the data: of a folder of media all its files."""
    if media_records(path) is None:
        return files_of(path)[0]
    if path.is_file():
        return [path]
    listing = listed(path)
    if listing is None:
        raise UserError(f"{path}: neither a file nor a folder.")
    return [found.file.path for found in listing.files]
