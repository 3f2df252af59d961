"""The n-gram model every language model is measured against: interpolated Witten-Bell smoothing over token ids.

    P(w | h) = (c(h w) + T(h) P(w | h')) / (c(h) + T(h)),    h' = h without its oldest token

with c the counts in training and T(h) the number of distinct tokens seen after h; below the empty context stands the
uniform distribution. (I. Witten and T. Bell, "The zero-frequency problem", 1991; S. Chen and J. Goodman, "An empirical
study of smoothing techniques", 1998, section 2.4.) The boundary 0 opens each document and is predicted at its end;
no context reaches across it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

BOUNDARY = 0
ORDERS = range(3, 8)
BLOCK = 1 << 20  # tokens scored at once
UNSEEN = -1  # the number of a context that training does not hold


@dataclass(frozen=True)
class Level:
    """What follows the contexts of one length.

    `keys` are sorted `context * vocabulary + token`, `counts` how often each occurs. The position of a key is the
    number of the context one token longer. `total` and `distinct` are c(h) and T(h).
    """

    keys: Ids
    counts: Floats
    total: Floats
    distinct: Floats

    def find(self, wanted: Ids) -> Ids:
        """The positions of these keys, UNSEEN where there is none."""
        at = np.searchsorted(self.keys, wanted)
        at[at == len(self.keys)] = 0
        return np.where(self.keys[at] == wanted, at, UNSEEN)


class NGram:
    """An n-gram of `order` tokens: the predicted one and `order - 1` before it. Arrays only: 200,000 tokens take 0.2 s."""

    def __init__(self, order: int, vocabulary: int | None = None) -> None:
        """`vocabulary` counts the ids, the boundary included; without it, the largest id of training plus one."""
        if order < 1:
            raise ValueError(f"order={order}: expected at least 1")
        self.order = order
        self.vocabulary = vocabulary or 0
        self.levels: list[Level] = []

    def fit(self, documents: Iterable[Ids]) -> Self:
        """Counts. A document is its ids without boundaries."""
        stream = joined(documents)
        self.vocabulary = self.vocabulary or int(stream.max()) + 1
        self.levels = []
        context, contexts = np.zeros(len(stream) - 1, np.int64), 1
        for length in range(self.order):
            pairs = self._pairs(context, stream)
            keys, found = np.unique(pairs[pairs >= 0], return_counts=True)
            if not len(keys):
                break  # no document is long enough for such a context
            owner, counts = keys // self.vocabulary, found.astype(np.float64)
            total = np.bincount(owner, counts, contexts).astype(np.float64)
            distinct = np.bincount(owner, minlength=contexts).astype(np.float64)
            self.levels.append(Level(keys, counts, total, distinct))
            context, contexts = _longer(self.levels[-1].find(pairs), stream, length), len(keys)
        return self

    def bits(self, documents: Iterable[Ids]) -> list[Floats]:
        """The bits of each document's tokens and closing boundary: (n + 1,) each, a block of documents at a time."""
        found: list[Floats] = []
        for block in _blocks(documents):
            bits = self.bits_by_order(joined(block))[-1]
            found += np.split(bits, np.cumsum([len(ids) + 1 for ids in block])[:-1])
        return found

    def bits_by_order(self, stream: Ids) -> list[Floats]:
        """For orders 1 to `order`, (tokens - 1,) the bits of every token of the stream but its first boundary."""
        if stream.max() >= self.vocabulary or stream.min() < 0:
            raise ValueError(f"token {stream.max()} is not in the n-gram's vocabulary of {self.vocabulary}")
        context = np.zeros(len(stream) - 1, np.int64)
        chance = np.full(len(stream) - 1, 1.0 / self.vocabulary)
        found: list[Floats] = []
        for length, level in enumerate(self.levels):
            which = level.find(self._pairs(context, stream))
            count = np.where(which == UNSEEN, 0.0, level.counts[which])
            total = np.where(context == UNSEEN, 0.0, level.total[context])
            distinct = np.where(context == UNSEEN, 0.0, level.distinct[context])
            seen = total > 0
            chance[seen] = ((count + distinct * chance) / np.maximum(total + distinct, 1))[seen]
            found.append(-np.log2(chance))
            context = _longer(which, stream, length)
        return found + found[-1:] * (self.order - len(found))

    def probabilities(self, context: Sequence[int]) -> Floats:
        """(vocabulary,) the distribution of the next token after these ids; a document's start is `[0]`."""
        recent = list(context)
        if BOUNDARY in recent:
            recent = recent[len(recent) - 1 - recent[::-1].index(BOUNDARY) :]
        chances = np.full(self.vocabulary, 1.0 / self.vocabulary)
        for length, level in enumerate(self.levels[: len(recent) + 1]):
            number = self._number(recent[len(recent) - length :])
            if number == UNSEEN or level.total[number] == 0:
                break
            begin, end = np.searchsorted(
                level.keys, [number * self.vocabulary, (number + 1) * self.vocabulary]
            )
            counts = np.zeros(self.vocabulary)
            counts[level.keys[begin:end] - number * self.vocabulary] = level.counts[begin:end]
            chances = (counts + level.distinct[number] * chances) / (
                level.total[number] + level.distinct[number]
            )
        return chances

    def of_order(self, order: int) -> NGram:
        """The same counts with a shorter context."""
        model = NGram(order, self.vocabulary)
        model.levels = self.levels[:order]
        return model

    def _number(self, tokens: Sequence[int]) -> int:
        """The number of a context, UNSEEN when training does not hold it."""
        number = 0
        for level, token in zip(self.levels, tokens, strict=False):
            number = int(level.find(np.array([number * self.vocabulary + token]))[0])
            if number == UNSEEN:
                break
        return number

    def _pairs(self, context: Ids, stream: Ids) -> Ids:
        """The key of every (context, next token), negative where the context is unseen."""
        return np.where(context == UNSEEN, UNSEEN, context * self.vocabulary + stream[1:])


@dataclass(frozen=True)
class Best:
    """The order with the fewest bits on the held-out documents, and what every order took."""

    order: int
    bits: float
    by_order: dict[int, float]
    model: NGram


def best_ngram(
    train: Iterable[Ids],
    held_out: Iterable[Ids],
    vocabulary: int | None = None,
    orders: Sequence[int] = ORDERS,
) -> Best:
    """Fits the longest order once and scores all: a shorter one is a stage of the longer one's interpolation."""
    model = NGram(max(orders), vocabulary).fit(train)
    by_order = dict.fromkeys(orders, 0.0)
    for block in _blocks(held_out):
        bits = model.bits_by_order(joined(block))
        for order in orders:
            by_order[order] += float(bits[order - 1].sum())
    order = min(by_order, key=by_order.__getitem__)
    return Best(order, by_order[order], by_order, model.of_order(order))


def _blocks(documents: Iterable[Ids]) -> Iterator[list[Ids]]:
    """The documents in groups of about BLOCK tokens: two dozen arrays as long as a group are held at once."""
    block: list[Ids] = []
    size = 0
    for ids in documents:
        block.append(ids)
        size += len(ids) + 1
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def joined(documents: Iterable[Ids]) -> Ids:
    """(tokens,) the documents as a token file holds them: a boundary before each and one at the end."""
    edge = np.array([BOUNDARY], np.int64)
    return np.concatenate(
        [piece for ids in documents for piece in (edge, np.asarray(ids, np.int64))] + [edge]
    )


def _longer(which: Ids, stream: Ids, length: int) -> Ids:
    """(tokens - 1,) the contexts one token longer: what ends at a position is the context of the next one.

    The boundary that opens a document is a context of one token; nothing longer ends in it, so none reaches across.
    """
    # The boundary is always key 0 of level 0.
    first = BOUNDARY if length == 0 else UNSEEN
    ending = np.concatenate([np.array([first], np.int64), which])
    if length > 0:
        ending[stream == BOUNDARY] = UNSEEN
    return ending[:-1]
