"""The bytes of a text as ids, and back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner


class Codec:
    """Byte b is the token b + 1."""

    reads: tuple[str, ...] = (".txt",)

    def __init__(self, runner: Runner) -> None:
        pass

    @staticmethod
    def read(file: Path) -> str:
        """A text file's text."""
        return file.read_text("utf-8")

    def encode(self, text: str) -> NDArray[np.int64]:
        """(T,) ids of a text."""
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64) + 1

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        return bytes(int(token) - 1 for token in ids if token).decode("utf-8", "replace")
