"""The simple rivals: against scikit-learn, on the shipped data, the same numbers every time."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from unrolled.datasets.samples import FOLDER, resolve
from unrolled.datasets.words import words_of
from unrolled.errors import UserError
from unrolled.tasks.simple import SIMPLE, Flat, Majority, MajorityTag, MeanOf, Summary, WordGrams
from unrolled.tasks.simple import series as series_module
from unrolled.tasks.simple import words as words_module
from unrolled.tasks.simple.features import Dense, Sparse
from unrolled.tasks.simple.lbfgs import minimise
from unrolled.tasks.simple.linear import Linear, targets_of
from unrolled.tasks.simple.statistics import EACH, summarised

RNG = np.random.default_rng


def solved(x: Any, y: np.ndarray, strength: float, classes: int | None = None) -> Linear:
    """A linear model of a given strength, solved to the end."""
    model = Linear()
    model._chosen = lambda features, targets: strength  # type: ignore[method-assign]
    solve = model._solved
    model._solved = lambda f, t, s, start: solve(f, t, s, start, tolerance=1e-9)  # type: ignore[method-assign]
    return model.fit(x, targets_of(y, classes))


def test_minimise_finds_the_minimum_of_a_curved_valley() -> None:
    scales = np.geomspace(1, 1e2, 30)
    found = minimise(
        lambda x: (float(scales @ (x - 1) ** 2), 2 * scales * (x - 1)), np.zeros(30), tolerance=1e-9
    )
    assert found == pytest.approx(np.ones(30), abs=1e-6)

    def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = 1 - x[0], x[1] - x[0] ** 2
        return float(a * a + 100 * b * b), np.array([-2 * a - 400 * x[0] * b, 200 * b])

    assert minimise(rosenbrock, np.array([-1.2, 1.0]), tolerance=1e-9) == pytest.approx([1, 1], abs=1e-4)


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression_is_that_of_scikit_learn(classes: int) -> None:
    rng = RNG(0)
    x, y = rng.normal(size=(120, 5)), rng.integers(classes, size=120)
    x[:, 0] += y
    features = Dense(x)
    mine = solved(features, y, 0.1)
    # Two classes are one logistic regression there too.
    theirs = LogisticRegression(C=1 / (0.1 * features.scale()), tol=1e-10, max_iter=5000).fit(x, y)
    assert mine.predict(features) == pytest.approx(theirs.predict_proba(x), abs=1e-4)


def test_each_label_is_a_logistic_regression() -> None:
    rng = RNG(1)
    x = rng.normal(size=(100, 4))
    y = (x[:, :3] + rng.normal(size=(100, 3)) > 0).astype(int)
    got = solved(Dense(x), y, 0.3).predict(Dense(x))
    for k in range(3):
        assert got[:, k] == pytest.approx(solved(Dense(x), y[:, k], 0.3).predict(Dense(x))[:, 1], abs=1e-4)


def test_ridge_regression_is_that_of_scikit_learn() -> None:
    rng = RNG(2)
    x = rng.normal(size=(80, 6))
    y = 100 + x[:, :2] * [3, -50] + rng.normal(size=(80, 2))
    features = Dense(x)
    theirs = Ridge(alpha=0.1 * features.scale()).fit(x, (y - y.mean(0)) / y.std(0))
    assert solved(features, y, 0.1).predict(features) == pytest.approx(
        theirs.predict(x) * y.std(0) + y.mean(0), abs=1e-3
    )


def test_the_penalty_is_chosen_by_what_was_held_out() -> None:
    rng = RNG(3)
    x, noise = rng.normal(size=(300, 3)), rng.normal(size=(300, 100))
    y = (x.sum(1) > 0).astype(int)
    sure = Linear().fit(Dense(x), targets_of(y)).strength
    unsure = Linear().fit(Dense(noise), targets_of(y)).strength
    assert sure < 0.01 < 1 <= unsure


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(0, 6), st.integers(1, 5)), elements=st.sampled_from([0, 1, -2, 0.5])
    )
)
def test_sparse_rows_multiply_as_dense_ones(matrix: np.ndarray) -> None:
    rows, columns = np.nonzero(matrix)
    starts = np.concatenate(([0], np.cumsum(np.count_nonzero(matrix, 1))))
    sparse = Sparse(starts, columns.astype(np.int32), matrix[rows, columns], matrix.shape[1])
    dense = Dense(matrix.astype(np.float64))
    weights, back = RNG(4).normal(size=(matrix.shape[1], 2)), RNG(5).normal(size=(len(matrix), 2))
    assert sparse.shape == dense.shape and sparse.scale() == pytest.approx(dense.scale())
    assert sparse.times(weights) == pytest.approx(dense.times(weights))
    assert sparse.back(back) == pytest.approx(dense.back(back))
    picked = np.arange(len(matrix))[::-2]
    assert sparse.take(picked).times(weights) == pytest.approx(dense.take(picked).times(weights))


TEXTS = ["The cat sat on the mat.", "the dog sat", "A cat, a dog!", "", "mat mat mat cat"]


def test_tf_idf_is_that_of_scikit_learn() -> None:
    model = WordGrams(characters=False).fit(TEXTS, np.array([0, 1, 0, 1, 0]))

    def grams(text: str) -> list[str]:
        words = words_of(text)
        return words + [f"{a} {b}" for a, b in zip(words, words[1:], strict=False)]

    oracle = TfidfVectorizer(analyzer=grams, sublinear_tf=True)
    theirs = oracle.fit_transform(TEXTS)
    held = ["the cat sat", "unseen words only", "cat mat unseen cat mat"]
    for texts, wanted in ((TEXTS, theirs), (held, oracle.transform(held))):
        mine = model._features(texts)
        assert mine.width == theirs.shape[1]
        full = mine.times(np.eye(mine.width))
        assert full @ full.T == pytest.approx((wanted @ wanted.T).toarray(), abs=1e-6)
    model = WordGrams(characters=True).fit(TEXTS, np.array([0, 1, 0, 1, 0]))
    spelled = [" " + " ".join(words_of(t)) + " " for t in TEXTS]
    theirs = TfidfVectorizer(analyzer="char", ngram_range=(3, 5), sublinear_tf=True, lowercase=False).fit(
        spelled
    )
    assert len(model._sorts[1].codes) == len(theirs.vocabulary_)


def series_of(part: str) -> tuple[list[np.ndarray], np.ndarray]:
    with gzip.open(FOLDER / f"japanese_vowels.{part}.ts.gz", "rt") as file:
        lines = [line.strip().split(":") for line in file if line[0] not in "#@\n"]
    values = [np.array([[float(v) for v in c.split(",")] for c in line[:-1]]).T for line in lines]
    return values, np.array([int(line[-1]) - 1 for line in lines])


def test_summary_statistics_tell_the_speakers_of_vowels() -> None:
    (train, y), (test, truth) = series_of("train"), series_of("test")
    model = Summary().fit(train, y)
    got = model.predict(test)
    assert (got.argmax(1) == truth).mean() >= 0.975  # a random forest on such statistics: 0.957
    assert got.sum(1) == pytest.approx(np.ones(len(test)))
    assert np.array_equal(Summary().fit(train, y).predict(test), got)
    assert model.predict(test[:1]) == pytest.approx(got[:1])


@cache
def sentiment() -> tuple[list[str], np.ndarray]:
    with open(resolve("sentiment"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], np.array([row["label"] == "positive" for row in rows]).astype(int)


def test_words_tell_the_mood_of_sentences() -> None:
    texts, y = sentiment()
    order = RNG(0).permutation(len(texts))
    test, train = order[:600], order[600:]
    model = WordGrams(characters=False).fit([texts[i] for i in train], y[train])
    got = model.predict([texts[i] for i in test])
    assert (got.argmax(1) == y[test]).mean() >= 0.81
    again = WordGrams(characters=False).fit([texts[i] for i in train], y[train])
    assert np.array_equal(again.predict([texts[i] for i in test]), got)


def test_all_values_tell_digits() -> None:
    with gzip.open(resolve("digits"), "rt") as file:
        table = np.array(list(csv.reader(file))[1:], float)
    y, pictures = table[:, 0].astype(int), table[:, 1:].reshape(-1, 8, 8)
    model = Flat().fit(pictures[:1200], y[:1200])
    assert (model.predict(pictures[1200:]).argmax(1) == y[1200:]).mean() >= 0.9


def test_statistics_are_those_of_their_names() -> None:
    rng = RNG(6)
    series = [rng.normal(size=(int(n), 2)) for n in (9, 1, 2, 30, 0)]
    holed = series[3].copy()
    holed[[0, 5, 29], 0] = np.nan, np.inf, np.nan
    holed[:, 1] = np.nan
    got = summarised([*series, holed])
    assert got.shape == (6, 2 * len(EACH) + 1) and got[:, -1].tolist() == [9, 1, 2, 30, 0, 30]
    named = {name: got[:, [n, n + len(EACH)]] for n, name in enumerate(EACH)}
    for row in (0, 3):
        x, steps = series[row], np.arange(len(series[row]))
        want = {
            "mean": x.mean(0),
            "deviation": x.std(0),
            "slope": np.polyfit(steps, x, 1)[0],
            "share missing": np.zeros(2),
            "first": x[0],
            "last": x[-1],
            "mean of the middle third": x[len(x) // 3 : 2 * len(x) // 3].mean(0),
            "lower quartile": np.percentile(x, 25, axis=0),
            "median": np.median(x, 0),
            "maximum": x.max(0),
        }
        for name, values in want.items():
            assert named[name][row] == pytest.approx(values), name
    known = holed[np.isfinite(holed[:, 0]), 0]
    there = np.flatnonzero(np.isfinite(holed[:, 0]))
    assert named["mean"][5, 0] == pytest.approx(known.mean()) and named["median"][5, 0] == np.median(known)
    assert named["first"][5, 0] == holed[1, 0] and named["last"][5, 0] == holed[28, 0]
    assert named["slope"][5, 0] == pytest.approx(np.polyfit(there, known, 1)[0])
    assert named["share missing"][5] == pytest.approx([0.1, 1.0])
    assert np.isnan(named["mean"][5, 1]) and np.isnan(got[4, :-1]).all()
    assert np.isnan(named["slope"][1]).all() and named["mean"][1] == pytest.approx(series[1][0])
    # One by one they are the same: neighbours' lengths pad nothing in.
    for row, each in enumerate([*series, holed]):
        assert got[row] == pytest.approx(summarised([each])[0], nan_ok=True)


def test_numbers_and_labels_are_learnt_too() -> None:
    rng = RNG(7)
    series = [rng.normal(rng.normal(), 1, (int(rng.integers(5, 20)), 1)) for _ in range(200)]
    level = np.array([x.mean() for x in series])
    got = Summary().fit(series[:150], level[:150]).predict(series[150:])
    assert got.shape == (50, 1) and np.abs(got[:, 0] - level[150:]).mean() < 0.1
    high = np.stack([level > 0, level > 1], 1).astype(int)
    p = Summary().fit(series[:150], high[:150]).predict(series[150:])
    assert p.shape == (50, 2) and ((p > 0.5) == high[150:]).mean() > 0.95
    stars = np.array([float(len(t.split())) for t in TEXTS * 10])
    assert np.abs(WordGrams().fit(TEXTS * 10, stars).predict(TEXTS)[:, 0] - stars[:5]).max() < 0.5


def test_a_class_that_training_lacks_gets_a_small_probability() -> None:
    for rival in (WordGrams(classes=3), Majority(classes=3)):
        got = rival.fit(TEXTS * 3, np.array([0, 1, 0, 1, 0] * 3)).predict(TEXTS)
        assert got.shape == (5, 3) and (got[:, 2] < 0.1).all() and got.sum(1) == pytest.approx(np.ones(5))


def test_the_naive_ones_say_what_training_says() -> None:
    assert Majority().fit("abcd", [0, 0, 0, 2]).predict("xy").tolist() == [[0.75, 0, 0.25]] * 2
    assert Majority().fit("ab", np.array([[1, 0], [1, 1]])).predict("x").tolist() == [[1, 0.5]]
    assert MeanOf().fit("ab", [[1, 2], [3, 6]]).predict("xyz").tolist() == [[2, 4]] * 3
    model = MajorityTag(classes=3).fit([[5, 6, 5], [5]], [[0, 1, 1], [0]])
    (first,) = model.predict([np.array([5, 6, 7])])
    assert first == pytest.approx(np.array([[2 / 3, 1 / 3, 0], [0, 1, 0], [0.5, 0.5, 0]]))
    numbers = MajorityTag().fit([np.zeros((2, 4))], [[1, 1]]).predict([np.ones((1, 4))])
    assert numbers[0].tolist() == [[0, 1]]


def test_what_is_too_much_is_thinned_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_module, "READ", 500)
    model = WordGrams().fit(TEXTS * 20, np.array([0, 1, 0, 1, 0] * 20))
    assert model.notes == ["learnt from one in 3 of 100 texts (1240 characters)"]
    monkeypatch.setattr(series_module, "CELLS", 200)
    flat = Flat().fit(RNG(0).normal(size=(100, 8)), np.arange(100) % 2)
    assert flat.notes == ["learnt from one in 4 of 100 items"]


def test_far_values_and_empty_calls_do_no_harm() -> None:
    x = RNG(8).normal(size=(60, 4))
    model = Flat().fit(x, (x[:, 0] > 0).astype(int))
    assert np.isfinite(model.predict([[1e300, np.nan, np.inf, -1e300]])).all()
    level = Flat().fit(x, x.sum(1)).predict([[1e9, 0, 0, 0], [-1e9, 0, 0, 0]])
    assert 5 < level[0, 0] < 20 and -20 < level[1, 0] < -5
    assert (
        model.predict([]).shape
        == (0, 2)
        == WordGrams().fit(TEXTS, np.array([0, 1, 0, 1, 0])).predict([]).shape
    )
    assert all(kind.name for kind in SIMPLE.values())


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: WordGrams().fit([], []), "at least one item"),
    (lambda: Summary().fit([np.zeros((3, 1))], [np.nan]), "NaN or Inf"),
    (lambda: Majority(2).fit("ab", [0, 2]), "expected 0 to 1"),
    (lambda: Majority().fit("ab", [0.5, 2.0]), "the mean"),
    (lambda: MajorityTag().fit([[]], [[]]), "no sequence has a step"),
    (lambda: MajorityTag().fit([[1]], [[1, 2]]), "1 steps and 2 tags"),
    (lambda: Summary().fit([np.zeros((3, 1)), np.zeros((3, 2))], [0, 1]), "1, 2 channels"),
    (lambda: Summary().fit([[1.0], [2.0]], [0, 1]).predict([np.zeros((3, 2))]), "other channels"),
    (lambda: Flat().fit([[1.0], [2.0, 3.0]], [0, 1]), r"item 1 has shape \(2,\)"),
    (lambda: Flat().fit([[1.0], [2.0]], [0, 1]).predict([[1.0, 2.0]]), r"item 0 has shape \(2,\)"),
]


@pytest.mark.parametrize(("call", "words"), BAD, ids=[words for _, words in BAD])
def test_what_cannot_be_learnt_is_said(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        call()
