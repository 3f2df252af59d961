"""What stands beside every score of written texts: rivals without a model, fitted on the training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from unrolled.tasks.rivals import Placed
from unrolled.tasks.scored import Scored
from unrolled.tasks.simple.texts import Copy, FirstSentence, MostFrequent, WordByWord
from unrolled.tasks.translate import Translate


class TextPart(NamedTuple):
    """One part of the data as rivals see it: sources as text, targets encoded; `texts` reads both anew, row by row."""

    texts: Callable[[], tuple[list[str], list[str]]]
    targets: Sequence[np.ndarray]


class TextRivals:
    """Rivals of one task. The naive one is the better of copying the source and always saying what is most frequent, the
    strong one the best of all; which that is, is seen on the test rows, in their favour.
    """

    def __init__(self, task: Translate, train: TextPart, test: TextPart) -> None:
        self.task, self.train, self.test = task, train, test

    @property
    def naive(self) -> Placed:
        """The better of the two simplest."""
        return self._best((Copy.name, MostFrequent.name))

    @property
    def strong(self) -> Placed:
        """The best of all."""
        return self._best(tuple(self._placed))

    def _best(self, names: Sequence[str]) -> Placed:
        error = {name: getattr(self._placed[name].score.report, "error") for name in names}  # noqa: B009
        return self._placed[min(names, key=error.__getitem__)]

    @cached_property
    def _placed(self) -> dict[str, Placed]:
        sources, targets = self.train.texts()
        asked, _ = self.test.texts()
        read, written = (_letters if codec.kind in ("characters", "bytes") else str.split
                         for codec in (self.task.codec, self.task.answers))  # fmt: skip
        between = "" if written is _letters else " "
        found = {}
        for rival in (Copy(), MostFrequent(), FirstSentence(), WordByWord(read, written, between)):
            said = rival.fit(sources, targets).predict(asked)
            report = self.task.rated(said, self.test.targets)
            found[rival.name] = Placed(rival.name, Scored(report, float("nan")))
        return found


def _letters(text: str) -> list[str]:
    return list(text)
