"""What stands beside every score of an answer: the simplest rival, and the strongest of the simple ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from unrolled.datasets.inputs import TOKENS
from unrolled.datasets.values import number
from unrolled.tasks.answering import Answering
from unrolled.tasks.regress import Regress
from unrolled.tasks.scored import Scored
from unrolled.tasks.simple import Flat, Majority, MajorityTag, MeanOf, Mixed, Summary, WordGrams

PICTURES = ("pixels", "pixel_steps", "patches")  # codecs whose steps are one picture of one size


@dataclass(frozen=True)
class Part:
    """One part of the data as rivals see it. `values`: what the codec reads, row by row, read when asked for."""

    values: Callable[[], Sequence[Any]]
    inputs: Sequence[np.ndarray]  # encoded
    targets: Sequence[np.ndarray]  # encoded


class Placed(NamedTuple):
    """A rival and how good it is."""

    name: str
    score: Scored

    def to_dict(self) -> dict[str, Any]:
        """The score as plain data, with the name: a rival lowers no objective."""
        return self.score.to_dict() | {"name": self.name, "objective": None}


class Rivals:
    """Rivals of one task, fitted on the training rows and scored on the test rows."""

    def __init__(self, task: Answering, train: Part, test: Part) -> None:
        self.task = task.plain()
        self.train, self.test = train, test

    @cached_property
    def naive(self) -> Placed:
        """The most frequent class or tag, or the mean."""
        if self.task.stepwise:
            return self._tagged("most frequent tag", blind=True)
        rival = MeanOf() if isinstance(self.task, Regress) else Majority(self._classes)
        return self._scored(rival, self.train.inputs, self.test.inputs)

    @cached_property
    def strong(self) -> Placed:
        """Word n-grams for text, all pixels for pictures, summary statistics for other numbers, each with a linear model;
        for tags the most frequent one of each token.
        """
        if self.task.stepwise:
            return self._tagged(MajorityTag.name, blind=False)
        kind = self.task.codec.kind
        if kind in TOKENS:
            read = (_joined(self.train.values()), _joined(self.test.values()))
            return self._scored(WordGrams(self._classes), *read)
        if kind == "together":
            return self._scored(Mixed(self._classes), self.train.values(), self.test.values())
        if kind == "values":
            return self._scored(
                Summary(self._classes), _series(self.train.values()), _series(self.test.values())
            )
        rival = Flat(self._classes) if kind in PICTURES else Summary(self._classes)
        return self._scored(rival, self.train.inputs, self.test.inputs)

    @property
    def _classes(self) -> int | None:
        return None if isinstance(self.task, Regress) else self.task.answers.size

    def _scored(self, rival: Any, train: Sequence[Any], test: Sequence[Any]) -> Placed:
        said = rival.fit(train, np.asarray(self.train.targets)).predict(test)
        truth = np.asarray(self.test.targets)
        if isinstance(self.task, Regress):
            said = self.task.answers.decode(said)
        return _said(self.task.rated(said, truth), rival.name)

    def _tagged(self, name: str, blind: bool) -> Placed:
        """blind: as if all steps were one token."""

        def seen(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
            return [np.zeros(len(row), np.int64) if blind else _first_ids(row) for row in inputs]

        rival = MajorityTag(self._classes).fit(seen(self.train.inputs), list(self.train.targets))
        return _said(self.task.rated(rival.predict(seen(self.test.inputs)), self.test.targets), name)


def _said(report: Any, name: str) -> Placed:
    return Placed(name, Scored(report, float("nan")))


def _joined(values: Sequence[Any]) -> list[str]:
    """Texts as they are, lists of items as one text."""
    return [value if isinstance(value, str) else " ".join(map(str, np.atleast_1d(value))) for value in values]


def _series(values: Sequence[Any]) -> list[np.ndarray]:
    """Series as they are, a single number as one step."""
    return [v if isinstance(v, np.ndarray) else np.full((1, 1), number(v)) for v in values]


def _first_ids(row: np.ndarray) -> np.ndarray:
    """(T,) the ids, of several columns side by side the first one's."""
    return row.astype(np.int64) if row.ndim == 1 else row[:, 0].astype(np.int64)
