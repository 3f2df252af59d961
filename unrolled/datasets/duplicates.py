"""What is there twice: a key that values share which are read alike, and near-duplicate documents.

Near-duplicates are the same tune under two names, a text saved twice with small changes. Documents are compared by
their shingles (runs of 8 characters of the body, white space removed); two are near-duplicates when at least half of
the smaller one's shingles occur in the other. Exact by an inverted index, no sampling up to `KEPT` shingles; above that
a fixed part of all shingles stands for them (A. Broder, "On the resemblance and containment of documents", 1997).
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Hashable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.spelling import code_points

LENGTH = 8  # characters a shingle spans
SHARED = 0.5  # of the smaller document's shingles
KEPT = 1 << 24  # shingles held before only every n-th is
FEWEST = 8  # of these, where not all are held: below it, half of them may be one by chance
TOGETHER = 1 << 17  # characters hashed at once
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
        return value.dtype.str, value.shape, digest  # str(dtype) takes longer than the digest
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
    return _shingled([text])[0]


def _shingled(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """The shingles of each text, one text's after another's, and how many each has."""
    bodies = list(map(body, texts))
    lengths = np.fromiter(map(len, bodies), np.int64, len(bodies))
    points = np.full(int(np.maximum(lengths, LENGTH).sum()), 1 << 32, np.uint64)  # what short texts end in
    places = (
        np.cumsum(np.maximum(lengths, LENGTH)) - np.maximum(lengths, LENGTH) - np.cumsum(lengths) + lengths
    )
    joined = code_points("".join(bodies))
    points[np.repeat(places, lengths) + np.arange(len(joined))] = joined
    windows = len(points) - LENGTH + 1
    total = np.zeros(windows, np.uint64)
    for shift in range(LENGTH):
        total *= np.uint64(0x9E3779B97F4A7C15)
        total += points[shift : shift + windows]
    sizes = np.maximum(lengths - LENGTH + 1, 1)
    ends = np.cumsum(sizes)
    within = np.arange(ends[-1]) + np.repeat(np.arange(len(sizes)) * (LENGTH - 1), sizes)  # one text only
    found = _mix(total[within])
    for begin, end in zip((ends - sizes).tolist(), ends.tolist(), strict=True):
        found[begin:end].sort()
    first = np.ones(len(found), bool)
    first[1:] = found[1:] != found[:-1]
    first[ends - sizes] = True
    return found[first], _counts(first, sizes)


def _counts(marks: NDArray[np.bool_], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many marks are set in each of the stretches of these sizes."""
    below = np.concatenate(([0], np.cumsum(marks)))
    return np.diff(below[np.concatenate(([0], np.cumsum(sizes)))])


def _mix(values: Hashes) -> Hashes:
    """splitmix64's finisher: spreads a polynomial over all 64 bits, so that any part of them is a fair
    sample.
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)), np.uint64)


class Index:
    """Collects the shingles of documents one by one; `groups` then joins those that are near-duplicates. kept: shingles
    held before only every n-th is, `KEPT` unless given; then documents with fewer than `FEWEST` are compared as wholes.
    """

    def __init__(self, kept: int | None = None) -> None:
        self._most = KEPT if kept is None else kept
        self._waiting: list[str] = []
        self._room = TOGETHER
        self._held: list[tuple[Hashes, NDArray[np.int64]]] = []  # blocks, and how many each piece in them has
        self._owners = array("i")  # the document of each piece
        self._digests = array("Q")  # of all shingles of a document, kept or not
        self._part = 0  # a shingle is kept when its lowest `_part` bits are 0
        self._total = 0

    def add(self, text: str, continues: bool = False) -> None:
        """The next document, or a further piece of the last one."""
        self._owners.append((self._owners[-1] if self._owners else -1) + (not continues))
        self._waiting.append(text)
        self._room -= len(text) + LENGTH
        if self._room <= 0:
            self._take_in()

    def _take_in(self) -> None:
        """What waits is hashed: many at once, since numpy's calls cost more than a short text's hashes."""
        if not self._waiting:
            return
        found, sizes = _shingled(self._waiting)
        at = 0
        for owner, size in zip(self._owners[-len(sizes) :], sizes.tolist(), strict=True):
            digest = _digest(found[at : (at := at + size)].tobytes())
            if owner < len(self._digests):
                self._digests[owner] = _digest(self._digests[owner].to_bytes(8) + digest.to_bytes(8))
            else:
                self._digests.append(digest)
        self._waiting, self._room = [], TOGETHER
        self._held.append(self._sampled(found, sizes))
        self._total += len(self._held[-1][0])
        while self._total > self._most:
            self._part += 1
            self._held = [self._sampled(*block) for block in self._held]
            self._total = sum(len(hashes) for hashes, _ in self._held)

    def _sampled(self, hashes: Hashes, sizes: NDArray[np.int64]) -> tuple[Hashes, NDArray[np.int64]]:
        if self._part == 0:
            return hashes, sizes
        kept = hashes & np.uint64((1 << self._part) - 1) == 0
        return hashes[kept], _counts(kept, sizes)

    def groups(self) -> list[list[int]]:
        """Groups of two or more documents, each in order, that are joined by near-duplicate pairs."""
        self._take_in()
        _, first, which = np.unique(
            np.frombuffer(self._digests, np.uint64), return_index=True, return_inverse=True
        )
        same = first[which]
        parent = array("q", same.tobytes())
        copies = same < np.arange(len(same))
        telling, shared = self._shared(copies)
        least = FEWEST if self._part else 1
        for document, others in shared:
            found, common = _counted(others, document)
            fewer = np.minimum(telling[document], telling[found])
            for other in found[(common >= SHARED * fewer) & (fewer >= least)].tolist():
                parent[_root(parent, document)] = _root(parent, other)
        return _joined(parent)

    def _shared(
        self, copies: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], Iterator[tuple[int, NDArray[np.int32]]]]:
        """How many of its shingles aren't boilerplate, for each document; and those, but for `copies`, that share any such
        one with earlier documents, with the latter's numbers, once a shared shingle.
        """
        owner, begins, counts = self._postings()
        telling = np.bincount(owner, np.repeat(counts <= COMMON, counts), len(self._digests)).astype(np.int64)
        kept = np.repeat((counts > 1) & (counts <= COMMON), counts)
        owner, begins = owner[kept], np.repeat(begins, counts)[kept]
        # How many documents before have a shingle is its place among those that have it.
        before = (np.flatnonzero(kept) - begins).astype(np.int32)
        later = np.flatnonzero(before)
        return telling, _earlier(owner, before, later[np.argsort(owner[later], kind="stable")], copies)

    def _postings(self) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """The documents that have each shingle, in order, shingle after shingle; where each shingle's begin, and how many
        they are.
        """
        values = np.concatenate([np.zeros(0, np.uint64), *(hashes for hashes, _ in self._held)])
        sizes = np.concatenate([np.zeros(0, np.int64), *(each for _, each in self._held)])
        owner = np.repeat(np.frombuffer(self._owners, np.int32), sizes)
        order = np.argsort(values, kind="stable")
        values, owner = values[order], owner[order]
        new = np.ones(len(values), bool)
        new[1:] = values[1:] != values[:-1]
        once = new.copy()  # a document's pieces may share one
        once[1:] |= owner[1:] != owner[:-1]
        begins = np.flatnonzero(new[once])
        return owner[once], begins, np.diff(begins, append=int(once.sum()))


def _earlier(
    owner: NDArray[np.int32], before: NDArray[np.int32], order: NDArray[np.int64], copies: NDArray[np.bool_]
) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """(document, earlier ones) of those that are no `copies`, from the postings in `order` of their documents, each
    `before` places behind its shingle's first.
    """
    begin = 0
    for end in (np.flatnonzero(np.diff(owner[order], append=-1)) + 1).tolist():
        mine = order[begin:end]
        begin = end
        document = int(owner[mine[0]])
        if copies[document]:
            continue
        lengths = before[mine].astype(np.int64)
        firsts = np.repeat(mine - np.cumsum(lengths), lengths)
        yield document, owner[firsts + np.arange(len(firsts))]


def _digest(data: bytes) -> int:
    """64 bits."""
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def _counted(documents: NDArray[np.int32], below: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """These documents, all before `below`, and how often each stands there. Sorting is quicker where few do."""
    if 8 * len(documents) > below:
        counts = np.bincount(documents)
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(documents, return_counts=True)


def _root(parent: array[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


def _joined(parent: array[int]) -> list[list[int]]:
    members: dict[int, list[int]] = {}
    for node in np.flatnonzero(np.asarray(parent) != np.arange(len(parent))).tolist():
        root = _root(parent, node)
        members.setdefault(root, [root]).append(node)
    return sorted(map(sorted, members.values()))
