"""A reading tried out without a model: rows kept, dealt to parts, and codecs fitted on the training part only. What
fails here fails in training, in the same words.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.datasets.duplicates import key_of
from unrolled.datasets.inputs import INPUTS, InputCodec, choose_input
from unrolled.datasets.labels import Labels
from unrolled.datasets.leaks import Finding, Leaks, Repeats
from unrolled.datasets.parts import SHARES, Parts, deal
from unrolled.datasets.readers import Record
from unrolled.datasets.split import PARTS
from unrolled.datasets.standard import Numbers
from unrolled.datasets.understand import Column, Reading
from unrolled.errors import UserError


@dataclass(frozen=True)
class Trial:
    """Rows that have all that is asked of them, in `parts`, with a codec for each input. None: read as they are."""

    reading: Reading
    rows: list[Record]
    parts: Parts
    codecs: dict[str, InputCodec | None]
    answers: Labels | Numbers
    left: int  # rows without an input or an answer
    fitted: int  # training rows that the codecs were fitted on

    def check(self) -> None:
        """Encodes every row. Raises UserError for one that can't be, as training would."""
        for row in self.rows:
            for value in answers_of(row[self.reading.target]):
                self.answers.encode(value, str(row["origin"]))
            for name, codec in self.codecs.items():
                if codec is not None:
                    codec.encode(row[name])

    def leaks(self) -> tuple[list[Finding], Repeats]:
        """What parts know of each other, and how many rows stand there more than once."""
        group = self.reading.group
        leaks = Leaks(self.reading.target, [group] if group else [], inputs_of(self.reading))
        for part in PARTS:
            for number in self.parts.of(part):
                leaks.add(part, self.rows[number])
        return leaks.findings(), leaks.repeats()


def try_out(
    rows: Sequence[Record],
    reading: Reading,
    found: dict[str, Column],
    data: str,
    *,
    codec: str = "auto",
    shares: Sequence[float] = SHARES,
    fit: int | None = None,
) -> Trial:
    """Keeps, deals and fits as training does. `fit`: training rows at most that the codecs are fitted on.

    Raises UserError where no row or no training, a single class, or a broken file is left.
    """
    names = inputs_of(reading)
    kept = [
        row
        for row in rows
        if row.get(reading.target) not in (None, "") and all(row.get(name) is not None for name in names)
    ]
    if not kept:
        raise UserError(f"{data}: no row has both {' and '.join(names)} and {reading.target}.")
    parts = split_rows(kept, reading, shares)
    train = [kept[number] for number in parts.train]
    few = train if fit is None else spread(train, fit)
    codecs: dict[str, InputCodec | None] = {}
    for name in names:
        codecs[name] = _codec(found[name], codec)
        if (made := codecs[name]) is not None:
            made.fit(row[name] for row in few)
    answers = (Numbers if reading.task == "regress" else Labels)().fit(
        answer for row in train for answer in answers_of(row[reading.target])
    )
    return Trial(reading, kept, parts, codecs, answers, len(rows) - len(kept), len(few))


def spread(rows: list[Record], most: int) -> list[Record]:
    """So many of the rows in their order, drawn the same each time."""
    if len(rows) <= most:
        return rows
    return [rows[n] for n in np.sort(np.random.default_rng(0).choice(len(rows), most, replace=False))]


def inputs_of(reading: Reading) -> tuple[str, ...]:
    """The columns that are read."""
    return (reading.input,)


def split_rows(rows: Sequence[Record], reading: Reading, shares: Sequence[float] = SHARES) -> Parts:
    """Rows dealt as their reading says: as given, by group, or stratified with like inputs together."""
    names = inputs_of(reading)
    keys: list[Hashable] = [key_of(row[names[0]]) for row in rows]
    if len(names) > 1:
        keys = [tuple(key_of(row[name]) for name in names) for row in rows]
    labels = [str(row[reading.target]) for row in rows] if reading.task == "classify" else None
    groups = [row[reading.group] for row in rows] if reading.group else None
    given = [str(row[reading.split]) for row in rows] if reading.split else None
    return deal(keys, labels, groups=groups, given=given, shares=shares)


def answers_of(value: Any) -> Iterator[Any]:
    """The answers of one row: one, or one a step."""
    yield from value if isinstance(value, (list, np.ndarray)) else [value]


def _codec(column: Column, asked: str) -> InputCodec | None:
    if asked == "auto" and column.kind == "tokens":
        return None
    made: InputCodec = INPUTS[choose_input(column.kind) if asked == "auto" else asked]()
    return made
