"""Measures of written texts against the packages that define them, and their intervals."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from unrolled.errors import MissingExtra, UserError
from unrolled.tasks.measures import overlap
from unrolled.tasks.measures.edits import common, edit_distance
from unrolled.tasks.measures.texts import counts_of, measure_texts

WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "mat", "a", "dog.", "it's", "Über"]), max_size=9)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6)


def texts(pairs: list[tuple[list[str], list[str]]]) -> tuple[list[str], list[str]]:
    return [" ".join(one) for one, _ in pairs], [" ".join(other) for _, other in pairs]


def table(one: str, other: str) -> tuple[int, int]:
    """Edit distance and longest common subsequence as every textbook has them."""
    far = np.add.outer(np.arange(len(one) + 1), np.arange(len(other) + 1))
    same = np.zeros_like(far)
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            far[i, j] = min(far[i - 1, j] + 1, far[i, j - 1] + 1, far[i - 1, j - 1] + (a != b))
            same[i, j] = max(same[i - 1, j], same[i, j - 1], same[i - 1, j - 1] + (a == b))
    return int(far[-1, -1]), int(same[-1, -1])


@given(st.text("abc", max_size=80), st.text("abcd", max_size=80))
@settings(max_examples=150, deadline=None)
def test_edits_and_common_are_the_textbooks(one: str, other: str) -> None:
    assert (edit_distance(one, other), common(one, other)) == table(one, other)


@given(st.lists(st.tuples(WORDS, WORDS.filter(bool)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_error_rates_are_jiwers(pairs: list[tuple[list[str], list[str]]]) -> None:
    said, truth = texts(pairs)
    assert measure_texts(said, truth, "wer").value == pytest.approx(jiwer.wer(truth, said), abs=1e-12)
    assert measure_texts(said, truth, "cer").value == pytest.approx(jiwer.cer(truth, said), abs=1e-12)


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_bleu_and_chrf_are_sacrebleus(pairs: list[tuple[list[str], list[str]]]) -> None:
    said, truth = texts(pairs)
    report = measure_texts(said, truth, "bleu")
    assert report.value == pytest.approx(sacrebleu.corpus_bleu(said, [truth]).score, abs=1e-9)
    assert report.values["chrf"] == pytest.approx(sacrebleu.corpus_chrf(said, [truth]).score, abs=1e-9)


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_rouge_is_the_reference_of_ascii(pairs: list[tuple[list[str], list[str]]]) -> None:
    said, truth = ([text.replace("Ü", "U") for text in side] for side in texts(pairs))
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    wanted = [scorer.score(other, one) for one, other in zip(said, truth, strict=True)]
    report = measure_texts(said, truth, "rouge")
    for own, theirs in (("rouge", "rougeL"), ("rouge1", "rouge1"), ("rouge2", "rouge2")):
        assert report.values[own] == pytest.approx(
            np.mean([score[theirs].fmeasure for score in wanted]), abs=1e-12
        )


def test_rouge_reads_letters_beyond_ascii() -> None:
    assert measure_texts(["über çela"], ["über çela"], "rouge").value == 1.0


def some(count: int = 60) -> tuple[list[str], list[str]]:
    draw = np.random.default_rng(0)
    truth = [" ".join(draw.choice(list("abcdefg"), 12)) for _ in range(count)]
    said = [
        " ".join(c if draw.random() < 0.8 else "x" for c in text.split()[: draw.integers(6, 13)])
        for text in truth
    ]
    return said, truth


@pytest.mark.parametrize("metric", ["bleu", "chrf", "wer", "per", "cer", "exact", "rouge"])
def test_intervals_are_those_of_resampled_rows(metric: str) -> None:
    said, truth = some()
    report = measure_texts(said, truth, metric)
    draw = np.random.default_rng(1)
    resampled = [
        measure_texts([said[i] for i in rows], [truth[i] for i in rows], metric).value
        for rows in draw.integers(60, size=(60, 60))
    ]
    assert report.interval is not None
    low, high = report.interval
    assert low <= report.value <= high
    if metric != "exact":
        assert (high - low) / 4 == pytest.approx(np.std(resampled), rel=0.35)


@pytest.mark.parametrize("metric", ["bleu", "chrf", "wer", "cer", "rouge"])
def test_what_rows_add_makes_the_value_and_its_spread(metric: str) -> None:
    """A comparison pairs rows: their mean is the score, and its spread is the interval's."""
    said, truth = some()
    report = measure_texts(said, truth, metric)
    units = report.each
    assert units is not None and units.value == pytest.approx(report.value, abs=1e-9)
    draw = np.random.default_rng(0)
    rows = draw.integers(60, size=(400, 60))
    spread = np.std(units.sums[rows].sum(1) / units.weights[rows].sum(1))
    assert report.interval is not None
    assert spread == pytest.approx((report.interval[1] - report.interval[0]) / 4, rel=0.2)


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_a_good_row_adds_more_than_a_bad_one(metric: str) -> None:
    said, truth = some()
    units = measure_texts([truth[0], "x x x x", *said[2:]], truth, metric).each
    assert units is not None and units.sums[0] > units.sums.mean() > units.sums[1]


def test_nothing_said_is_wholly_wrong() -> None:
    for metric, worst in (
        ("bleu", 0.0),
        ("chrf", 0.0),
        ("wer", 1.0),
        ("per", 1.0),
        ("cer", 1.0),
        ("exact", 0.0),
    ):
        assert measure_texts(["", ""], ["a b", "c"], metric).value == worst
    report = measure_texts(["a b", "c"], ["a b", "c"], "per")
    assert (report.value, report.values["wrong"], report.error) == (0.0, 0.0, 0.0)
    assert measure_texts(["a b c d e"], ["a b c d e"], "bleu").error == pytest.approx(0.0)


def test_the_signature_stands_in_the_notes() -> None:
    (note,) = measure_texts(["a b c d"], ["a b c d"], "bleu").notes
    assert "nrefs:1" in note and f"version:{sacrebleu.__version__}" in note


def test_without_sacrebleu_bleu_names_the_extra_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"unrolled\[translate\]"):
        measure_texts(["a"], ["a"], "bleu")
    monkeypatch.setattr("unrolled.tasks.measures.texts.have_sacrebleu", lambda: False)
    report = measure_texts(["a"], ["a"], "chrf")
    assert set(report.values) == {"chrf", "exact"}


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(UserError, match="2 texts said where 1"):
        measure_texts(["a", "b"], ["a"], "exact")
    with pytest.raises(UserError, match="0 texts"):
        measure_texts([], [], "exact")
    with pytest.raises(UserError, match="Did you mean 'bleu'"):
        measure_texts(["a"], ["a"], "blue")
    assert counts_of(["ab"], ["b"], ["cer"])["cer"].tolist() == [[1.0, 1.0]]


def test_a_report_by_hand() -> None:
    report = measure_texts(["one two", "three", ""], ["one two", "tree", "six"], "cer")
    assert report.values["cer"] == pytest.approx((0 + 1 + 3) / (7 + 4 + 3))
    assert report.values["wer"] == pytest.approx(2 / 4) and report.values["exact"] == pytest.approx(1 / 3)
    assert report.primary == "cer" and not report.higher_is_better
    low, high = report.interval or (0, 0)
    assert low <= report.value <= high and low < high
    assert report.each is not None and report.each.value == pytest.approx(report.value)
    assert report.shown[0] == ("three", "tree") and "tree" in report.text()


def test_white_space_around_a_text_is_no_error_and_rates_of_nothing_are_undefined() -> None:
    assert measure_texts([" six "], ["six"], "cer").value == 0
    assert np.isnan(measure_texts(["six"], [""], "cer").value)
