"""What stands beside every score of an answer: the simplest rival, and the strongest of the simple ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from unrolled.tasks.classify import Classify
from unrolled.tasks.measures import measure_classes, measure_numbers
from unrolled.tasks.regress import Regress
from unrolled.tasks.scored import Scored
from unrolled.tasks.simple import Majority, MeanOf, Summary, WordGrams


class Placed(NamedTuple):
    """A rival and how good it is."""

    name: str
    score: Scored

    def to_dict(self) -> dict[str, Any]:
        """The score as plain data, with the name: a rival lowers no objective."""
        return self.score.to_dict() | {"name": self.name, "objective": None}


class Rivals:
    """Rivals of one task, fitted on the training rows' values and answers and scored on the test rows'."""

    def __init__(
        self,
        task: Classify | Regress,
        train: tuple[Sequence[Any], np.ndarray],
        test: tuple[Sequence[Any], np.ndarray],
    ) -> None:
        self.task, self.train, self.test = task, train, test

    @cached_property
    def naive(self) -> Placed:
        """The most frequent class, or the mean."""
        return self._scored(Majority(self._classes) if self._classes else MeanOf())

    @cached_property
    def strong(self) -> Placed:
        """Word n-grams for text, summary statistics for numbers."""
        words = self.task.codec.kind != "values"
        return self._scored((WordGrams if words else Summary)(self._classes))

    @property
    def _classes(self) -> int | None:
        return len(self.task.labels.names) if isinstance(self.task, Classify) else None

    def _scored(self, rival: Any) -> Placed:
        said, truth = rival.fit(*self.train).predict(self.test[0]), self.test[1]
        if isinstance(self.task, Classify):
            report: Any = measure_classes(said, truth, self.task.labels.names, primary="accuracy")
        else:
            back = self.task.numbers.decode
            report = measure_numbers(back(said), back(truth), (self.task.target,), primary="mae")
        return Placed(rival.name, Scored(report, float("nan")))
