"""A column of texts that are numbers with spaces between, as in "0.1 0.2 0.3": a series a row."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from math import isnan

from unrolled.datasets.problems import Problems
from unrolled.datasets.readers import Record
from unrolled.datasets.values import Series, number, series, shown

LOOKED_AT = 20  # rows in which such a column shows itself
LEAST = 2  # numbers that are there, in each of these rows


def spaced(rows: Iterator[Record]) -> Iterator[Record]:
    """The rows with float32 (T,) in place of numbers with spaces between, in columns where every one of the first rows
    that says anything holds at least `LEAST` of them; that is said in `notes`. NaN where a number is missing.

    Raises UserError, all together with their lines, for later cells that are anything else.
    """
    heads = list(islice(rows, LOOKED_AT))
    names = [name for name in (heads[0] if heads else {}) if name != "origin" and _numeric(name, heads)]
    rows = chain(heads, rows)
    if not names:
        yield from rows
        return
    heads[0]["notes"] = [
        *heads[0].get("notes", []),
        *(f"{name} holds numbers with spaces between: read as one series a row" for name in names),
    ]
    problems = Problems()
    for row in rows:
        if problems.found and problems.enough():
            break
        for name in names:
            cell = row.get(name)
            if cell is None:
                continue
            try:
                row[name] = _series(cell)
            except ValueError as error:
                problems.add(
                    f"{row['origin']}: column {name!r}: {error}. Expected numbers with spaces between, as before."
                )
        if not problems.found:
            yield row
    problems.settle()


def _numeric(name: str, heads: list[Record]) -> bool:
    """Whether every cell of the column holds so many numbers; one at least has to say something."""
    cells = [row[name] for row in heads if row.get(name) is not None]
    return bool(cells) and all(isinstance(cell, str) and _several(cell) for cell in cells)


def _several(cell: str) -> bool:
    pieces = cell.split()
    if len(pieces) < LEAST:
        return False
    try:
        return sum(not isnan(number(piece)) for piece in pieces) >= LEAST
    except ValueError:
        return False


def _series(cell: object) -> Series:
    if not isinstance(cell, str):
        raise ValueError(f"{shown(cell)} is no text")
    return series(cell.split())
