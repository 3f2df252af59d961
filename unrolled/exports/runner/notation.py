"""Notation of tunes -> ids and back: notes, bar lines, header lines, else their pieces, else nibbles of bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner
from unrolled.exports.runner.spelling import spelled, unspelled


class Codec:
    """1 ... 16 are the nibbles of bytes, 17 the first token."""

    reads: tuple[str, ...] = (".abc", ".txt")

    def __init__(self, runner: Runner) -> None:
        patterns = runner.told["patterns"]
        self.coarse = re.compile(patterns["coarse"], re.VERBOSE | re.MULTILINE)
        self.fine = re.compile(patterns["fine"])
        self.tokens = runner.told["codec"]["tokens"]
        self.ids = {token: number for number, token in enumerate(self.tokens, 17)}

    @staticmethod
    def read(file: Path) -> str:
        """A text file's text."""
        return file.read_text("utf-8")

    def encode(self, text: str) -> NDArray[np.int64]:
        """(T,) ids of a text."""
        found: list[int] = []
        for token in self.coarse.findall(text):
            for piece in [token] if token in self.ids else self.fine.findall(token):
                if piece in self.ids:
                    found.append(self.ids[piece])
                    continue
                for letter in piece:
                    found += [self.ids[letter]] if letter in self.ids else spelled(letter)
        return np.array(found, np.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        return unspelled(ids, lambda token: self.tokens[token - 17])
