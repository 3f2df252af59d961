"""NumPy's `.npz` to records, without pickle and a block of rows at a time.

The first axis of every array is the rows: (N,) is a column of labels or numbers, (N, T) and (N, T, C) are series.
Arrays called x_train, y_train, x_test, ... carry a split.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from unrolled.datasets.values import Record, narrowed, renamed, renaming
from unrolled.errors import UserError

BLOCK = 1 << 20  # bytes read at a time from each array
BOMB_BYTES, BOMB_RATIO = 1 << 28, 1000  # an array that declares more of both is refused
LARGEST_FILE = 4_000_000_000  # bytes that the arrays of a packed file may declare
PART = re.compile(r"(.+)_(train|valid|val|test)", re.IGNORECASE)
PARTS = {"train": "train", "valid": "valid", "val": "valid", "test": "test"}


class Array(NamedTuple):
    """One array as its header declares it; `begin` is where its numbers start in the member."""

    name: str
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    begin: int


def read_npz(path: Path) -> Iterator[Record]:
    """`{"origin": "file:row", name: value}`: a text or number from (N,), float32 (T, 1) from (N, T), (T, C) from
    (N, T, C); `"split"` and `"file:train:row"` where the names carry a split. Rows are counted from 1.

    Raises UserError for a damaged or inflated archive, object arrays, and arrays that do not match.
    """
    _check_mark(path)
    try:
        with zipfile.ZipFile(path) as archive:
            notes: list[str] = []
            found = _arrays(path, archive, notes)
            for part, columns in _parts(path, found, notes).items():
                given = renamed(columns)
                notes += renaming(path.name, given)
                yield from _rows(path, archive, part, {given[n]: a for n, a in columns.items()}, notes)
    except UserError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{path}: a damaged .npz archive ({' '.join(str(error).split())[:160]}). Cut short? Write it again with "
            "numpy.savez."
        ) from None


def _check_mark(path: Path) -> None:
    if path.suffix.lower() == ".gz":
        raise UserError(f"{path}: an .npz is packed inside already. Unpack it first: gunzip {path.name}")
    try:
        with path.open("rb") as file:
            head = file.read(6)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}). Check the file's permissions."
        ) from error
    if not head:
        raise UserError(f"{path}: the file is empty (0 bytes). Check that it was written completely.")
    if head == b"\x93NUMPY":
        raise UserError(
            f"{path}: a single .npy array. Write it with its labels by numpy.savez(file, x=x, y=y)."
        )
    if not head.startswith(b"PK"):
        raise UserError(f"{path}: its first bytes are {head!r}: this is no .npz archive. Use numpy.savez.")


def _arrays(path: Path, archive: zipfile.ZipFile, notes: list[str]) -> list[Array]:
    """The arrays by their headers. Raises UserError with all that is wrong with them."""
    members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    left = [info.filename for info in archive.infolist() if info not in members]
    if not members:
        raise UserError(
            f"{path}: no .npy array inside (found {', '.join(left[:8]) or 'nothing'}). Use numpy.savez."
        )
    declared, packed = (sum(getattr(m, size) for m in members) for size in ("file_size", "compress_size"))
    if declared > LARGEST_FILE and declared > 10 * packed:
        raise UserError(
            f"{path}: declares {declared:,} bytes in {packed:,}: refused as a decompression bomb. Save it unpacked with "
            "numpy.savez."
        )
    found, wrong = [], []
    for info in members:
        try:
            array = _declared(archive, info)
        except ValueError as error:
            wrong.append(f"{path}: array {info.filename[:-4]!r}: {error}")
            continue
        if array.shape:
            found.append(array)
        else:
            left.append(f"{array.name} (a single value)")
    names = [info.filename for info in members]
    wrong += [f"{path}: array {n[:-4]!r} is there twice." for n in sorted(set(names)) if names.count(n) > 1]
    if not found and not wrong:
        wrong = [f"{path}: only single values inside ({', '.join(left)}). Expected rows."]
    if wrong:
        raise UserError("\n".join(wrong[:20]))
    if left:
        notes.append(f"{path.name}: left out {', '.join(left)}")
    return found


def _declared(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    """One array's header, checked against its size in the archive. Raises ValueError in words."""
    if info.file_size > BOMB_BYTES and info.file_size > BOMB_RATIO * max(1, info.compress_size):
        raise ValueError(
            f"declares {info.file_size:,} bytes in {info.compress_size:,}: refused as a decompression bomb."
        )
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version > (2, 0):
            raise ValueError(
                f"its format is {version}, a table of named fields. Save each field as an array."
            )
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(file)
        begin = file.tell()
    if dtype.hasobject:
        raise ValueError(
            "holds Python objects, which could run a program when read. Save numbers or texts: array.astype(float) "
            "or array.astype(str), rows of unequal length as JSON lines."
        )
    if dtype.kind not in "biufUSM":
        raise ValueError(f"holds {dtype}; expected numbers, booleans, texts or dates.")
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size != info.file_size - begin:
        raise ValueError(f"declares {size:,} bytes and holds {info.file_size - begin:,}: damaged.")
    if len(shape) > 3 or (len(shape) > 1 and dtype.kind == "M") or (len(shape) > 2 and dtype.kind in "US"):
        raise ValueError(
            f"has the shape {shape} of {dtype}; expected (rows,), (rows, T) or numbers (rows, T, C)."
        )
    return Array(info.filename[:-4], info.filename, shape, dtype, fortran, begin)


def _parts(path: Path, found: list[Array], notes: list[str]) -> dict[str, dict[str, Array]]:
    """Part of a given split (`""` without one) -> column -> array. Raises UserError where lengths or columns
    do not match.
    """
    split = {array.name: match for array in found if (match := PART.fullmatch(array.name))}
    parts: dict[str, dict[str, Array]] = {}
    for array in found:
        if match := split.get(array.name):
            parts.setdefault(PARTS[match[2].lower()], {})[match[1]] = array
        elif not split:
            parts.setdefault("", {})[array.name] = array
    if split and (left := [array.name for array in found if array.name not in split]):
        notes.append(f"{path.name}: left out {', '.join(left)}, which belong to no part of the split")
    wrong = []
    for part, columns in parts.items():
        if len({array.shape[0] for array in columns.values()}) > 1:
            shapes = ", ".join(f"{array.name} {array.shape}" for array in columns.values())
            wrong.append(f"{path}: unequal numbers of rows: {shapes}. Expected the same first axis.")
        elif any(array.shape[0] == 0 for array in columns.values()):
            wrong.append(f"{path}: no rows{' in ' + part if part else ''}. Expected at least one.")
    for one, other in pairwise(parts):
        first, second = ({name: a.shape[2:] for name, a in parts[part].items()} for part in (one, other))
        if first != second:
            wrong.append(
                f"{path}: {one} holds {_described(parts[one])}, {other} {_described(parts[other])}. Expected "
                "the same arrays in both."
            )
    if wrong:
        raise UserError("\n".join(wrong))
    return parts


def _described(columns: dict[str, Array]) -> str:
    return " and ".join(f"{array.name} {array.shape}" for array in columns.values())


def _rows(
    path: Path, archive: zipfile.ZipFile, part: str, columns: dict[str, Array], notes: list[str]
) -> Iterator[Record]:
    """The rows of one part, its arrays read side by side."""
    streams = [_values(archive, array) for array in columns.values()]
    for row, cells in enumerate(zip(*streams, strict=True), 1):
        record: Record = dict(zip(columns, cells, strict=True))
        record["origin"] = f"{path.name}:{part}:{row}" if part else f"{path.name}:{row}"
        if part:
            record["split"] = part
        if notes:
            record["notes"] = list(notes)
            notes.clear()
        yield record


def _values(archive: zipfile.ZipFile, array: Array) -> Iterator[Any]:
    """One array's rows as values of records."""
    with archive.open(array.member) as file:
        file.read(array.begin)
        for block in _blocks(file, array):
            if array.dtype.kind == "S":
                block = np.char.decode(block, "utf-8")
            elif array.dtype.kind == "M":
                block = np.datetime_as_string(block)
            if block.dtype.kind == "U" and block.ndim == 1:
                yield from (None if row in ("", "NaT") else row for row in block.tolist())
            elif block.ndim == 1 or block.dtype.kind == "U":
                yield from block.tolist()
            else:
                yield from narrowed(block if block.ndim == 3 else block[:, :, None])


def _blocks(file: IO[bytes], array: Array) -> Iterator[np.ndarray[Any, np.dtype[Any]]]:
    """Consecutive rows of about `BLOCK` bytes; an array in column order comes whole."""
    count, row_shape = array.shape[0], array.shape[1:]
    width = int(np.prod(row_shape)) * array.dtype.itemsize
    if array.fortran and row_shape:
        data = np.frombuffer(file.read(count * width), array.dtype)
        yield data.reshape(array.shape[::-1]).T
        return
    step = max(1, BLOCK // max(1, width))
    for begin in range(0, count, step):
        taken = min(step, count - begin)
        data = np.frombuffer(file.read(taken * width), array.dtype) if width else np.empty(0, array.dtype)
        yield data.reshape(taken, *row_shape)
