"""Numbers -> steps, by the graph encode.onnx: what training learnt of their scale is in it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner


class Codec:
    """A series (T, C) or (T,), an image (H, W) or (H, W, channels) of the size of training, as arrays, lists or JSON."""

    reads: tuple[str, ...] = ()

    def __init__(self, runner: Runner) -> None:
        self.graph = runner.session("encode.onnx")
        self.sizes: list[Any] = self.graph.get_inputs()[0].shape

    def encode(self, value: Any) -> NDArray[np.float32]:
        """(T, D) steps."""
        if isinstance(value, str):  # numbers with spaces between, or JSON
            value = json.loads(value) if value.startswith("[") else value.split()
        array = np.array(value, float)  # None becomes NaN: missing
        if len(self.sizes) == 2:  # of several channels one after the other, as numbered columns hold them
            array = array.reshape(-1, self.sizes[1])
        elif array.ndim < len(self.sizes):  # grey
            array = array[..., None]
        found: NDArray[np.float32] = self.graph.run(None, {"value": array})[0]
        return found
