"""Byte-pair encoding: text is cut into words, words into bytes, and frequent neighbours are put together, in the order
that training learnt.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner

PIECE = re.compile(r"'(?:[stmd]|re|ve|ll)| ?[A-Za-z]+| ?0+| ?[^\sA-Za-z0]+|\s+(?!\S)|\s+")


class Codec:
    """A token's id is the tokenizer's own and 1; 0 begins and ends texts."""

    reads: tuple[str, ...] = (".txt",)

    def __init__(self, runner: Runner) -> None:
        saved = runner.told["codec"]["tokenizer"]["model"]
        self.ids = {token: number + 1 for token, number in saved["vocab"].items()}
        self.tokens = {number: token for token, number in self.ids.items()}
        pairs = [
            tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in saved["merges"]
        ]
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}
        plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = [byte for byte in range(256) if byte not in plain]
        self.letter = {byte: chr(byte) for byte in plain}
        self.letter |= {byte: chr(256 + number) for number, byte in enumerate(others)}
        self.byte = {letter: byte for byte, letter in self.letter.items()}

    @staticmethod
    def read(file: Path) -> str:
        """A text file's text."""
        return file.read_text("utf-8")

    def encode(self, text: str) -> NDArray[np.int64]:
        """(T,) ids of a text."""
        found: list[int] = []
        for piece in PIECE.finditer("".join(map(kind_of, text))):
            found += self.merged([self.letter[byte] for byte in text[slice(*piece.span())].encode("utf-8")])
        return np.array(found, np.int64)

    def merged(self, parts: list[str]) -> list[int]:
        """The ids of one word's letters: neighbours learnt first are joined first."""
        while len(parts) > 1:
            ranks = [self.ranks.get(pair, len(self.ranks)) for pair in zip(parts, parts[1:], strict=False)]
            at = min(range(len(ranks)), key=ranks.__getitem__)
            if ranks[at] == len(self.ranks):
                break
            parts = [*parts[:at], parts[at] + parts[at + 1], *parts[at + 2 :]]
        return [self.ids[part] for part in parts]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        letters = "".join(self.tokens[int(token)] for token in ids if token)
        return bytes(self.byte[letter] for letter in letters).decode("utf-8", "replace")


def kind_of(letter: str) -> str:
    """A letter, digit, space or other sign, as PIECE tells them apart; ASCII letters and apostrophes are themselves."""
    if letter in "' " or (letter.isascii() and letter.isalpha()):
        return letter
    kind = unicodedata.category(letter)[0]
    if letter.isspace() and letter not in "\x1c\x1d\x1e\x1f":
        return "\n"
    return {"L": "Z", "N": "0"}.get(kind, ".")
