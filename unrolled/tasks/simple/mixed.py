"""Rows of several columns as one bag of words: texts as they are, categories by name, numbers by their tenth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.datasets.values import number
from unrolled.tasks.simple.words import WordGrams

Numbers = NDArray[np.float64]

TENTHS = np.linspace(0.1, 0.9, 9)


class Mixed:
    """Each column's values as words, then `WordGrams`. A number (of a series its mean, deviation and last value in each
    channel) becomes the tenth of training's values in which it lies.
    """

    name: ClassVar[str] = "all columns as words + linear model"

    def __init__(self, classes: int | None = None) -> None:
        self._model = WordGrams(classes, characters=False)

    def fit(self, values: Sequence[Mapping[str, Any]], targets: ArrayLike) -> Self:
        """Learns from rows (N), a dict of columns each, and targets as `WordGrams` takes them."""
        found: dict[str, list[float]] = {}
        for row in values:
            for name, value in _figures(row):
                found.setdefault(name, []).append(value)
        self._edges = {name: _edges(np.array(numbers)) for name, numbers in found.items()}
        self._model.fit([self._text(row) for row in values], targets)
        return self

    def predict(self, values: Sequence[Mapping[str, Any]]) -> Numbers:
        """(N, C) probabilities or (N, K) numbers."""
        return self._model.predict([self._text(row) for row in values])

    def _text(self, row: Mapping[str, Any]) -> str:
        words = [_word(name, item) for name, value in row.items() for item in _texts(value)]
        for name, value in _figures(row):
            edges = self._edges.get(name)
            if edges is not None:
                words.append(f"{name}_{'gap' if np.isnan(value) else np.searchsorted(edges, value)}")
        free = [value for value in row.values() if isinstance(value, str) and not _is_number(value)]
        return " ".join(free + words)


def _edges(numbers: Numbers) -> Numbers:
    known = numbers[np.isfinite(numbers)]
    return np.quantile(known, TENTHS) if len(known) else np.zeros(0)


def _figures(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every number of a row under a name of its own."""
    for name, value in row.items():
        if isinstance(value, np.ndarray):
            for channel, column in enumerate(np.atleast_2d(value.T).astype(np.float64)):
                known = column[np.isfinite(column)]
                whole = known if len(known) else np.array([np.nan])
                for what, figure in (("mean", whole.mean()), ("deviation", whole.std()), ("last", whole[-1])):
                    yield f"{name}{channel}_{what}", float(figure)
        elif not isinstance(value, list) and _is_number(value):
            yield name, number(value)


def _texts(value: Any) -> list[str]:
    """The names in a value: items of a list, or a short text as one."""
    if isinstance(value, list):
        return [str(item) for item in value]
    return [value] if isinstance(value, str) and not _is_number(value) and value.count(" ") < 3 else []


def _word(column: str, item: str) -> str:
    return f"{column}_{'_'.join(item.split())}"


def _is_number(value: object) -> bool:
    try:
        number(value)
    except ValueError:
        return False
    return True
