"""Steps as the model takes them: several columns are read together, which this program can't."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner


class Codec:
    """A list of steps, ids or lists of numbers, or its JSON."""

    reads: tuple[str, ...] = ()

    def __init__(self, runner: Runner) -> None:
        self.dtype = runner.told["input"]["dtype"]

    def encode(self, value: Any) -> NDArray[Any]:
        """(T,) ids or (T, D) numbers."""
        if isinstance(value, dict):
            raise SystemExit(
                f"this program can't encode the columns {', '.join(value)} together; give it the model's own steps"
            )
        return np.asarray(json.loads(value) if isinstance(value, str) else value, self.dtype)
