"""Words and other signs -> ids, as in training."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner


class Codec:
    """0 is never written, 1 is a word that training hadn't."""

    reads: tuple[str, ...] = (".txt",)

    def __init__(self, runner: Runner) -> None:
        saved = runner.told["codec"]
        self.word = re.compile(runner.told["patterns"]["word"])
        self.ids = {word: number for number, word in enumerate(saved["words"], 2)}

    @staticmethod
    def read(file: Path) -> str:
        """A text file's text."""
        return file.read_text("utf-8")

    def encode(self, text: str | list[str]) -> NDArray[np.int64]:
        """(T,) ids of a text, or of a list of words."""
        text = " ".join(map(str, text)) if isinstance(text, list) else str(text)
        return np.array([self.ids.get(word, 1) for word in self.word.findall(text.lower())], np.int64)
