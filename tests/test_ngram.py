"""The n-gram against a slow, obvious one of dictionaries; its figures on the shipped tunes."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.datasets.characters import Characters
from unrolled.datasets.readers import records
from unrolled.datasets.samples import resolve
from unrolled.datasets.split import split
from unrolled.tasks.ngram import NGram, best_ngram
from unrolled.training.baselines import ngram_nats, strong
from unrolled.training.corpus import prepare

DOCUMENTS = st.lists(st.lists(st.integers(1, 4), max_size=8), min_size=1, max_size=6)


class Reference:
    """Witten-Bell interpolation straight from its equation."""

    def __init__(self, order: int, vocabulary: int, documents: list[list[int]]) -> None:
        self.order, self.vocabulary = order, vocabulary
        self.after: dict[tuple[int, ...], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for ids in documents:
            tokens = [0, *ids, 0]
            for at in range(1, len(tokens)):
                for length in range(min(order, at + 1)):
                    self.after[tuple(tokens[at - length : at])][tokens[at]] += 1

    def chance(self, history: list[int], token: int) -> float:
        if len(history) >= self.order:
            history = history[len(history) - self.order + 1 :]
        lower = self.chance(history[1:], token) if history else 1 / self.vocabulary
        counts = self.after.get(tuple(history))
        if not counts:
            return lower
        return (counts.get(token, 0) + len(counts) * lower) / (sum(counts.values()) + len(counts))

    def bits(self, ids: list[int]) -> float:
        tokens = [0, *ids, 0]
        return -sum(math.log2(self.chance(tokens[:at], tokens[at])) for at in range(1, len(tokens)))


def arrays(documents: list[list[int]]) -> list[np.ndarray]:
    return [np.array(ids, np.int64) for ids in documents]


def total(model: NGram, documents: list[np.ndarray]) -> float:
    return float(sum(bits.sum() for bits in model.bits(documents)))


@settings(deadline=None)
@given(DOCUMENTS, DOCUMENTS, st.integers(1, 5))
def test_bits_are_those_of_the_reference(train: list[list[int]], test: list[list[int]], order: int) -> None:
    model, slow = NGram(order, 6).fit(arrays(train)), Reference(order, 6, train)
    expected = [slow.bits(ids) for ids in test]
    each = model.bits(arrays(test))
    assert [len(bits) for bits in each] == [len(ids) + 1 for ids in test]
    assert np.allclose([bits.sum() for bits in each], expected, rtol=1e-12)


@settings(deadline=None)
@given(DOCUMENTS, st.lists(st.integers(0, 5), max_size=8), st.integers(1, 5))
def test_probabilities_sum_to_one_and_are_those_of_the_reference(
    train: list[list[int]], context: list[int], order: int
) -> None:
    model, slow = NGram(order, 6).fit(arrays(train)), Reference(order, 6, train)
    chances = model.probabilities([3, 0, *context])
    history = [0, *context]
    history = history[len(history) - 1 - history[::-1].index(0) :]
    assert chances.sum() == pytest.approx(1, abs=1e-12) and chances.min() > 0
    assert np.allclose(chances, [slow.chance(history, token) for token in range(6)], rtol=1e-12)


def test_no_context_reaches_across_a_boundary() -> None:
    train = arrays([[1, 2], [3, 1, 2], [1, 4]])
    one = NGram(4, 6).fit(train)
    alone = sum(total(one, [ids]) for ids in arrays([[1, 2], [3, 1], [4]]))
    assert total(one, arrays([[1, 2], [3, 1], [4]])) == pytest.approx(alone, rel=1e-12)
    assert total(one, train) == pytest.approx(total(NGram(4, 6).fit(train[::-1]), train), rel=1e-12)


def test_a_shorter_order_is_a_stage_of_the_longer_one() -> None:
    train, test = arrays([[1, 2, 3, 1, 2, 4]] * 3), arrays([[1, 2, 3], [2, 4, 1]])
    best = best_ngram(train, test, 6)
    assert list(best.by_order) == [3, 4, 5, 6, 7]
    for order, bits in best.by_order.items():
        assert total(NGram(order, 6).fit(train), test) == pytest.approx(bits, rel=1e-12)
    assert best.bits == min(best.by_order.values()) == pytest.approx(total(best.model, test))
    assert best.model.order == best.order


def test_held_out_text_is_scored_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    train, test = (
        [draw.integers(1, 5, size=n) for n in lengths] for lengths in ([200] * 5, [7, 90, 0, 30, 12])
    )
    model, whole = NGram(4, 6).fit(train), best_ngram(train, test, 6)
    bits = model.bits(test)
    longest, one = [], NGram.bits_by_order
    monkeypatch.setattr("unrolled.tasks.ngram.BLOCK", 40)
    monkeypatch.setattr(
        NGram, "bits_by_order", lambda self, stream: longest.append(len(stream)) or one(self, stream)
    )
    assert np.allclose(np.concatenate(model.bits(test)), np.concatenate(bits), rtol=1e-12)
    assert best_ngram(train, test, 6).by_order == pytest.approx(whole.by_order, rel=1e-12)
    assert longest == [100, 46] * 2  # boundaries between and around included


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="order=0"):
        NGram(0)
    with pytest.raises(ValueError, match="token 9 is not in the n-gram's vocabulary of 3"):
        NGram(2).fit(arrays([[1, 2]])).bits(arrays([[9]]))


def test_on_irish_the_best_order_is_5_at_about_2_bits_a_character() -> None:
    found = list(records(resolve("irish")))
    texts = split(found, 0, (0.9, 0.0, 0.1)).texts(found)
    codec = Characters().fit(texts["train"])
    train, test = ([codec.encode(text) for text in texts[part]] for part in ("train", "test"))
    begin = time.process_time()
    best = best_ngram(train, test, codec.size)
    assert time.process_time() - begin < 10
    assert best.order == 5 and 2.0 < best.bits / sum(map(len, texts["test"])) < 2.15


def test_the_opponent_reads_notes_or_characters_whichever_serves_it_better(tmp_path: Path) -> None:
    corpus = prepare("irish", "abc", None, tmp_path)
    found = strong(corpus)
    parts = {
        name: [corpus.codec.decode(ids) for ids in corpus.part(name).each()] for name in ("train", "test")
    }
    codec = Characters().fit(parts["train"])
    ids = {name: [codec.encode(text) for text in texts] for name, texts in parts.items()}
    characters = best_ngram(ids["train"], ids["test"], codec.size)
    notes = best_ngram(corpus.train.each(), corpus.test.each(), corpus.codec.size)
    assert characters.bits < notes.bits and found["name"] == f"{characters.order}-gram of characters"
    nats = ngram_nats(corpus, found["order"], found["codec"])
    assert len(nats) == corpus.test.documents
    assert sum(each.sum() for each in nats) / math.log(2) == pytest.approx(characters.bits, rel=1e-12)
    assert found["bits_per_character"] == pytest.approx(characters.bits / corpus.test.characters, rel=1e-9)
