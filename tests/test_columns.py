"""Codecs of columns: labels, values, targets and words, fitted on training only; and leaks across a split."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unrolled.datasets import moments as streaming
from unrolled.datasets.labels import Labels, MultiLabels
from unrolled.datasets.leaks import Finding, Leaks
from unrolled.datasets.moments import Moments
from unrolled.datasets.standard import Gaps, Numbers, Values
from unrolled.datasets.words import FIRST, UNKNOWN, Words, words_of
from unrolled.errors import UserError

quick = settings(deadline=None, max_examples=40)
FLOATS = st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf, 1e300, 0.1])
SERIES = st.integers(1, 3).flatmap(
    lambda c: st.lists(
        hnp.arrays(np.float64, st.tuples(st.integers(0, 6), st.just(c)), elements=FLOATS), min_size=1
    )
)


def again(codec: Any) -> Any:
    """Through JSON and back."""
    return type(codec).from_dict(json.loads(json.dumps(codec.to_dict(), allow_nan=False)))


@quick
@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=2))
def test_labels_come_back_and_are_sorted(names: list[str]) -> None:
    wanted = sorted({name.strip() for name in names})
    if len(wanted) < 2:
        with pytest.raises(UserError, match="one class only"):
            Labels().fit(names)
        return
    codec = Labels().fit(names)
    assert list(codec.names) == wanted and sum(codec.counts) == len(names)
    assert [codec.decode(codec.encode(name)) for name in names] == [name.strip() for name in names]
    assert again(codec).to_dict() == codec.to_dict() and again(codec).encode(names[0]) == codec.encode(
        names[0]
    )


def test_numbers_as_labels_are_one_class_however_written() -> None:
    codec = Labels().fit([1, 2.0, "1", np.int64(2), True])
    assert codec.names == ("1", "2", "True") and codec.encode(1.0) == codec.encode(" 1 ") == 0


@quick
@given(st.lists(st.lists(st.sampled_from(["a", "b", "c d", "é"]), unique=True), min_size=1).filter(any))
def test_several_labels_come_back(rows: list[list[str]]) -> None:
    codec = MultiLabels().fit([";".join(row) for row in rows])
    for row in rows:
        marks = codec.encode("; ".join(row))
        assert codec.decode(marks) == sorted(row) and np.array_equal(marks, codec.encode(row))
        assert np.array_equal(again(codec).encode(row), marks)
    assert codec.encode("").sum() == 0 and again(codec).separator == ";"


@quick
@given(SERIES, st.booleans())
def test_values_are_standardised_with_a_mask(series: list[np.ndarray], robust: bool) -> None:
    rows = np.concatenate(series)
    there = np.abs(rows) <= 1e100
    if not there.any():
        with pytest.raises(UserError, match="all values are missing"):
            Values(robust).fit(series)
        return
    codec = Values(robust).fit(series)
    channels = rows.shape[1]
    out = codec.encode(rows)
    assert out.dtype == np.float32 and out.shape == (len(rows), 2 * channels) and np.isfinite(out).all()
    assert np.array_equal(out[:, channels:], ~there) and not out[:, :channels][~there].any()
    for c in range(channels):
        known, got = rows[there[:, c], c], out[there[:, c], c]
        if not len(known) or np.ptp(known) == 0:
            assert not got.any()
        elif np.ptp(known) > 1e-6:
            if robust:
                assert codec.centre[c] == pytest.approx(np.median(known))
            else:
                assert codec.centre[c] == pytest.approx(known.mean(), abs=1e-9 * np.abs(known).max())
                assert 1 / codec.inverse[c] == pytest.approx(known.std(), rel=1e-6, abs=1e-9)
                near, back = np.abs(got) < 9e3, codec.decode(out)[there[:, c], c]
                assert back[near] == pytest.approx(known[near], rel=1e-5, abs=1e-5 * np.ptp(known))
    assert np.array_equal(again(codec).encode(rows), out)
    assert codec.gaps(rows) == Gaps(int(np.isnan(rows).sum()), int((~there & ~np.isnan(rows)).sum()))
    assert any("infinite" in note for note in codec.notes) == bool((~there & ~np.isnan(rows)).any())


def test_one_pass_in_any_blocks_keeps_the_digits() -> None:
    """A mean of 1e9 and a deviation of 1e-3 would be lost in a sum of squares."""
    x = 1e9 + 1e-3 * np.random.default_rng(0).normal(size=(10_000, 1))
    for cuts in ([], [1, 2, 3], [5000], list(range(100, 10_000, 100))):
        found = Moments(1)
        for block in np.split(x, cuts):
            found.add(block)
        assert found.mean[0] == pytest.approx(x.mean(), rel=1e-15)
        assert found.deviation[0] == pytest.approx(x.std(), rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, (9, 2), elements=st.floats(-100, 100, width=32)), st.integers(0, 9), st.data())
def test_blocks_with_and_without_gaps_come_together(
    values: np.ndarray, cut: int, data: st.DataObject
) -> None:
    """A block that is all finite takes another path than one with gaps: the sums are those of what is there."""
    gap = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    values[cut:, 0] = gap
    found = Moments(2)
    for block in (values[:cut], values[cut:]):
        found.add(block)
        assert found.mean.shape == (2,)  # reading between blocks changes nothing
    assert found.count.tolist() == [cut, 9]
    assert (found.missing[0], found.infinite[0]) == ((9 - cut, 0) if np.isnan(gap) else (0, 9 - cut))
    assert found.mean[1] == pytest.approx(values[:, 1].mean(dtype=float), abs=1e-9)
    assert found.deviation[1] == pytest.approx(values[:, 1].std(dtype=float), abs=1e-6)
    if cut:
        assert found.mean[0] == pytest.approx(values[:cut, 0].mean(dtype=float), abs=1e-9)


def test_quartiles_of_many_rows_are_those_of_evenly_spaced_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "KEPT", 100)
    x = np.random.default_rng(1).normal(size=(5000, 2))
    whole, pieces = Moments(2, quartiles=True), Moments(2, quartiles=True)
    whole.add(x)
    for block in np.split(x, [7, 8, 500, 501, 3333]):
        pieces.add(block)
    assert np.array_equal(whole.quartiles(), pieces.quartiles())
    assert np.abs(np.array(whole.quartiles()) - np.percentile(x, [25, 50, 75], axis=0)).max() < 0.4
    assert sum(map(len, pieces._held or [])) <= 100


def test_outliers_move_the_deviation_and_not_the_quartiles() -> None:
    x = np.concatenate((np.random.default_rng(2).normal(size=999), [1e6]))
    assert 1 / Values(robust=True).fit([x]).inverse[0] == pytest.approx(1, abs=0.1)
    assert 1 / Values().fit([x]).inverse[0] > 1e4
    mostly = np.array([0.0] * 9 + [5.0])
    assert Values(robust=True).fit([mostly]).encode(mostly)[9, 0] > 0


def test_a_constant_channel_stays_0_and_far_values_stay_finite() -> None:
    codec = Values().fit([[[0.1, 1.0], [0.1, 2.0]]])
    assert codec.encode([[7.0, 1e99]])[0].tolist() == [0, 1e4, 0, 0]
    assert codec.notes == ["constant channels, which say nothing: 0"]
    assert Values().fit([1, 2, None]).encode(None).tolist() == [[0, 1]]


@quick
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 3)), elements=st.floats(-1e6, 1e6)))
def test_targets_come_back(rows: np.ndarray) -> None:
    codec = Numbers().fit(rows)
    encoded = np.stack([codec.encode(row) for row in rows])
    assert encoded.dtype == np.float32
    spread = np.maximum(np.abs(rows - rows.mean(0)).max(0), 1e-12 * np.abs(rows).max())
    assert (np.abs(codec.decode(encoded) - rows) <= 1e-6 * spread + 1e-9 * np.abs(rows).max() + 1e-100).all()
    assert np.array_equal(again(codec).decode(encoded), codec.decode(encoded))


def test_a_single_target_may_be_a_bare_number() -> None:
    codec = Numbers().fit([1, "3", 5.0])
    assert codec.size == 1 and codec.encode(3).tolist() == [0.0] and codec.decode([[1.0]])[0, 0] > 4
    assert Numbers().fit([2, 2]).notes == ["target 0 is 2 in all of training"]


@quick
@given(st.lists(st.text()))
def test_words_are_those_of_training(texts: list[str]) -> None:
    codec = Words(minimum=1).fit(texts)
    for text in texts:
        ids = codec.encode(text)
        assert ids.dtype == np.int64 and (ids >= FIRST).all()
        assert [codec.token_text(i) for i in ids] == words_of(text) == codec.decode(ids).split()
        assert np.array_equal(again(codec).encode(text), ids)


def test_words_by_hand() -> None:
    codec = Words().fit(["The cat, the dog.", "the well-known DOG'S end."])
    assert words_of("Don't stop -- it's well-known!") == [
        "don't",
        "stop",
        "-",
        "-",
        "it's",
        "well-known",
        "!",
    ]
    assert codec.words == ("the", ".") and codec.size == 4 and codec.minimum == 2
    assert codec.encode("The unseen.").tolist() == [2, UNKNOWN, 3]
    assert codec.decode([0, 2, 1, 0]) == "the <unknown>" and codec.token_text(0) == "<end>"


RNG = np.random.default_rng(7)
AB = Labels().fit(["negative", "positive"])
BAD: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: AB.encode("postive", "a.csv:7"),
        r"^a.csv:7: the class 'postive' .*Did you mean 'positive'.*\(2 in all\)",
    ),
    (lambda: AB.encode(None, "a.csv:7"), "a.csv:7: no label"),
    (lambda: AB.encode(float("nan")), "no label"),
    (lambda: Labels().fit(["a", ""]), "no label"),
    (lambda: Labels().fit(["a", "a"]), r"one class only \('a', 2 times\)"),
    (lambda: Labels().fit([]), "no labels"),
    (lambda: MultiLabels().fit(["", None]), "no labels"),
    (lambda: MultiLabels().fit(["a;b"]).encode("a;x", "b.csv:2"), "b.csv:2: the class 'x'"),
    (lambda: Values().fit([[np.nan], [np.inf]]), "all values are missing"),
    (lambda: Values().fit([]), "all values are missing"),
    (lambda: Values().fit([[[1, 2]], [[1]]]), "1 channels after one of 2"),
    (lambda: Values().fit([[1.0]]).encode([[1, 2]], "c.csv:3"), "c.csv:3: 2 channels where training had 1"),
    (lambda: Values().fit([[1.0]]).encode("word", "c.csv:3"), "c.csv:3: expected numbers, got 'word'"),
    (lambda: Values().fit([np.zeros((1, 1, 1))]), "shape"),
    (lambda: Numbers().fit([]), "no target"),
    (lambda: Numbers().fit([1, np.nan]), "the target is nan"),
    (lambda: Numbers().fit([1]).encode("x", "d.csv:9"), "d.csv:9: the target is 'x'"),
    (lambda: Numbers().fit([1]).encode([1, 2]), "2 numbers where training had 1"),
    (lambda: Words(0), "at least 1"),
    (lambda: Words(1, ["a", "a"]), "not distinct"),
]


@pytest.mark.parametrize(("call", "words"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_what_cannot_be_encoded_is_said(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        call()


def rows_of(count: int, seed: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """Rows of random words and a random label, every fifth one held out."""
    rng = np.random.default_rng(seed)
    words = np.array([f"word{i}" for i in range(2000)])
    return [
        (
            "test" if n % 5 == 0 else "train",
            {
                "text": " ".join(rng.choice(words, 12)),
                "age": int(rng.integers(90)),
                "country": str(rng.choice(["de", "fr", "uk"])),
                "user": f"u{n}",
                "label": str(rng.choice(["a", "b"])),
            },
        )
        for n in range(count)
    ]


def found(rows: list[tuple[str, dict[str, Any]]], **asked: Any) -> list[Finding]:
    leaks = Leaks(**{"target": "label", "ids": ["user"]} | asked)
    for part, row in rows:
        leaks.add(part, row)
    return leaks.findings()


def test_clean_data_have_no_findings() -> None:
    assert found(rows_of(300)) == [] == Leaks("label").findings()
    rare = rows_of(300)
    for n, (_, row) in enumerate(rare):
        row["label"] = "a" if n < 295 else "b"  # agreement within every age is no surprise
    assert [f for f in found(rare) if f.kind == "target"] == []


def test_rows_on_both_sides_are_found() -> None:
    rows = rows_of(300)
    copied = dict(rows[1][1]) | {"user": "new", "label": "other"}
    changed = dict(rows[2][1]) | {"text": rows[2][1]["text"] + " indeed", "user": "newer"}
    got = found([*rows, ("test", copied), ("test", changed)])
    assert [(f.kind, f.count, f.rows) for f in got] == [("identical", 2, (1, 300)), ("near", 2, (2, 301))]
    assert "1 of 240 rows of train, 1 of 62 rows of test" in got[0].says
    assert found([*rows, ("train", copied), ("train", changed)]) == []


def test_series_on_both_sides_are_found() -> None:
    rng = np.random.default_rng(1)
    series = list(rng.normal(size=(200, 30, 2)))
    rows = [("train" if n % 5 else "test", {"x": x, "label": n % 2}) for n, x in enumerate(series)]
    assert found(rows, ids=()) == []
    noisy = series[7] * (1 + 1e-6 * rng.normal(size=(30, 2)))
    got = found(
        [*rows, ("test", {"x": noisy, "label": 1}), ("test", {"x": series[8].copy(), "label": 1})], ids=()
    )
    assert [(f.kind, f.rows) for f in got] == [("identical", (8, 201)), ("near", (7, 200))]


def test_an_id_in_two_parts_is_found() -> None:
    rows = rows_of(100)
    rows[3][1]["user"] = rows[5][1]["user"]
    (got,) = found(rows)
    assert (got.kind, got.count, got.column, got.rows) == ("id", 1, "user", (3, 5))
    assert got.says.endswith("Split by it: group=user") and "1 value of the column 'user'" in got.says
    rows[5][1]["user"] = rows[3][1]["user"] = ""  # missing is nobody
    assert found(rows) == []


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (lambda label: label, "equals the target"),
        (lambda label: {"a": 3, "b": 4}[label], "determines the target"),
        (lambda label: label + str(RNG.integers(5)), "determines the target"),
    ],
)
def test_a_column_that_gives_the_label_away_is_found(column: Callable[[str], Any], says: str) -> None:
    rows = rows_of(100)
    for _, row in rows:
        row["result"] = column(row["label"])
    (got,) = found(rows)
    assert (got.kind, got.column) == ("target", "result") and says in got.says and "all 100 rows" in got.says
    rows[50][1]["result"] = column({"a": "b", "b": "a"}[rows[50][1]["label"]])
    assert found(rows) == []  # one exception, and it is only a good feature
    assert found(rows[:19]) == []


def test_a_target_in_another_unit_is_found() -> None:
    rng = np.random.default_rng(2)
    rows = [
        ("train", {"celsius": c, "fahrenheit": c * 1.8 + 32, "other": c + rng.normal()})
        for c in rng.normal(size=50)
    ]
    (got,) = found(rows, target="fahrenheit", ids=())
    assert got.column == "celsius" and "but for unit and zero" in got.says
