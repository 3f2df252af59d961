"""Rows encoded in blocks are what they are one by one: ids, answers, order, what is left out, and what is refused."""

from __future__ import annotations

import csv
import random
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unrolled.datasets import duplicates
from unrolled.datasets.dealt import Dealt, deal_rows
from unrolled.datasets.duplicates import Index, shingles
from unrolled.datasets.items import Items
from unrolled.datasets.labels import Labels, MultiLabels, Tags
from unrolled.datasets.leaks import Leaks
from unrolled.datasets.parts import deal
from unrolled.datasets.rows import Rows
from unrolled.datasets.split import PARTS
from unrolled.datasets.store import Block, Ragged, Store
from unrolled.datasets.trial import fit_and_look, leaks_of
from unrolled.datasets.understand import Asked
from unrolled.datasets.words import Words, words_of
from unrolled.errors import UserError
from unrolled.tasks import Classify, Tag
from unrolled.training import encoding
from unrolled.training.encoding import Encoding

quick = settings(deadline=None, max_examples=60)
TEXTS = st.lists(st.text(alphabet="aAb'-., \né\u0130", max_size=20), max_size=12)


@quick
@given(TEXTS, TEXTS)
def test_words_are_encoded_in_blocks_as_one_by_one_and_as_defined(seen: list[str], read: list[str]) -> None:
    codec = Words(minimum=1).fit(seen)
    block = codec.encode_many(read)
    ids = {word: number for number, word in enumerate(codec.words, 2)}
    chunks = [[ids.get(w, 1) for c in text.lower().split() for w in words_of(c)] for text in read]
    assert block.steps.tolist() == sum(chunks, []) and block.lengths.tolist() == [len(c) for c in chunks]
    assert [codec.encode(text).tolist() for text in read] == chunks
    one = codec.encode("a b")
    one[:] = 7  # it is the caller's own
    assert one.dtype == np.int64 and codec.encode("a b").tolist() != one.tolist()


@quick
@given(
    st.lists(st.sampled_from(["a", "b", " a ", 1, 1.0, True, "1"]), max_size=12),
    st.sampled_from([Labels, MultiLabels]),
)
def test_answers_are_encoded_in_blocks_as_one_by_one(values: list[Any], kind: type[Labels]) -> None:
    codec = kind({"a": 1, "b": 2, "1": 3, "True": 1})
    found = codec.encode_many(values, ["t.csv:1"] * len(values))
    assert found.tolist() == [np.asarray(codec.encode(value)).tolist() for value in values]
    with pytest.raises(UserError, match=r"t.csv:3: the class 'c' does not occur"):
        codec.encode_many(["a", "c"], ["t.csv:2", "t.csv:3"])
    if kind is Labels:
        with pytest.raises(UserError, match="t.csv:3: no label"):
            codec.encode_many(["a", None], ["t.csv:2", "t.csv:3"])


@quick
@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=12), st.integers(1, 40), st.data())
def test_a_store_takes_blocks_as_rows(rows: list[list[int]], held: int, data: st.DataObject) -> None:
    kept = [np.array(row, np.int64) for row in rows]
    store, at = Store(held), 0
    while at < len(kept):
        end = data.draw(st.integers(at + 1, len(kept)))
        piece = kept[at:end]
        if end - at == 1:
            store.add(piece[0])
        else:
            store.extend(Block(np.concatenate(piece), np.array([len(row) for row in piece])))
        at = end
    made = store.ragged()
    assert [row.tolist() for row in made] == rows == [row.tolist() for row in Ragged.of(kept, held)]
    assert not rows or made[0].dtype == np.int32


# --- rows of a part


def task_of(tag: bool = False) -> Classify | Tag:
    text = "one two three four"
    codec = Items().fit([text.split()]) if tag else Words(minimum=1).fit([text])
    shared: dict[str, Any] = {"codec": codec, "inputs": ("text",), "targets": ("label",)}
    if tag:
        return Tag(answers=Tags({"x": 1, "y": 1}), **shared)
    return Classify(answers=Labels({"x": 1, "y": 1}), **shared)


def rows_of(texts: list[str], tag: bool = False) -> list[dict[str, Any]]:
    labels = [" ".join("xy"[n % 2] for n in range(len(t.split()))) if tag else "x" for t in texts]
    pairs = zip(texts, labels, strict=True)
    return [{"text": t, "label": a, "origin": f"t.csv:{n + 2}"} for n, (t, a) in enumerate(pairs)]


@pytest.mark.parametrize("tag", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
@quick
@given(texts=st.lists(st.sampled_from(["one", "two three", "", "four one two", "never seen"]), max_size=20))
def test_a_part_is_the_same_however_it_is_cut(tag: bool, shuffled: bool, texts: list[str]) -> None:
    found, task = [], task_of(tag)
    for most in (1, 3, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encoding, "ROWS", most)
            made = Encoding(task, shuffled)
            for row in rows_of(texts, tag):
                made.add(row)
            got = made.examples()
        assert made.empty == {n for n, text in enumerate(texts) if not text}
        found.append(([x.tolist() for x in got.inputs], [np.asarray(y).tolist() for y in got.targets]))
    assert found[0] == found[1] == found[2]
    kept = [row for row in rows_of(texts, tag) if row["text"]]
    encoded = [task.encoded(row) for row in kept]
    pairs = [(x.tolist(), task.answer(row, x).tolist()) for row, x in zip(kept, encoded, strict=True)]
    if not shuffled:
        assert [*zip(*found[0], strict=True)] == pairs
    assert [sorted(x) for x in found[0][0]] == [sorted(x) for x, _ in pairs]


def test_a_row_that_cannot_be_encoded_is_named() -> None:
    rows = rows_of(["one", "two"]) + [{"text": "one", "label": "z", "origin": "t.csv:4"}]
    made = Encoding(task_of())
    for row in rows:
        made.add(row)
    with pytest.raises(UserError, match=r"t.csv:4: the class 'z'"):
        made.examples()
    made = Encoding(task_of())
    made.add({"text": None, "label": "x", "origin": "t.csv:9"})
    with pytest.raises(UserError, match=r"t.csv:9: nothing in the column 'text'"):
        made.examples()


class Refusing(Words):
    """Refuses one text."""

    def encode_many(self, texts: Any) -> Block:
        if "two" in texts:
            raise UserError("never two.")
        return super().encode_many(texts)


def test_a_codecs_refusal_names_the_row() -> None:
    task = task_of()
    object.__setattr__(task, "codec", Refusing.from_dict(task.codec.to_dict()))
    made = Encoding(task)
    for row in rows_of(["one", "two"]):
        made.add(row)
    with pytest.raises(UserError, match=r"t.csv:3: never two"):
        made.examples()


# --- dealing


@quick
@given(st.lists(st.integers(-9, 60), min_size=60, max_size=90), st.integers(0, 5))
def test_hashes_in_an_array_are_dealt_as_keys_in_a_list(keys: list[int], seed: int) -> None:
    assume(len({*keys}) > 20)
    labels = ["ab"[key % 2] for key in keys]
    assert deal(array("q", keys), labels, seed=seed) == deal(keys, labels, seed=seed)
    given_ = ["test" if key % 3 == 0 else "train" for key in keys]
    assume({*given_} == {"train", "test"})
    found = [deal(kept, labels, given=given_, seed=seed) for kept in (array("q", keys), keys)]
    assert found[0] == found[1] and {given_[row] for row in found[0].valid} == {"train"}


# --- looking for near-duplicates


def test_a_sample_too_small_to_tell_says_nothing() -> None:
    draw = random.Random(0)
    texts = [" ".join(draw.choices([f"w{n}" for n in range(40)], k=12)) for _ in range(400)]
    copies = [texts[0], texts[1] * 9, texts[1] * 9 + " and more"]

    def groups(kept: int | None) -> list[list[int]]:
        index = Index(kept)
        for text in [*texts, *copies]:
            index.add(text)
        return index.groups()

    assert groups(None) == groups(1 << 20)
    few = groups(600)  # one or two of a text: half of them are soon shared
    assert [0, 400] in few and sum(map(len, few)) < 10, "whole copies are told in any case"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "FEWEST", 1)
        assert sum(map(len, groups(600))) > 40


def test_texts_are_hashed_the_same_alone_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["", "a", "abcdefgh", "abcdefghi and so on", " \n", "X:1\nK:D\nabc abc abc abc"]
    found, sizes = duplicates._shingled(texts)
    pieces = np.split(found, np.cumsum(sizes)[:-1])
    assert all((a == shingles(b)).all() and len(a) for a, b in zip(pieces, texts, strict=True))

    def groups(together: int) -> list[list[int]]:
        monkeypatch.setattr(duplicates, "TOGETHER", together)
        index = Index()
        for n, text in enumerate([*texts, *texts, "abcdefgh", "i and so on"]):
            index.add(text, continues=n == 13)
        return index.groups()

    assert groups(1) == groups(1 << 20) and [3, 9, 12] in [
        [n for n in g if n != 2 and n != 8] for g in groups(1)
    ]


# --- passes


def dealt(folder: Path) -> Dealt:
    path = folder / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["text", "label"])
        out.writerows([f"word{n} and some more of them {n % 7}", "ab"[n % 2]] for n in range(200))
    return deal_rows(Rows(path, held=0), Asked(), "t.csv")


def test_one_pass_gives_every_part_its_rows_in_order(tmp_path: Path) -> None:
    made = dealt(tmp_path)
    parts: dict[str, list[Any]] = {part: [] for part in PARTS}
    for part, row in made.parted():
        parts[part].append(row)
    assert parts == {part: list(made.of(part)) for part in PARTS} and all(parts.values())


def test_fitting_and_looking_takes_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, passes = dealt(tmp_path), list[int]()
    read = Rows._read
    monkeypatch.setattr(Rows, "_read", lambda rows: [passes.append(1), read(rows)][1])
    codec, _ = made.codecs()
    found = fit_and_look(made, codec)
    assert len(passes) == 1
    again = made.codecs()[0].fit(map(made.value, made.of("train")))
    assert codec.to_dict() == again.to_dict()
    assert found.findings() == leaks_of(made).findings()

    class Hasty(Words):
        def fit(self, values: Any) -> Hasty:
            next(iter(values))
            return self

    seen = list[str]()
    add = Leaks.add
    monkeypatch.setattr(Leaks, "add", lambda self, part, row: (seen.append(part), add(self, part, row))[1])
    fit_and_look(made, Hasty())
    assert len(seen) == 200
