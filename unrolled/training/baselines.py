"""What stands beside every score: a bigram before the run begins, the best n-gram at its end."""

from __future__ import annotations

from itertools import islice
from math import log
from typing import Any, NamedTuple

import numpy as np

from unrolled.datasets.codecs import CODECS
from unrolled.tasks import Score
from unrolled.tasks.ngram import NGram, best_ngram, joined
from unrolled.training.corpus import Corpus, remembered

MOST_TOKENS = 20_000_000  # of training counted: an n-gram's table lies in memory


def naive(corpus: Corpus) -> dict[str, Any]:
    """A bigram of the codec's tokens, on the test split: a Score's fields and `name`. Kept beside the corpus."""
    return remembered(corpus, "naive", lambda: _scored(corpus, 2, corpus.codec.kind))


def strong(corpus: Corpus) -> dict[str, Any]:
    """The best interpolated Witten-Bell n-gram of orders 3 to 7; its order is chosen on the test split, in its favour.

    ABC tokens are many and rare, which suits networks better than counts: there it may read characters instead. Beside
    a Score's fields stand `name`, `order` and `codec`, the kind of its tokens.
    """

    def compute() -> dict[str, Any]:
        kinds = dict.fromkeys(
            (corpus.codec.kind, "characters" if corpus.codec.kind == "abc" else corpus.codec.kind)
        )
        found = []
        for kind in kinds:
            text = as_read(corpus, kind)
            best = best_ngram(text.train, text.test, text.vocabulary)
            found.append((best.bits, best.order, kind))
        _, order, kind = min(found)
        return _scored(corpus, order, kind)

    return remembered(corpus, "opponent", compute)


class AsRead(NamedTuple):
    """Training and test documents as ids of one codec, and how many ids it has."""

    train: list[np.ndarray]
    test: list[np.ndarray]
    vocabulary: int


def as_read(corpus: Corpus, kind: str) -> AsRead:
    """The corpus in its own tokens, or in characters."""
    train, test = counted(corpus), corpus.documents("test")[0]
    if kind == corpus.codec.kind:
        return AsRead(train, test, corpus.codec.size)
    texts = [corpus.codec.decode(document) for document in train]
    codec = CODECS[kind]().fit(texts)
    again = [codec.encode(corpus.codec.decode(document)) for document in test]
    return AsRead([codec.encode(text) for text in texts], again, codec.size)


def ngram_nats(corpus: Corpus, order: int, kind: str) -> list[np.ndarray]:
    """The nats of each test document's tokens and closing boundary under an n-gram."""
    text = as_read(corpus, kind)
    nats = NGram(order, text.vocabulary).fit(text.train).bits_by_order(joined(text.test))[-1] * log(2)
    return np.split(nats, np.cumsum([len(document) + 1 for document in text.test])[:-1])


def beaten(test: dict[str, Any], baseline: dict[str, Any]) -> str:
    """Better or no better, in words: a difference counts when the baseline lies outside the score's interval."""
    score, other = test["bits_per_character"], baseline["bits_per_character"]
    low, high = test["interval"]
    if high < other:
        return f"Better than the {baseline['name']}: {100 * (1 - score / other):.1f} % fewer bits."
    if low > other:
        return f"No better: the {baseline['name']} needs {100 * (1 - other / score):.1f} % fewer bits. Train longer."
    return f"No better: the {baseline['name']} lies within the interval. Train longer, or on more text."


def counted(corpus: Corpus) -> list[np.ndarray]:
    """The training documents that an n-gram counts: all, or the first MOST_TOKENS of them."""
    if corpus.train.count <= MOST_TOKENS:
        return list(corpus.train.each())
    left, taken = MOST_TOKENS, []
    for document in islice(corpus.train.each(), corpus.train.documents):
        taken.append(document[:left])
        left -= len(taken[-1])
        if left <= 0:
            break
    return taken


def _scored(corpus: Corpus, order: int, kind: str) -> dict[str, Any]:
    _, characters, size = corpus.documents("test")
    name = "bigram" if order == 2 else f"{order}-gram"
    if kind != corpus.codec.kind:
        name += f" of {kind}"
    score = Score.of(ngram_nats(corpus, order, kind), characters, size, f"{order - 1} tokens")
    return score.to_dict() | {"name": name, "order": order, "codec": kind}
