"""Which of their tensors make one of ours, and back. Strict both ways: nothing of theirs is left over, nothing of ours
stays as it was drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.model.weights import weights_of
from unrolled.transfer.tensors import Tensors

SHOWN = 20  # problems that are listed


class Taken(NamedTuple):
    """How one tensor of ours is made.

    names: theirs, put together along the rows where there are several, "" for zeros that theirs leave out; rows: how many
    each of several gives; transposed: theirs is (inputs, outputs), as GPT-2's; first: the row that changes places with row
    0, where id 0 means something else; order: the row of theirs that each of ours is; kept: the shape of theirs, where ours
    has the same numbers in another, and axes: the order of its axes in ours.
    """

    names: tuple[str, ...]
    rows: tuple[int, ...] = ()
    transposed: bool = False
    first: int = 0
    order: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    axes: tuple[int, ...] = ()

    def shapes(self, ours: Sequence[int]) -> list[tuple[int, ...]]:
        """The shape that each of theirs must have."""
        if self.kept:
            return [self.kept]
        parts = [(rows, *ours[1:]) for rows in self.rows] or [tuple(ours)]
        return [part[::-1] if self.transposed else part for part in parts]

    def made(self, theirs: Sequence[Tensor], ours: Sequence[int]) -> Tensor:
        """Ours, of this shape, of theirs."""
        parts = [part.T if self.transposed else part for part in theirs]
        if self.kept:
            parts = [
                part.permute(self.axes or tuple(range(part.ndim))).reshape(tuple(ours)) for part in parts
            ]
        whole = swapped(parts[0] if len(parts) == 1 else torch.cat(parts), self.first)
        return whole[list(self.order)] if self.order else whole

    def undone(self, ours: Tensor) -> dict[str, Tensor]:
        """Theirs of ours: the inverse of `made`."""
        whole = swapped(ours[_inverse(self.order)] if self.order else ours, self.first)
        if self.kept:
            axes = self.axes or tuple(range(len(self.kept)))
            whole = whole.reshape([self.kept[axis] for axis in axes]).permute(_inverse(axes))
        parts = torch.split(whole, list(self.rows)) if self.rows else (whole,)
        return {
            name: (part.T if self.transposed else part).contiguous()
            for name, part in zip(self.names, parts, strict=True)
            if name
        }


def _inverse(order: Sequence[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)


Names = dict[str, Taken]


def swapped(table: Tensor, first: int) -> Tensor:
    """The table with its rows 0 and `first` in each other's place."""
    if not first:
        return table
    order = torch.arange(len(table))
    order[0], order[first] = first, 0
    return table[order]


def both(ours: str, theirs: str, transposed: bool = False, bias: bool = True) -> Names:
    """The weight, and the bias where there is one, of a map or a norm that is one of theirs."""
    found = {f"{ours}.weight": Taken((f"{theirs}.weight",), transposed=transposed)}
    return found | ({f"{ours}.bias": Taken((f"{theirs}.bias",))} if bias else {})


def together(ours: str, theirs: Sequence[str], rows: Sequence[int], bias: bool = True) -> Names:
    """The same of a map that several of theirs make, one beside the other."""
    kinds = ("weight", "bias") if bias else ("weight",)
    return {
        f"{ours}.{kind}": Taken(tuple(f"{name}.{kind}" for name in theirs), tuple(rows)) for kind in kinds
    }


def normed(ours: str, convolution: str, norm: str) -> Names:
    """A convolution without a bias and the batch norm behind it, with the mean and variance that it counted."""
    parts = {"weight": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}
    found = {f"{ours}.norm.{part}": Taken((f"{norm}.{theirs}",)) for part, theirs in parts.items()}
    return found | {f"{ours}.weight": Taken((f"{convolution}.weight",))}


def check(model: nn.Module, tensors: Tensors, names: Names, left_out: Iterable[str]) -> None:
    """Raises UserError, naming the first 20, for tensors that are missing, too many, or of another shape than the config
    says. The model may be without storage: nothing is read.
    """
    ours = weights_of_shapes(model)
    assert ours.keys() == names.keys(), sorted(ours.keys() ^ names.keys())
    problems = []
    wanted: set[str] = set()
    for name, taken in names.items():
        wanted |= set(taken.names)
        for theirs, shape in zip(taken.names, taken.shapes(ours[name]), strict=True):
            if not theirs:
                continue
            if theirs not in tensors:
                problems.append(f"{theirs} is missing, expected {shape}")
            elif tensors[theirs].shape != shape:
                problems.append(
                    f"{theirs} has shape {tensors[theirs].shape}, expected {shape} by config.json"
                )
    known = re.compile("|".join(f"(?:{pattern})" for pattern in left_out) or r"(?!)")
    problems += [
        f"{name} {tensors[name].shape} has no place in this model"
        for name in tensors
        if name not in wanted and not known.fullmatch(name)
    ]
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise UserError(
            f"{tensors.folder}: its weights don't fit its config.json:\n  "
            + "\n  ".join(problems[:SHOWN])
            + f"{more}\nThe files are of two models, or of a variant that isn't known here."
        )


def weights_of_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of a model's weights, tied ones once, also where it has no storage yet."""
    seen: set[int] = set()
    found = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            found[name] = tuple(value.shape)
    return found


@torch.no_grad()
def fill(model: nn.Module, tensors: Tensors, names: Names) -> None:
    """Copies theirs into the model, one at a time, in the model's dtype."""
    for name, value in weights_of(model).items():
        taken = names[name]
        parts = zip(taken.names, taken.shapes(value.shape), strict=True)
        theirs = [
            tensors.read(name, value.dtype) if name else value.new_zeros(shape) for name, shape in parts
        ]
        value.copy_(taken.made(theirs, value.shape))


def back(model: nn.Module, names: Names) -> dict[str, Tensor]:
    """The model's weights under their names and in their shapes: the inverse of `fill`."""
    found: dict[str, Tensor] = {}
    for name, value in weights_of(model).items():
        found |= names[name].undone(value)
    return found


def renamed(tensors: Tensors, changes: Mapping[str, str], prefix: str) -> Tensors:
    """The same tensors as a family names them: older names by `changes` (pattern -> new), and with the prefix that files of
    the bare model leave out. Raises UserError where two get one name.
    """
    found: dict[str, str] = {}
    bare = prefix and not any(name.startswith(prefix) for name in tensors)
    for old in tensors:
        new = old
        for pattern, to in changes.items():
            new = re.sub(pattern, to, new)
        if bare and not new.startswith("lm_head."):
            new = prefix + new
        if new in found:
            raise UserError(
                f"{tensors.folder}: {found[new]} and {old} are one tensor, {new}, under two names."
            )
        found[new] = old
    return Renamed(tensors, found)


class Renamed(Tensors):
    """Tensors under other names."""

    def __init__(self, tensors: Tensors, names: dict[str, str]) -> None:
        self.folder, self._tensors, self._names = tensors.folder, tensors, names
        self._entries = {new: tensors[old] for new, old in names.items()}

    def read(self, name: str, dtype: torch.dtype | None = torch.float32) -> Tensor:
        """One tensor by its new name."""
        return self._tensors.read(self._names[name], dtype)
