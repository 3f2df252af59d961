"""Splits: near-duplicates on one side only, shares that come out right, exact cuts of long documents."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.datasets import duplicates
from unrolled.datasets.duplicates import Index, body, shingles
from unrolled.datasets.readers import Record, records
from unrolled.datasets.samples import resolve
from unrolled.datasets.split import PARTS, Split, split
from unrolled.errors import UserError


def near_duplicates(texts: Iterable[str]) -> list[list[int]]:
    index = Index()
    for text in texts:
        index.add(text)
    return index.groups()


def words(seed: int, count: int = 60) -> str:
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(count)) + "\n"


def edited(text: str, seed: int) -> str:
    """The same text with a few words changed."""
    parts, draw = text.split(" "), random.Random(seed)
    for at in draw.sample(range(len(parts)), 4):
        parts[at] = "changed"
    return " ".join(parts)


def reference(texts: list[str]) -> set[tuple[int, int]]:
    """Pairs by sets of strings, straight from the definition."""
    sets = [{b[i : i + 8] for i in range(max(len(b) - 7, 1))} for b in map(body, texts)]
    pairs = itertools.combinations(range(len(texts)), 2)
    return {(i, j) for i, j in pairs if 2 * len(sets[i] & sets[j]) >= min(len(sets[i]), len(sets[j]))}


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab \n", max_size=30), max_size=12))
def test_duplicates_are_the_connected_pairs_of_the_definition(texts: list[str]) -> None:
    group_of = {n: frozenset(group) for group in near_duplicates(texts) for n in group}
    expected: dict[int, set[int]] = {n: {n} for n in range(len(texts))}
    for i, j in reference(texts):
        joined = expected[i] | expected[j]
        for n in joined:
            expected[n] = joined
    assert group_of == {n: frozenset(group) for n, group in expected.items() if len(group) > 1}


def test_a_tune_under_another_name_is_a_duplicate_and_another_tune_is_not() -> None:
    tune = "X:1\nT:One\nK:D\nabcd efga|bage dcBA|FGAB cdef|gfed cBAG|\n"
    renamed = "X:99\nT:Quite Another Name\nZ: someone\nK:D\nabcd efga|bage dcBA|\nFGAB cdef|gfed cBAB|\n"
    other = "X:1\nT:One\nK:D\nDEFG ABcd|eeee ffff|aaAA bbBB|ccCC ddDD|\n"
    assert near_duplicates([tune, other, renamed]) == [[0, 2]]
    assert near_duplicates(["a: b\n" + words(1), "a: c\n" + words(2)]) == []


def test_a_short_excerpt_of_a_long_document_is_a_duplicate() -> None:
    assert near_duplicates([words(1, 500), words(2), words(1, 500)[300:500]]) == [[0, 2]]


def test_many_shingles_are_sampled_and_common_ones_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [words(n) for n in range(40)] + [edited(words(n), n) for n in range(0, 40, 4)]
    exact = near_duplicates(texts)
    assert len(exact) == 10 and all(b == 40 + a // 4 for a, b in exact)
    monkeypatch.setattr(duplicates, "KEPT", 4000)
    assert near_duplicates(texts) == exact
    monkeypatch.setattr(duplicates, "COMMON", 20)
    licence = words(1000)
    assert near_duplicates([text + licence for text in texts]) == exact
    assert near_duplicates([licence] * 30) == [list(range(30))]


def test_shingles_are_distinct_sorted_and_blind_to_white_space() -> None:
    assert shingles("abcdefghi").tolist() == shingles("abcd\nefg hi").tolist()
    assert len(shingles("abcdefghi")) == 2 and len(shingles("a" * 50)) == 1 and len(shingles("")) == 1


def test_irish_keeps_its_duplicates_in_training() -> None:
    found = list(records(resolve("irish")))
    begin = time.process_time()
    dealt = split(found)
    assert time.process_time() - begin < 3.0
    assert (len(dealt.train), len(dealt.valid), len(dealt.test)) == (700, 24, 80)
    assert (dealt.duplicates, dealt.groups) == (6, 3)
    assert dealt.notes == ["6 near-duplicate documents in 3 groups: all in training, none in valid or test"]
    held_out = set(dealt.valid + dealt.test)
    for group in near_duplicates(record["text"] for record in found):
        assert not held_out & set(group)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.lists(st.integers(0, 30), min_size=20, max_size=60))
def test_groups_never_straddle_and_every_document_has_one_part(seed: int, kinds: list[int]) -> None:
    texts = [edited(words(kind), n) for n, kind in enumerate(kinds)]
    try:
        dealt = split(texts, seed, (0.6, 0.2, 0.2))
    except UserError as error:
        assert "copies of each other" in str(error)
        return
    assert sorted(dealt.train + dealt.valid + dealt.test) == list(range(len(texts)))
    part_of = {n: part for part in PARTS for n in getattr(dealt, part)}
    assert all(len({part_of[n] for n in group}) == 1 for group in near_duplicates(texts))
    assert dealt == split(texts, seed, (0.6, 0.2, 0.2))


def test_shares_hold_with_many_duplicates_and_other_seeds_deal_otherwise() -> None:
    texts = [words(n) for n in range(200)] + [edited(words(n), n) for n in range(50)]
    dealt = split(texts)
    assert (len(dealt.train), len(dealt.valid), len(dealt.test)) == (217, 8, 25)
    assert dealt.duplicates == 100 and "all in training" in dealt.notes[0]
    assert split(texts, seed=1).test != dealt.test


def test_when_single_documents_run_out_whole_groups_are_held_out() -> None:
    texts = [edited(words(n % 20), n) for n in range(60)]
    dealt = split(texts, fractions=(0.5, 0.18, 0.32))
    assert len(dealt.valid) == 9 and len(dealt.test) == 18  # groups of 3, never more than 11 and 19
    assert "the others held out group by group" in dealt.notes[0]
    with pytest.raises(UserError, match="all 25 documents are copies"):
        split([words(1)] * 25)


def test_parts_deal_records_as_they_come() -> None:
    found = list(records(resolve("irish")))
    dealt = split(found)
    texts = dealt.texts(iter(found))
    assert texts["test"] == [found[n]["text"] for n in dealt.test]
    assert [len(texts[part]) for part in PARTS] == [700, 24, 80]
    assert set(dealt.to_dict()) == {"train", "valid", "test", "duplicates", "groups", "cuts", "notes"}


def pieces(text: str, size: int) -> list[Record]:
    """A document in pieces of `size` characters, as a reader of a huge file gives it."""
    return [
        {"text": text[at : at + size], "origin": f"a.txt:{1 + text.count(chr(10), 0, at)}"}
        | ({"continues": True} if at else {})
        for at in range(0, len(text), size)
    ]


@settings(deadline=None)
@given(
    st.text(alphabet="ab \n", min_size=100, max_size=400), st.integers(1, 500), st.sampled_from([0.0, 0.1])
)
def test_a_long_document_is_cut_exactly_wherever_its_pieces_end(text: str, size: int, valid: float) -> None:
    found = pieces(text, size)
    dealt = split(found, fractions=(0.8 - valid, valid, 0.2))
    texts = dealt.texts(found)
    assert "".join("".join(texts[part]) for part in PARTS) == text
    assert [len(texts[part]) for part in PARTS] == [1, int(valid > 0), 1]
    assert all(texts[part][0] for part in PARTS if texts[part])
    assert all(record["text"] for _, record in dealt.parts(found))


def test_cuts_are_at_line_borders_and_origins_follow() -> None:
    text = "".join(f"line {n} of this text\n" for n in range(1, 1001))
    for size in (len(text), 1000, 333):
        begins = {part: r for part, r in reversed(list(split(pieces(text, size)).parts(pieces(text, size))))}
        for part, record in begins.items():
            number = int(record["origin"].rpartition(":")[2])
            assert record["text"].startswith(f"line {number} "), part
            assert "continues" not in record
    dealt = split([text])
    assert abs(len(dealt.texts([text])["test"][0]) / len(text) - 0.10) < 0.005
    assert dealt.notes == ["one document: cut at line borders into train / valid / test of 87 % / 3 % / 10 %"]


def test_few_documents_are_each_cut() -> None:
    texts = [words(n, 400).replace(" ", "\n") for n in range(3)]
    dealt = split(texts)
    assert dealt.cuts is not None and dealt.train == dealt.test == [0, 1, 2]
    found = dealt.texts(texts)
    assert ["".join(parts) for parts in zip(*(found[part] for part in PARTS), strict=True)] == texts


def test_few_documents_with_a_twin_are_training_text_whole() -> None:
    lines = [words(n, 3) for n in range(1000)]
    twins = ["".join(lines), "".join(lines[-200:])]
    other = "".join(words(n, 3) for n in range(2000, 2100))
    texts = [*twins, other]
    dealt = split(texts)
    assert (dealt.train, dealt.valid, dealt.test) == ([0, 1, 2], [2], [2])
    assert (dealt.duplicates, dealt.groups) == (2, 1)
    assert dealt.notes[1] == "2 near-duplicate documents in 1 group: all in training, none in valid or test"
    found = dealt.texts(texts)
    assert found["train"][:2] == twins and "".join(found[part][-1] for part in PARTS) == other
    with pytest.raises(UserError, match="all 2 documents are copies of each other, or of a part"):
        split(twins)


def test_a_twin_of_a_later_piece_of_a_long_document_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    long, other = words(1, 3000), words(2, 400)
    found = [*pieces(long, 2000), *pieces(long[-1500:], 2000), *pieces(other, 2000)]
    assert (split(found).duplicates, split(found).test) == (2, [2])
    assert split([*pieces(long, 2000), *pieces(words(3, 3000), 2000)]).duplicates == 0
    monkeypatch.setattr(
        duplicates, "KEPT", 0
    )  # of no document is a shingle left: only whole copies are found
    assert split([*pieces(long, 2000), *pieces(long, 2000), *pieces(other, 2000)]).test == [2]
    assert split(found).duplicates == 0


def test_a_part_that_would_be_empty_is_refused() -> None:
    with pytest.raises(UserError, match="3 % of each document is less than a character.*left for valid"):
        split([f"{n:06d}" for n in range(100_000, 190_000, 4999)])
    dealt = split([words(n, 3) for n in range(19)])
    assert all(any(text) for text in dealt.texts([words(n, 3) for n in range(19)]).values())


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.9, 0.2, 0.1), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_shares_must_add_up(fractions: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="add up to 1"):
        split([words(1)], fractions=fractions)


def test_too_little_text() -> None:
    with pytest.raises(UserError, match="holds 1 character; expected at least 100"):
        split(["x"])
    assert isinstance(split(["x" * 100]), Split)
