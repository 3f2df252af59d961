"""Pairs of texts: read from tables and from line-aligned files, encoded, and put into batches."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.datasets import samples
from unrolled.datasets.asked import Asked
from unrolled.datasets.dealt import deal_rows, own_of
from unrolled.datasets.pair_codecs import choose_pair, fitted_pair, unknown_in
from unrolled.datasets.pairs import PairBundles, Pairs
from unrolled.datasets.rows import Rows, continues, data_files
from unrolled.datasets.store import Ragged
from unrolled.datasets.symbols import Symbols
from unrolled.datasets.synthetic_pairs import FORMS, dates, letters, written
from unrolled.errors import UserError

EN = [f"the number {n} is one more than {n - 1}" for n in range(200)]
DE = [f"die Zahl {n} ist um eins größer als {n - 1}" for n in range(200)]


def put(folder: Path, **texts: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, lines in texts.items():
        (folder / name.replace("__", ".")).write_text(
            "".join(f"{line}\n" for line in lines), encoding="utf-8"
        )
    return folder


def refusal(data: object) -> str:
    with pytest.raises(UserError) as caught:
        path = samples.resolve(str(data))
        assert not continues(path)
        list(Rows(path))
    return str(caught.value)


# --- line-aligned files


def test_two_files_are_rows_of_both_sides(tmp_path: Path) -> None:
    folder = put(tmp_path / "x", a__en=EN, a__de=[*DE[:-1], ""])
    path = samples.resolve(f"{folder}/a.en,{folder}/a.de")
    assert [file.name for file in data_files(path)] == ["a.en", "a.de"] and not continues(path)
    rows = list(Rows(path))
    assert rows[0] == {"en": EN[0], "de": DE[0], "origin": "a.en:1"} and rows[-1]["de"] is None
    dealt = deal_rows(Rows(path), Asked(), "a.en,a.de")
    assert (dealt.reading.task, dealt.reading.inputs, dealt.reading.targets) == (
        "translate",
        ("en",),
        ("de",),
    )
    assert "1 rows have no de or no en: left out" in dealt.notes


def test_files_are_called_by_what_their_names_do_not_share(tmp_path: Path) -> None:
    folder = put(tmp_path / "x", a__txt=EN, b__txt=DE)
    assert set(next(iter(Rows(samples.resolve(f"{folder}/a.txt,{folder}/b.txt"))))) == {"a", "b", "origin"}
    other = put(tmp_path / "y", a__txt=DE)
    columns = set(next(iter(Rows(samples.resolve(f"{folder}/a.txt,{other}/a.txt")))))
    assert columns == {"source", "target", "origin"}


def test_a_folder_gives_its_parts(tmp_path: Path) -> None:
    folder = put(
        tmp_path / "x", train__en=EN, train__de=DE, val__en=EN[:30], val__de=DE[:30], README__md=["about"]
    )
    for name, lines in (("test_2016.en.gz", EN[:40]), ("test_2016.de.gz", DE[:40])):
        (folder / name).write_bytes(gzip.compress("\n".join(lines).encode()))
    for data in (str(folder), f"{folder}/t*", f"{folder}/*.*"):
        dealt = deal_rows(Rows(samples.resolve(data)), Asked(input="en", target="de"), data)
        assert dealt.count("test") == 40 and dealt.count("train") + dealt.count("valid") in (200, 230)
        assert dealt.reading.inputs == ("en",)
    dealt = deal_rows(Rows(samples.resolve(str(folder))), Asked(input="de", target="en"), "x")
    assert [dealt.count(part) for part in ("train", "valid", "test")] == [200, 30, 40]


def test_without_a_test_part_rows_are_dealt(tmp_path: Path) -> None:
    folder = put(tmp_path / "x", train__en=EN, train__de=DE)
    dealt = deal_rows(Rows(samples.resolve(str(folder))), Asked(), "x")
    assert [dealt.count(part) for part in ("train", "valid", "test")] == [160, 20, 20]


def test_parts_that_do_not_hold_are_told(tmp_path: Path) -> None:
    folder = put(tmp_path / "x", train__en=EN, train__de=DE, val__en=EN, val__de=DE)
    rows = Rows(samples.resolve(str(folder)))
    assert all("split" not in row for row in rows)
    assert (
        "not both train and test (train = train; valid = val): all their rows are dealt anew" in rows.notes[0]
    )


def test_every_problem_of_line_aligned_files_is_told_at_once(tmp_path: Path) -> None:
    folder = put(
        tmp_path / "x", train__en=EN, train__de=DE[:190], val__en=EN, val__de=DE[:3], test__en=[], test__de=DE
    )
    said = refusal(folder)
    assert "train.de:190: it ends here" in said and "train.en has 200" in said and "val.de:3" in said
    assert "test.en: the file is empty" in said and len(said.splitlines()) == 3
    lonely = put(tmp_path / "y", train__en=EN, train__de=DE, test__en=EN, val__de=DE)
    said = refusal(lonely)
    assert "only the side 'en' is here. Expected test.de" in said and "Expected val.en" in said


def test_one_side_only_names_the_other(tmp_path: Path) -> None:
    folder = put(tmp_path / "x", a__en=EN, a__de=DE)
    assert f"data={folder}/a.en,{folder}/a.de" in refusal(folder / "a.en")
    assert "Did you mean" in refusal(f"{folder}/a.en,{folder}/a.dd")
    assert "Expected two" in refusal(f"{folder}/a.en,{folder}/a.de,{folder}/a.en")


# --- tables


def table(path: Path, rows: list[tuple[str, ...]]) -> Path:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_two_columns_of_texts_translate_and_labels_stay_classes(tmp_path: Path) -> None:
    path = table(tmp_path / "a.tsv", [("en", "de"), *zip(EN, DE, strict=True)])
    dealt = deal_rows(Rows(path), Asked(), "a.tsv")
    assert dealt.reading.task == "translate" and dealt.reading.targets == ("de",)
    assert deal_rows(Rows(path), Asked(target="en"), "a.tsv").reading.inputs == ("de",)
    labelled = table(
        tmp_path / "b.tsv", [("text", "label"), *((t, "odd" if n % 2 else "even") for n, t in enumerate(EN))]
    )
    assert deal_rows(Rows(labelled), Asked(), "b.tsv").reading.task == "classify"
    tags = table(tmp_path / "c.tsv", [("text", "tags"), *((t, " ".join("X" for _ in t.split())) for t in EN)])
    assert deal_rows(Rows(tags), Asked(), "c.tsv").reading.task == "tag"


def test_short_answers_translate_when_asked(tmp_path: Path) -> None:
    path = table(tmp_path / "a.tsv", [("word", "form"), *((f"w{n}", f"w{n}s") for n in range(60))])
    dealt = deal_rows(Rows(path), Asked(task="translate"), "a.tsv")
    assert (dealt.reading.inputs, dealt.reading.targets) == (("word",), ("form",))
    assert choose_pair(dealt.pairs("train"))[:3] == ("characters", "characters", True)


# --- named and generated sets


def test_named_pairs_are_understood_and_their_splits_kept() -> None:
    for name, kinds in (
        ("cmudict", ("characters", "symbols", False)),
        ("dates", ("characters", "characters", False)),
    ):
        path = samples.resolve(name)
        dealt = deal_rows(Rows(path), Asked(), name, own_of(path))
        assert dealt.reading.task == "translate" and choose_pair(dealt.pairs("train"))[:3] == kinds
        assert 0.095 < dealt.count("test") / sum(dealt.count(p) for p in ("train", "valid", "test")) < 0.105
        sides = [{dealt.value(row) for row in dealt.of(part)} for part in ("train", "valid", "test")]
        assert not sides[0] & sides[2] and not sides[1] & sides[2] and not sides[0] & sides[1]


def test_letters_are_a_function_of_seed_and_index_and_never_on_two_sides() -> None:
    rows = list(letters("reverse", 3000, 30, 50, 40, seed=1))
    assert rows[:7] == list(letters("reverse", 7, 30, 0, 40, seed=1))
    assert all(row["target"] == row["source"][::-1] for row in rows)
    beyond = rows[3000:]
    assert {len(row["source"]) for row in beyond} <= {*range(31, 41)} and {
        row["split"] for row in beyond
    } == {"test"}
    parts: dict[str, set[str]] = {}
    for row in rows:
        parts.setdefault(row["source"], set()).add(row["split"])
    assert all(len(found) == 1 for found in parts.values())
    with pytest.raises(UserError, match="copy or reverse"):
        next(letters("backwards", 1))


def test_every_form_of_a_date_says_one_date_only() -> None:
    said: dict[str, str] = {}
    for row in dates(4000, seed=3):
        assert said.setdefault(row["date"].lower(), row["iso"]) == row["iso"]
    days = [date(2021, 3, 4), date(2021, 4, 3), date(1999, 12, 31), date(2012, 1, 23)]
    for day in days:
        for form in FORMS:
            assert said.setdefault(written(day, form).lower(), day.isoformat()) == day.isoformat()


# --- codecs


@given(st.lists(st.text("abc", min_size=1, max_size=3), max_size=8))
@settings(max_examples=50, deadline=None)
def test_symbols_come_back(symbols: list[str]) -> None:
    codec = Symbols().fit(["a b c", " ".join(symbols)])
    text = " ".join(symbols)
    assert (
        codec.decode(codec.encode(text))
        == text
        == Symbols.from_dict(codec.to_dict()).decode(codec.encode(symbols))
    )
    assert codec.encode("zz").tolist() == [1] and codec.decode([1, 0]) == "<unknown>"


def test_codecs_follow_the_texts_and_may_be_joint() -> None:
    sentences = list(zip(EN, DE, strict=True))
    assert choose_pair(sentences)[:3] == ("bpe", "bpe", True)
    assert choose_pair(sentences, joint=False)[:3] == ("bpe", "bpe", False)
    assert choose_pair(sentences, "words")[:3] == ("words", "bpe", False), (
        "words can't be written back exactly"
    )
    joint = fitted_pair(choose_pair(sentences), lambda: iter(sentences))
    assert joint[0] is joint[1] and joint[1].decode(joint[1].encode(DE[7])) == DE[7]
    phones = [("cat", "K AE T"), ("tack", "T AE K")] * 20
    assert choose_pair(phones, "bytes")[:3] == ("bytes", "symbols", False)
    with pytest.raises(UserError, match="no one codec"):
        choose_pair(phones, joint=True)
    with pytest.raises(UserError, match="reads no text"):
        choose_pair(phones, "log_mel")


def test_unknown_pieces_are_found() -> None:
    source, target = fitted_pair(choose_pair([("cat", "K AE T")] * 40), lambda: iter([("cat", "K AE T")]))
    assert list(unknown_in(source, "cañt")) == ["ñ"] and list(unknown_in(target, "K X")) == ["X"]


# --- batches


def some(count: int = 500, seed: int = 0) -> Pairs:
    draw = np.random.default_rng(seed)
    sizes = draw.integers(1, 40, size=(count, 2))
    return Pairs(*(Ragged.of(draw.integers(1, 9, size=n) for n in sizes[:, side]) for side in range(2)))


def test_a_batch_begins_and_closes_targets() -> None:
    pairs = Pairs(Ragged.of([np.array([5, 6]), np.array([7])]), Ragged.of([np.array([1]), np.array([2, 3])]))
    batch = pairs.batch([0, 1])
    assert batch.x.tolist() == [[0, 1, 0], [0, 2, 3]] and batch.y.tolist() == [[1, 0, 0], [2, 3, 0]]
    assert batch.source is not None and batch.source.tolist() == [[5, 6], [7, 0]]
    assert batch.lengths is not None and batch.lengths.tolist() == [2, 3]
    assert batch.source_lengths is not None and batch.source_lengths.tolist() == [2, 1]
    assert pairs.batch([0]).lengths is None and pairs.batch([0]).source_lengths is None


@pytest.mark.parametrize("accumulate", [1, 4])
def test_batches_hold_about_as_many_tokens_and_every_row_once(accumulate: int) -> None:
    pairs = some()
    bundles = PairBundles(pairs, 32, seed=3, accumulate=accumulate)
    sizes = pairs.inputs.lengths + pairs.targets.lengths + 1
    for epoch in range(2):
        batches = [bundles.batch(epoch * bundles.steps_per_epoch + n) for n in range(bundles.steps_per_epoch)]
        rows = [len(b.x) for b in batches]
        assert all(count % accumulate == 0 for count in rows) and sum(rows) > len(pairs) - accumulate
        tokens = [b.x.numel() + b.source.numel() for b in batches if b.source is not None]
        assert max(tokens) <= 32 * sizes.mean() + sizes.max() * accumulate
        assert np.mean(sorted(tokens)[1:]) > 0.7 * 32 * sizes.mean() and max(rows) >= 2 * min(rows)


def test_batches_are_a_function_of_seed_and_step() -> None:
    bundles, again = PairBundles(some(), 32, seed=3), PairBundles(some(), 32, seed=3)
    steps = bundles.steps_per_epoch
    for step in (steps + 2, 0, steps + 2):
        one, other = bundles.batch(step), again.batch(step)
        assert one.x.equal(other.x) and one.source is not None and one.source.equal(other.source)  # type: ignore[arg-type]
    firsts = [bundles.batch(n).x.tolist() for n in (0, steps)]
    assert firsts[0] != firsts[1] and firsts[0] != PairBundles(some(), 32, seed=4).batch(0).x.tolist()


def test_rows_that_are_left_over_are_other_ones_each_epoch_and_of_any_length() -> None:
    pairs = some(203)
    whole = Pairs(pairs.inputs, Ragged.of([np.full(n, 1 + i) for i, n in enumerate(pairs.targets.lengths)]))
    bundles, left = PairBundles(whole, 32, seed=3, accumulate=8), []
    for epoch in range(12):
        batches = [bundles.batch(epoch * bundles.steps_per_epoch + n) for n in range(bundles.steps_per_epoch)]
        left.append({*range(203)} - {int(row[1]) - 1 for batch in batches for row in batch.x})
    assert all(len(each) == 3 for each in left) and len({*map(frozenset, left)}) > 6
    assert any(whole.targets.lengths[list(each)].max() < np.median(whole.targets.lengths) for each in left)


def test_too_few_pairs_are_refused_and_few_told() -> None:
    with pytest.raises(UserError, match="0 pairs"):
        PairBundles(Pairs(Ragged.of([]), Ragged.of([])), 4)
    assert "5 training pairs fill no batch of 32" in PairBundles(some(5), 32).notes[0]
