"""Lists of categories -> ids, as in training."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner


class Codec:
    """0 is a missing item, 1 one that training hadn't. A text is one item; of a model that tags, each of its words is."""

    reads: tuple[str, ...] = ()

    def __init__(self, runner: Runner) -> None:
        self.ids = {name: number for number, name in enumerate(runner.told["codec"]["names"], 2)}
        self.tags = runner.told["task"]["kind"] == "tag"

    def encode(self, value: Any) -> NDArray[np.int64]:
        """(T,) ids of a list, of its JSON, or of one item."""
        if isinstance(value, str) and value.startswith("["):
            value = json.loads(value)
        elif isinstance(value, str) and self.tags:
            value = value.split()
        names = map(name_of, value if isinstance(value, list) else [value])
        return np.array([self.ids.get(name, 1) if name else 0 for name in names], np.int64)


def name_of(item: Any) -> str:
    """An item as text: 3.0 is 3, a missing one is empty."""
    if item is None or item != item:
        return ""
    return str(int(item) if isinstance(item, float) and item.is_integer() else item).strip()
