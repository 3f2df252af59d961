"""Pretrained word vectors: what is read, what is refused and where, and how a table starts from them."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unrolled.datasets.vectors import Vectors, read_vectors
from unrolled.errors import UserError
from unrolled.model import TokenEmbedder
from unrolled.model.vectors import start_from

GLOVE = "the 0.1 -0.2 0.3\ngood 1 2 3\nbad -1 -2 -3e-1\n"


def written(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("glove.txt", GLOVE),
        ("glove.txt.gz", GLOVE),
        ("word2vec.vec", "3 3 \n" + GLOVE.replace("\n", " \n")),
        ("tabs.tsv", GLOVE.replace(" ", "\t")),
        ("headed-tabs.txt", "3 3\n" + GLOVE.replace(" ", "\t")),
        ("windows.txt", b"\xef\xbb\xbf" + GLOVE.replace("\n", "\r\n").encode()),
        ("unended.txt", GLOVE.rstrip()),
        ("spaced.txt", ". . . 7 8 9\n".join(GLOVE.splitlines(keepends=True))),
    ],
)
def test_text_is_read_in_each_of_its_forms(tmp_path: Path, name: str, content: str | bytes) -> None:
    found = read_vectors(written(tmp_path / name, content), ["bad", "never", "good"])
    assert found.places.tolist() == [0, 2] and found.matrix.dtype == np.float32
    assert found.matrix.tolist() == [pytest.approx([-1, -2, -0.3]), [1, 2, 3]]
    assert found.width == 3 and str(found) == "2 of 3 words (67 %) start from 3 numbers each"


def test_a_first_word_that_is_a_number_is_no_header(tmp_path: Path) -> None:
    found = read_vectors(written(tmp_path / "v.txt", "1999 0.5 1\nyear 2 3\n"), ["1999"])
    assert found.matrix.tolist() == [[0.5, 1]]


def test_spelling_counts_before_capitals_and_the_first_of_two(tmp_path: Path) -> None:
    content = "Good 1 1\ngood 2 2\nGOOD 3 3\nYork 4 4\nYORK 5 5\ngood 6 6\n"
    found = read_vectors(written(tmp_path / "v.txt", content), ["york", "good"])
    assert found.matrix.tolist() == [[4, 4], [2, 2]]
    assert found.notes == (
        "v.txt: 1 words found with capital letters only",
        "v.txt: 1 words stand there twice or more: the first vector counts",
    )


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(WORDS, min_size=1, max_size=9, unique_by=str.lower), st.integers(2, 5), st.booleans(), st.data()
)
def test_whatever_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], width: int, header: bool, data: st.DataObject
) -> None:
    matrix = np.array(
        [[data.draw(st.floats(-1e6, 1e6, width=32)) for _ in range(width)] for _ in words], np.float32
    )
    rows = [f"{w} {' '.join(repr(float(v)) for v in row)}" for w, row in zip(words, matrix, strict=True)]
    path = tmp_path_factory.mktemp("v") / "v.txt"
    path.write_bytes("\n".join([f"{len(words)} {width}"] * header + rows).encode())
    asked = data.draw(st.permutations(words))
    found = read_vectors(path, asked)
    assert found.places.tolist() == list(range(len(words)))
    assert np.array_equal(found.matrix, matrix[[words.index(w) for w in asked]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"v\.txt: the file is empty"),
        ("\n \n", r"v\.txt: the file holds nothing but blank lines"),
        ("good\n", r"v\.txt:1: no vector of a word: 'good'"),
        ("all of this is prose\nand more\n", r"v\.txt:1: no vector of a word"),
        (GLOVE + "ugly 1 2\n", r"v\.txt:4: 2 numbers, expected 3: 'ugly 1 2'"),
        (GLOVE + "ugly 1 2 3 4\n", r"v\.txt:4: 4 numbers, expected 3"),
        (GLOVE.replace("1 2 3", "1 two 3"), r"v\.txt:2: the vector of 'good': 'two' is no number"),
        (GLOVE.replace("1 2 3", "1 nan 3"), r"v\.txt:2: the vector of 'good': nan is no finite number"),
        (GLOVE.replace("1 2 3", "1 1e39 3"), r"v\.txt:2: .*1e39 is no finite number of 32 bits"),
        ("4 3\n" + GLOVE, r"v\.txt:1: says 4 words, but 3 follow"),
        ("2 3\n" + GLOVE, r"v\.txt:1: says 2 words, but 3 follow"),
        ("3 4\n" + GLOVE, r"(?s)v\.txt:2: 3 numbers, expected 4.*v\.txt:4: 3 numbers"),
        ("3 2\n" + GLOVE, r"v\.txt:2: 3 numbers, expected 2"),
        ("0 3\n" + GLOVE, r"v\.txt:1: 0 words of 3 numbers"),
        ("3 0\n" + GLOVE, r"v\.txt:1: 3 words of 0 numbers"),
        (b"the 1 2\ncaf\xe9 1 2\n", r"v\.txt:2: byte 0xe9 .* is not valid UTF-8"),
        ("the 1 2\n".encode("utf-16"), r"v\.txt: this is UTF-16 text"),
        (b"the 1 2\0\n", r"v\.txt:1: byte 7 is NUL"),
        (
            "le 1 2\nbon 3 4\n",
            r"v\.txt: holds none of the 3 words of the data \('good', 'bad', 'the' \.\.\.\)",
        ),
    ],
)
def test_broken_text_is_refused_with_its_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_vectors(written(tmp_path / "v.txt", content), ["good", "bad", "the"])


def test_all_problems_of_a_file_are_said_together_up_to_twenty(tmp_path: Path) -> None:
    path = written(tmp_path / "v.txt", "good 1 2\n" + "w 1\n" * 30)
    with pytest.raises(UserError) as error:
        read_vectors(path, ["good"])
    assert str(error.value).count(": 1 numbers, expected 2") == 20 and "there may be more" in str(error.value)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    written(tmp_path / "glove.txt", GLOVE)
    with pytest.raises(UserError, match=r"Did you mean .*glove\.txt"):
        read_vectors(tmp_path / "glov.txt", ["good"])
    with pytest.raises(UserError, match="not a plain file"):
        read_vectors(tmp_path, ["good"])
    with pytest.raises(UserError, match="no words to look for"):
        read_vectors(tmp_path / "glove.txt", [])
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(GLOVE.encode() * 50)[:-9])
    with pytest.raises(UserError, match="not a whole gzip file"):
        read_vectors(tmp_path / "cut.txt.gz", ["good"])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("index", ["v.txt", "v.vocab", "v.json"])
def test_an_array_is_read_with_the_words_beside_it(tmp_path: Path, dtype: str, index: str) -> None:
    words = ["the", "good", "Bad", "x y"]
    table = np.arange(8).reshape(4, 2).astype(dtype)
    np.save(tmp_path / "v.npy", np.asfortranarray(table) if index == "v.json" else table)
    text = json.dumps(words) if index.endswith("json") else "\r\n".join(words) + "\r\n"
    written(tmp_path / index, text)
    found = read_vectors(str(tmp_path / "v.npy"), ["bad", "x y", "none", "the"])
    assert found.places.tolist() == [0, 1, 3] and found.matrix.tolist() == [[4, 5], [6, 7], [0, 1]]
    assert found.matrix.dtype == np.float32 and "capital" in found.notes[0]


def test_broken_arrays_are_refused(tmp_path: Path) -> None:
    path, index = tmp_path / "v.npy", tmp_path / "v.txt"

    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            read_vectors(path, ["a", "b"])

    np.save(path, np.ones((2, 3), np.float32))
    refused(r"Expected the words beside it, one a line, in v\.txt or v\.vocab or v\.json")
    index.write_text("a\nb\nc\n")
    refused(r"v\.txt: 3 words for the 2 rows of v\.npy")
    index.write_text("a\nb\n")
    for wrong in (
        np.ones(3, np.float32),
        np.ones((2, 3), np.int64),
        np.ones((0, 3)),
        np.ones((2, 3), complex),
    ):
        np.save(path, wrong)
        refused("expected floats of the shape")
    np.save(path, np.array([[1, None]], object))
    refused("can't be read as one NumPy array")
    np.save(path, np.array([[1, np.inf], [1, 2]]))
    refused(r"row 0 \(from 0\) holds what is no finite number")
    path.write_bytes(path.read_bytes()[:-8])
    refused("can't be read as one NumPy array")
    path.write_bytes(b"")
    refused("can't be read as one NumPy array")
    np.save(path, np.ones((2, 3), np.float32))
    index.unlink()
    for text, message in (("{", "not JSON"), ('{"a": 0}', "expected a JSON list"), ("[1, 2]", "a JSON list")):
        (tmp_path / "v.json").write_text(text)
        refused(message)


def test_a_large_file_is_not_held(tmp_path: Path) -> None:
    row = " ".join(["0.123456"] * 50)
    path = written(tmp_path / "v.txt", "".join(f"w{n} {row}\n" for n in range(40_000)))  # 18 MB
    tracemalloc.start()
    try:
        assert read_vectors(path, ["w7", "w39999"]).matrix.shape == (2, 50)
        assert tracemalloc.get_traced_memory()[1] < 12e6
    finally:
        tracemalloc.stop()


def test_a_table_starts_from_vectors_of_its_own_size() -> None:
    torch.manual_seed(0)
    table = TokenEmbedder(400, 20).table
    before = table.weight.detach().clone()
    matrix = np.random.default_rng(0).normal(0, 7, (300, 20)).astype(np.float32)
    ids = np.arange(2, 302)
    scale = start_from(table, matrix, ids)
    after = table.weight.detach()
    assert torch.equal(after[:2], before[:2]) and torch.equal(after[302:], before[302:])
    assert torch.allclose(after[2:302], scale * torch.from_numpy(matrix)) and table.weight.requires_grad
    assert float(after[2:302].square().mean().sqrt()) == pytest.approx(float(before.square().mean().sqrt()))


@pytest.mark.parametrize(
    ("matrix", "ids", "message"),
    [
        (np.ones((2, 4)), [0, 1], "make the embedding as wide"),
        (np.ones((2, 3)), [0, 1, 2], "make the embedding as wide"),
        (np.ones((2, 3)), [0, 9], "each once"),
        (np.ones((2, 3)), [1, 1], "each once"),
        (np.zeros((2, 3)), [0, 1], "all zero"),
        (np.full((2, 3), np.nan), [0, 1], "not finite"),
    ],
)
def test_vectors_that_do_not_fit_the_table_are_refused(
    matrix: np.ndarray, ids: list[int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        start_from(nn.Embedding(9, 3), matrix, np.array(ids))


def test_what_was_found_is_said_in_words() -> None:
    found = Vectors(2000, np.arange(1500), np.zeros((1500, 50), np.float32))
    assert str(found) == "1,500 of 2,000 words (75 %) start from 50 numbers each"
