"""What stands beside every score: a bigram before the run begins, the best n-gram at its end."""

from __future__ import annotations

from itertools import islice
from math import log
from typing import Any

import numpy as np

from unrolled.tasks import Score
from unrolled.tasks.ngram import NGram, best_ngram, joined
from unrolled.training.corpus import Corpus, remembered

MOST_TOKENS = 20_000_000  # of training counted: an n-gram's table lies in memory


def naive(corpus: Corpus) -> dict[str, Any]:
    """A bigram of the codec's tokens, on the test split: a Score's fields and `name`. Kept beside the corpus."""
    return remembered(
        corpus, "naive", lambda: _scored(corpus, NGram(2, corpus.codec.size).fit(counted(corpus)))
    )


def strong(corpus: Corpus) -> dict[str, Any]:
    """The best interpolated Witten-Bell n-gram of orders 3 to 7; its order is chosen on the test split, in its favour."""

    def compute() -> dict[str, Any]:
        return _scored(
            corpus, best_ngram(counted(corpus), corpus.documents("test")[0], corpus.codec.size).model
        )

    return remembered(corpus, "ngram", compute)


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


def _scored(corpus: Corpus, model: NGram) -> dict[str, Any]:
    documents, characters, size = corpus.documents("test")
    nats = model.bits_by_order(joined(documents))[-1] * log(2)
    ends = np.cumsum([len(document) + 1 for document in documents])
    score = Score.of(np.split(nats, ends[:-1]), characters, size, f"{model.order - 1} tokens")
    return score.to_dict() | {"name": "bigram" if model.order == 2 else f"{model.order}-gram"}
