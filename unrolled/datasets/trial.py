"""A reading tried out without a model: rows dealt to parts, and codecs fitted on the training part only. What fails here
fails in training, in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from unrolled.datasets.dealt import Dealt
from unrolled.datasets.leaks import Finding, Leaks, Repeats
from unrolled.datasets.pair_codecs import choose_pair, fitted_pair, text_of
from unrolled.datasets.readers import Record
from unrolled.datasets.together import Together


@dataclass(frozen=True)
class Trial:
    """Rows dealt to parts, with fitted codecs. `fitted`: training rows that the input's codec was fitted on."""

    dealt: Dealt
    codec: Any
    answers: Any
    fitted: int

    def check(self) -> None:
        """Encodes every row. Raises UserError for one that can't be, as training would."""
        for _, row in self.dealt.parted():
            if self.dealt.reading.task == "translate":
                self.answers.encode(text_of(self.dealt.answer(row)))
                self.codec.encode(text_of(self.dealt.value(row)))
                continue
            origin = () if self.dealt.reading.task == "transcribe" else (str(row["origin"]),)
            self.answers.encode(self.dealt.answer(row), *origin)
            self.codec.encode(self.dealt.value(row))

    def leaks(self) -> tuple[list[Finding], Repeats]:
        """What parts know of each other, and how many rows stand there more than once."""
        leaks = leaks_of(self.dealt)
        return leaks.findings(), leaks.repeats()

    def columns(self) -> dict[str, Any]:
        """Each column that is read, with its own codec."""
        if isinstance(self.codec, Together):
            return {field.name: field.codec for field in self.codec.fields}
        return {self.dealt.reading.inputs[0]: self.codec}


def try_out(dealt: Dealt, fit: int | None = None) -> Trial:
    """Fits new codecs as training does. `fit`: training rows at most that the input's codec is fitted on.

    Raises UserError where a single class or a broken file is left.
    """
    if dealt.reading.task == "translate":
        chosen = choose_pair(dealt.pairs("train"), dealt.codec)
        return Trial(dealt, *fitted_pair(chosen, lambda: dealt.pairs("train")), dealt.count("train"))
    codec, answers = dealt.codecs()
    many = dealt.count("train") if fit is None else min(fit, dealt.count("train"))
    fit_input(dealt, codec, many)
    answers.fit(dealt.answer(row) for row in dealt.of("train"))
    return Trial(dealt, codec, answers, many)


def fit_input(dealt: Dealt, codec: Any, most: int | None = None) -> None:
    """Fits the input's codec to the training rows, in one pass; of several columns one pass each."""

    def values() -> Any:
        return (dealt.value(row) for row in islice(dealt.of("train"), most))

    codec.fit(values if isinstance(codec, Together) else values())


def fit_and_look(dealt: Dealt, codec: Any, fitted: bool = False) -> Leaks:
    """Fits the input's codec to the training rows, unless it is `fitted`, and looks at all rows for what parts know of each
    other, in one pass.
    """
    if fitted:
        return leaks_of(dealt)
    if isinstance(codec, Together):  # which goes over the rows once a column
        fit_input(dealt, codec)
        return leaks_of(dealt)
    leaks = _empty_leaks(dealt)
    rows = _looked_at(dealt, leaks)
    codec.fit(dealt.value(row) for part, row in rows if part == "train")
    for _ in rows:  # where the codec had seen enough
        pass
    return leaks


def leaks_of(dealt: Dealt) -> Leaks:
    """Every row that was dealt, looked at for what parts know of each other."""
    leaks = _empty_leaks(dealt)
    for _ in _looked_at(dealt, leaks):
        pass
    return leaks


def _empty_leaks(dealt: Dealt) -> Leaks:
    reading = dealt.reading
    target = (
        None if reading.task == "translate" else reading.target
    )  # a source may well say all, as in a copy
    return Leaks(target, [reading.group] if reading.group else [], reading.inputs)


def _looked_at(dealt: Dealt, leaks: Leaks) -> Iterator[tuple[str, Record]]:
    """(part, row) of each row, once `leaks` has seen it."""
    for part, row in dealt.parted():
        leaks.add(part, row)
        yield part, row


def spread(rows: list[Record], most: int) -> list[Record]:
    """So many of the rows in their order, drawn the same each time."""
    if len(rows) <= most:
        return rows
    return [rows[n] for n in np.sort(np.random.default_rng(0).choice(len(rows), most, replace=False))]
