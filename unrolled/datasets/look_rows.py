"""What a table or folder of sequences will be read as: columns, task and why, lengths, classes, the split with what
leaks across it, and what a model sees of the first rows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unrolled.datasets.asked import Asked, Open, check_rows
from unrolled.datasets.columns import SEPARATOR, Column, columns
from unrolled.datasets.dealt import dealt_as, own_of, understood
from unrolled.datasets.folders import load
from unrolled.datasets.histogram import Bin, histogram
from unrolled.datasets.images import image_header
from unrolled.datasets.labels import pieces
from unrolled.datasets.leaks import Finding, Repeats
from unrolled.datasets.look_sample import sampled
from unrolled.datasets.look_text import shown, text_of
from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import Long, Rows, raw_rows
from unrolled.datasets.seen import Seen, seen
from unrolled.datasets.sound import sound_header
from unrolled.datasets.split import PARTS
from unrolled.datasets.trial import Trial, spread, try_out
from unrolled.datasets.understand import Reading
from unrolled.datasets.unread import unread
from unrolled.errors import UserError

COSTLY = 10_000  # rows for the split, repeats, leaks and codecs
FILES = 2_000  # the same of sounds, images and videos, which have to be opened
FITTED = 200  # of them, decoded to fit a codec
EXAMPLES = {"text": 3, "category": 3, "tokens": 3}  # rows shown; two of the other kinds
COUNTED = {"text": "words", "category": "words", "tokens": "items", "series": "steps", "sound": "seconds",
           "image": "pixels a side", "frames": "frames"}  # fmt: skip


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
class Lengths:
    """How long a column's values are, counted in `unit`. Sounds are counted in hundredths of a second in `bins`."""

    column: str
    unit: str
    shortest: float
    mean: float
    longest: float
    bins: list[Bin]


@dataclass(frozen=True)
class Tried:
    """The split that training would make, what parts know of each other, and what a model sees."""

    rows: int  # of them that this was tried with
    left: int  # of these, without an input or an answer
    parts: dict[str, int]
    notes: list[str]
    repeats: Repeats
    leaks: list[Finding]
    codecs: dict[str, str]
    fitted: int  # training rows that the codecs were fitted on; a run fits on all
    seen: list[Seen]


@dataclass(frozen=True)
class RowsLook:
    """What `data look` says of rows, as plain data; `text()` is for people."""

    data: str
    rows: int
    looked: int  # rows, spread over all, that columns, lengths and classes are counted on
    columns: list[ColumnLook]
    lengths: list[Lengths]
    reading: Reading | None
    open: str  # what the user has to say where there is no one reading
    classes: dict[str, int]
    dealt: Tried | None
    notes: list[str]

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """For a terminal of 100 columns."""
        return text_of(self)

    def to_dict(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)


def look_rows(data: str, path: Path, asked: Asked | None = None) -> RowsLook:
    """Looks at the rows of a table, a folder or a zip as training would with what is `asked`. Every row is read, many are
    looked at, and some for the costly parts. Raises UserError as readers do, and for keys that don't suit the rows.
    """
    asked = asked or Asked()
    check_rows(asked, data)
    held, total, said = sampled(raw_rows(path), asked=asked)
    rows, reading, open = Rows(held), None, ""
    try:
        rows, reading = understood(rows, asked, data, own_of(path))
    except Open as error:
        open = unread(error, held, asked)
    except UserError as error:
        if asked != Asked():
            raise
        open = str(error)
    whole = list(rows)
    notes = [*said, *rows.notes]
    found = columns(whole)
    looks = [_column(column, whole) for column in found.values()]
    lengths = [made for column in found.values() if (made := _measured(column, whole))]
    if reading is None:
        for row in whole[:FITTED] if any(column.media for column in found.values()) else []:
            load(row)  # what is broken is told all the same
        return RowsLook(data, total, len(whole), looks, lengths, None, open, {}, None, notes)
    dealt, open = _tried(data, whole, rows.long, reading, found, asked)
    classes = {} if reading.task in ("regress", "translate") else _classes(whole, reading)
    return RowsLook(data, total, len(whole), looks, lengths, reading, open, classes, dealt, notes)


def _classes(rows: list[Record], reading: Reading) -> dict[str, int]:
    """How often each class is said, the most frequent first."""
    counted: Counter[str] = Counter()
    for row in rows:
        value = row.get(reading.targets[0])
        each = value.split(SEPARATOR) if reading.several and isinstance(value, str) else value
        if reading.task == "tag":
            each = pieces(value)
        counted.update(str(a) for a in (each if isinstance(each, list) else [each]) if a not in (None, ""))
    return dict(counted.most_common())


def _tried(
    data: str,
    rows: list[Record],
    long: Long | None,
    reading: Reading,
    found: dict[str, Column],
    asked: Asked,
) -> tuple[Tried | None, str]:
    """The reading tried out; where the rows don't allow it, why not."""
    media = any(found[name].media for name in reading.inputs)
    few = spread(rows, FILES if media else COSTLY)
    try:
        trial = try_out(dealt_as(Rows.ready(few, long), reading, asked, data), FITTED if media else None)
        if not media or len(few) <= FITTED:
            trial.check()
        leaks, repeats = trial.leaks()
        examples = _examples(trial, found)
    except UserError as error:
        if media:  # a file of it is broken
            raise
        return None, str(error)
    parts = {part: trial.dealt.count(part) for part in PARTS}
    left = len(few) - sum(parts.values())
    codecs = {name: codec.kind for name, codec in trial.columns().items()}
    notes = [*trial.dealt.notes, *(n for c in trial.columns().values() for n in getattr(c, "notes", []))]
    return Tried(len(few), left, parts, notes, repeats, leaks, codecs, trial.fitted, examples), ""


def _examples(trial: Trial, found: dict[str, Column]) -> list[Seen]:
    dealt = trial.dealt
    rows = [row for row, place in zip(dealt.rows, dealt.places, strict=True) if place < len(PARTS)]
    return [
        seen(str(row["origin"]), name, shown(dealt.answer(row), 30), dealt.value_in(row, name), codec)
        for name, codec in trial.columns().items()
        for row in rows[: EXAMPLES.get(found[name].kind, 2)]
    ]


def _column(column: Column, rows: list[Record]) -> ColumnLook:
    example = next((row[column.name] for row in rows if row.get(column.name) is not None), "")
    countable = column.kind in ("number", "category") and len(column.distinct) <= 1000
    distinct = len(column.distinct) if countable else None
    return ColumnLook(column.name, column.kind, column.values, column.missing, distinct, shown(example, 80))


def _measured(column: Column, rows: list[Record]) -> Lengths | None:
    """The lengths of a column of sequences. None where it has none."""
    unit = COUNTED.get(column.kind)
    if unit is None or column.kind == "category":
        return None
    some = spread(rows, FILES) if column.kind in ("sound", "image") else rows
    values = [row[column.name] for row in some if row.get(column.name) is not None]
    if not values:
        return None
    lengths = Counter(_length(value) for value in values)
    if unit == "words" and max(lengths) == 1:
        unit, lengths = "characters", Counter(map(len, values))
    scale = 100 if unit == "seconds" else 1
    mean = sum(length * count for length, count in lengths.items()) / lengths.total() / scale
    bins = histogram(lengths)
    return Lengths(column.name, unit, min(lengths) / scale, mean, max(lengths) / scale, bins)


def _length(value: Any) -> int:
    if isinstance(value, Clip):
        return len(value.frames)
    if isinstance(value, MediaFile):
        if value.name.lower().endswith((".wav", ".flac", ".ogg", ".mp3")):
            header = sound_header(value)
            return round(100 * header.frames / header.rate)
        return max(image_header(value)[:2])
    return len(value.split()) if isinstance(value, str) else len(value)
