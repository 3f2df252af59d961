"""A tokenizer that came with somebody's weights: read by the package tokenizers, which this model needs too."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from unrolled.exports.runner.core import Runner


class Codec:
    """A token's id is the tokenizer's own; but the one that begins and ends texts is 0, and its own 0 has that one's."""

    reads: tuple[str, ...] = (".txt",)

    def __init__(self, runner: Runner) -> None:
        saved = runner.told["codec"]
        self.first, self.wrapped = int(saved["first"]), bool(saved["wrapped"])
        self.tokenizer = Tokenizer.from_str(json.dumps(saved["tokenizer"]))
        self.tokenizer.encode_special_tokens = True
        word = self.tokenizer.encode("a", add_special_tokens=False).ids
        alone = self.tokenizer.decode(word)
        self.before = [] if self.wrapped or self.tokenizer.decode(word * 2) == alone * 2 else word

    @staticmethod
    def read(file: Path) -> str:
        """A text file's text."""
        return file.read_text("utf-8")

    def encode(self, text: str) -> NDArray[np.int64]:
        """(T,) ids of a text."""
        ids = self.tokenizer.encode(text, add_special_tokens=self.wrapped).ids
        return np.array([self.turned(number) for number in ids], np.int64)

    def turned(self, number: int) -> int:
        """Our id of theirs, and theirs of ours."""
        return {self.first: 0, 0: self.first}.get(number, number)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        theirs = [self.turned(int(number)) for number in ids if number != 0]
        held = len(self.tokenizer.decode(self.before))
        return str(self.tokenizer.decode([*self.before, *theirs]))[held:]
