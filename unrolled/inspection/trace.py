"""What a probe heard in one pass, and the two files that keep it: tensors as safetensors, their names as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from unrolled import durable
from unrolled.errors import UserError, unknown
from unrolled.model.weights import DIGEST, digest
from unrolled.state import State

FORMAT = 1  # of the two files; another one is refused
TENSORS, INDEX = "trace.safetensors", "trace.json"

UNITS = ("row", "step", "unit")
WEIGHTS = ("row", "head", "step", "source")  # attention: how much of `source` enters `step`


@dataclass(frozen=True, eq=False)
class Heard:
    """One named internal of one layer, all steps of the pass joined.

    layer: where it stands in the model (`core.layers.0`); kind: what stands there (`lstm`). name: as the mixer calls it
    (`forget`, `hidden`, `weights`), `y` for its output. value: (B, T, units), or (B, heads, T, S) of attention, in float32
    at least. grad: dL/dvalue, of the same shape, where a loss was given. kept: which indices of an axis were kept where
    there were too many (axis -> indices), whole: the size before.
    """

    layer: str
    kind: str
    name: str
    value: Tensor
    grad: Tensor | None = None
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    whole: tuple[int, ...] = ()

    @property
    def axes(self) -> tuple[str, ...]:
        """What the value's axes are."""
        return WEIGHTS if self.value.ndim == 4 else UNITS

    @property
    def path(self) -> str:
        """`core.layers.0.forget`."""
        return f"{self.layer}.{self.name}"

    def said(self) -> str:
        """What of it was left out, in words; "" where all of it is here."""
        sizes = dict(zip(self.axes, self.whole, strict=True))
        left = [f"{len(chosen):,} of {sizes[axis]:,} {axis}s" for axis, chosen in self.kept.items()]
        return f"{self.path}: {', '.join(left)}, evenly chosen" if left else ""


@dataclass(frozen=True, eq=False)
class Trace:
    """One pass over `inputs` (B, T) or (B, T, D), heard from inside.

    spec: of the model, empty for a bare mixer. tokens: what each step of each row is for people, empty where unknown.
    loss: where one was given. state: what the model remembers after the pass, None where it began without; not saved.
    """

    spec: dict[str, Any]
    inputs: Tensor
    prediction: Tensor
    heard: tuple[Heard, ...]
    tokens: tuple[tuple[str, ...], ...] = ()
    loss: float | None = None
    state: State = None

    @property
    def layers(self) -> tuple[str, ...]:
        """Where something was heard, in the order in which it was first."""
        return tuple(dict.fromkeys(one.layer for one in self.heard))

    def find(self, layer: str, name: str) -> Heard:
        """What `layer` called `name`. Raises UserError, with the nearest, where nothing is called so."""
        found = [one for one in self.heard if one.layer == layer and one.name == name]
        if found:
            return found[0]
        raise unknown("internal", f"{layer}.{name}", [one.path for one in self.heard])

    def called(self, name: str) -> tuple[Heard, ...]:
        """Everything of this name, a layer each."""
        return tuple(one for one in self.heard if one.name == name)

    def kind_of(self, layer: str) -> str:
        """What stands there: its kind."""
        return next(one.kind for one in self.heard if one.layer == layer)

    def notes(self) -> list[str]:
        """What was left out of the trace, a sentence each."""
        return [said for one in self.heard if (said := one.said())]

    def save(self, folder: str | Path) -> Path:
        """Writes `trace.safetensors` and `trace.json` into the folder, the latter last: without it there is no trace."""
        folder = Path(folder)
        tensors = {"inputs": self.inputs, "prediction": self.prediction}
        for one in self.heard:
            tensors[one.path] = one.value
            if one.grad is not None:
                tensors[f"{one.path}:grad"] = one.grad
        plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
        named = [
            {
                "layer": one.layer, "kind": one.kind, "name": one.name, "axes": list(one.axes),
                "kept": {axis: list(chosen) for axis, chosen in one.kept.items()}, "whole": list(one.whole),
            }
            for one in self.heard
        ]  # fmt: skip
        mark = digest(plain)
        index = {
            "format": FORMAT, "sha256": mark, "spec": self.spec, "loss": self.loss,
            "tokens": [list(row) for row in self.tokens], "heard": named,
        }  # fmt: skip
        with durable.disk(folder, "Free some space, or write elsewhere."):
            folder.mkdir(parents=True, exist_ok=True)
            durable.replace(folder / TENSORS, safetensors.torch.save(plain, {DIGEST: mark}))
            durable.replace(folder / INDEX, json.dumps(index, ensure_ascii=False, indent=1).encode())
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Trace:
        """What `save` wrote. Raises UserError for a folder without a trace, one of another format, and a damaged one."""
        folder = Path(folder)
        index = _index(folder / INDEX)
        try:
            tensors = safetensors.torch.load_file(folder / TENSORS)
        except (OSError, safetensors.SafetensorError) as error:
            raise UserError(
                f"{folder / TENSORS}: can't be read ({error}). Probe the model once more."
            ) from error
        if digest(tensors) != index.get("sha256"):
            raise UserError(
                f"{folder / TENSORS}: its bytes aren't those that {INDEX} was written for. Probe the model once more."
            )
        try:
            heard = tuple(_heard(one, tensors) for one in index["heard"])
            tokens = tuple(tuple(row) for row in index["tokens"])
            return cls(index["spec"], tensors["inputs"], tensors["prediction"], heard, tokens, index["loss"])
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{folder / INDEX}: damaged, {error!r} is missing. Probe the model once more."
            ) from error


def _index(file: Path) -> dict[str, Any]:
    try:
        index = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: not a trace ({error}). Expected a folder that Trace.save wrote.") from error
    if not isinstance(index, dict) or "format" not in index:
        raise UserError(f"{file}: not a trace. Expected a folder that Trace.save wrote.")
    if index["format"] != FORMAT:
        raise UserError(
            f"{file}: a trace of format {index['format']!r}; this version reads format {FORMAT}. Probe the model once "
            "more: a trace holds nothing that its model doesn't."
        )
    return index


def _heard(one: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Heard:
    path = f"{one['layer']}.{one['name']}"
    kept = {axis: tuple(chosen) for axis, chosen in one["kept"].items()}
    found = tensors[path], tensors.get(f"{path}:grad")
    return Heard(one["layer"], one["kind"], one["name"], *found, kept, tuple(one["whole"]))
