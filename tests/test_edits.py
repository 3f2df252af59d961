"""Edit distance and error rates, beside the plain table of the textbook and beside jiwer."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.errors import UserError
from unrolled.tasks.measures import measure_transcripts
from unrolled.tasks.measures.edits import edit_distance
from unrolled.tasks.measures.error_rates import edits, words

TEXT = st.text("ab c", max_size=12)
LONG = st.text("ab", min_size=60, max_size=90)  # beyond a machine's word


def table(said: str, truth: str) -> int:
    """Wagner and Fischer's recurrence, cell by cell."""
    row = list(range(len(truth) + 1))
    for i, a in enumerate(said, 1):
        before, row = row, [i]
        for j, b in enumerate(truth, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return row[-1]


@given(TEXT | LONG, TEXT | LONG)
@settings(max_examples=300, deadline=None)
def test_edit_distance_is_the_tables(said: str, truth: str) -> None:
    assert edit_distance(said, truth) == table(said, truth)


@given(st.lists(st.tuples(TEXT, TEXT.filter(str.strip)), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_rates_are_jiwers(pairs: list[tuple[str, str]]) -> None:
    said, truth = ([" ".join(pair[at].split()) for pair in pairs] for at in (0, 1))
    assert edits(said, truth).rate == pytest.approx(jiwer.cer(truth, said))
    assert edits(said, truth, words).rate == pytest.approx(jiwer.wer(truth, said))


def test_a_report_by_hand() -> None:
    report = measure_transcripts(["one two", "three", ""], ["one two", "tree", "six"])
    assert report.values["cer"] == pytest.approx((0 + 1 + 3) / (7 + 4 + 3))
    assert report.values["wer"] == pytest.approx(2 / 4) and report.values["exact"] == pytest.approx(1 / 3)
    assert report.primary == "cer" and not report.higher_is_better
    low, high = report.interval or (0, 0)
    assert low <= report.value <= high and low < high
    assert report.each is not None and report.each.value == pytest.approx(report.value)
    assert report.shown[0] == ("three", "tree") and "tree" in report.text()


def test_white_space_around_a_text_is_no_error() -> None:
    assert edits([" six "], ["six"]).rate == 0
    assert np.isnan(edits(["six"], [""]).rate)


def test_unequal_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="2 texts and 1 truths"):
        measure_transcripts(["a", "b"], ["a"])
