"""The records of the named sets: one function a kind, in a closed table. Everything streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

from unrolled.datasets import samples, synthetic, synthetic_pairs
from unrolled.datasets.archives import members
from unrolled.datasets.decoding import lines
from unrolled.datasets.holdings import located
from unrolled.datasets.idx import read_idx_pair
from unrolled.datasets.media import MediaFile
from unrolled.datasets.sets import DataSet
from unrolled.datasets.tables import read_csv
from unrolled.datasets.uea import read_ts
from unrolled.datasets.values import Record
from unrolled.errors import UserError

SPOKEN = re.compile(r"(?:.*/)?recordings/(([0-9])_([a-z]+)_([0-9]+)\.wav)")
OFFICIAL = (
    5  # takes 0 to 4 of each speaker and digit are the Free Spoken Digit Dataset's test (its README, "Usage")
)
PARTS = ("train", "valid", "test")
CONSONANT = "-"

Files = Mapping[str, Path]


def named_records(wanted: DataSet) -> Iterator[Record]:
    """Its records. Raises UserError where its files aren't here, or aren't the ones that are meant."""
    return RECORDS[wanted.records](wanted, located(wanted))


def set_files(wanted: DataSet) -> list[Path]:
    """The files whose content is the set: those it consists of, or what it is made from."""
    if not wanted.generated:
        return list(located(wanted).values())
    shipped = wanted.options.get("shipped")
    return [samples.FOLDER / shipped] if shipped else [wanted.path]


def _ball(wanted: DataSet, files: Files) -> Iterator[Record]:
    return synthetic.ball(wanted.options["count"], wanted.options["seed"])


def _letters(wanted: DataSet, files: Files) -> Iterator[Record]:
    return synthetic_pairs.letters(**wanted.options)


def _dates(wanted: DataSet, files: Files) -> Iterator[Record]:
    return synthetic_pairs.dates(**wanted.options)


def _pronunciations(wanted: DataSet, files: Files) -> Iterator[Record]:
    """`word`, `phones` without stress, with spaces between, and `split`, by hash of the word: the number n of
    `synthetic_pairs.share_of` is 0 modulo the option `test` in the test, 1 modulo `valid` in the validation part.
    """
    test, valid = wanted.options["test"], wanted.options["valid"]
    for row in _stress(wanted, files):
        word = row["word"]
        held = synthetic_pairs.share_of(word, test) == 0
        part = "test" if held else "valid" if synthetic_pairs.share_of(word, valid) == 1 else "train"
        yield {"word": word, "phones": " ".join(row["phones"]), "split": part, "origin": row["origin"]}


def _stress(wanted: DataSet, files: Files) -> Iterator[Record]:
    """`word`, `phones` without their digits, and `stress`: 1 primary, 2 secondary, 0 none, - for a consonant."""
    path = samples.FOLDER / wanted.options["shipped"]
    known: dict[str, tuple[str, str]] = {}  # so that 126,052 words share 69 symbols
    for number, line in enumerate(lines(path, []), 1):
        word, _, said = line.rstrip("\r\n").partition("\t")
        pairs = [known.setdefault(symbol, _stressed(symbol)) for symbol in said.split()]
        if not pairs:
            raise UserError(
                f"{path}:{number}: {word!r} has no phones. Expected a word, a tab and its phones."
            )
        yield {
            "word": word, "phones": [phone for phone, _ in pairs], "stress": [mark for _, mark in pairs],
            "origin": f"{path.name}:{number}",
        }  # fmt: skip


def _stressed(symbol: str) -> tuple[str, str]:
    """`AW1` -> AW, 1; `T` -> T, -."""
    return (symbol[:-1], symbol[-1]) if symbol[-1] in "012" else (symbol, CONSONANT)


def _spoken(wanted: DataSet, files: Files) -> Iterator[Record]:
    """`sound`, `label` (the digit), `speaker`, by file name, and `split`: the official one, or by the option `test`, the
    speakers whose every recording is for the test.
    """
    (path,) = files.values()
    held_out = wanted.options.get("test", ())
    names, _ = members(path)
    found = sorted((match for name in names if (match := SPOKEN.fullmatch(name))), key=lambda match: match[1])
    for match in found:
        tested = match[3] in held_out if held_out else int(match[4]) < OFFICIAL
        yield {
            "sound": MediaFile(path, match[0]), "label": match[2], "speaker": match[3],
            "split": "test" if tested else "train", "origin": match[1],
        }  # fmt: skip


def _idx(wanted: DataSet, files: Files) -> Iterator[Record]:
    """`image`, `label` and the given `split`."""
    for part, stem in _parts(wanted):
        images, labels = (files[f"{stem}-{kind}-ubyte.gz"] for kind in ("images-idx3", "labels-idx1"))
        for record in read_idx_pair(images, labels):
            yield record | {"split": part}


def _ts(wanted: DataSet, files: Files) -> Iterator[Record]:
    """`series`, `label` and the given `split`, which the files' names say."""
    for path in files.values():
        yield from read_ts(path)


def _table(wanted: DataSet, files: Files) -> Iterator[Record]:
    (path,) = files.values()
    return read_csv(path)


def _columns(wanted: DataSet, files: Files) -> Iterator[Record]:
    """The rows of a table without names; where there is the option `count`, the number of each, from 0, as that column."""
    (path,) = files.values() or set_files(wanted)
    between, count = "\t" if ".tsv" in path.suffixes else ",", wanted.options.get("count")
    for number, line in enumerate(lines(path, [])):
        row = _row(wanted, line.rstrip("\r\n").split(between), f"{path.name}:{number + 1}")
        yield {count: str(number), **row} if count else row


def _pairs(wanted: DataSet, files: Files) -> Iterator[Record]:
    """Two texts a line, and the `split` by blocks of lines."""
    (path,) = files.values()
    block, every = wanted.options["block"], wanted.options["every"]
    for number, line in enumerate(lines(path, [])):
        part = {0: "test", 1: "valid"}.get(number // block % every, "train")
        row = _row(wanted, line.rstrip("\r\n").split("\t"), f"{path.name}:{number + 1}")
        yield row | {"split": part}


def _parallel(wanted: DataSet, files: Files) -> Iterator[Record]:
    """A text of each language, a file a language and part, line by line."""
    columns = wanted.options["columns"]
    for part, stem in _parts(wanted):
        paths = [files[f"{stem}.{column}.gz"] for column in columns]
        for number, texts in enumerate(zip_longest(*(lines(path, []) for path in paths)), 1):
            where = f"{paths[0].name}:{number}"
            if None in texts:
                raise UserError(
                    f"{where}: {paths[0].name} and {paths[1].name} have unequal numbers of lines."
                )
            yield _row(wanted, [text.rstrip("\r\n") for text in texts], where) | {"split": part}


def _parts(wanted: DataSet) -> Iterator[tuple[str, str]]:
    """(part, how its files' names begin) of the parts that the set has."""
    return ((part, wanted.options[part]) for part in PARTS if part in wanted.options)


def _row(wanted: DataSet, cells: list[str], where: str) -> Record:
    columns = wanted.options["columns"]
    if len(cells) != len(columns):
        raise UserError(
            f"{where}: {len(cells)} cells where {len(columns)} were expected ({', '.join(columns)})."
        )
    return {**dict(zip(columns, cells, strict=True)), "origin": where}


RECORDS: dict[str, Callable[[DataSet, Files], Iterator[Record]]] = {
    "ball": _ball,
    "letters": _letters,
    "dates": _dates,
    "pronunciations": _pronunciations,
    "stress": _stress,
    "spoken": _spoken,
    "idx": _idx,
    "ts": _ts,
    "table": _table,
    "columns": _columns,
    "pairs": _pairs,
    "parallel": _parallel,
}
