"""CSV and TSV to records: `{"origin": "file:line", column: text or None}`. Nothing is read into a cell: a number
stays the text that stands in the file, an empty cell is None.

Delimiters other than the suffix's are found, a first row without names gives columns c0, c1, ...; both are said
in `notes`. All problems of a file are raised together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from unrolled.datasets.decoding import EmptyFile, lines
from unrolled.datasets.delimited import Dialect, Row, data_in_first, dialect_of, head_of, rows, sample_of
from unrolled.datasets.problems import Problems
from unrolled.datasets.values import Record, renamed, renaming
from unrolled.errors import UserError

SPELT = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read_csv(path: Path) -> Iterator[Record]:
    """The rows of a file cut by commas, or by semicolons, tabs or bars where those cut it better."""
    return _read(path, ",")


def read_tsv(path: Path) -> Iterator[Record]:
    """The rows of a file cut by tabs. Quotes are characters there unless the first lines show otherwise
    (`delimited.dialect_of`).
    """
    return _read(path, "\t")


def _read(path: Path, usual: str) -> Iterator[Record]:
    notes: list[str] = []
    source = lines(path, notes)
    head = head_of(source)
    if not any(line.strip() for line in head):
        raise EmptyFile(f"{path}: the file holds nothing but blank lines. Expected a table.")
    dialect = dialect_of(head, usual)
    if dialect.delimiter != usual:
        notes.append(f"{path.name}: read as cells cut by {SPELT[dialect.delimiter]}, not {SPELT[usual]}")
    problems = Problems()
    found = rows(chain(head, source), dialect, problems, path)
    first = next((row for row in found if row[1] != [""]), None)
    if first is None:
        problems.settle()
        raise EmptyFile(f"{path}: no row in this file. Expected a table.")
    names, kept = _names(path, first, head, dialect, notes)
    blanks = 0
    held: Record | None = None  # one behind, so that the last can tell how many blank lines were left out
    for record in _records(path, names, chain(kept, found), dialect, problems):
        if record is None:
            blanks += 1
            continue
        if held is not None:
            yield held
        elif notes:
            record["notes"] = notes
        held = record
    problems.settle()
    if held is None:
        raise UserError(
            f"{path}:{first[0]}: only the names of columns ({', '.join(names[:8])}), no row below. Expected "
            "data: check that the file was written completely."
        )
    if blanks:
        held["notes"] = [*held.get("notes", []), f"{path.name}: left out {blanks} blank lines"]
    yield held


def _names(
    path: Path, first: Row, head: list[str], dialect: Dialect, notes: list[str]
) -> tuple[list[str], list[Row]]:
    """The columns' names, and the first row again where it is data. Raises UserError for names that are missing
    or there twice.
    """
    if reason := data_in_first(sample_of(head, dialect) or [first[1]]):
        names = [f"c{number}" for number in range(len(first[1]))]
        notes.append(
            f"{path.name}: its first row is data, not names ({reason}), so the columns are called {names[0]} to "
            f"{names[-1]}. To name them, put a row of names first."
        )
        return names, [first]
    line, cells = first[0], [cell.strip() for cell in first[1]]
    problems = Problems()
    places: dict[str, int] = {}
    for place, name in enumerate(cells):
        if not name:
            hint = " An index that pandas wrote? Write with index=False." if place == 0 else ""
            problems.add(f"{path}:{line}: column {place + 1} of {len(cells)} has no name.{hint} Give it one.")
        elif places.setdefault(name, place) < place:
            problems.add(
                f"{path}:{line}: column {place + 1} is called {name!r} like column {places[name] + 1}. "
                "Expected different names."
            )
        if problems.full:
            break
    problems.settle()
    given = renamed(cells)
    notes.extend(renaming(path.name, given))
    return list(given.values()), []


def _records(
    path: Path, names: list[str], found: Iterator[Row], dialect: Dialect, problems: Problems
) -> Iterator[Record | None]:
    """A record for each good row until there is a problem; None for a blank line that is left out.

    Where a table has one column only, a blank line is a missing value, unless nothing follows it.
    """
    width, name = len(names), path.name
    waiting: list[int] = []
    for line, cells in found:
        if problems.found and problems.enough():
            return
        if cells == [""]:
            if width == 1:
                waiting.append(line)
            else:
                yield None
        elif len(cells) != width:
            problems.add(
                f"{path}:{line}: {len(cells)} cells where {width} were expected ({', '.join(names[:8])}). Put a "
                f"cell that holds one of the {SPELT[dialect.delimiter]} or a line break in double quotes."
            )
        elif not problems.found:
            for blank in waiting:
                yield {"origin": f"{name}:{blank}", names[0]: None}
            waiting.clear()
            record: Record = dict(zip(names, cells, strict=True))
            if "" in cells:
                for column, cell in zip(names, cells, strict=True):
                    if not cell:
                        record[column] = None
            record["origin"] = f"{name}:{line}"
            yield record
