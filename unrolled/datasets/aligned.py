"""Texts in files line by line: line n of one file belongs to line n of the other. Two files named with a comma between,
or a folder or glob with a file of each side for every part: train.en, train.de, val.en, val.de, test.en, test.de.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from unrolled.datasets.decoding import EmptyFile, lines
from unrolled.datasets.folders import PARTS
from unrolled.datasets.media import column_of
from unrolled.datasets.problems import Problems
from unrolled.datasets.readers import ABOUT, READERS, TEXT, WILD, kind_of, missing
from unrolled.datasets.values import RESERVED, Record
from unrolled.errors import UserError

SPLIT = "split"
SIDES = ("source", "target")  # the columns of two files whose names don't tell them apart


@dataclass(frozen=True)
class Bundle:
    """The files of one part: column -> file. `part` is empty where their name says none."""

    part: str
    files: dict[str, Path]


def two_files(data: str) -> Path | None:
    """The path that stands for two files named with a comma between; None for any other data.

    Raises UserError where one of the two isn't there, or where more are named.
    """
    if "," not in data or Path(data).expanduser().exists():
        return None
    paths = [Path(name.strip()).expanduser() for name in data.split(",")]
    here = [path for path in paths if path.is_file()]
    if not here:
        return None
    if gone := [path for path in paths if path not in here]:
        raise missing(gone[0])
    if len(paths) != 2:
        raise UserError(
            f"data={data}: {len(paths)} files. Expected two, line by line: data=train.en,train.de"
        )
    return Path(",".join(map(str, paths)))


def line_aligned(path: Path) -> list[Bundle] | None:
    """The parts that a path stands for, or None where it names no line-aligned files. Raises UserError, all together, for
    files without a partner.
    """
    if "," in str(path) and not path.exists():
        first, second = (Path(name) for name in str(path).split(",", 1))
        return [Bundle("", dict(zip(_sides(first, second), (first, second), strict=True)))]
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if file.is_file() and not file.name.startswith(".")]
    elif not path.exists() and WILD.search(str(path)):
        found = [Path(name) for name in sorted(glob.glob(str(path))) if Path(name).is_file()]
    else:
        return None
    if any(kind_of(file) in READERS and not ABOUT.match(file.name) for file in found):
        return None
    sides: dict[Path, dict[str, Path]] = {}
    for file in found:
        if kind_of(file) and kind_of(file) not in READERS and not column_of(file.name):
            sides.setdefault(_stem(file), {})[_side(file)] = file
    if not any(len(files) > 1 for files in sides.values()):
        return None
    problems = Problems()
    names = {side for files in sides.values() for side in files}
    for stem, files in sides.items():
        if len(files) == 1:
            (side, file), others = next(iter(files.items())), sorted(names - {*files})
            partners = " or ".join(f"{stem.name}.{other}" for other in others)
            problems.add(f"{file}: only the side {side!r} is here. Expected {partners} beside it.")
    problems.settle()
    return [Bundle(PARTS.get(_first(stem), ""), files) for stem, files in sides.items()]


def aligned_records(bundles: list[Bundle]) -> Iterator[Record]:
    """A record a line: a text a column (None of a blank line), `split` where the files' names say parts, both train and
    test among them, `origin` of the first column's line. Raises UserError, all together, for files of unequal numbers of
    lines and for empty ones.
    """
    problems = Problems()
    names = list(dict.fromkeys(side for bundle in bundles for side in bundle.files))
    named = {bundle.part for bundle in bundles}
    parted = named >= {"train", "test"}  # unless some are for the test, all rows are dealt
    notes = _told(bundles, parted) if named != {""} else []
    for bundle in bundles:
        files = list(bundle.files.values())
        counts = [0] * len(files)
        sources = [_texts(file, notes, problems) for file in files]
        for number, texts in enumerate(zip_longest(*sources), 1):
            counts = [number if text is not None else n for n, text in zip(counts, texts, strict=True)]
            if problems.found or None in texts:
                continue
            record: Record = dict.fromkeys(names)
            record |= {side: text or None for side, text in zip(bundle.files, texts, strict=True)}
            if parted:
                record[SPLIT] = bundle.part or "train"
            record["origin"] = f"{files[0].name}:{number}"
            if notes:
                record["notes"], notes = notes, []
            yield record
        if len({*counts}) > 1 and all(counts):  # of an empty file that is said already
            shortest = min(range(len(files)), key=counts.__getitem__)
            said = ", ".join(f"{file.name} has {count:,}" for file, count in zip(files, counts, strict=True))
            problems.add(
                f"{files[shortest]}:{counts[shortest]}: it ends here, and the other side goes on: {said} lines. Line n of "
                "one belongs to line n of the other, so both need as many."
            )
    problems.settle()


def aligned_files(bundles: list[Bundle]) -> list[Path]:
    """Every file, part by part."""
    return [file for bundle in bundles for file in bundle.files.values()]


def _texts(file: Path, notes: list[str], problems: Problems) -> Iterator[str]:
    """The lines without their ends; of a file without any a problem."""
    try:
        for line in lines(file, notes):
            yield line.strip()
    except EmptyFile as error:
        problems.add(str(error))


def _told(bundles: list[Bundle], parted: bool) -> list[str]:
    """Which files are which part, and whether that holds."""
    stems = {part: [_stem(next(iter(b.files.values()))).name for b in bundles if (b.part or "train") == part]
             for part in ("train", "valid", "test")}  # fmt: skip
    said = "; ".join(f"{k} = {', '.join(v)}" for k, v in stems.items() if v)
    if parted:
        return [f"parts by the files' names: {said}"]
    return [f"files named as parts, but not both train and test ({said}): all their rows are dealt anew"]


def _sides(first: Path, second: Path) -> tuple[str, str]:
    """The columns' names: what the files' names don't share."""
    for names in ((_side(first), _side(second)), (_stem(first).name, _stem(second).name)):
        plain = all(name and f".{name}" not in TEXT and name not in RESERVED for name in names)
        if plain and names[0] != names[1]:
            return names
    return SIDES[0], SIDES[1]


def _side(file: Path) -> str:
    return kind_of(file).removeprefix(".")


def _stem(file: Path) -> Path:
    return file.with_suffix("").with_suffix("") if file.suffix.lower() == ".gz" else file.with_suffix("")


def _first(stem: Path) -> str:
    """How the name begins, up to the first full stop, hyphen or underscore."""
    return stem.name.lower().replace("-", "_").replace(".", "_").split("_")[0]
