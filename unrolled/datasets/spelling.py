"""How characters that training never saw are written: as the nibbles of their UTF-8 bytes, 16 tokens for
every string.

Ids of every codec: 0 is the document boundary, never part of a text. In the codecs of characters 1..16 are
the nibbles 0..15 and 17 is the first id of what was seen in training.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

BOUNDARY = 0
NIBBLE = 1
FIRST = 17


def as_ids(ids: Iterable[int]) -> Ids:
    """Ids from a list, an array or a tensor on the CPU."""
    return np.asarray(ids if isinstance(ids, (np.ndarray, list, tuple)) else list(ids), np.int64).reshape(-1)


def within(ids: Ids, size: int) -> Ids:
    """The ids, when all of them are in a codec of this size."""
    if ids.size and (ids.min() < 0 or ids.max() >= size):
        raise ValueError(
            f"token {ids.max() if ids.min() >= 0 else ids.min()} is not in this codec of {size} tokens"
        )
    return ids


def short_name(token: int) -> str:
    """How the boundary and the nibbles are shown to people."""
    return "<end>" if token == BOUNDARY else f"<nibble {token - NIBBLE:x}>"


def code_points(text: str) -> NDArray[np.uint32]:
    """(characters,) the text's code points; lone surrogates pass."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def from_points(points: NDArray[np.uint32]) -> str:
    """The inverse of `code_points`."""
    return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def from_utf8(data: bytes) -> str:
    """UTF-8 to text: exact for what `encode` wrote, U+FFFD where a model wrote nonsense."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def nibbles(character: str) -> Ids:
    """The ids that spell one character: high then low nibble of each UTF-8 byte."""
    data = np.frombuffer(character.encode("utf-8", "surrogatepass"), np.uint8)
    return np.stack([data >> 4, data & 15], axis=1).reshape(-1).astype(np.int64) + NIBBLE


def from_nibbles(ids: Ids) -> str:
    """The text of a run of nibble tokens; an odd one at the end is dropped, as it is half a byte."""
    pairs = (ids[: len(ids) // 2 * 2] - NIBBLE).reshape(-1, 2)
    return from_utf8((pairs[:, 0] * 16 + pairs[:, 1]).astype(np.uint8).tobytes())


def spell_unknown(ids: Ids, points: NDArray[np.uint32]) -> Ids:
    """Replaces each -1 in `ids` by the nibbles of its character, which `points` holds."""
    missing = ids < 0
    if not missing.any():
        return ids
    spelled = {
        int(point): nibbles(from_points(np.array([point], np.uint32))) for point in np.unique(points[missing])
    }
    lengths = np.ones(len(ids), np.int64)
    for point, spelling in spelled.items():
        lengths[missing & (points == point)] = len(spelling)
    begins = np.cumsum(lengths) - lengths
    out = np.empty(int(lengths.sum()), np.int64)
    out[begins[~missing]] = ids[~missing]
    for point, spelling in spelled.items():
        out[begins[missing & (points == point), None] + np.arange(len(spelling))] = spelling
    return out
