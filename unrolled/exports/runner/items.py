"""Lists of categories -> ids, as in training."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner


class Codec:
    """0 is a missing item, 1 one that training hadn't."""

    reads: tuple[str, ...] = ()

    def __init__(self, runner: Runner) -> None:
        self.ids = {name: number for number, name in enumerate(runner.told["codec"]["names"], 2)}

    def encode(self, items: str | list[str]) -> NDArray[np.int64]:
        """(T,) ids of a list, of its JSON, or of words between spaces."""
        if isinstance(items, str):
            items = json.loads(items) if items.startswith("[") else items.split()
        return np.array([self.ids.get(str(item), 1) if item else 0 for item in items], np.int64)
