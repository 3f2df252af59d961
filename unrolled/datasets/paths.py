"""Columns of texts that stand for something else: paths of sound or images, relative to the table's own folder, and
numbers with spaces between.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from unrolled.datasets.media import MediaFile, column_of
from unrolled.datasets.problems import Problems
from unrolled.datasets.readers import Record
from unrolled.datasets.spaced import spaced

LOOKED_AT = 20  # rows in which a column of paths shows itself


def linked(rows: Iterator[Record], folder: Path) -> Iterator[Record]:
    """The rows with a handle in place of each path, in columns that name one in the first rows; and with a series in
    place of numbers with spaces between (`spaced`).

    Raises UserError, all together with their lines, for paths where no file is.
    """
    rows = spaced(rows)
    heads = list(islice(rows, LOOKED_AT))
    names = {
        name
        for head in heads
        for name, value in head.items()
        if isinstance(value, str) and name != "origin" and column_of(value) and (folder / value).is_file()
    }
    rows = chain(heads, rows)
    if not names:
        yield from rows
        return
    problems = Problems()
    for row in rows:
        if problems.found and problems.enough():
            break
        for name in names:
            value = row.get(name)
            if not value:
                continue
            path = folder / str(value)
            if column_of(path.name) is None or not path.is_file():
                problems.add(
                    f"{row['origin']}: column {name!r}: {path} is no file of sound or image. Check the path."
                )
            row[name] = MediaFile(path)
        if not problems.found:
            yield row
    problems.settle()
