"""The shipped texts as the stops use them: split by document, with a codec fitted on the training part alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from unrolled.datasets.codecs import CODECS, Codec, Ids
from unrolled.datasets.readers import records
from unrolled.datasets.samples import resolve
from unrolled.datasets.split import split
from unrolled.tasks.generate import GenerateText


@dataclass(frozen=True)
class Corpus:
    """Token ids of the documents, without boundaries, and the held-out texts they spell."""

    codec: Codec
    train: list[Ids]
    test: list[Ids]
    test_texts: list[str]

    @property
    def task(self) -> GenerateText:
        """What a model that reads these ids is for."""
        return GenerateText(self.codec)

    def size_of(self, count: int) -> tuple[int, int]:
        """Characters and UTF-8 bytes of the first `count` held-out texts."""
        texts = self.test_texts[:count]
        return sum(map(len, texts)), sum(len(text.encode()) for text in texts)


@lru_cache(maxsize=2)
def texts_of(data: str) -> dict[str, list[str]]:
    """The split every verb makes of this data with seed 0."""
    every = list(records(resolve(data)))
    return split(every, seed=0).texts(every)


def tunes(kind: str) -> Corpus:
    """The shipped Irish tunes in characters or ABC tokens."""
    texts = texts_of("irish")
    return _encoded(CODECS[kind]().fit(texts["train"]), texts["train"], texts["test"])


def novel(vocabulary: int, share: float) -> Corpus:
    """Moby-Dick in byte pairs; `share` of its training text, from the front."""
    from unrolled.datasets.bpe import Bpe

    texts = texts_of("moby_dick")
    train = [text[: max(20_000, round(min(share, 1.0) * len(text)))] for text in texts["train"]]
    test = [text[: max(2_000, round(min(share, 1.0) * 60_000))] for text in texts["test"]]
    return _encoded(Bpe(vocabulary).fit(train), train, test)


def in_header(text: str) -> np.ndarray:
    """(characters,) 1.0 inside a line such as `K:D Major`, 0.0 in the melody."""
    lines = text.splitlines(keepends=True)
    inside = [np.full(len(line), float(line[1:2] == ":" and line[0].isalpha())) for line in lines]
    return np.concatenate([np.zeros(0), *inside])


def _encoded(codec: Codec, train: list[str], test: list[str]) -> Corpus:
    return Corpus(codec, [codec.encode(t) for t in train], [codec.encode(t) for t in test], test)
