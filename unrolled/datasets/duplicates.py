"""What is there twice: a key that values share which are read alike, and near-duplicate documents.

Near-duplicates are the same tune under two names, a text saved twice with small changes. Documents are compared by
their shingles (runs of 8 characters of the body, white space removed); two are near-duplicates when at least half of
the smaller one's shingles occur in the other. Exact by an inverted index, no sampling up to `KEPT` shingles; above that
a fixed part of all shingles stands for them (A. Broder, "On the resemblance and containment of documents", 1997).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.spelling import code_points

LENGTH = 8  # characters a shingle spans
SHARED = 0.5  # of the smaller document's shingles
KEPT = 1 << 24  # shingles held before only every n-th is
COMMON = 1000  # a shingle in more documents than this is boilerplate and says nothing

TUNE = re.compile(r"\s*(?:%[^\n]*\n)*X:")
FIELD = re.compile(r"^[A-Za-z]:(?![|:\]]).*$", re.MULTILINE)

Hashes = NDArray[np.uint64]


class _Plain(dict[int, int | None]):
    """Code point -> itself, or None for white space and punctuation (Unicode's Z and P). Symbols and vowel signs stay:
    a smile, a plus and a matra mean something.
    """

    def __missing__(self, point: int) -> int | None:
        sign = chr(point)
        dropped = sign.isspace() or unicodedata.category(sign)[0] in "PZ"
        self[point] = None if dropped else point
        return self[point]


PLAIN = _Plain()


def key_of(value: Any) -> Hashable:
    """What is equal for values that are read alike, so that a split can keep them together.

    Texts are compared without case, punctuation and white space, unless no letter is left: 1.5 and 15, (()) and ())(
    differ. Series by shape and every number, lists by their items, files of sound and images by their content.
    Raises UserError for a file that can't be opened.
    """
    if isinstance(value, np.ndarray):
        digest = blake2b(value.tobytes(), digest_size=16).digest()
        return str(value.dtype), value.shape, digest
    if isinstance(value, (list, tuple)):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    if isinstance(value, MediaFile):
        stat = value.path.stat() if value.path.is_file() else None
        return _content(value, (stat.st_size, stat.st_mtime_ns) if stat else (0, 0))
    if isinstance(value, Clip):
        return tuple(map(key_of, value.frames))
    text = str(value)
    plain = text.casefold().translate(PLAIN)
    return plain if any(map(str.isalpha, plain)) else text


@lru_cache(maxsize=1 << 16)
def _content(file: MediaFile, stamp: tuple[int, int]) -> bytes:
    """The hash of a file's bytes, once for a size and time of change."""
    with file.open() as opened:
        found = blake2b(digest_size=16)
        while piece := opened.read(1 << 20):
            found.update(piece)
    return found.digest()


def body(text: str) -> str:
    """What is compared: for ABC the music without its header fields; always without white space."""
    return "".join((FIELD.sub("", text) if TUNE.match(text) else text).split())


def shingles(text: str) -> Hashes:
    """The sorted, distinct hashes of the text's shingles; a text shorter than one is a single shingle."""
    points = code_points(body(text)).astype(np.uint64)
    if len(points) < LENGTH:
        points = np.pad(points, (0, LENGTH - len(points)), constant_values=1 << 32)
    windows = len(points) - LENGTH + 1
    total = np.zeros(windows, np.uint64)
    for shift in range(LENGTH):
        total = total * np.uint64(0x9E3779B97F4A7C15) + points[shift : shift + windows]
    return _distinct(_mix(total))


def _distinct(values: Hashes) -> Hashes:
    """Sorted, each once; numpy's `unique` takes ten times as long for a million."""
    ordered: Hashes = np.sort(values)
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def _mix(values: Hashes) -> Hashes:
    """splitmix64's finisher: spreads a polynomial over all 64 bits, so that any part of them is a fair
    sample.
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)), np.uint64)


class Index:
    """Collects the shingles of documents one by one; `groups` then joins those that are near-duplicates."""

    def __init__(self) -> None:
        self._held: list[list[Hashes]] = []  # a document's pieces
        self._digests: list[bytes] = []  # of all shingles of a document, kept or not
        self._part = 0  # a shingle is kept when its lowest `_part` bits are 0
        self._total = 0

    def add(self, text: str, continues: bool = False) -> None:
        """The next document, or a further piece of the last one."""
        every = shingles(text)
        digest, found = sha256(every.tobytes()).digest(), self._sampled(every)
        if continues:
            self._held[-1].append(found)
            self._digests[-1] = sha256(self._digests[-1] + digest).digest()
        else:
            self._held.append([found])
            self._digests.append(digest)
        self._total += len(found)
        while self._total > KEPT:
            self._part += 1
            self._held = [[self._sampled(hashes) for hashes in pieces] for pieces in self._held]
            self._total = sum(len(hashes) for pieces in self._held for hashes in pieces)

    def _sampled(self, hashes: Hashes) -> Hashes:
        return hashes if self._part == 0 else hashes[hashes & np.uint64((1 << self._part) - 1) == 0]

    def groups(self) -> list[list[int]]:
        """Groups of two or more documents, each in order, that are joined by near-duplicate pairs."""
        held = [pieces[0] if len(pieces) == 1 else _distinct(np.concatenate(pieces)) for pieces in self._held]
        sizes = [len(hashes) for hashes in held]
        owner = np.repeat(np.arange(len(sizes)), sizes)
        values = np.concatenate([np.zeros(0, np.uint64), *held])
        order = np.argsort(values, kind="stable")
        _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
        postings, begins = owner[order], np.cumsum(counts) - counts
        telling = np.bincount(owner, counts[which] <= COMMON, len(sizes))  # shingles that aren't boilerplate
        first: dict[bytes, int] = {}
        parent = [first.setdefault(digest, n) for n, digest in enumerate(self._digests)]
        at = 0
        for document, size in enumerate(sizes):
            mine = which[at : at + size]
            at += size
            mine = mine[(counts[mine] > 1) & (counts[mine] <= COMMON)]
            if not len(mine) or first[self._digests[document]] < document:  # the same as an earlier one
                continue
            lengths = counts[mine]
            begin = np.repeat(begins[mine] - np.cumsum(lengths) + lengths, lengths)
            others, shared = _counted(postings[begin + np.arange(lengths.sum())], document)
            near = shared >= SHARED * np.minimum(telling[document], telling[others])
            for other in others[near].tolist():
                parent[_root(parent, document)] = _root(parent, other)
        return _joined(parent)


def _counted(documents: NDArray[np.int64], below: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The documents before `below`, and how often each stands there. Sorting is quicker where few do."""
    if 8 * len(documents) > below:
        counts = np.bincount(documents, minlength=below)[:below]
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(documents[documents < below], return_counts=True)


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


def _joined(parent: list[int]) -> list[list[int]]:
    members: dict[int, list[int]] = {}
    for node in range(len(parent)):
        members.setdefault(_root(parent, node), []).append(node)
    return [group for group in members.values() if len(group) > 1]
