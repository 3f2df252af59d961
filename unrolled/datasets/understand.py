"""What a table is: which column answers, which are read, which group or split it, and why. Nothing is guessed silently."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, Literal

import numpy as np

from unrolled.datasets.media import SOUND, Clip, MediaFile, array_column
from unrolled.datasets.readers import Record
from unrolled.datasets.values import number
from unrolled.errors import UserError, unknown

Kind = Literal["number", "category", "text", "series", "tokens", "sound", "image", "frames", "empty"]
ANSWERS = ("label", "class", "target", "y", "sentiment", "category")
GROUPS = ("speaker", "user", "patient", "subject", "group")
SPLIT = "split"
BESIDE = ("origin", "notes", "continues")  # keys of a record that are no columns
CLASSES = 50  # distinct values of a number up to which it names classes
TRACKED = 1000  # distinct values that are counted at all
SEQUENCES = {
    "text": "words", "series": "series", "tokens": "lists", "sound": "sound", "image": "images", "frames": "videos",
}  # fmt: skip
WORDY = 3.0  # words a value from which a column is text
COMPARED = 100  # rows whose numbers of steps are compared
SEPARATOR = ";"  # between labels, where a row may have several


@dataclass
class Column:
    """One column as its values are."""

    name: str
    values: int = 0
    missing: int = 0
    numbers: int = 0
    arrays: int = 0
    lists: int = 0
    media: str = ""  # of the first file's handle
    words: int = 0
    several: int = 0  # texts that hold a semicolon
    distinct: set[str] = field(default_factory=set)
    whole: bool = True  # the numbers in lists seen so far are whole
    lengths: list[int] = field(
        default_factory=list
    )  # steps, items or words in the first rows, -1 where missing

    def see(self, value: Any) -> None:
        """Counts one more value."""
        if value is None or (isinstance(value, str) and not value) or _nan(value):
            self.missing += 1
            self._long(-1)
            return
        self.values += 1
        if isinstance(value, (MediaFile, Clip)):
            self.media = self.media or _media(value)
            return
        if isinstance(value, np.ndarray):
            kind = array_column(value)
            if kind != "series":
                self.media = self.media or kind
                return
            self.arrays += bool(value.size)  # an empty list may be of anything
            if self.whole and len(self.lengths) < COMPARED:
                self.whole = value.ndim == 1 and bool((value == np.floor(value)).all())
        elif isinstance(value, list):
            self.lists += 1
        else:
            self._see_text(value)
            return
        self._long(len(value))

    def _long(self, length: int) -> None:
        if len(self.lengths) < COMPARED:
            self.lengths.append(length)

    def _see_text(self, value: Any) -> None:
        with contextlib.suppress(ValueError):
            number(value)
            self.numbers += 1
        text = str(value)
        words = text.count(" ") + 1 if len(self.lengths) >= COMPARED else len(text.split())
        self.words += words
        self.several += SEPARATOR in text
        self._long(words)
        if len(self.distinct) <= TRACKED:
            self.distinct.add(text)

    @property
    def kind(self) -> Kind:
        """What all its values are."""
        if not self.values:
            return "empty"
        if self.media:
            return self.media  # type: ignore[return-value]
        if self.arrays:
            return "series"
        if self.lists or not self.distinct:
            return "tokens"
        if self.numbers == self.values:
            return "number"
        few = len(self.distinct) <= max(CLASSES, min(TRACKED, self.values // 20))
        return "category" if few and self.words < WORDY * self.values else "text"


@dataclass(frozen=True)
class Reading:
    """How a table is read. `why`: (key, value, reason) of each decision that nobody asked for."""

    task: Literal["classify", "regress", "tag"]
    inputs: tuple[str, ...]
    kinds: tuple[Kind, ...]  # of the inputs
    targets: tuple[str, ...]  # one, or the numbers of a regression
    several: bool = False  # a row may have several labels
    group: str | None = None
    split: str | None = None
    why: tuple[tuple[str, str, str], ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The columns that answer, for people."""
        return ", ".join(self.targets)

    @property
    def reads(self) -> str:
        """The columns that are read, for people."""
        return ", ".join(self.inputs)


@dataclass(frozen=True)
class Asked:
    """What the user said of the table. None: to be found. `input`, `target`: one column, or several with commas. `group`:
    "auto" is to be found, None is none; `held`: its values that are the test. `id` ("auto" and None likewise), `time`:
    the columns that make rows steps of sequences. `shares`: of train, valid and test.
    """

    task: str | None = None
    input: str | None = None
    target: str | None = None
    group: str | None = "auto"
    held: str | None = None
    id: str | None = "auto"
    time: str | None = None
    codec: str = "auto"
    shares: tuple[float, float, float] | None = None


def _named(names: str | None, found: Mapping[str, Column]) -> tuple[str, ...]:
    """The columns that were named: one, whatever its name, or several with commas."""
    return (names,) if names in found else listed(names)  # type: ignore[return-value]


def listed(names: str | None) -> tuple[str, ...]:
    """The names that a text lists with commas between; none of None."""
    return tuple(name.strip() for name in names.split(",") if name.strip()) if names else ()


def _nan(value: Any) -> bool:
    """A number that is none, or a cell that says so."""
    if isinstance(value, float):
        return isnan(value)
    return isinstance(value, str) and len(value) < 8 and value.strip().lower() == "nan"


def _media(value: MediaFile | Clip) -> str:
    if isinstance(value, Clip):
        return "frames"
    return "sound" if value.name.lower().endswith(SOUND) else "image"


def columns(records: Iterable[Record]) -> dict[str, Column]:
    """Every column of the records, in the order in which they come up."""
    found: dict[str, Column] = {}
    for place, record in enumerate(records):
        for name, value in record.items():
            if name not in BESIDE:
                column = found.setdefault(name, Column(name))
                if len(column.lengths) < min(place, COMPARED):  # records before it hadn't the column
                    column.lengths += [-1] * (min(place, COMPARED) - len(column.lengths))
                column.see(value)
    return found


def understand(found: dict[str, Column], asked: Asked, data: str, steps: tuple[str, ...] = ()) -> Reading:
    """The reading of these columns. `steps`: those that say something of every step of a sequence, where rows have been
    gathered to sequences; they are read together.

    Raises UserError for a column that isn't there and where there is no one reading.
    """
    inputs, targets = _named(asked.input, found), _named(asked.target, found)
    for key, names in (
        ("input", inputs),
        ("target", targets),
        ("group", listed(asked.group if asked.group != "auto" else None)),
    ):
        for name in names:
            if name not in found:
                raise unknown(f"column ({key}=)", name, found)
    why: list[tuple[str, str, str]] = []
    targets = targets or (_target(found, why, data),)
    split = SPLIT if SPLIT in found else None
    group = asked.group
    if group == "auto":
        read = listed(asked.input)
        group = next(
            (
                n
                for n, c in found.items()
                if n.lower() in GROUPS and n not in (*targets, *read) and c.kind != "text"
            ),
            None,
        )
    if group and asked.group == "auto" and not split:
        why.append(
            ("group", group, f"a column is called {group}: all of one {group} on one side of the split")
        )
    used = {*targets, group, split}
    inputs = inputs or _inputs(found, used, found[targets[0]], steps, why, data)
    named = [*inputs, *targets, group, split]
    if twice := [name for name in (*inputs, *targets) if named.count(name) > 1]:
        raise UserError(f"{data}: {twice[0]} can't be read and foretold, or named twice. Name other columns.")
    task, several = _task(asked.task, [found[n] for n in targets], [found[n] for n in inputs], why)
    left = tuple(n for n in found if n not in used and n not in inputs)
    kinds = tuple(found[name].kind for name in inputs)
    return Reading(task, inputs, kinds, targets, several, group, split, tuple(why), left)  # type: ignore[arg-type]


def _target(found: dict[str, Column], why: list[tuple[str, str, str]], data: str) -> str:
    named = [name for name in found if name.lower() in ANSWERS]
    if len(named) == 1:
        why.append(("target", named[0], f"a column is called {named[0]}"))
        return named[0]
    few = [c.name for c in found.values() if c.kind == "category"]
    likely = named or few or list(found)[-1:]
    raise UserError(
        f"{data}: which column is to be foretold? It has {', '.join(found)}. Say so, for instance:\n"
        + "\n".join(f"  unrolled train data={data} target={name}" for name in likely[:3])
    )


def _inputs(
    found: dict[str, Column],
    used: set[str | None],
    target: Column,
    steps: tuple[str, ...],
    why: list[tuple[str, str, str]],
    data: str,
) -> tuple[str, ...]:
    open_ = [c for c in found.values() if c.name not in used]
    if together := tuple(c.name for c in open_ if c.name in steps and c.kind != "empty"):
        why.append(("input", ",".join(together), "what the rows of one sequence say step by step"))
        return together
    sequences = [c for c in open_ if c.kind in SEQUENCES]
    alike = [c.name for c in sequences if _stepwise(target, [c])]
    if len(sequences) > 1 and len(alike) == 1:
        why.append(("input", alike[0], f"as many steps as {target.name} has in every row"))
        return (alike[0],)
    if len(sequences) == 1:
        why.append(("input", sequences[0].name, f"the one column of {SEQUENCES[sequences[0].kind]}"))
        return (sequences[0].name,)
    likely = [c.name for c in sequences] or [c.name for c in open_]
    several = [",".join(likely[:3])] if len(likely) > 1 else []
    raise UserError(
        f"{data}: which columns are to be read? It has {', '.join(found)}, of which {len(sequences)} hold sequences. Say "
        "so, for instance:\n"
        + "\n".join(f"  unrolled train data={data} input={name}" for name in likely[:3] + several)
    )


def _task(
    asked: str | None, targets: list[Column], inputs: list[Column], why: list[tuple[str, str, str]]
) -> tuple[str, bool]:
    """The task, and whether a row may have several labels."""
    first = targets[0]
    if len(targets) > 1:
        return _numbers(asked, targets, why), False
    if asked in (None, "tag") and _stepwise(first, inputs):
        reason = f"{first.name} says something of every step: it is as long as what is read"
        why.extend([("task", "tag", reason)] if asked is None else [])
        return "tag", False
    if asked == "tag":
        raise UserError(
            f"task=tag: {first.name} must hold one tag for each step of {', '.join(c.name for c in inputs)}, as a list or "
            "as words with spaces between."
        )
    several = (
        first.kind == "tokens"
        or (first.kind == "series" and first.whole)
        or (first.several > 0.02 * first.values and first.kind != "number")
    )
    if asked is not None:
        return asked, several and asked == "classify"
    if several:
        task, reason = "classify", f"{first.name} names any number of labels a row"
    elif first.kind == "series":
        task, reason = "regress", f"{first.name} holds numbers"
    elif first.kind == "number" and len(first.distinct) > CLASSES:
        task, reason = "regress", f"{first.name} is a number of more than {CLASSES} values"
    else:
        task, reason = "classify", f"{first.name} has {_many(first.distinct)} values"
    why.append(("task", task, reason))
    return task, several


def _numbers(asked: str | None, targets: list[Column], why: list[tuple[str, str, str]]) -> str:
    """Several targets: all of them numbers, or nothing."""
    if asked not in (None, "regress"):
        raise UserError(f"task={asked}: one column answers, not {len(targets)}; only regress takes several.")
    if wordy := [c.name for c in targets if c.kind != "number"]:
        names = ",".join(c.name for c in targets)
        raise UserError(
            f"target={names}: {wordy[0]} holds no numbers. Name one column of classes, or only numbers."
        )
    why.extend([("task", "regress", f"{len(targets)} columns of numbers")] if asked is None else [])
    return "regress"


def _stepwise(target: Column, inputs: list[Column]) -> bool:
    """Whether the target has as many items, or words, as what is read has steps, in each of the first rows."""
    whole = target.kind == "series" and target.whole
    many = target.kind == "tokens" or whole or target.words > target.values
    return many and any(
        _alike(c.lengths, target.lengths) for c in inputs if c.kind in ("tokens", "series", "text")
    )


def _alike(one: list[int], other: list[int]) -> bool:
    """Whether the rows in which both are there have as many steps in both; at least one such row has some."""
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a >= 0 and b >= 0]
    return all(a == b for a, b in pairs) and any(a for a, _ in pairs)


def _many(values: Sequence[str] | set[str]) -> str:
    return f"more than {TRACKED}" if len(values) > TRACKED else str(len(values))
