"""What a model will see of some data, before anything is trained: size, lengths, split, codec and the first tokens."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from unrolled.datasets.asked import Asked, check_plain
from unrolled.datasets.codecs import CODECS, Codec, choose
from unrolled.datasets.histogram import bars, histogram, ranges
from unrolled.datasets.readers import Record, describe, files_of, records
from unrolled.datasets.samples import resolve
from unrolled.datasets.split import GENERATE, PARTS, Split, split
from unrolled.errors import unknown

FITTED = 4 << 20  # characters of training that a look fits a codec on
SHOWN = 60  # tokens
WIDTH = 100  # columns
VISIBLE = str.maketrans({"\n": "⏎", "\r": "␍", "\t": "⇥", " ": "␣"})


@dataclass(frozen=True)
class Look:
    """Everything `data look` says, as plain data; `text()` is for people."""

    data: str
    description: str
    files: int
    documents: int
    characters: int
    bytes: int
    distinct: int
    measured: str  # what `lengths` counts: documents, or the lines of a few long ones
    lengths: list[tuple[int, int, int]]  # (from, to, how many)
    split: dict[str, tuple[int, int]]  # part -> (documents, characters)
    cut: bool  # the parts are stretches of the same documents
    duplicates: int
    notes: list[str]
    codec: str
    reason: str
    fitted: int  # characters of training that the codec was fitted on; a run fits on all of them
    vocabulary: int
    characters_per_token: float
    first_tokens: list[str]

    def text(self) -> str:
        """At most 30 lines for a terminal of 100 columns."""
        noun = "document" if self.documents == 1 else "documents"
        lines = [
            self.description,
            f"  {_count(self.files, 'file')}, {self.documents:,} {noun}, {self.characters:,} characters "
            f"({self.bytes:,} bytes), {self.distinct} distinct",
            "",
            f"  characters a {self.measured}",
            *bars(ranges(self.lengths)),
            "",
            "  split",
            *self._shares(),
            *(f"    {textwrap.shorten(note, WIDTH - 4)}" for note in self.notes[:4]),
            "",
            f"  codec {self.codec}: {self.reason}",
            f"    {self.vocabulary:,} tokens{self._of()}, {self.characters_per_token:.2f} characters a token",
            f"    a document begins {' '.join(self.first_tokens[:1])} and goes on, token by token:",
            *textwrap.wrap(" ".join(self.first_tokens[1:]), WIDTH - 4, initial_indent="    ",
                           subsequent_indent="    ", max_lines=4, break_on_hyphens=False),
        ]  # fmt: skip
        return "\n".join(lines)

    def _of(self) -> str:
        whole = self.fitted == self.split["train"][1]
        return "" if whole else f" of the first {self.fitted:,} characters (a run reads all)"

    def _shares(self) -> Iterator[str]:
        total = max(self.characters, 1)
        for part, (documents, characters) in self.split.items():
            share = f"{100 * characters / total:4.1f} %"
            dealt = "" if self.cut else f"{documents:>8,} documents"
            yield f"    {part:<6}{dealt}{characters:>12,} characters  {share}"

    def __str__(self) -> str:
        return self.text()


class Sizes(NamedTuple):
    """One pass over the text: distinct characters, lengths of documents and of lines, bytes."""

    seen: set[str]
    documents: list[int]
    lines: Counter[int]
    bytes: int


def look(data: str, asked: Asked | None = None) -> Look:
    """Looks at a shipped name, a file, a folder or a glob as `train data=` would, with the codec and the shares of the
    parts that were `asked`. Raises UserError for bad input, and for keys about columns.
    """
    asked = asked or Asked()
    check_plain(asked, data)
    path = resolve(data)
    files, _ = files_of(path)
    sizes = _measure(records(path))
    dealt = split(records(path), fractions=asked.shares or GENERATE)
    kind, reason = (asked.codec, "asked for") if asked.codec != "auto" else choose(records(path), path)
    if kind not in CODECS:
        raise unknown("codec of plain text", kind, CODECS)
    texts = list(_training_texts(dealt.parts(records(path)), FITTED))
    codec = CODECS[kind]().fit(texts)
    sample = next(records(path))["text"]
    ids = codec.encode(sample)
    few = dealt.cuts is not None
    return Look(
        data=data,
        description=describe(path),
        files=len(files),
        documents=len(sizes.documents),
        characters=sum(sizes.documents),
        bytes=sizes.bytes,
        distinct=len(sizes.seen),
        measured="line" if few else "document",
        lengths=histogram(sizes.lines if few else Counter(sizes.documents)),
        split=_counted(dealt, records(path)),
        cut=few,
        duplicates=dealt.duplicates,
        notes=dealt.notes,
        codec=kind,
        reason=reason,
        fitted=sum(map(len, texts)),
        vocabulary=codec.size,
        characters_per_token=len(sample) / max(len(ids), 1),
        first_tokens=_shown(codec, [0, *ids[:SHOWN].tolist()]),
    )


def _measure(read: Iterator[Record]) -> Sizes:
    seen: set[str] = set()
    documents: list[int] = []
    lines: Counter[int] = Counter()
    size = 0
    for record in read:
        text = record["text"]
        seen.update(text)
        size += len(text.encode())
        lines.update(map(len, text.splitlines()))
        if record.get("continues"):
            documents[-1] += len(text)
        else:
            documents.append(len(text))
    return Sizes(seen, documents, lines, size)


def _training_texts(parts: Iterator[tuple[str, Record]], limit: int) -> Iterator[str]:
    """The training texts up to about `limit` characters."""
    taken = 0
    for part, record in parts:
        if part == "train":
            yield record["text"]
            taken += len(record["text"])
            if taken >= limit:
                return


def _counted(dealt: Split, read: Iterator[Record]) -> dict[str, tuple[int, int]]:
    found = {part: [0, 0] for part in PARTS}
    for part, record in dealt.parts(read):
        found[part][0] += not record.get("continues")
        found[part][1] += len(record["text"])
    return {part: (documents, characters) for part, (documents, characters) in found.items()}


def _shown(codec: Codec, ids: list[int]) -> list[str]:
    return [codec.token_text(number).translate(VISIBLE) for number in ids]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
