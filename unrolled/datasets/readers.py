"""Files to records: one dict a document, a piece of a long one, or a row of a table, with its origin. A reader
never fits anything and never guesses what a column means.

`records(path)` takes a file, a folder or a glob. A record holds `origin` (`file:line` or `file:row`), `notes`
when there is something to say aloud, and of a document `text` (exactly as in the file) and `continues` when it
goes on with the document of the record before; of a table its columns, and `split` where the file gives one.
"""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from unrolled.datasets.arrays import read_npz
from unrolled.datasets.decoding import PIECE, SHOWN, EmptyFile, decoded
from unrolled.datasets.jsonlines import read_jsonlines
from unrolled.datasets.parquet import read_parquet
from unrolled.datasets.tables import read_csv, read_tsv
from unrolled.datasets.uea import read_ts
from unrolled.datasets.values import Record as Record
from unrolled.errors import UserError, nearest

TUNE = re.compile(r"(?:\A|(?<=[\r\n]))X:")
ABOUT = re.compile(r"readme|licen[cs]e|copying|notice|citation|changelog|authors", re.IGNORECASE)
TEXT = (".txt", ".md", ".abc")
WILD = re.compile(r"[*?\[]")


class Reader(NamedTuple):
    """One kind of file: what its records are, in words, the function that reads them, and the family whose
    records may stand together in one data set.
    """

    says: str
    read: Callable[[Path], Iterator[Record]]
    family: str = "text"


def records(path: Path) -> Iterator[Record]:
    """The records of a file, a folder (its texts or else its tables, recursively) or a glob, files in sorted order.

    Raises UserError for what is missing, empty, binary or not UTF-8; a folder's bad files are listed
    together.
    """
    files, notes = files_of(path)
    problems: list[str] = []
    held: Record | None = None  # one behind, so that the last can tell what was left out after it
    folder = path.is_dir()
    for file in files:
        nested = folder and file.parent != path
        try:
            for record in reader_of(file).read(file):
                if problems:
                    continue  # the read goes on only to find the other bad files
                if nested:
                    record["origin"] = f"{file.parent.relative_to(path).as_posix()}/{record['origin']}"
                if notes:
                    record["notes"], notes = notes + record.get("notes", []), []
                if held is not None:
                    yield held
                held = record
        except EmptyFile:
            if len(files) == 1:
                raise
            notes.append(f"{file.name}: empty, left out")
        except UserError as error:
            problems.append(str(error))
        if len(problems) == SHOWN:
            break
    if problems:
        raise UserError("\n".join(problems))
    if held is None:
        raise UserError(f"{path}: all {len(files)} files are empty. Expected text.")
    if notes:
        held["notes"] = held.get("notes", []) + notes
    yield held


def files_of(path: Path) -> tuple[list[Path], list[str]]:
    """The files that a path, folder or glob stands for, sorted, and what was left out, in words."""
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*")) if p.is_file() and not _hidden(p.relative_to(path))]
        readable = _family(path, [p for p in found if kind_of(p) in READERS])
        if not readable:
            kinds = (
                ", ".join(f"{n} {kind or 'without suffix'}" for kind, n in _kinds(found)) or "no files at all"
            )
            raise UserError(
                f"{path}: no text and no table in this folder (found {kinds}). Expected files ending in "
                f"{_suffixes()}."
            )
        left = _kinds([p for p in found if p not in set(readable)])
        notes = [f"{path.name}: left out " + ", ".join(f"{n} {kind or 'without suffix'}" for kind, n in left)]
        return readable, notes if left else []
    if not path.exists() and WILD.search(str(path)):
        matched = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
        if not matched:
            raise UserError(
                f"{path}: no file matches this pattern. Put it in quotes, and check the folder before it."
            )
        families = {reader_of(file).family for file in matched}
        if len(families) > 1:
            raise _mixed(path, matched)
        return matched, []
    if not path.exists():
        raise missing(path)
    if not path.is_file():
        raise UserError(
            f"{path}: a pipe or a device, which can be read only once. Expected a plain file: save the text to one."
        )
    return [path], []


def _family(path: Path, found: list[Path]) -> list[Path]:
    """Of a folder's readable files those that make one data set: its texts, unless they only explain tables that
    lie beside them. Raises UserError for tables of several kinds.
    """
    families: dict[str, list[Path]] = {}
    for file in found:
        families.setdefault(READERS[kind_of(file)].family, []).append(file)
    texts = families.pop("text", [])
    if not families or not all(ABOUT.match(file.name) for file in texts):
        return texts
    if len(families) > 1:
        raise _mixed(path, [file for files in families.values() for file in files])
    return next(iter(families.values()))


def _mixed(path: Path, files: list[Path]) -> UserError:
    kinds = ", ".join(f"{n} {kind}" for kind, n in _kinds(files))
    folder = path if path.is_dir() else path.parent
    return UserError(
        f"{path}: files of several kinds ({kinds}), which make no one data set. Name one kind by a pattern in quotes: "
        + " or ".join(f"'{folder}/*{kind}*'" for kind, _ in _kinds(files)[:3])
    )


def missing(path: Path) -> UserError:
    """The error for a path that isn't there, with the names beside it that come nearest."""
    if path.is_symlink():
        return UserError(
            f"{path}: a link to {path.readlink()}, which is not there. Check where it should lead."
        )
    folder = path.parent
    if not folder.is_dir():
        return UserError(f"{path}: no such file, and no folder {folder} either. Check the path.")
    guess = nearest(path.name, [p.name for p in folder.iterdir() if not p.name.startswith(".")])
    hint = f" Did you mean {folder / guess}?" if guess else f" {folder.resolve()} holds no name like it."
    return UserError(f"{path}: no such file or folder.{hint}")


def kind_of(path: Path) -> str:
    """The suffix that decides the reader, lower case, without a closing `.gz`."""
    return Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def reader_of(path: Path) -> Reader:
    """The reader of this file's kind. Raises UserError for a suffix that isn't in `READERS`."""
    kind = kind_of(path)
    if kind not in READERS:
        named = f"files ending in {kind!r}" if kind else "files without a suffix"
        beside = sorted(
            other.name for other in path.parent.glob(f"{path.name.split('.')[0]}.*") if other.name != path.name
        )
        both = (
            f" If {beside[0]} is the other side of it, line by line, name both: data={path},{path.with_name(beside[0])}"
            if beside
            else ""
        )
        raise UserError(
            f"{path}: {named} have no reader. Known: {_suffixes()} (text also .gz). If it is plain text, rename "
            f"it to .txt.{both}"
        )
    return READERS[kind]


def describe(path: Path) -> str:
    """What stands at the path and how it is read, in one line."""
    files, _ = files_of(path)
    says = " and ".join(sorted({reader_of(file).says for file in files}))
    return f"{path.name}: {says}" if len(files) == 1 else f"{path.name}: {len(files)} files, {says}"


def read_plain(path: Path) -> Iterator[Record]:
    """One document a file, in pieces of about `PIECE` characters, cut at a line's end where there is one."""
    notes: list[str] = []
    held, line, first = "", 1, True
    for text in decoded(path, notes):
        held += text
        if len(held) < PIECE:
            continue
        cut = held.rfind("\n") + 1 or len(held)
        yield _record(path, line, held[:cut], notes, continues=not first)
        line, held, first, notes = line + held.count("\n", 0, cut), held[cut:], False, []
    if first and not held.strip():
        raise _blank(path)
    if held:
        yield _record(path, line, held, notes, continues=not first)


def read_abc(path: Path) -> Iterator[Record]:
    """One tune a record: from its `X:` line up to the next one, blank lines included, so that the records
    joined are the file. What stands before the first `X:` belongs to the first tune.
    """
    notes: list[str] = []
    held, line, inside = "", 1, False
    for text in decoded(path, notes):
        held += text
        starts = [match.start() for match in TUNE.finditer(held)]
        if not inside:
            if not starts and len(held) >= PIECE:
                raise _no_tune(path)
            starts, inside = starts[1:], bool(starts)
        begin = 0
        for end in (s for s in starts if s > 0):
            yield _record(path, line, held[begin:end], notes)
            line, begin, notes = line + held.count("\n", begin, end), end, []
        held = held[begin:]
    if not inside:
        raise _no_tune(path) if held.strip() else _blank(path)
    yield _record(path, line, held, notes)


def _blank(path: Path) -> EmptyFile:
    return EmptyFile(f"{path}: the file is empty but for white space. Expected text.")


def _no_tune(path: Path) -> UserError:
    return UserError(
        f"{path}:1: no line begins with 'X:'. Expected ABC notation, where each tune starts with a line such "
        "as X:1. To read it as plain text, rename it to .txt."
    )


def _record(path: Path, line: int, text: str, notes: list[str], continues: bool = False) -> Record:
    record: Record = {"text": text, "origin": f"{path.name}:{line}"}
    if continues:
        record["continues"] = True
    if notes:
        record["notes"] = list(notes)
    return record


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _kinds(files: list[Path]) -> list[tuple[str, int]]:
    return sorted(Counter(kind_of(file) for file in files).items())


def _suffixes() -> str:
    return ", ".join(READERS)


READERS: dict[str, Reader] = {
    ".txt": Reader("plain text, a file is a document", read_plain),
    ".md": Reader("plain text, a file is a document", read_plain),
    ".abc": Reader("music in ABC notation, a tune is a document", read_abc),
    ".csv": Reader("a table, a row is a record", read_csv, "table"),
    ".tsv": Reader("a table, a row is a record", read_tsv, "table"),
    ".jsonl": Reader("JSON lines, an object is a record", read_jsonlines, "jsonl"),
    ".ndjson": Reader("JSON lines, an object is a record", read_jsonlines, "jsonl"),
    ".parquet": Reader("a Parquet table, a row is a record", read_parquet, "parquet"),
    ".ts": Reader("labelled series (.ts), a line is a record", read_ts, "ts"),
    ".npz": Reader("NumPy arrays, a row is a record", read_npz, "npz"),
}
