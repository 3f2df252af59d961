"""What a table is: which column answers, which are read, which group or split it, and why. Nothing is guessed silently."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, Literal

import numpy as np

from unrolled.datasets.media import SOUND, Clip, MediaFile
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
    distinct: set[str] = field(default_factory=set)

    def see(self, value: Any) -> None:
        """Counts one more value."""
        if value is None or (isinstance(value, str) and not value):
            self.missing += 1
            return
        self.values += 1
        if isinstance(value, (MediaFile, Clip)):
            self.media = self.media or _media(value)
            return
        if isinstance(value, np.ndarray):
            self.arrays += 1
        elif isinstance(value, list):
            self.lists += 1
        else:
            with contextlib.suppress(ValueError):
                self.numbers += not isnan(number(value))
            self.words += len(str(value).split())
            if len(self.distinct) <= TRACKED:
                self.distinct.add(str(value))

    @property
    def kind(self) -> Kind:
        """What all its values are."""
        if not self.values:
            return "empty"
        if self.media:
            return self.media  # type: ignore[return-value]
        if self.arrays:
            return "series"
        if self.lists:
            return "tokens"
        if self.numbers == self.values:
            return "number"
        few = len(self.distinct) <= max(CLASSES, min(TRACKED, self.values // 20))
        return "category" if few and self.words < WORDY * self.values else "text"


@dataclass(frozen=True)
class Reading:
    """How a table is read. `why`: (key, value, reason) of each decision that nobody asked for."""

    task: Literal["classify", "regress"]
    input: str
    kind: Kind  # of the input
    target: str
    group: str | None = None
    split: str | None = None
    why: tuple[tuple[str, str, str], ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What the user said of the table. None: to be found."""

    task: str | None = None
    input: str | None = None
    target: str | None = None
    group: str | None = None


def _media(value: MediaFile | Clip) -> str:
    if isinstance(value, Clip):
        return "frames"
    return "sound" if value.name.lower().endswith(SOUND) else "image"


def columns(records: Iterable[Record]) -> dict[str, Column]:
    """Every column of the records, in the order in which they come up."""
    found: dict[str, Column] = {}
    for record in records:
        for name, value in record.items():
            if name not in BESIDE:
                found.setdefault(name, Column(name)).see(value)
    return found


def understand(found: dict[str, Column], asked: Asked, data: str) -> Reading:
    """The reading of these columns. Raises UserError for a column that isn't there and where there is no one reading."""
    for key in ("input", "target", "group"):
        name = getattr(asked, key)
        if name is not None and name not in found:
            raise unknown(f"column ({key}=)", name, found)
    why: list[tuple[str, str, str]] = []
    target = asked.target or _target(found, why, data)
    group = asked.group or next((n for n in found if n.lower() in GROUPS and n != target), None)
    if group and not asked.group:
        why.append(
            ("group", group, f"a column is called {group}: all of one {group} on one side of the split")
        )
    split = SPLIT if SPLIT in found else None
    used = {target, group, split}
    name = asked.input or _input(found, used, why, data)
    task = asked.task or _task(found[target], why)
    left = tuple(n for n in found if n not in used | {name})
    return Reading(task, name, found[name].kind, target, group, split, tuple(why), left)  # type: ignore[arg-type]


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


def _input(
    found: dict[str, Column], used: set[str | None], why: list[tuple[str, str, str]], data: str
) -> str:
    sequences = [c for c in found.values() if c.name not in used and c.kind in SEQUENCES]
    if len(sequences) == 1:
        why.append(("input", sequences[0].name, f"the one column of {SEQUENCES[sequences[0].kind]}"))
        return sequences[0].name
    likely = [c.name for c in sequences] or [name for name in found if name not in used]
    raise UserError(
        f"{data}: which column is to be read? It has {', '.join(found)}, of which {len(sequences)} hold sequences. Say so, "
        "for instance:\n" + "\n".join(f"  unrolled train data={data} input={name}" for name in likely[:3])
    )


def _task(target: Column, why: list[tuple[str, str, str]]) -> str:
    if target.kind == "number" and len(target.distinct) > CLASSES:
        why.append(("task", "regress", f"{target.name} is a number of more than {CLASSES} values"))
        return "regress"
    why.append(("task", "classify", f"{target.name} has {_many(target.distinct)} values"))
    return "classify"


def _many(values: Sequence[str] | set[str]) -> str:
    return f"more than {TRACKED}" if len(values) > TRACKED else str(len(values))
