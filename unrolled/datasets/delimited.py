"""Lines of delimited text to cells (RFC 4180), and what a file's first lines tell about how it is written:
delimiter, quoting, and whether the first row holds names.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from unrolled.datasets.decoding import LINE
from unrolled.datasets.problems import Problems
from unrolled.datasets.values import MISSING

HEAD_LINES = 1000  # that decide how a file is read
HEAD_CHARACTERS = 1 << 20
LONG = 64  # characters: a longer first cell is no name where the cells below are as long
RUN = 4  # consecutive whole numbers that are names of columns, not values

CLOSING = re.compile(r'[^"]*+(?:""[^"]*+)*+"')
# Names that people and programs give to columns: a first row that holds one is a row of names.
NAMES = {
    "text",
    "label",
    "class",
    "target",
    "y",
    "id",
    "time",
    "date",
    "timestamp",
    "month",
    "year",
    "category",
}
NAMES |= {"sentiment", "split", "source", "event", "word", "sentence", "title", "user", "speaker", "group"}

Row = tuple[int, list[str]]  # the line where it begins, and its cells


class Dialect(NamedTuple):
    """How a file is written. `quoting`: a cell that begins with a double quote ends at the next single one."""

    delimiter: str
    quoting: bool


class _Misquoted(Exception):
    """A quoted cell that is never closed, or goes on behind its closing quote: what is wrong, on which of the
    row's lines, and how many of them were read.
    """

    def __init__(self, says: str, line: int, taken: int) -> None:
        super().__init__(says)
        self.line, self.taken = line, taken


def rows(source: Iterator[str], dialect: Dialect, problems: Problems, path: object) -> Iterator[Row]:
    """The rows of these lines. A blank line is a row of one empty cell. Wrong quotes go to `problems`."""
    delimiter, quoting = dialect
    number = 1
    for line in source:
        if not quoting or '"' not in line:
            yield number, line.rstrip("\r\n").split(delimiter)
            number += 1
            continue
        try:
            cells, taken = _quoted_row(line, source, delimiter)
        except _Misquoted as error:
            problems.add(f"{path}:{number + error.line}: {error}")
            if problems.full:
                return
            taken = error.taken
        else:
            yield number, cells
        number += 1 + taken


def _quoted_row(line: str, source: Iterator[str], delimiter: str) -> tuple[list[str], int]:
    """The cells of this line, and how many lines more they took. Raises _Misquoted."""
    cells: list[str] = []
    at = taken = 0
    while True:
        if not line.startswith('"', at):
            end = line.find(delimiter, at)
            if end < 0:
                cells.append(line[at:].rstrip("\r\n"))
                return cells, taken
            cells.append(line[at:end])
            at = end + 1
            continue
        text, begun, at = "", taken, at + 1
        closing = CLOSING.match(line, at)
        if closing is None:
            text, line, more = _lines_of_cell(line[at:], source, len(cells) + 1, taken)
            taken, at = taken + more, 0
            closing = CLOSING.match(line)
            assert closing is not None
        cells.append((text + line[at : closing.end() - 1]).replace('""', '"'))
        at = closing.end()
        if at == len(line) or line[at] in "\r\n":
            return cells, taken
        if not line.startswith(delimiter, at):
            rest = line[at : at + 10].rstrip("\r\n")
            raise _Misquoted(
                f"{rest!r} behind the closing quote of cell {len(cells)}{_opened(taken - begun)}. Expected "
                "a delimiter or the line's end: write a quote inside a quoted cell twice.",
                taken,
                taken,
            )
        at += 1


def _lines_of_cell(first: str, source: Iterator[str], number: int, taken: int) -> tuple[str, str, int]:
    """A quoted cell that its first line doesn't close: its text before the line that does, that line, and how many
    were read. Raises _Misquoted where none does within `LINE` characters.
    """
    text = io.StringIO(newline="")
    text.write(first)
    for more, line in enumerate(source, 1):
        if text.tell() > LINE:
            where = f"{LINE:,} characters on"
            break
        if CLOSING.match(line):
            return text.getvalue(), line, more
        text.write(line)
    else:
        more, where = 0, "the file's end"
    raise _Misquoted(
        f"the quote that opens cell {number} is not closed before {where}. Close it, or write a quote inside a "
        "quoted cell twice.",
        taken,
        taken + more,
    )


def _opened(lines: int) -> str:
    return f", which was opened {lines} line{'s' * (lines > 1)} before" if lines else ""


def head_of(source: Iterator[str]) -> list[str]:
    """The first lines, at most `HEAD_LINES` and about `HEAD_CHARACTERS`."""
    head: list[str] = []
    size = 0
    for line in source:
        head.append(line)
        size += len(line)
        if len(head) == HEAD_LINES or size > HEAD_CHARACTERS:
            break
    return head


def dialect_of(head: Sequence[str], usual: str) -> Dialect:
    """The delimiter that cuts the most of these lines into as many cells as the first; `usual` where it cuts
    all, or where none cuts any.

    Text cut by tabs keeps its quotes as characters, unless quoted cells are seen that need them: ones with a
    tab, a line break or a doubled quote inside, or a first row that is quoted throughout.
    """
    best, score = usual, 0.0
    for delimiter in [usual, *(mark for mark in ",;\t|" if mark != usual)]:
        widths = [len(cells) for cells in sample_of(head, Dialect(delimiter, True))]
        share = sum(width == widths[0] for width in widths) / len(widths) if widths and widths[0] > 1 else 0.0
        if share > score:
            best, score = delimiter, share
        if score == 1.0:
            break
    return Dialect(best, best != "\t" or _quotes_are_marks(head))


def sample_of(head: Sequence[str], dialect: Dialect) -> list[list[str]]:
    """The rows of a file's first lines, without blank ones."""
    return [cells for _, cells in rows(iter(head), dialect, Problems(), "") if cells != [""]]


def _quotes_are_marks(head: Sequence[str]) -> bool:
    problems = Problems()
    quoted = list(rows(iter(head), Dialect("\t", True), problems, ""))
    if problems and not (
        len(problems) == 1 and "not closed" in problems.found[0] and len(head) == HEAD_LINES
    ):
        return False
    plain = list(rows(iter(head), Dialect("\t", False), Problems(), ""))
    if not plain:
        return False
    first = plain[0][1]
    wrapped = all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in first)
    doubled = any(cell.startswith('"') and '""' in cell[1:-1] for _, cells in plain for cell in cells)
    return wrapped or doubled or [len(cells) for _, cells in quoted] != [len(cells) for _, cells in plain]


def data_in_first(sample: Sequence[Sequence[str]]) -> str | None:
    """Why the first row of these is data and not names, in words; None where it holds names.

    A text above numbers, or a name that everybody gives, makes it a row of names. A number, a value that
    occurs again below, words that all occur below, or a text as long as those below make it data.
    """
    first, body = sample[0], [row for row in sample[1:] if row != sample[0]]
    columns = [[row[i] for row in body if i < len(row) and row[i]] for i in range(len(first))]
    if any(_names_numbers(cell, below) for cell, below in zip(first, columns, strict=True)):
        return None
    known = (cell for cell, below in zip(first, columns, strict=True) if cell not in below)
    if any(cell.strip().lower() in NAMES for cell in known) or _is_run(first):
        return None
    for cell, below in zip(first, columns, strict=True):
        if _is_number(cell):
            return f"{cell!r} is a number"
        if cell and cell in below:
            return f"{cell!r} occurs again below"
        words = cell.split()
        if len(words) > 1 and set(words) <= {word for text in below for word in text.split()}:
            return f"the words of {cell!r} occur again below"
        if len(cell) > LONG and below and 2 * sorted(map(len, below))[len(below) // 2] >= len(cell):
            return "it holds a text as long as those below"
    return None


def _names_numbers(cell: str, below: Sequence[str]) -> bool:
    values = [text for text in below if text.strip().lower() not in MISSING]
    missing = cell.strip().lower() in MISSING
    return bool(values) and not missing and not _is_number(cell) and all(map(_is_number, values))


def _is_run(first: Sequence[str]) -> bool:
    """Whether the numbers of a first row count on: 0, 1, 2, 3 or 1990, 1991, ..."""
    numbers = [cell for cell in first if _is_number(cell)]
    if len(numbers) < RUN or not all(cell.isascii() and cell.isdigit() for cell in numbers):
        return False
    return [int(cell) - int(numbers[0]) for cell in numbers] == list(range(len(numbers)))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.strip().lower() != "nan"
