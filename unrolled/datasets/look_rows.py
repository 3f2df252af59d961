"""What a table or folder of sequences will be read as: columns, task and why, lengths, classes, the split with what
leaks across it, and what a model sees of the first rows.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from unrolled.datasets.dealt import dealt_as, own_of, understood
from unrolled.datasets.folders import load
from unrolled.datasets.histogram import Bin, bars, histogram, ranges
from unrolled.datasets.images import image_header
from unrolled.datasets.labels import pieces
from unrolled.datasets.leaks import Finding, Repeats
from unrolled.datasets.long import named
from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import Long, Rows, raw_rows
from unrolled.datasets.seen import Seen, seen
from unrolled.datasets.sound import sound_header
from unrolled.datasets.split import PARTS
from unrolled.datasets.trial import Trial, spread, try_out
from unrolled.datasets.understand import SEPARATOR, Asked, Column, Reading, columns
from unrolled.datasets.unread import unread
from unrolled.errors import UserError

WIDTH = 100  # columns of the terminal
CLASSES = 12  # shown
NOTES = 6  # shown
ROWS = 131_072  # held to be looked at
ROOM = 64 << 20  # bytes, by and large, that they may take
GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: multiples of it, modulo 2^64, lie spread and in no period
CELL = 90  # bytes of a cell beside its text
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
        lines = [f"{self.data}: {self.rows:,} rows", ""]
        if self.looked < self.rows:
            lines[1:1] = [f"  looked at {self.looked:,} of them, spread over all: counts below are of these"]
        lines += self._columns()
        for lengths in self.lengths:
            lines += ["", *_lengths(lengths)]
        if self.classes:
            lines += ["", f"  {len(self.classes):,} classes", *bars(list(self.classes.items())[:CLASSES])]
            if len(self.classes) > CLASSES:
                lines.append(f"    and {len(self.classes) - CLASSES:,} more")
        if self.notes:
            lines += ["", *_said(self.notes, 2)]
        if self.reading is None:
            return "\n".join([*lines, "", *_said(self.open.split("\n"), 0)])
        lines += [
            "",
            f"  task {self.reading.task}: {', '.join(self.reading.inputs)} -> {self.reading.target}",
        ]
        lines += _said([f"{key}={value}: {reason}" for key, value, reason in self.reading.why], 4)
        if self.reading.left_out:
            lines += _said([f"left out: {', '.join(self.reading.left_out)}"], 4)
        if self.dealt is None:
            return "\n".join([*lines, "", *_said([f"It can't be trained on as it is: {self.open}"], 2)])
        return "\n".join([*lines, *_dealt(self.dealt, self.looked)])

    def _columns(self) -> list[str]:
        width = min(30, max(len(c.name) for c in self.columns))
        lines = []
        for c in self.columns:
            missing = f", {c.missing:,} missing" if c.missing else ""
            distinct = f", {c.distinct:,} distinct" if c.distinct is not None else ""
            lines.append(f"  {c.name[:width]:<{width}}  {c.kind}{distinct}{missing}: ")
            lines[-1] += _shown(c.example, WIDTH - len(lines[-1]))
        return lines

    def to_dict(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)


def look_rows(data: str, path: Path) -> RowsLook:
    """Looks at the rows of a table, a folder or a zip. Every row is read, many are looked at, and some for the costly
    parts. Raises UserError as readers do.
    """
    held, total, said = sampled(raw_rows(path))
    rows = Rows(held)
    try:
        rows, reading = understood(rows, Asked(), data, own_of(path))
        failed = ""
    except UserError as error:
        reading, failed = None, str(error)
    whole = list(rows)
    notes = [*said, *rows.notes]
    found = columns(whole)
    looks = [_column(column, whole) for column in found.values()]
    lengths = [made for column in found.values() if (made := _measured(column, whole))]
    if reading is None:
        for row in whole[:FITTED] if any(column.media for column in found.values()) else []:
            load(row)  # what is broken is told all the same
        open = unread(data, whole, found, failed)
        return RowsLook(data, total, len(whole), looks, lengths, None, open, {}, None, notes)
    dealt, open = _tried(data, whole, rows.long, reading, found)
    classes = {} if reading.task == "regress" else _classes(whole, reading)
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


def sampled(
    rows: Iterable[Record], most: int = ROWS, room: int = ROOM
) -> tuple[list[Record], int, list[str]]:
    """Rows spread over all of them, at most so many and so large, how many there are, and what readers said.

    Which ones is told by a hash of their numbers: every n-th row would be of one class where classes take turns.
    """
    held: list[tuple[int, Record]] = []
    notes: list[str] = []
    limit, total, size = 1 << 64, 0, 0
    id: str | None = None
    for row in rows:
        notes += row.pop("notes", [])
        if not total:
            id, time = named(list(row), None, None)
            id = id if time else None
        number = (
            total if id is None else crc32(str(row.get(id)).encode("utf-8", "surrogatepass"))
        )  # the rows of one sequence stay together
        mark = number * GOLDEN % (1 << 64)
        total += 1
        if mark >= limit:
            continue
        held.append((mark, row))
        size += _size(row)
        while (len(held) > most or size > room) and len(held) > 1:
            limit //= 2
            held = [(mark, row) for mark, row in held if mark < limit]
            size = sum(_size(row) for _, row in held)
    return [row for _, row in held], total, notes


def _size(row: Record) -> int:
    return sum(map(_bytes, row.values()))


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        return CELL + len(value)
    if isinstance(value, list):
        return CELL * (1 + len(value))
    return CELL + (value.nbytes if isinstance(value, np.ndarray) else 0)


def _tried(
    data: str, rows: list[Record], long: Long | None, reading: Reading, found: dict[str, Column]
) -> tuple[Tried | None, str]:
    """The reading tried out; where the rows don't allow it, why not."""
    media = any(found[name].media for name in reading.inputs)
    few = spread(rows, FILES if media else COSTLY)
    try:
        trial = try_out(dealt_as(Rows.ready(few, long), reading, Asked(), data), FITTED if media else None)
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
        seen(str(row["origin"]), name, _shown(dealt.answer(row), 30), dealt.value_in(row, name), codec)
        for name, codec in trial.columns().items()
        for row in rows[: EXAMPLES.get(found[name].kind, 2)]
    ]


def _column(column: Column, rows: list[Record]) -> ColumnLook:
    example = next((row[column.name] for row in rows if row.get(column.name) is not None), "")
    countable = column.kind in ("number", "category") and len(column.distinct) <= 1000
    distinct = len(column.distinct) if countable else None
    return ColumnLook(column.name, column.kind, column.values, column.missing, distinct, _shown(example, 80))


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


def _lengths(lengths: Lengths) -> list[str]:
    title = f"  {lengths.unit} of {lengths.column}"
    digits = ".2f" if lengths.unit == "seconds" else ".0f"
    if lengths.shortest == lengths.longest:
        return [f"{title}: {lengths.longest:{digits}}, all of them"]
    named = ranges(lengths.bins, hundredths=lengths.unit == "seconds")
    span = f"{lengths.shortest:{digits}} to {lengths.longest:{digits}}"
    return [f"{title}: {span}, {lengths.mean:.4g} in the mean", *bars(named)]


def _dealt(dealt: Tried, looked: int) -> list[str]:
    """The split, repeats and leaks, and what the model sees."""
    tried = f", tried with {dealt.rows:,} rows, spread over all" if dealt.rows < looked else ""
    shares = ", ".join(f"{count:,} for {part}" for part, count in dealt.parts.items())
    lines = ["", f"  split: {shares}{tried}"]
    left = [f"{dealt.left:,} rows have no input or no answer: left out"] if dealt.left else []
    lines += _said(left + dealt.notes, 4)
    lines += ["", *_said([_repeats(dealt.repeats)], 2)]
    lines += _said([f"leak: {leak.says}" for leak in dealt.leaks] or ["no leaks across the split found"], 2)
    codecs = ", ".join(f"{name} as {codec}" for name, codec in dealt.codecs.items())
    whole = "" if dealt.fitted == dealt.parts["train"] else f" {dealt.fitted:,} rows of"
    lines += ["", f"  what the model sees: {codecs}, fitted on{whole} the training part"]
    for one in dealt.seen:
        shape = " x ".join(map(str, one.shape))
        lines += ["", *_said([f"{one.origin} ({one.answer}): {shape}, {one.says}"], 4)]
        lines += [f"      {line}" for line in one.lines]
    return lines


def _repeats(repeats: Repeats) -> str:
    more = f", {repeats.alike:,} more but for spelling" if repeats.alike else ""
    near = f", about {repeats.near:,} more are nearly the same as one" if repeats.near else ""
    if not (repeats.identical or more or near):
        return "no repeats: every input is another"
    return f"repeats: {repeats.identical:,} rows have the input of another row{more}{near}"


def _said(notes: list[str], indent: int) -> list[str]:
    """Each note in lines that fit, the first few of them."""
    more = [f"and {len(notes) - NOTES} more notes"] if len(notes) > NOTES else []
    return [
        line
        for note in [*notes[:NOTES], *more]
        for line in textwrap.wrap(
            note, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2)
        )
    ]


def _shown(value: object, width: int) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {' x '.join(map(str, value.shape))}"
    text = value.name if isinstance(value, (MediaFile, Clip)) else " ".join(str(value).split())
    return text if len(text) <= width else text[: width - 1] + "…"
