"""Token files, samplers and padding: exact bytes on disk, batches that are pure functions of (seed, step)."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.datasets import tokens
from unrolled.datasets.characters import Bytes
from unrolled.datasets.collate import padded
from unrolled.datasets.readers import Record
from unrolled.datasets.sampler import Feed, Streams, Windows
from unrolled.datasets.tokens import Piece, TokenFile, boundaries, damage, seal
from unrolled.errors import RunFailed, UserError

FEEDS = pytest.mark.parametrize("kind", [Streams, Windows])


def corpus(lengths: list[int]) -> np.ndarray:
    """Documents whose tokens are all different, so that every token can be followed."""
    numbers = iter(range(1, sum(lengths) + 1))
    return np.array([t for n in lengths for t in (0, *(next(numbers) for _ in range(n)))] + [0], np.uint16)


def written(folder: Path, documents: list[np.ndarray], vocabulary: int = 1 << 16) -> TokenFile:
    return TokenFile.write(folder, "train", (Piece(ids, 0, 0) for ids in documents), vocabulary)


LENGTHS = st.lists(st.integers(0, 20), min_size=1, max_size=20).filter(lambda lengths: sum(lengths) > 0)


# --- token files


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 70000), max_size=9), max_size=6))
def test_a_token_file_holds_the_documents(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]]
) -> None:
    folder = tmp_path_factory.mktemp("tokens")
    arrays = [np.array(ids, np.int64) for ids in documents]
    file = written(folder, arrays, 70001)
    assert file == TokenFile.open(folder, "train")
    assert file.tokens.tolist() == [t for ids in documents for t in (0, *ids)] + [0]
    assert [ids.tolist() for ids in file.each()] == documents
    assert (file.dtype, file.documents, file.count) == ("<u4", len(documents), len(file.tokens))
    assert isinstance(file.tokens, np.memmap) and not file.tokens.flags.writeable


def test_encoding_counts_characters_and_bytes_and_joins_pieces(tmp_path: Path) -> None:
    found: list[Record | str] = [
        {"text": "aé", "origin": "a:1"},
        {"text": "b", "origin": "a:2", "continues": True},
        "€",
    ]
    file = TokenFile.encode(tmp_path, "train", found, Bytes())
    assert (file.documents, file.characters, file.bytes, file.dtype) == (2, 4, 7, "<u2")
    assert [Bytes().decode(ids) for ids in file.each()] == ["aéb", "€"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.bin", "train.json"]


def test_a_damaged_or_missing_token_file_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, [np.arange(1, 9)])
    file.path.write_bytes(file.path.read_bytes()[:-1])
    with pytest.raises(UserError, match="19 bytes, expected 20"):
        TokenFile.open(tmp_path, "train")
    with pytest.raises(UserError, match="no readable token file"):
        TokenFile.open(tmp_path, "valid")
    (tmp_path / "train.json").write_text(json.dumps({"dtype": "<u2"}))
    with pytest.raises(UserError, match="no readable token file"):
        TokenFile.open(tmp_path, "train")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    for stem in ("train", "test"):
        TokenFile.encode(tmp_path, stem, ["some text"], Bytes())
    (tmp_path / "codec.json").write_text('{"kind": "bytes"}')
    seal(tmp_path)
    return tmp_path


def test_a_sealed_folder_is_whole(sealed: Path) -> None:
    (sealed / "naive.json").write_text("{}")  # what is kept beside it later is no part of it
    assert damage(sealed) is None


@pytest.mark.parametrize("name", ["train.bin", "train.json", "test.bin", "test.json", "codec.json"])
def test_damage_to_any_file_is_named(sealed: Path, name: str) -> None:
    whole = (sealed / name).read_bytes()
    (sealed / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert damage(sealed) == f"the SHA-256 of {name} is not the recorded one"
    (sealed / name).write_bytes(whole[:-1])
    assert damage(sealed) == f"{name} has {len(whole) - 1} bytes, expected {len(whole)}"
    (sealed / name).unlink()
    assert damage(sealed) == f"{name} can't be read (No such file or directory)"


@pytest.mark.parametrize("manifest", [None, b"", b"{}", b"[]", b"\xff", b'{"files": {"test.bin": 3}}'])
def test_a_folder_without_a_readable_manifest_is_damaged(sealed: Path, manifest: bytes | None) -> None:
    path = sealed / tokens.MANIFEST
    path.unlink() if manifest is None else path.write_bytes(manifest)
    assert "manifest.json" in (damage(sealed) or "")


def test_only_large_training_tokens_are_checked_by_size_alone(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "READ", 10)
    seal(sealed)
    for name, found in (("train.bin", None), ("test.bin", "the SHA-256 of test.bin is not the recorded one")):
        whole = (sealed / name).read_bytes()
        (sealed / name).write_bytes(whole[:-1] + b"\1")
        assert damage(sealed) == found


def test_ids_outside_the_vocabulary_leave_nothing_behind(tmp_path: Path) -> None:
    for bad in ([0, 1], [7]):
        with pytest.raises(ValueError, match="must lie in 1..6"):
            written(tmp_path, [np.array([1, 2]), np.array(bad)], 7)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_so_and_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = written(tmp_path, [np.array([1, 2])])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailed, match="train.bin: cannot be written .No space left on device"):
        written(tmp_path, [np.array([3])])
    assert TokenFile.open(tmp_path, "train") == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.bin", "train.json"]


def test_boundaries_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = corpus([3, 0, 5, 2])
    monkeypatch.setattr("unrolled.datasets.tokens.SCAN", 4)
    assert boundaries(tokens).tolist() == np.flatnonzero(tokens == 0).tolist()


# --- samplers


@FEEDS
@settings(deadline=None)
@given(lengths=LENGTHS, batch=st.integers(1, 5), length=st.integers(1, 9), seed=st.integers(0, 3))
def test_targets_follow_inputs_and_boundaries_start(
    kind: type[Feed], lengths: list[int], batch: int, length: int, seed: int
) -> None:
    tokens = corpus(lengths)
    feed = kind(tokens, batch, length, seed)
    after = set(zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True))
    for step in range(min(2 * feed.steps_per_epoch, 12)):
        x, y, start, *_ = feed.batch(step)
        assert x.shape == y.shape == start.shape == (feed.batch_size, feed.length)
        assert (str(x.dtype), str(y.dtype), str(start.dtype)) == ("torch.int64", "torch.int64", "torch.bool")
        assert set(zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)) <= after
        assert (x[:, 1:] == y[:, :-1]).all()
        assert (start[:, 1:] == (x[:, 1:] == 0)).all() and start[:, 0][x[:, 0] == 0].all()


@FEEDS
def test_a_batch_is_a_pure_function_of_seed_and_step(kind: type[Feed]) -> None:
    tokens = corpus([30] * 20)
    used = kind(tokens, 4, 8, seed=3)
    for step in (5, 0, 40, 17):
        used.batch(step)
    for step in (0, 17, 18, 40):
        fresh = kind(tokens, 4, 8, seed=3).batch(step)
        assert all((a == b).all() for a, b in zip(fresh[:3], used.batch(step)[:3], strict=True))
    assert not (kind(tokens, 4, 8, seed=4).batch(0)[0] == used.batch(0)[0]).all()
    assert not (used.batch(used.steps_per_epoch)[0] == used.batch(0)[0]).all()


@FEEDS
@settings(deadline=None)
@given(lengths=LENGTHS, batch=st.integers(1, 5), length=st.integers(1, 9))
def test_an_epoch_shows_every_pair_once_but_for_the_rounding(
    kind: type[Feed], lengths: list[int], batch: int, length: int
) -> None:
    feed = kind(corpus(lengths), batch, length)
    for epoch in range(2):
        steps = range(epoch * feed.steps_per_epoch, (epoch + 1) * feed.steps_per_epoch)
        batches = [feed.batch(step) for step in steps]
        seen = Counter(
            t
            for x, y, *_ in batches
            for pair in zip(x.flatten(), y.flatten(), strict=True)
            for t in [tuple(map(int, pair))]
        )
        seen.pop((0, 0), None)  # empty documents share this pair
        assert all(count == 1 for count in seen.values())
        left = feed.pairs - len(batches) * feed.batch_size * feed.length
        most = feed.batch_size * feed.length if kind is Streams else (feed.batch_size + 1) * feed.length
        assert 0 <= left < most + feed.batch_size


def test_a_corpus_that_fills_its_batches_is_seen_whole() -> None:
    tokens = corpus([6, 7, 8, 7])  # 32 pairs
    for kind in (Streams, Windows):
        feed = kind(tokens, 4, 4)
        assert feed.steps_per_epoch == 2
        seen = sorted(int(t) for step in (0, 1) for t in feed.batch(step)[0].flatten())
        assert seen == sorted(tokens[:-1].tolist())


@settings(deadline=None)
@given(lengths=LENGTHS, batch=st.integers(1, 5), length=st.integers(1, 9), seed=st.integers(0, 3))
def test_lanes_go_on_where_they_ended(lengths: list[int], batch: int, length: int, seed: int) -> None:
    tokens = corpus(lengths)
    feed = Streams(tokens, batch, length, seed)
    after = {int(a): int(b) for a, b in zip(tokens[:-1], tokens[1:], strict=True) if a}
    for epoch in range(2):
        before = None
        for step in range(epoch * feed.steps_per_epoch, (epoch + 1) * feed.steps_per_epoch):
            x, y, start, *_ = feed.batch(step)
            if before is None:
                assert start[:, 0].all()
            else:
                assert (x[:, 0] == before).all()
                assert (start[:, 0] == (x[:, 0] == 0)).all()
            assert all(
                after.get(int(a), int(b)) == int(b) for a, b in zip(x.flatten(), y.flatten(), strict=True)
            )
            before = y[:, -1]


def test_windows_start_every_row_and_come_in_another_order_each_epoch() -> None:
    feed = Windows(corpus([50] * 10), 4, 10)
    assert all(bool(feed.batch(step)[2][:, 0].all()) for step in range(feed.steps_per_epoch))
    firsts = [feed.batch(step)[0][0, 0].item() for step in range(feed.steps_per_epoch)]
    assert firsts != sorted(firsts)


@FEEDS
def test_a_small_corpus_makes_a_smaller_batch_aloud(kind: type[Feed]) -> None:
    feed = kind(corpus([20, 9]), 8, 10)  # 31 pairs
    assert (feed.batch_size, feed.length) == (3, 10) and feed.steps_per_epoch == 1
    assert feed.notes == ["31 tokens fill no batch of 8 x 10 (that takes 80): training on 3 x 10 instead"]
    tiny = kind(corpus([1]), 8, 10)
    assert (tiny.batch_size, tiny.length) == (1, 2) and sorted(tiny.batch(0)[0].flatten().tolist()) == [0, 1]
    assert kind(corpus([80]), 8, 10).notes == []


@FEEDS
def test_wrong_feeds_are_refused(kind: type[Feed]) -> None:
    with pytest.raises(UserError, match="holds 0 tokens; expected at least 1"):
        kind(np.array([0, 0]), 2, 2)
    with pytest.raises(UserError, match="at least 1, got batch=0"):
        kind(corpus([9]), 0, 2)
    with pytest.raises(ValueError, match="begins and ends with the document boundary"):
        kind(np.array([0, 1, 2]), 1, 1)


@FEEDS
def test_a_token_file_feeds_like_its_array(kind: type[Feed], tmp_path: Path) -> None:
    file = written(tmp_path, [np.arange(1, 40), np.arange(40, 90)])
    for a, b in zip(
        kind(file, 2, 5, 1).batch(3)[:3], kind(np.array(file.tokens), 2, 5, 1).batch(3)[:3], strict=True
    ):
        assert (a == b).all()


# --- padding


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.sampled_from([(), (2,)]))
def test_padding_keeps_every_row(sizes: list[int], behind: tuple[int, ...]) -> None:
    rows = [
        np.arange(1, 1 + size * max(1, *behind, 1)).reshape(size, *behind).astype(np.float32)
        for size in sizes
    ]
    x, lengths = padded(rows)
    assert x.shape == (len(sizes), max(sizes), *behind) and lengths.tolist() == sizes
    for place, row in zip(x, rows, strict=True):
        assert (place[: len(row)].numpy() == row).all() and not place[len(row) :].any()
