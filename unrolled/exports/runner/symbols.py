"""Symbols with spaces between -> ids and back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner


class Codec:
    """0 begins and ends texts, 1 is a symbol that training hadn't, 2 the first one."""

    reads: tuple[str, ...] = (".txt",)

    def __init__(self, runner: Runner) -> None:
        self.names = ["", "<unknown>", *runner.told["codec"]["symbols"]]
        self.ids = {name: number for number, name in enumerate(self.names) if number > 1}

    @staticmethod
    def read(file: Path) -> str:
        """A text file's text."""
        return file.read_text("utf-8")

    def encode(self, text: str | list[str]) -> NDArray[np.int64]:
        """(T,) ids of a text, or of a list of symbols."""
        symbols = text if isinstance(text, list) else text.split()
        return np.array([self.ids.get(str(symbol), 1) for symbol in symbols], np.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        return " ".join(self.names[int(token)] for token in ids if token)
