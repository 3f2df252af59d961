"""The numbers of a model as C arrays: where each lies, and in what form it is stored.

A matrix that vectors are multiplied with lies in panels of 32 rows, a panel column by column: 32 sums grow side by side,
which compilers turn into vector instructions without reordering any sum. Its last rows are zeros. A matrix that is only
looked up lies row by row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

import numpy as np
import torch
from torch import Tensor

from unrolled.exports.c.arrays import C_TYPES, Array
from unrolled.exports.c.pointwise import literal

PANEL = 32  # rows
FORMS = {"fp32": "float", "int8": "int8_t", "bf16": "uint16_t"}


@dataclass(eq=False)
class Matrix:
    """values (rows, columns); form: fp32, int8 (times a scale a row) or bf16 (the upper half of a float's bits)."""

    name: str
    values: Tensor
    form: str
    scales: np.ndarray | None
    panels: bool = False  # some vector is multiplied with it

    @property
    def rows(self) -> int:
        return self.values.shape[0]

    @property
    def columns(self) -> int:
        return self.values.shape[1]

    def numbers(self) -> np.ndarray:
        """As stored, flat: float32, int8 or uint16."""
        values = self.values.numpy()
        if self.form == "int8":
            assert self.scales is not None
            values = np.rint(values / self.scales[:, None]).astype(np.int8)
        elif self.form == "bf16":
            values = (np.ascontiguousarray(values).view(np.uint32) >> 16).astype(np.uint16)
        if not self.panels:
            return np.ascontiguousarray(values).reshape(-1)
        padded = np.zeros((ceil(self.rows / PANEL) * PANEL, self.columns), values.dtype)
        padded[: self.rows] = values
        return np.ascontiguousarray(padded.reshape(-1, PANEL, self.columns).swapaxes(1, 2)).reshape(-1)


def scales_of(values: np.ndarray) -> np.ndarray | None:
    """The scale of each row for which whole numbers from -127 to 127 times it give exactly these values; None: there is
    none. The largest number of a row stands for 127, up to a rounding.
    """
    largest = (np.abs(values).max(1) / np.float32(127)).astype(np.float32)
    found = np.zeros_like(largest)
    known = largest == 0
    for candidate in (
        largest,
        np.nextafter(largest, np.float32(0)),
        np.nextafter(largest, np.float32(np.inf)),
    ):
        scale = np.where(candidate == 0, np.float32(1), candidate)
        whole = np.rint(values / scale[:, None])
        exact = ((whole * scale[:, None]).astype(np.float32) == values).all(1) & (np.abs(whole) <= 127).all(1)
        found = np.where(exact & ~known, scale, found)
        known |= exact
    return np.where(found == 0, np.float32(1), found).astype(np.float32) if known.all() else None


@dataclass
class Weights:
    """All constants of one program. weights: the form that matrices are stored in wherever it holds them exactly."""

    weights: str = "fp32"
    names: dict[int, str] = field(default_factory=dict)  # a parameter's storage -> its name
    matrices: dict[tuple[object, ...], Matrix] = field(default_factory=dict)
    arrays: dict[tuple[object, ...], tuple[Array, Tensor]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def matrix(self, values: Tensor, panels: bool) -> Matrix:
        """values (rows, columns), once however often they are used."""
        key = _key(values)
        if key not in self.matrices:
            plain = values.detach().contiguous()
            scales = scales_of(plain.numpy()) if self.weights == "int8" else None
            form = "fp32" if scales is None else "int8"
            if self.weights == "bf16" and not (plain.view(torch.int32) & 0xFFFF).any():
                form = "bf16"
            self.matrices[key] = Matrix(self._name(values), plain, form, scales)
        self.matrices[key].panels |= panels
        return self.matrices[key]

    def array(self, values: Tensor) -> Array:
        """A constant as an array; what `expand` repeated is stored once."""
        once = values.detach()
        for dim, stride in enumerate(values.stride()):
            if stride == 0 and values.shape[dim] > 1:
                once = once.narrow(dim, 0, 1)
        key = (*_key(once), once.dtype)
        if key not in self.arrays:
            made = Array.of(once.shape, once.dtype, self._name(once))
            self.arrays[key] = made, once
        stored = self.arrays[key][0]
        return Array(stored.memory, stored.place.expand(values.shape))

    def _name(self, values: Tensor) -> str:
        base = self.names.get(values.untyped_storage()._cdata, "constant")
        number, name = 1, base
        while name in self.taken:
            number += 1
            name = f"{base}_{number}"
        self.taken.add(name)
        return name

    def pieces(self) -> list[tuple[str, str, np.ndarray, str]]:
        """(C type, name, flat numbers, comment) of all that is stored."""
        made = []
        for m in self.matrices.values():
            how = f"panels of {PANEL} rows, column by column" if m.panels else "row by row"
            made.append((FORMS[m.form], m.name, m.numbers(), f"({m.rows}, {m.columns}), {how}"))
            if m.scales is not None:
                made.append(
                    ("float", f"{m.name}_scales", m.scales, f"({m.rows}) what a row is multiplied with")
                )
        for array, values in self.arrays.values():
            flat = values.contiguous().reshape(-1).numpy()
            made.append((C_TYPES[array.dtype], array.memory.token, flat, f"{tuple(array.shape)}"))
        return made


def _key(values: Tensor) -> tuple[object, ...]:
    # strides of dimensions of size 1 say nothing
    strides = tuple(s for s, n in zip(values.stride(), values.shape, strict=True) if n > 1)
    return (values.untyped_storage()._cdata, values.storage_offset(), tuple(values.shape), strides)


def written(kind: str, numbers: np.ndarray) -> str:
    """The initialiser of an array, twelve numbers a line."""
    if kind == "float":
        words = [hexadecimal(number) for number in numbers.tolist()]
    else:
        words = [literal(number, torch.int64) for number in numbers.tolist()]
    return ",\n".join(", ".join(words[at : at + 12]) for at in range(0, len(words), 12))


def hexadecimal(number: float) -> str:
    """A float to its last bit."""
    if number != number or number in (float("inf"), float("-inf")):
        return literal(number, torch.float32)
    if number == 0:
        return "-0.0f" if str(number).startswith("-") else "0"
    return number.hex().replace("000000p", "p") + "f"
