"""Pairs for the stops on sequence to sequence: words to be turned round, dates to be rewritten, and a training on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from unrolled.datasets.codecs import CODECS, Codec
from unrolled.datasets.pairs import PairBundles, Pairs
from unrolled.datasets.store import Ragged
from unrolled.datasets.synthetic_pairs import dates, letters
from unrolled.layout import Layout
from unrolled.lessons.practice import Practice, drill
from unrolled.model import Seq2Seq, build, paired

BATCH = 32  # pairs, in the mean


@dataclass(frozen=True)
class Sides:
    """Pairs of texts, encoded: to train on, and held out by the hash of the text."""

    read: Codec
    write: Codec
    train: Pairs
    test: Pairs

    def model(self, width: int, attention: str, embedding: int = 24) -> Seq2Seq:
        """A GRU that writes what a GRU in both directions has read."""
        source = {"kind": "tokens", "vocabulary": self.read.size}
        spec = paired("gru", source, self.write.size, attention=attention, width=width, embedding=embedding)
        built = build(spec)
        assert isinstance(built, Seq2Seq)
        return built


@lru_cache(maxsize=2)
def words(count: int, longest: int) -> Sides:
    """Words of 1 to `longest` random letters, to be written backwards."""
    made = letters("reverse", count, longest)
    return _sides((row["split"], row["source"], row["target"]) for row in made)


@lru_cache(maxsize=2)
def days(count: int) -> Sides:
    """Dates as people write them, to be written as year-month-day."""
    return _sides((row["split"], row["date"], row["iso"]) for row in dates(count))


def _sides(rows: Iterable[tuple[str, str, str]]) -> Sides:
    """From (part, source, target) of each pair."""
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "valid": [], "test": []}
    for part, source, target in rows:
        parts[part].append((source, target))
    read, write = (CODECS["characters"]().fit(pair[side] for pair in parts["train"]) for side in (0, 1))
    train, test = (
        Pairs(
            Ragged.of(read.encode(source) for source, _ in parts[part]),
            Ragged.of(write.encode(target) for _, target in parts[part]),
        )
        for part in ("train", "test")
    )
    return Sides(read, write, train, test)


def rehearse(model: Seq2Seq, pairs: Pairs, steps: int, *, limit: float, lr: float = 6e-3) -> Practice:
    """Trains with teacher forcing: each target token is to be foretold from the source and the true tokens before it."""
    feed = PairBundles(pairs, BATCH)

    def loss(step: int) -> tuple[Tensor, int]:
        batch = feed.batch(step)
        assert batch.source is not None
        first = model.condition(batch.source, padding(batch.source, batch.source_lengths))
        layout = padding(batch.x, batch.lengths)
        logits, _ = model(batch.x, first, layout)
        total, count = model.head.loss(logits, batch.y, layout)
        return total / count, int(count)

    return drill(model, loss, steps, limit=limit, lr=lr)


def padding(steps: Tensor, lengths: Tensor | None) -> Layout | None:
    """What is real of padded rows (B, T); None where all is."""
    return None if lengths is None else Layout.of_lengths(lengths, steps.shape[1])
