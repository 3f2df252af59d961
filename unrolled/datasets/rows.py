"""Every row of a data set, whatever it lies in: a table, a folder of sound or images, a zip of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

from unrolled.datasets import sets
from unrolled.datasets.aligned import aligned_files, aligned_records, line_aligned
from unrolled.datasets.assemble import gather, grid, group_rows, numbered
from unrolled.datasets.folders import media_records
from unrolled.datasets.listing import listed
from unrolled.datasets.named_records import named_records, set_files
from unrolled.datasets.paths import linked
from unrolled.datasets.readers import TEXT, Record, files_of, kind_of, records
from unrolled.datasets.understand import SPLIT
from unrolled.errors import UserError

HELD = 48_000_000  # bytes of files whose records are kept in memory; larger ones are read anew at each pass
GZIP = 4  # what a compressed byte counts for
SERIES = "series"


@dataclass(frozen=True)
class Long:
    """How the rows of a long table make sequences: those of one `id` are its steps, in the order of `time` (None: of the
    file). `values`: columns of numbers, together the series; `categories`: columns of texts, a list each; `constants`:
    columns that say one thing of the whole sequence.
    """

    id: str
    time: str | None
    values: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """What `to_dict` described."""
        lists = {key: tuple(saved[key]) for key in ("values", "categories", "constants")}
        return cls(saved["id"], saved["time"], **lists)


class Rows:
    """The records of a path, or of a list, in their order, as often as they are asked for. Small data are read once and
    kept.

    Numbered columns are one series each; a grid of them (p00 ... p77) is read row by row: a step is one row of it.
    Notes of records are taken out and stand in `notes` after the first pass. Raises UserError as readers do.
    """

    def __init__(self, source: Path | list[Record], long: Long | None = None, held: int = HELD) -> None:
        self.source, self.long = source, long
        self.notes: list[str] = []
        self._passed = False
        self._kept: list[Record] | None = None
        if isinstance(source, list) or _size(source) <= held:
            self._kept = list(self._read())

    @classmethod
    def ready(cls, rows: list[Record], long: Long | None) -> Self:
        """Rows that are sequences already, as they come out of others."""
        made = cls([])
        made._kept, made.long = rows, long
        return made

    def gathered(self, long: Long) -> Rows:
        """The same data, the rows of one id together."""
        return Rows(self.source, long)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._kept) if self._kept is not None else self._read()

    def _read(self) -> Iterator[Record]:
        first, self._passed = not self._passed, True
        notes = self.notes if first else []
        for record in self._sequences(notes):
            notes += [note for note in record.pop("notes", ()) if note not in notes]
            yield record

    def _sequences(self, notes: list[str]) -> Iterator[Record]:
        if self.long is None:
            return self._shaped(notes)
        long, problems = self.long, notes
        return group_rows(
            lambda: self._shaped(problems), long.id, long.time, long.values, long.constants, long.categories
        )

    def _shaped(self, notes: list[str]) -> Iterator[Record]:
        rows = iter(self.source) if isinstance(self.source, list) else raw_rows(self.source)
        head = next(rows, None)
        if head is None:
            return rows
        rows = chain([head], rows)
        groups = numbered(list(head))
        taken = {*head} - {name for names in groups.values() for name in names}
        for stem, names in groups.items():
            shape = grid(names)
            called = SERIES if len(groups) == 1 else stem.strip(" _-.") or SERIES
            while called in taken:
                called += "_"
            taken.add(called)
            rows = _gathered(rows, stem, names, shape, called)
            steps = f", a step a row of {shape[1]}" if shape else ""
            more = f", called {called}" if called != SERIES else ""
            notes.append(f"the {len(names)} columns {names[0]} ... {names[-1]} are one series{steps}{more}")
        return rows


def raw_rows(path: Path) -> Iterator[Record]:
    """The rows as they stand there, one by one, paths as files. Raises UserError as readers do."""
    if wanted := sets.of(path):
        return named_records(wanted)
    if aligned := line_aligned(path):
        return aligned_records(aligned)
    media = media_records(path)
    if media is not None:
        return _parted(media)
    return linked(records(path), path if path.is_dir() else path.parent)


def _gathered(
    rows: Iterator[Record], stem: str, names: list[str], shape: tuple[int, int] | None, called: str
) -> Iterator[Record]:
    for row in gather(rows, stem, names, called):
        if shape is not None:
            row[called] = row[called].reshape(shape)
        yield row


def _size(path: Path) -> int:
    """Bytes of all files, as they are when unpacked, about; none of media, whose records are only handles."""
    wanted = sets.of(path)
    aligned = None if wanted else line_aligned(path)
    if wanted is None and aligned is None and media_records(path) is not None:
        return 0
    files = set_files(wanted) if wanted else aligned_files(aligned) if aligned else files_of(path)[0]
    return sum(
        file.stat().st_size * (GZIP if file.suffix.lower() in (".gz", ".parquet", ".npz") else 1)
        for file in files
    )


def continues(path: Path) -> bool:
    """True when all that stands there is plain text, to be gone on with; False for rows with columns."""
    if line_aligned(path):
        return False
    if (path.is_dir() or path.suffix.lower() == ".zip") and media_records(path) is not None:
        return False
    return all(kind_of(file) in TEXT for file in files_of(path)[0])


def _parted(media: Iterator[Record]) -> Iterator[Record]:
    for record in media:
        if "part" in record:
            record[SPLIT] = record.pop("part")
        yield record


def data_files(path: Path) -> list[Path]:
    """The files whose content is the data: of a folder of media all its files."""
    if wanted := sets.of(path):
        return set_files(wanted)
    if aligned := line_aligned(path):
        return aligned_files(aligned)
    if media_records(path) is None:
        return files_of(path)[0]
    if path.is_file():
        return [path]
    listing = listed(path)
    if listing is None:
        raise UserError(f"{path}: neither a file nor a folder.")
    return [found.file.path for found in listing.files]
