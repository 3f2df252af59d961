"""A .gguf file as it lies: its header is read and checked before anything is allocated, and a tensor becomes floating
numbers when it is asked for. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import MissingExtra, UserError
from unrolled.transfer.tensors import Entry, Tensors

VERSIONS = (2, 3)
ALIGNMENT = 32  # bytes, unless the file says another
DIMENSIONS = 4  # of a tensor, at most
LEAST = 24  # bytes that the declaration of one tensor takes
# Kinds of a value: struct's letter of the plain ones, by their number in the file.
PLAIN = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
TEXT, LIST = 8, 9
FLOATS = {"F32": np.float32, "F16": np.float16, "F64": np.float64}
AGAIN = "It was cut short or damaged: fetch it again."


class Place(NamedTuple):
    """Where a tensor's bytes lie in the file."""

    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file declares: `told`, its keys and values; of each tensor what it is and where."""

    told: dict[str, Any]
    entries: dict[str, Entry]
    places: dict[str, Place]


class _Cursor:
    """Goes through a file's bytes and never past their end."""

    def __init__(self, file: Path, data: mmap.mmap) -> None:
        self.file, self.data, self.at = file, data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def room(self, wanted: int, what: str) -> None:
        """Raises UserError where fewer bytes are left than `what` claims."""
        if wanted > self.left:
            raise UserError(
                f"{self.file}: {what} claims {wanted:,} bytes and {self.left:,} are left. {AGAIN}"
            )

    def plain(self, kind: str) -> Any:
        size = struct.calcsize("<" + kind)
        self.room(size, f"the header, at byte {self.at:,},")
        (value,) = struct.unpack_from("<" + kind, self.data, self.at)
        self.at += size
        return value

    def text(self, what: str) -> str:
        length = self.plain("Q")
        self.room(length, what)
        found = self.data[self.at : self.at + length]
        self.at += length
        try:
            return found.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{self.file}: {what} isn't UTF-8 ({error}). {AGAIN}") from error

    def value(self, key: str) -> Any:
        kind = self.plain("I")
        if kind == LIST:
            return self.list(key)
        return self.one(kind, key)

    def one(self, kind: int, key: str) -> Any:
        if kind == TEXT:
            return self.text(key)
        if kind not in PLAIN:
            raise UserError(f"{self.file}: {key} is of kind {kind}, which no value is. {AGAIN}")
        return self.plain(PLAIN[kind])

    def list(self, key: str) -> list[Any]:
        kind, count = self.plain("I"), self.plain("Q")
        if kind == TEXT:
            self.room(8 * count, f"{key}, a list of {count:,} texts,")
            return [self.text(key) for _ in range(count)]
        if kind not in PLAIN:
            raise UserError(
                f"{self.file}: {key} is a list of kind {kind}; lists hold numbers or texts. {AGAIN}"
            )
        letter = PLAIN[kind]
        size = count * struct.calcsize("<" + letter)
        self.room(size, f"{key}, a list of {count:,} numbers,")
        found = np.frombuffer(self.data, np.dtype(letter).newbyteorder("<"), count, self.at).tolist()
        self.at += size
        return list(found)


def header(file: Path) -> Header:
    """What a .gguf file declares. Raises UserError for a file that isn't one, or whose keys or tensors don't fit its size,
    stand twice, or overlap; MissingExtra where the package that knows its quantised types isn't installed.
    """
    sizes = _sizes()
    with _mapped(file) as data:
        cursor = _Cursor(file, data)
        cursor.at = 4
        version = cursor.plain("I")
        if version not in VERSIONS:
            order = " It is of a machine of the other byte order." if version & 65535 == 0 else ""
            raise UserError(f"{file}: GGUF of version {version}; read are {VERSIONS}.{order}")
        tensors, keys = cursor.plain("Q"), cursor.plain("Q")
        told: dict[str, Any] = {}
        for _ in range(keys):
            key = cursor.text("the name of a key")
            if key in told:
                raise UserError(f"{file}: names the key {key!r} twice. {AGAIN}")
            told[key] = cursor.value(key)
        cursor.room(LEAST * tensors, f"the list of {tensors:,} tensors")
        declared = [_declared(cursor, sizes) for _ in range(tensors)]
        alignment = told.get("general.alignment", ALIGNMENT)
        if type(alignment) is not int or alignment < 1:
            raise UserError(f"{file}: general.alignment is {alignment!r}; expected a whole number. {AGAIN}")
        begin = cursor.at + -cursor.at % alignment
        return _placed(file, told, declared, begin, len(data))


def _mapped(file: Path) -> mmap.mmap:
    try:
        with file.open("rb") as opened:
            if opened.read(4) != b"GGUF":
                raise UserError(f"{file}: not a GGUF file: it doesn't begin with GGUF.")
            return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror}).") from error


def _declared(cursor: _Cursor, sizes: dict[int, tuple[str, int, int]]) -> tuple[str, Entry, int, int]:
    """One tensor: name, what it is, where it begins, and bytes."""
    name = cursor.text("the name of a tensor")
    count = cursor.plain("I")
    if not 1 <= count <= DIMENSIONS:
        raise UserError(
            f"{cursor.file}: {name} has {count} dimensions; at most {DIMENSIONS} are known. {AGAIN}"
        )
    shape = tuple(cursor.plain("Q") for _ in range(count))[::-1]  # theirs begins with the innermost
    kind, begin = cursor.plain("I"), cursor.plain("Q")
    if kind not in sizes:
        raise UserError(f"{cursor.file}: {name} is kept as type {kind}, which isn't known.")
    dtype, block, size = sizes[kind]
    if shape[-1] % block:
        raise UserError(
            f"{cursor.file}: {name} {shape} is kept as {dtype}, whose rows come in blocks of {block}. {AGAIN}"
        )
    return name, Entry(cursor.file, dtype, shape), begin, prod(shape) // block * size


def _placed(
    file: Path, told: dict[str, Any], declared: list[tuple[str, Entry, int, int]], begin: int, held: int
) -> Header:
    places: dict[str, Place] = {}
    for name, entry, offset, size in declared:
        if name in places:
            raise UserError(f"{file}: names the tensor {name!r} twice. {AGAIN}")
        places[name] = place = Place(begin + offset, begin + offset + size)
        if place.end > held:
            raise UserError(
                f"{file}: {name} is declared as {entry.dtype} {entry.shape}, bytes {place.begin:,} to {place.end:,}, and "
                f"the file has {held:,}. {AGAIN}"
            )
    before = begin
    for name, place in sorted(places.items(), key=lambda item: item[1]):
        if place.begin < before:
            raise UserError(f"{file}: {name} overlaps the tensor before it. {AGAIN}")
        before = place.end
    return Header(told, {name: entry for name, entry, _, _ in declared}, places)


class Quantised(Tensors):
    """The tensors of a .gguf file by name; `read` gives them as floating numbers."""

    def __init__(self, file: Path) -> None:
        self.folder, self.header = file, header(file)
        self._entries = self.header.entries

    def read(self, name: str, dtype: torch.dtype | None = torch.float32) -> Tensor:
        """One tensor, in `dtype`; None: in float32, or as it is kept where that is floating numbers. Raises UserError for
        a type that can't be made floating numbers.
        """
        entry, place = self[name], self.header.places[name]
        with _mapped(entry.file) as data:
            kept = np.frombuffer(data[place.begin : place.end], np.uint8)
        if entry.dtype in FLOATS:
            value = torch.from_numpy(kept.view(FLOATS[entry.dtype]).reshape(entry.shape).copy())
        else:
            value = torch.from_numpy(_dequantised(entry, kept.reshape(*entry.shape[:-1], -1), name))
        return value if dtype is None else value.to(dtype)


def _dequantised(entry: Entry, kept: np.ndarray, name: str) -> np.ndarray:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    try:
        value: np.ndarray = dequantize(kept, GGMLQuantizationType[entry.dtype])
    except NotImplementedError as error:
        raise UserError(
            f"{entry.file}: {name} is kept as {entry.dtype}, which can't be read here ({error})."
        ) from error
    return value


def _sizes() -> dict[int, tuple[str, int, int]]:
    """By its number in the file: a type's name, the numbers of a block, and the bytes of a block."""
    try:
        from gguf import GGML_QUANT_SIZES
    except ImportError as error:
        raise MissingExtra("gguf", "gguf", "Reading a .gguf file") from error
    return {int(kind): (kind.name, int(block), int(size)) for kind, (block, size) in GGML_QUANT_SIZES.items()}


class Changed(Tensors):
    """Tensors of a file under other names; `changes`: what is done to one of them once it is read."""

    def __init__(
        self, tensors: Tensors, names: dict[str, str], changes: Mapping[str, Callable[[Tensor], Tensor]]
    ) -> None:
        self.folder, self._tensors, self._names, self._changes = tensors.folder, tensors, names, changes
        self._entries = {new: tensors[old] for new, old in names.items()}

    def read(self, name: str, dtype: torch.dtype | None = torch.float32) -> Tensor:
        """One tensor by its new name."""
        value = self._tensors.read(self._names[name], dtype)
        return self._changes[name](value) if name in self._changes else value
