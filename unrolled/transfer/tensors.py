"""A folder's weights as they lie in `*.safetensors`, one file or several: the header is read and checked before anything is
allocated, and a tensor is read when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unrolled.errors import UserError

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
HEADER = 100_000_000  # bytes: what the format allows a header
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "I32": 32, "U32": 32, "I64": 64, "U64": 64,
    "F8_E4M3": 8, "F8_E5M2": 8, "F16": 16, "BF16": 16, "F32": 32, "F64": 64,
}  # fmt: skip
WEIGHTS = ("F16", "BF16", "F32", "F64")  # what can be read as weights
PROGRAMS = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
CONVERT = (
    "It is a pickle, which can run programs when it is opened, so it isn't. Where you trust it, convert it once: "
    "python -c \"import sys, torch, safetensors.torch as s; w = torch.load(sys.argv[1], map_location='cpu', "
    "weights_only=True); w = w.get('model_state') or w.get('state_dict') or w; "
    's.save_file({k: v.clone().contiguous() for k, v in w.items()}, sys.argv[2])" {name} {to}'
)


@dataclass(frozen=True)
class Entry:
    """One tensor as its file's header declares it."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


class Tensors(Mapping[str, Entry]):
    """The tensors of a folder by name. Raises UserError, naming the file, for a folder without weights or with damaged
    ones.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[str, Entry] = {}
        self._open: dict[Path, Any] = {}
        for file, names in _files(folder).items():
            found = header(file)
            if names is not None:
                _agree(folder / INDEX, file, names, set(found))
            self._entries |= found

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, name: str, dtype: torch.dtype | None = torch.float32) -> Tensor:
        """One tensor, in `dtype`; None: as it is kept. Raises UserError for what isn't floating numbers."""
        entry = self[name]
        if entry.dtype not in WEIGHTS:
            raise UserError(
                f"{entry.file}: {name} is kept as {entry.dtype}; weights are {', '.join(WEIGHTS)}. Quantised weights must "
                "be written as floating numbers first."
            )
        try:
            if entry.file not in self._open:
                self._open[entry.file] = safe_open(entry.file, "pt")
            value: Tensor = self._open[entry.file].get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{entry.file}: {name} can't be read ({error}).") from error
        return value if dtype is None else value.to(dtype)


def header(file: Path) -> dict[str, Entry]:
    """What a safetensors file declares, by name: https://huggingface.co/docs/safetensors (format).

    Raises UserError for a header that isn't one, declares more than the file holds, names a tensor twice, or has tensors
    that overlap or leave bytes between them.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if size < 8 or length > min(HEADER, size - 8):
                raise UserError(
                    f"{file}: its header claims {length:,} bytes and the file has {size:,}. It was cut short, or is no "
                    "safetensors file: fetch it again."
                )
            declared = json.loads(opened.read(length), object_pairs_hook=_once)
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        reason = f"names the tensor {error} twice" if isinstance(error, _Twice) else f"isn't JSON ({error})"
        raise UserError(f"{file}: its header {reason}. Fetch it again.") from error
    if not isinstance(declared, dict):
        raise UserError(f"{file}: its header isn't a table of tensors. Fetch it again.")
    declared.pop("__metadata__", None)
    places = sorted((_place(file, name, told, size - 8 - length), name) for name, told in declared.items())
    end = 0
    for (begin, after), name in places:
        if begin != end:
            how = (
                "overlaps the tensor before it"
                if begin < end
                else "leaves bytes before it that belong to none"
            )
            raise UserError(f"{file}: {name} begins at byte {begin:,} of the data and {how}. Fetch it again.")
        end = after
    if end != size - 8 - length:
        raise UserError(f"{file}: {size - 8 - length - end:,} bytes belong to no tensor. Fetch it again.")
    return {name: Entry(file, told["dtype"], tuple(told["shape"])) for name, told in declared.items()}


class _Twice(ValueError):
    """A key of a JSON object stands twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(repr(key))
        found[key] = value
    return found


def _place(file: Path, name: str, told: Any, held: int) -> tuple[int, int]:
    """Where a tensor's bytes begin and end in the data."""
    if not isinstance(told, dict) or not {"dtype", "shape", "data_offsets"} <= told.keys():
        raise UserError(
            f"{file}: {name} is declared as {told!r:.80}; expected dtype, shape and data_offsets."
        )
    shape, offsets = told["shape"], told["data_offsets"]
    whole = [shape, offsets]
    if not all(isinstance(part, list) and all(type(n) is int and n >= 0 for n in part) for part in whole):
        raise UserError(
            f"{file}: {name} has shape {shape!r:.80} at {offsets!r:.80}; expected lists of whole numbers."
        )
    if told["dtype"] not in BITS:
        raise UserError(f"{file}: {name} is of type {told['dtype']!r}; known: {', '.join(BITS)}.")
    wanted = prod(shape) * BITS[told["dtype"]] // 8
    if len(offsets) != 2 or offsets[1] - offsets[0] != wanted or offsets[1] > held:
        raise UserError(
            f"{file}: {name} is declared as {told['dtype']} {tuple(shape)}, {wanted:,} bytes, at {offsets} of {held:,} "
            "bytes of data, which doesn't fit. Fetch it again."
        )
    return offsets[0], offsets[1]


def _files(folder: Path) -> dict[Path, set[str] | None]:
    """The files of weights, each with the names that an index promises of it."""
    index = folder / INDEX
    if index.is_file():
        return _sharded(folder, index)
    if (folder / SINGLE).is_file():
        return {folder / SINGLE: None}
    others = sorted(folder.glob("*.safetensors"))
    if len(others) == 1:
        return {others[0]: None}
    if others:
        raise UserError(
            f"{folder}: {len(others)} files of weights and neither {SINGLE} nor {INDEX}: which belong together isn't said. "
            "Fetch the whole folder again."
        )
    for file in sorted(folder.iterdir()):
        if file.suffix in PROGRAMS:
            raise pickled(file)
    raise UserError(f"{folder}: no weights. Expected {SINGLE}, or its parts with {INDEX}.")


def pickled(file: Path) -> UserError:
    """The error for weights that are a program, with the safe way to convert them."""
    return UserError(f"{file}: " + CONVERT.replace("{name}", file.name).replace("{to}", SINGLE))


def _sharded(folder: Path, index: Path) -> dict[Path, set[str] | None]:
    try:
        told = json.loads(index.read_bytes(), object_pairs_hook=_once)
        mapped = told["weight_map"]
        pairs = [(str(name), str(part)) for name, part in mapped.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{index}: not an index of weights ({error!r}). Expected a weight_map that names each tensor's file once."
        ) from error
    found: dict[Path, set[str] | None] = {}
    for name, part in pairs:
        pure = PurePosixPath(part)
        if pure.is_absolute() or ".." in pure.parts or "\\" in part or ":" in part:
            raise UserError(f"{index}: {name} is said to lie in {part!r}; expected a file in this folder.")
        if pure.suffix in PROGRAMS:
            raise pickled(folder / part)
        if not (folder / part).is_file():
            raise UserError(f"{index}: {name} is said to lie in {part!r}, which isn't there. Fetch it too.")
        names = found.setdefault(folder / part, set())
        assert names is not None
        names.add(name)
    return found


def _agree(index: Path, file: Path, promised: set[str], held: set[str]) -> None:
    missing, extra = sorted(promised - held), sorted(held - promised)
    if missing or extra:
        raise UserError(
            f"{file}: {index.name} promises of it what it doesn't hold ({missing[:5]}) or leaves out what it holds "
            f"({extra[:5]}). The files are not of one model: fetch the whole folder again."
        )
