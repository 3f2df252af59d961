"""The key by which a split keeps together what is read alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.datasets.duplicates import key_of
from unrolled.datasets.leaks import Leaks
from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.parts import deal
from unrolled.errors import UserError


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Great phone!", "great phone."),
        ("I don't like it", "i dont  like it\n"),
        ("It’s “fine” — really", "It's 'fine' - really..."),
        ("STRASSE", "straße"),
    ],
)
def test_texts_that_differ_in_spelling_only_have_one_key(one: str, other: str) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.5", "15"),
        ("-3", "3"),
        ("2010-01", "201001"),
        ("(())", "()()"),
        (":-)", ":-("),
        ("ok 👍", "ok 👎"),
        ("a+b", "a=b"),
        ("कि", "की"),
        ("good", "food"),
        ("", " "),
    ],
)
def test_signs_that_mean_something_are_kept(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


@given(st.text())
def test_a_key_is_that_of_the_text_in_capitals_and_with_signs(text: str) -> None:
    assert hash(key_of(text)) == hash(key_of(text))
    if any(map(str.isalpha, text)):
        assert key_of(f" «{text}»!\n") == key_of(text)


def test_series_and_lists_by_all_they_hold() -> None:
    series = np.arange(6, dtype=np.float32)
    assert key_of(series) == key_of(series.copy()) != key_of(series.reshape(2, 3))
    changed = series.copy()
    changed[5] += 1
    assert key_of(changed) != key_of(series)
    assert key_of(np.zeros((0, 3))) != key_of(np.zeros((0, 2)))
    assert key_of(["a", None]) == key_of(["a", None]) != key_of(["a", "None"])
    assert hash(key_of([[1, 2], [3, 4]]))


def test_files_by_their_content(tmp_path: Path) -> None:
    for name, data in {"a.wav": b"12", "b.wav": b"12", "c.wav": b"13"}.items():
        (tmp_path / name).write_bytes(data)
    a, b, c = (MediaFile(tmp_path / name) for name in ("a.wav", "b.wav", "c.wav"))
    assert key_of(a) == key_of(b) != key_of(c)
    assert key_of(Clip("x", (a, c))) == key_of(Clip("y", (b, c))) != key_of(Clip("x", (c, a)))
    (tmp_path / "a.wav").write_bytes(b"another")
    assert key_of(a) != key_of(b), "a file that has changed is read again"
    with pytest.raises(UserError, match="cannot be read"):
        key_of(MediaFile(tmp_path / "gone.wav"))


def test_rows_of_one_key_stay_together_and_that_is_said() -> None:
    texts = [f"{word}{sign}" for word in map("word{}".format, range(40)) for sign in ("", "!", " ...")]
    parts = deal([key_of(text) for text in texts], seed=3, loosely=True)
    for part in (parts.train, parts.valid, parts.test):
        assert len(part) == 3 * len({key_of(texts[row]) for row in part})
    assert parts.notes == [
        "80 rows repeat another row's input (but for case, punctuation and spaces): each such set is in one part"
    ]


def test_a_given_split_that_parts_them_is_told(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"the same")
    leaks = Leaks("label")
    for part, text in (("train", "Great!"), ("train", "Bad."), ("test", "great"), ("test", "Bad.")):
        leaks.add(part, {"text": text, "label": "x"})
    assert [(f.kind, f.rows) for f in leaks.findings()] == [("identical", (1, 3)), ("near", (0, 2))]
    leaks = Leaks("label")
    for part, name in (("train", "a.wav"), ("test", "b.wav")):
        leaks.add(part, {"sound": MediaFile(tmp_path / name), "label": "x"})
    assert [f.kind for f in leaks.findings()] == ["identical"]


def test_a_sentence_that_repeats_does_not_give_the_answer_away() -> None:
    """Its answer is the same each time, as it should be; a short code that does so is another matter."""
    leaks = Leaks("label")
    for n in range(200):
        text = f"the film number {n % 20} was as long as a winter"
        leaks.add("train", {"text": text, "label": "ab"[n % 2], "code": f"code {n % 20}"})
    assert [(f.kind, f.column) for f in leaks.findings()] == [("target", "code")]
