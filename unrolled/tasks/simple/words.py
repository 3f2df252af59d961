"""Text as a bag of word n-grams: TF-IDF and logistic regression, hard to beat on small data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.datasets.spelling import code_points
from unrolled.datasets.words import words_of
from unrolled.tasks.simple.features import Sparse
from unrolled.tasks.simple.linear import Linear, Targets, targets_of

Codes = NDArray[np.int64]

READ = 36_000_000  # characters of training text; where there are more, evenly chosen texts stand for all
KEPT = 1 << 18  # n-grams of a sort, the most frequent ones
SHORT = 300  # characters: the mean length of texts up to which their characters are looked at too
CHARACTERS = 3_000_000  # and the total up to which they are
SPANS = (3, 4, 5)  # characters of a gram
PIECE = 4096  # texts turned into features at a time


class Grams(NamedTuple):
    """One sort of n-grams: the codes of those kept, sorted, and the weight of each (inverse document frequency)."""

    codes: Codes
    idf: NDArray[np.float64]


class Found(NamedTuple):
    """The n-grams of some texts, one after another: the number of each one's text, and its code."""

    texts: NDArray[np.int64]
    codes: Codes
    size: int  # number of texts


class WordGrams:
    """TF-IDF of words and pairs of neighbours (Salton and Buckley 1988), of short texts also of runs of 3 to 5
    characters; then multinomial logistic regression with L2, or ridge regression for numbers.

    `classes`: how many there are, where the training targets may lack some. `characters`: None decides by the texts'
    length. `notes` says what was left out.
    """

    name: ClassVar[str] = "TF-IDF of word 1-2-grams + logistic regression"

    def __init__(self, classes: int | None = None, characters: bool | None = None, seed: int = 0) -> None:
        self.classes, self.characters, self.seed = classes, characters, seed
        self.notes: list[str] = []

    def fit(self, values: Sequence[str], targets: ArrayLike) -> Self:
        """Learns from texts (N) and targets: classes (N,), labels (N, C) or numbers (N, K)."""
        goal, y = targets_of(targets, self.classes)
        length = sum(map(len, values))
        step = -(-length // READ) or 1
        self.notes = (
            [f"learnt from one in {step} of {len(values)} texts ({length} characters)"] if step > 1 else []
        )
        texts, y = values[::step], y[::step]
        self._ids: dict[str, int] = {}
        for text in texts:
            for word in words_of(text):
                self._ids.setdefault(word, len(self._ids))
        short = length <= min(CHARACTERS, SHORT * len(texts))
        self._looks = [self._word_grams]
        if self.characters or (self.characters is None and short):
            self._looks.append(_character_grams)
        found = [look(texts) for look in self._looks]
        self._sorts = [_kept(each) for each in found]
        features = _side_by_side(
            [_weighed(each, sort) for each, sort in zip(found, self._sorts, strict=True)]
        )
        del found
        self._model = Linear(self.seed).fit(features, Targets(goal, y))
        return self

    def predict(self, values: Sequence[str]) -> NDArray[np.float64]:
        """(N, C) probabilities or (N, K) numbers."""
        pieces = [values[at : at + PIECE] for at in range(0, max(len(values), 1), PIECE)]
        return np.concatenate([self._model.predict(self._features(piece)) for piece in pieces])

    def _features(self, values: Sequence[str]) -> Sparse:
        rows = zip(self._looks, self._sorts, strict=True)
        return _side_by_side([_weighed(look(values), sort) for look, sort in rows])

    def _word_grams(self, texts: Sequence[str]) -> Found:
        """Words and pairs of neighbours whose words training holds: a pair's code is above every word's."""
        rows = [np.array([self._ids.get(word, -1) for word in words_of(text)], np.int64) for text in texts]
        ids = np.concatenate([np.zeros(0, np.int64), *rows])
        text = np.repeat(np.arange(len(texts)), [len(row) for row in rows])
        pairs = (text[1:] == text[:-1]) & (ids[1:] >= 0) & (ids[:-1] >= 0)
        both = ((ids[:-1] + 1) << 32) + ids[1:]
        known = ids >= 0
        return Found(
            np.concatenate((text[known], text[1:][pairs])),
            np.concatenate((ids[known], both[pairs])),
            len(texts),
        )


def _character_grams(texts: Sequence[str]) -> Found:
    """Runs of 3 to 5 characters of the words joined by spaces, as hashes of 64 bits."""
    joined = [" " + " ".join(words_of(text)) + " " for text in texts]
    sizes = np.array([len(each) for each in joined], np.int64)
    points = code_points("".join(joined)).astype(np.uint64)
    text = np.repeat(np.arange(len(texts)), sizes)
    left = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(points))  # characters up to the text's end
    found = []
    for span in SPANS:
        count = max(0, len(points) - span + 1)
        total = np.full(count, span, np.uint64)
        for shift in range(span):
            total = total * np.uint64(0x9E3779B97F4A7C15) + points[shift : shift + count]
        whole = left[:count] >= span
        found.append((text[:count][whole], total[whole].view(np.int64)))
    return Found(np.concatenate([t for t, _ in found]), np.concatenate([c for _, c in found]), len(texts))


def _kept(found: Found) -> Grams:
    """The grams in most texts, at most `KEPT` of them, weighted by ln((1 + texts) / (1 + texts with it)) + 1."""
    codes, which = np.unique(found.codes, return_inverse=True)
    places = np.sort(found.texts * max(len(codes), 1) + which)  # numpy's `unique` takes several times as long
    there = places[np.flatnonzero(np.diff(places, prepend=-1))] % max(len(codes), 1)
    spread = np.bincount(there, minlength=len(codes))
    most = np.sort(np.argsort(-spread, kind="stable")[:KEPT])
    return Grams(codes[most], np.log((1 + found.size) / (1 + spread[most])) + 1)


def _weighed(found: Found, sort: Grams) -> Sparse:
    """(1 + ln count) x idf of each kept gram in each text, every row of length 1."""
    width = len(sort.codes)
    if not width:
        return Sparse(np.zeros(found.size + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), 0)
    at = np.minimum(np.searchsorted(sort.codes, found.codes), width - 1)
    known = sort.codes[at] == found.codes
    places, counts = np.unique(found.texts[known] * width + at[known], return_counts=True)
    text, column = np.divmod(places, width)
    values = (1 + np.log(counts)) * sort.idf[column]
    length = np.sqrt(np.bincount(text, values**2, found.size))
    starts = np.concatenate(([0], np.cumsum(np.bincount(text, minlength=found.size))))
    return Sparse(starts, column.astype(np.int32), (values / length[text]).astype(np.float32), width)


def _side_by_side(parts: Sequence[Sparse]) -> Sparse:
    """Matrices of the same rows as one."""
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([np.repeat(np.arange(part.shape[0]), np.diff(part.starts)) for part in parts])
    shifts = np.cumsum([0, *(part.width for part in parts)])
    order = np.argsort(rows, kind="stable")
    columns = np.concatenate(
        [part.columns + np.int32(shift) for part, shift in zip(parts, shifts[:-1], strict=True)]
    )
    values = np.concatenate([part.values for part in parts])
    starts = np.sum([part.starts for part in parts], 0)
    return Sparse(starts, columns[order], values[order], int(shifts[-1]))
