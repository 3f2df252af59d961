"""Training, validation and test documents: by document, with near-duplicates on one side only, counted aloud.

A corpus of few documents (a novel) can't be split by document: then each is cut at line borders into a
training head, a validation middle and a test tail, but for near-duplicates: they are training text whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unrolled.datasets.duplicates import Index
from unrolled.datasets.readers import Record
from unrolled.errors import UserError

GENERATE = (0.87, 0.03, 0.10)  # train, valid, test where a model learns to continue text
PARTS = ("train", "valid", "test")
FEW = 20  # fewer documents than this are cut, not dealt out
LEAST = 100  # characters below which no split means anything
REACH = 2000  # characters a cut may move to reach a line's end

Marks = tuple[int, int, int]


@dataclass(frozen=True)
class Split:
    """Which documents, counted from 0 in reading order, are whose. Where documents are cut, a document
    may stand in all three lists, and `cuts` holds for each where validation and test begin (to be moved to a
    line's end) and the document ends, in characters.
    """

    train: list[int]
    valid: list[int]
    test: list[int]
    duplicates: int = 0  # documents with a near-duplicate; no group of them is on two sides
    groups: int = 0
    cuts: list[Marks] | None = None
    notes: list[str] = field(default_factory=list)

    def parts(self, records: Iterable[Record | str]) -> Iterator[tuple[str, Record]]:
        """(part, record) for the same records in the same order, piece by piece, so that any size streams
        through.
        """
        part_of = {n: part for part in PARTS for n in getattr(self, part)} if self.cuts is None else {}
        document, cutter = -1, Cutter((0, 0, 0))
        for record in map(as_record, records):
            if not record.get("continues"):
                document += 1
                cutter = Cutter(self.cuts[document] if self.cuts else (0, 0, 0))
            if self.cuts is None:
                yield part_of[document], record
            else:
                yield from cutter.deal(record)

    def texts(self, records: Iterable[Record | str]) -> dict[str, list[str]]:
        """The documents' texts by part, all in memory."""
        found: dict[str, list[str]] = {part: [] for part in PARTS}
        for part, record in self.parts(records):
            if record.get("continues"):
                found[part][-1] += record["text"]
            else:
                found[part].append(record["text"])
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `data.json`."""
        return dict(vars(self))


class Cutter:
    """Deals the pieces of one document to train, valid and test at two marks, each moved on to the next
    line's end.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks, self._part, self._at, self._fresh = marks, 0, 0, True

    def deal(self, record: Record) -> Iterator[tuple[str, Record]]:
        text, line = record["text"], _line(record)
        begin = 0
        while begin < len(text):
            end = len(text)
            if self._part < 2 and self._marks[self._part] <= self._at + len(text):
                end = max(self._border(text), begin)
            if end > begin:
                piece: Record = {"text": text[begin:end], "origin": f"{_file(record)}:{line}"}
                yield PARTS[self._part], piece if self._fresh else piece | {"continues": True}
                line, self._fresh = line + text.count("\n", begin, end), False
            if end < len(text) or (self._part < 2 and self._marks[self._part] <= self._at + end):
                self._part, self._fresh = self._part + 1, True
            begin = end
        self._at += len(text)

    def _border(self, text: str) -> int:
        """Where to cut in this piece: at the mark or after the first line's end behind it, else after a
        space; never so far that the next part would be left with nothing.
        """
        mark = self._marks[self._part]
        following = next((m for m in self._marks if m > mark), mark)
        reach, at = min(REACH, (following - mark) // 2), mark - self._at
        if at <= 0 or text[at - 1] == "\n":
            return at
        found = (text.find(border, at, at + reach) + 1 for border in "\n ")
        return next((cut for cut in found if cut), at)


def split(records: Iterable[Record | str], seed: int = 0, fractions: Sequence[float] = GENERATE) -> Split:
    """Splits documents into train, valid and test in shares of `fractions`, the same for the same seed.

    Documents with a near-duplicate join training; the held-out text is drawn from the rest. Raises UserError when
    there is too little text for every part.
    """
    _check(fractions)
    index, notes, sizes = Index(), list[str](), list[int]()
    for record in map(as_record, records):
        notes += record.get("notes", [])
        continues = bool(record.get("continues"))
        index.add(record["text"], continues)
        if continues:
            sizes[-1] += len(record["text"])
        else:
            sizes.append(len(record["text"]))
    if sum(sizes) < LEAST:
        raise UserError(
            f"the data holds {sum(sizes)} character{'s' * (sum(sizes) != 1)}; expected at least {LEAST} to train "
            "on one part and test on another. Give it more text."
        )
    groups = index.groups() if len(sizes) > 1 else []
    if len(sizes) < FEW:
        return _cut(groups, sizes, fractions, notes)
    return _deal(groups, len(sizes), seed, fractions, notes)


def _deal(
    groups: list[list[int]], count: int, seed: int, fractions: Sequence[float], notes: list[str]
) -> Split:
    """Held-out documents come from those without a twin; only when these run out, whole groups are held out
    too.
    """
    draw = np.random.default_rng(seed)
    twins = {n for group in groups for n in group}
    singles = [[int(n)] for n in draw.permutation([n for n in range(count) if n not in twins])]
    order = singles + [groups[i] for i in draw.permutation(len(groups))]
    wanted = {"test": _share(fractions[2], count), "valid": _share(fractions[1], count)}
    found: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for group in order:
        part = next((p for p, size in wanted.items() if len(found[p]) + len(group) <= size), "train")
        found[part] += group
    if not all(found[part] for part, share in zip(PARTS, fractions, strict=True) if share):
        raise _all_copies(f"nearly all {count}")
    moved = len(twins & set(found["train"]))
    train, valid, test = (sorted(found[part]) for part in PARTS)
    return Split(train, valid, test, len(twins), len(groups), notes=notes + _counted(groups, moved))


def _cut(groups: list[list[int]], sizes: list[int], fractions: Sequence[float], notes: list[str]) -> Split:
    """Each document is cut, but those with a twin are in training whole: their tail would be in the other's head."""
    names = list(range(len(sizes)))
    twins = {n for group in groups for n in group}
    singles = [n for n in names if n not in twins]
    if not singles:
        raise _all_copies(f"all {len(sizes)}")
    cuts = [(n, n, n) if i in twins else _marks(n, fractions) for i, n in enumerate(sizes)]
    _refuse_empty(cuts, fractions)
    what = "one document" if len(sizes) == 1 else f"only {len(sizes)} documents"
    shares = " / ".join(f"{100 * share:.3g} %" for share in fractions)
    notes = [*notes, f"{what}: cut at line borders into train / valid / test of {shares}"]
    notes += _counted(groups, len(twins))
    return Split(names, singles, list(singles), len(twins), len(groups), cuts, notes)


def _marks(size: int, fractions: Sequence[float]) -> Marks:
    return round(size * fractions[0]), round(size * (fractions[0] + fractions[1])), size


def _refuse_empty(cuts: list[Marks], fractions: Sequence[float]) -> None:
    for at, (part, share) in enumerate(zip(PARTS, fractions, strict=True)):
        if share and not any(cut[at] - (0, *cut)[at] for cut in cuts):
            raise UserError(
                f"{100 * share:.3g} % of each document is less than a character: the {len(cuts)} documents have at "
                f"most {max(size for *_, size in cuts)}, so nothing would be left for {part}. Give it more or longer "
                f"documents ({FEW} are dealt out whole), or other shares (split=)."
            )


def _counted(groups: list[list[int]], moved: int) -> list[str]:
    twins = sum(map(len, groups))
    where = (
        "all in training, none in valid or test"
        if moved == twins
        else f"{moved} in training, the others held out group by group, none on both sides"
    )
    many = f"{len(groups)} group{'s' * (len(groups) != 1)}"
    return [f"{twins} near-duplicate documents in {many}: {where}"] if groups else []


def _all_copies(which: str) -> UserError:
    return UserError(
        f"{which} documents are copies of each other, or of a part, or nearly so: nothing is left to test on. Give it more "
        "text, or join the documents in one file: it is cut at line borders."
    )


def as_record(record: Record | str) -> Record:
    """A bare text as a record."""
    return {"text": record, "origin": "text:1"} if isinstance(record, str) else record


def _share(fraction: float, count: int) -> int:
    return max(1, round(fraction * count)) if fraction else 0


def _check(fractions: Sequence[float]) -> None:
    if len(fractions) != 3 or min(fractions) < 0 or fractions[0] <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(
            f"split={list(fractions)}: expected three shares train, valid, test that add up to 1, with train "
            "above 0."
        )


def _file(record: Record) -> str:
    return str(record["origin"]).rpartition(":")[0]


def _line(record: Record) -> int:
    return int(str(record["origin"]).rpartition(":")[2])
