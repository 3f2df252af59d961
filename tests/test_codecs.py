"""Codecs: exact round trips for every string, saved as JSON, fitted on training only, fast."""

from __future__ import annotations

import json
import time
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.datasets.abc_tokens import AbcTokens
from unrolled.datasets.bpe import Bpe
from unrolled.datasets.characters import Bytes, Characters
from unrolled.datasets.codecs import CODECS, Codec, choose, codec_from_dict
from unrolled.datasets.readers import records
from unrolled.datasets.samples import resolve
from unrolled.datasets.spelling import FIRST
from unrolled.errors import UserError

TUNE = "X:1\nT:The Hare's Paw\nM:C|\nL:1/8\nK:D Major\n(3ABc|d2^c/ =B,2|[1 A4:|!\n[2 z4|]!\n"
ABCISH = st.lists(st.sampled_from(list(TUNE) + ["X:", "K:D", "|:", "\r\n", "é", "\ud800", "🎻"])).map("".join)


@cache
def fitted(kind: str) -> Codec:
    texts = [record["text"] for record in records(resolve("irish"))][:300]
    return CODECS[kind]().fit(texts)


@cache
def saved(kind: str) -> Codec:
    return codec_from_dict(json.loads(json.dumps(fitted(kind).to_dict())))


@pytest.mark.parametrize("kind", CODECS)
@settings(deadline=None)
@given(text=st.text() | ABCISH.filter(lambda text: "\ud800" not in text))
def test_every_text_comes_back_exactly(kind: str, text: str) -> None:
    codec = fitted(kind)
    ids = codec.encode(text)
    assert ids.dtype == np.int64 and ids.ndim == 1
    assert not ids.size or (ids.min() > 0 and ids.max() < codec.size)
    assert codec.decode(ids) == text == codec.decode(ids.tolist())
    assert np.array_equal(saved(kind).encode(text), ids)


@pytest.mark.parametrize("kind", ["bytes", "characters", "abc"])
@settings(deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=[])) | ABCISH)
def test_lone_surrogates_come_back_too(kind: str, text: str) -> None:
    assert fitted(kind).decode(fitted(kind).encode(text)) == text


def test_bpe_says_what_is_wrong_with_a_lone_surrogate() -> None:
    with pytest.raises(UserError, match="not valid Unicode text"):
        fitted("bpe").encode("a\ud800")


@pytest.mark.parametrize("kind", CODECS)
@settings(deadline=None)
@given(data=st.data())
def test_any_ids_decode_to_some_text(kind: str, data: st.DataObject) -> None:
    codec = fitted(kind)
    ids = data.draw(st.lists(st.integers(0, codec.size - 1) | st.integers(0, FIRST)))
    text = codec.decode(ids)
    text.encode("utf-8", "surrogatepass")
    assert codec.decode([0, *ids, 0]) == text


@pytest.mark.parametrize("kind", CODECS)
def test_an_unfitted_codec_is_exact_and_an_id_too_large_is_refused(kind: str) -> None:
    codec = CODECS[kind]()
    assert codec.decode(codec.encode(TUNE)) == TUNE
    with pytest.raises(ValueError, match="not in this codec"):
        codec.decode([codec.size])
    assert codec.token_text(0) == "<end>"
    assert all(isinstance(codec.token_text(i), str) for i in range(codec.size))


@pytest.mark.parametrize("kind", ["bytes", "characters"])
def test_encoding_a_megabyte_takes_less_than_a_second(kind: str) -> None:
    text = "".join(record["text"] for record in records(resolve("moby_dick")))[:1_000_000]
    codec = CODECS[kind]().fit([text[:5000]])
    begin = time.process_time()
    codec.encode(text)
    assert time.process_time() - begin < 1.0


def test_abc_encodes_a_megabyte_in_less_than_a_second_too() -> None:
    text = (resolve("irish").read_text() * 6)[:1_000_000]
    codec = fitted("abc")
    begin = time.process_time()
    codec.encode(text)
    assert time.process_time() - begin < 1.0


def test_characters_are_those_of_training_and_others_are_spelled() -> None:
    codec = Characters().fit(["banana", "bread"])
    assert codec.characters == "abdenr" and codec.size == FIRST + 6
    assert codec.encode("ba").tolist() == [FIRST + 1, FIRST]
    assert codec.encode("é").tolist() == [1 + 0xC, 1 + 0x3, 1 + 0xA, 1 + 0x9]
    assert codec.decode([1 + 0xC]) == "" and codec.decode([1 + 0xC, 1 + 0x3]) == "\ufffd"


def test_bytes_are_shifted_by_one() -> None:
    assert Bytes().encode("aé").tolist() == [0x61 + 1, 0xC3 + 1, 0xA9 + 1]


def test_abc_tokens_are_notes_bars_and_header_lines() -> None:
    codec = AbcTokens(minimum=1).fit([TUNE])
    shown = [codec.token_text(int(i)) for i in codec.encode(TUNE)]
    assert shown[:4] == ["X:", "1", "\n", "T:The Hare's Paw"]
    assert "K:D Major\n" in shown and "M:C|\n" in shown
    body = shown[shown.index("K:D Major\n") + 1 :]
    assert body[:8] == ["(3", "A", "B", "c", "|", "d2", "^c/", " "]
    assert body[8:] == ["=B,2", "|", "[1", " ", "A4", ":|!\n", "[2", " ", "z4", "|]!\n"]


def test_the_minimum_is_the_granularity_of_abc_tokens() -> None:
    texts = [record["text"] for record in records(resolve("irish"))]
    sizes = [AbcTokens(minimum).fit(texts).size for minimum in (2, 10, 100, 10**9)]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] == FIRST + 83
    lengths = [len(AbcTokens(minimum).fit(texts).encode(texts[0])) for minimum in (2, 10**9)]
    assert lengths[0] < 0.8 * lengths[1] and lengths[1] == len(texts[0])
    assert AbcTokens.from_dict(AbcTokens(77).fit(texts[:9]).to_dict()).minimum == 77


def test_bpe_has_at_most_the_vocabulary_asked_for_and_no_special_token() -> None:
    codec = Bpe(300).fit(["the cat sat on the mat, the cat sat"] * 3)
    assert 257 < codec.size <= 300
    for text in ("<end>", "[UNK]", "<|endoftext|>", "  leading and trailing  "):
        assert codec.decode(codec.encode(text)) == text
    with pytest.raises(UserError, match="at least 257"):
        Bpe(100)


def test_codecs_by_name() -> None:
    with pytest.raises(UserError, match="unknown codec 'charcters'. Did you mean 'characters'"):
        codec_from_dict({"kind": "charcters"})
    with pytest.raises(UserError, match="damaged"):
        codec_from_dict({"kind": "characters"})


def test_the_codec_fits_the_data() -> None:
    assert choose([], resolve("irish"))[0] == "abc"
    assert choose(records(resolve("irish")))[0] == "abc"
    assert choose(["some text"]) == ("characters", "7 distinct characters and under 5 MB")
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 257)))
    assert choose([many]) == ("bpe", "257 distinct characters, more than 256")
    assert choose(["text " * 1_000_000]) == ("bpe", "5.0 MB, 5 MB or more")
    assert (
        choose([{"text": "X:1", "origin": "a.abc:1"}, {"text": "other", "origin": "b.txt:1"}])[0]
        == "characters"
    )


def test_a_vocabulary_grows_with_the_text_and_cutting_equals_training_less() -> None:
    texts = [" ".join(f"w{i % 97}x{i % 31}" for i in range(40_000))]
    chosen = Bpe().fit(texts)
    assert 257 < chosen.size <= chosen.vocabulary == max(512, len(texts[0]) // 600)
    asked = Bpe(chosen.vocabulary).fit(texts)
    assert chosen.encode(texts[0][:2000]).tolist() == asked.encode(texts[0][:2000]).tolist()
    assert Bpe.from_dict(chosen.to_dict()).vocabulary == chosen.vocabulary
