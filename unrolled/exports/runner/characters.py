"""Characters -> ids and back; what training hadn't is spelled as the nibbles of its bytes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner
from unrolled.exports.runner.spelling import spelled, unspelled


class Codec:
    """1 ... 16 are the nibbles of bytes, 17 the first character."""

    reads: tuple[str, ...] = (".txt",)

    def __init__(self, runner: Runner) -> None:
        self.letters = runner.told["codec"]["characters"]
        self.ids = {letter: number for number, letter in enumerate(self.letters, 17)}

    @staticmethod
    def read(file: Path) -> str:
        """A text file's text."""
        return file.read_text("utf-8")

    def encode(self, text: str) -> NDArray[np.int64]:
        """(T,) ids of a text."""
        found: list[int] = []
        for letter in text:
            found += [self.ids[letter]] if letter in self.ids else spelled(letter)
        return np.array(found, np.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        return unspelled(ids, lambda token: self.letters[token - 17])
