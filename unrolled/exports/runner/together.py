"""Several columns of a row -> steps: each column by its own codec, side by side or one after another, as in training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner


class Field:
    """One column. `told` and `session` are what its codec asks a runner for."""

    def __init__(self, runner: Runner, number: int, kinds: dict[str, Any]) -> None:
        saved = runner.told["codec"]["fields"][number]
        self.name, self.each = saved["name"], saved["each"]
        self.width: int = runner.told["columns"][number]
        self.told = {**runner.told, "codec": saved["codec"]}
        self.session = lambda _: runner.session(f"encode-{number}.onnx")
        self.codec = kinds[saved["codec"]["kind"]](self)

    def encode(self, value: Any) -> NDArray[Any]:
        """(T, width): of a missing value no step, or one that says so where it would hold for the whole row."""
        if value is None and self.each:
            return np.zeros((0, self.width), np.float32)
        part = np.asarray(self.codec.encode(value))
        return part[:, None] if part.ndim == 1 else part


class Together:
    """A dict of columns; what says one thing of a whole row stands at every step."""

    reads: tuple[str, ...] = ()
    kinds: dict[str, Any] = {}  # a field's codec -> the class that reads it

    def __init__(self, runner: Runner) -> None:
        self.aligned = runner.told["codec"]["aligned"]
        self.fields = [Field(runner, number, self.kinds) for number in range(len(runner.told["columns"]))]

    def encode(self, row: dict[str, Any]) -> NDArray[np.float32]:
        """(T, D) steps."""
        width = sum(f.width for f in self.fields)
        if all(row.get(f.name) is None for f in self.fields):
            return np.zeros((0, width), np.float32)
        parts = [f.encode(row.get(f.name)) for f in self.fields]
        lengths = [len(part) for f, part in zip(self.fields, parts, strict=True) if f.each]
        if self.aligned and len(set(lengths)) > 1:
            raise ValueError(f"columns side by side have unequal numbers of steps: {lengths}")
        steps = (lengths[0] if self.aligned else sum(lengths)) if lengths else 1
        out = np.zeros((steps, width), np.float32)
        column = begin = 0
        for f, part in zip(self.fields, parts, strict=True):
            own = slice(column, column := column + f.width)
            if not f.each:
                out[:, own] = part[:1] if len(part) else 0
            elif self.aligned:
                out[:, own] = part
            else:
                out[begin : (begin := begin + len(part)), own] = part
        return out
