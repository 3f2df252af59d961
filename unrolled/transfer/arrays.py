"""A .npz file as it lies: named arrays in a zip archive. What each declares is read and checked before it is unpacked, and
nothing in it is run.
"""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path

import torch
from numpy.lib import format as npy
from torch import Tensor

from unrolled.errors import UserError
from unrolled.transfer.tensors import Entry, Tensors

KEPT = {"float16": "F16", "float32": "F32", "float64": "F64"}
AGAIN = "It was cut short or damaged: fetch it again."


class Arrays(Tensors):
    """The arrays of a .npz file by name. Raises UserError, naming the file, for a damaged one, and for arrays of anything
    but floating numbers.
    """

    def __init__(self, file: Path) -> None:
        self.folder = file
        self._entries: dict[str, Entry] = {}
        try:
            with zipfile.ZipFile(file) as archive:
                for member in archive.infolist():
                    name = member.filename.removesuffix(".npy")
                    if name in self._entries:
                        raise UserError(f"{file}: names the array {name!r} twice. {AGAIN}")
                    self._entries[name] = _declared(file, archive, member)
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{file}: not an archive of arrays ({error}). {AGAIN}") from error

    def read(self, name: str, dtype: torch.dtype | None = torch.float32) -> Tensor:
        """One array, in `dtype`; None: as it is kept."""
        try:
            with zipfile.ZipFile(self.folder) as archive, archive.open(f"{name}.npy") as opened:
                value = torch.from_numpy(npy.read_array(opened, allow_pickle=False))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{self.folder}: {name} can't be read ({error}). {AGAIN}") from error
        return value if dtype is None else value.to(dtype)


def _declared(file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Entry:
    with archive.open(member) as opened:
        version = npy.read_magic(opened)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise UserError(f"{file}: {member.filename} is of version {version}; 1.0 and 2.0 are read.")
        shape, _, dtype = read(opened)
        header = opened.tell()
    if dtype.name not in KEPT or dtype.hasobject:
        raise UserError(
            f"{file}: {member.filename} holds {dtype}; weights are floating numbers, and objects, which are programs, are "
            "not opened."
        )
    wanted = prod(shape) * dtype.itemsize
    if member.file_size - header != wanted:
        raise UserError(
            f"{file}: {member.filename} is declared as {dtype} {shape}, {wanted:,} bytes, and has "
            f"{member.file_size - header:,}. {AGAIN}"
        )
    return Entry(file, KEPT[dtype.name], tuple(shape))
