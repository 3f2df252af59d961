"""MNIST's idx files: what comes back, and every kind of broken one."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from set_files import idx, refusal

from unrolled.datasets.idx import read_idx, read_idx_pair
from unrolled.errors import UserError


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.booleans(), st.randoms())
def test_idx_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], packed: bool, draw: Any
) -> None:
    array = np.array([draw.randrange(256) for _ in range(int(np.prod(shape)))], np.uint8).reshape(shape)
    data = idx(tuple(shape), array.tobytes())
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(data) if packed else data)
    np.testing.assert_array_equal(read_idx(path), array)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"\0\0", r"begins with 00 00\. Expected an idx file"),
        (idx((2,), b"ab", magic=b"PK"), r"begins with 50 4b 08 01"),
        (idx((2,), b"ab", kind=13), r"byte 2 is 0x0d, floats"),
        (idx((2,), b"ab", kind=99), r"byte 2 is 0x63, no known type"),
        (idx((1, 1, 1, 1), b"a"), r"dimensions, 1 to 3"),
        (idx((), b""), r"dimensions, 1 to 3"),
        (idx((2, 3, 4), b"")[:9], r"cut short inside its header, at byte 9"),
        (idx((2, 3), b"abcde"), r"2 x 3 bytes behind a header of 12, but ends at byte 17"),
        (idx((2, 3), b"abcdefg"), r"goes on behind the last one"),
        (idx((0, 28, 28), b""), r"declares 0 x 28 x 28 bytes"),
        (idx((50_000, 50_000), b""), r"declares 50000 x 50000 bytes"),
        (idx((0xFFFFFFFF,) * 3, b""), r"at most 268,435,456"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_broken_idx_file_is_told(tmp_path: Path, data: bytes, says: str, packed: bool) -> None:
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(UserError, match=says) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_damaged_gzip_and_a_bomb_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(idx((5000,), os.urandom(5000)))[:-2000])
    assert "not a whole gzip file" in refusal(lambda: read_idx(path))
    path.write_bytes(b"nothing packed")
    assert "not a whole gzip file" in refusal(lambda: read_idx(path))
    path.write_bytes(gzip.compress(idx((4,), bytes(1 << 25))))
    import tracemalloc

    tracemalloc.start()
    assert "goes on behind" in refusal(lambda: read_idx(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert "cannot be read" in refusal(lambda: read_idx(tmp_path / "gone"))


def test_images_and_labels_must_belong_together(tmp_path: Path) -> None:
    images, labels = tmp_path / "i", tmp_path / "l"
    images.write_bytes(idx((3, 2, 2), bytes(range(12))))
    labels.write_bytes(idx((3,), b"\7\0\1"))
    found = list(read_idx_pair(images, labels))
    assert [record["label"] for record in found] == ["7", "0", "1"]
    assert found[2]["image"].tolist() == [[8, 9], [10, 11]] and found[2]["origin"] == "i:3"
    labels.write_bytes(idx((2,), b"\7\0"))
    assert "2 labels, where i has 3 images" in refusal(lambda: list(read_idx_pair(images, labels)))
    assert "1 dimensions. Expected 3" in refusal(lambda: list(read_idx_pair(labels, labels)))
    assert "3 dimensions. Expected 1" in refusal(lambda: list(read_idx_pair(images, images)))
    images.write_bytes(idx((1, 8192, 8192), bytes(1 << 26)))
    assert "more than 33,554,432 pixels" in refusal(lambda: list(read_idx_pair(images, labels)))
