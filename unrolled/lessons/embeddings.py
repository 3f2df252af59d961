"""Stop `embeddings`: words that may stand for one another come to lie together, though nobody says what they mean."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.datasets.codecs import Ids
from unrolled.datasets.words import Words
from unrolled.inspection.geometry import cosines, neighbours, plane
from unrolled.lessons.corpora import texts_of
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import drill
from unrolled.model import Model, TokenEmbedder, answering, build
from unrolled.model.heads import LabelHead
from unrolled.report import Dot, Scatter, Table

WIDTH, STEPS, BATCH, AROUND, MINIMUM = 64, 1600, 512, 3, 8
NEAREST, DEALT = 3, 200  # neighbours of a word that are counted; times the vectors are dealt anew
FREQUENT = (
    1e-3  # share of the text above which a word is now and then passed over (Mikolov et al. 2013b, sec. 2.3)
)
TOPICS = {  # written down by hand, and unknown to the network
    "the crew": "ahab starbuck stubb flask queequeg tashtego daggoo ishmael bildad peleg",
    "numbers": "two three four five six seven eight ten twenty fifty",
    "the body": "head hand hands eyes eye arm arms foot feet face mouth teeth",
    "time": "day night morning hour hours minutes moment years days year",
    "the ship": "deck mast cabin hold bow stern bows rigging sails bulwarks",
    "colours": "white black red green blue yellow",
    "animals": "whale whales fish shark sharks horse dog bird elephant",
    "seas and shores": "sea ocean pacific waters atlantic seas coast land shore island",
    "saying": "said cried asked replied says cries",
}
SHOWN = ("ahab", "three", "deck", "hand", "night", "white", "said", "whale")


def run(size: float, broken: bool = False) -> Outcome:
    """Learns vectors for the words of Moby-Dick. `broken`: the book's words are shuffled before training."""
    codec, book = words()
    if broken:
        book = np.random.default_rng(0).permutation(book)
    model, said = trained(codec, book, size)
    table = vectors_of(model)
    ids = {codec.token_text(token): token for token in range(codec.size)}
    topics = [topic for topic, of in TOPICS.items() for _ in of.split()]
    listed = [word for of in TOPICS.values() for word in of.split()]
    vectors = table[[ids[word] for word in listed]]
    rate, dealt = same_topic(vectors, topics), shuffled(vectors, topics)
    figures = [
        Figure(f"of a word's {NEAREST} nearest among {len(listed)} words, the share of its own topic", rate),
        Figure("the same with the vectors dealt to the words at random, mean", float(dealt.mean())),
        Figure(f"the best of {DEALT} such deals", float(dealt.max())),
    ]
    trained_on = (
        f"a bag of {2 * AROUND} words around a gap that names the missing one of {codec.size:,}: {said}"
    )
    return Outcome([chart(vectors, listed, topics), near(table, codec, ids)], figures, trained_on)


@lru_cache(maxsize=1)
def words() -> tuple[Words, Ids]:
    """The codec of the words that the book's training part holds `MINIMUM` times, and the book in it, (N,)."""
    texts = texts_of("moby_dick")["train"]
    codec = Words(MINIMUM).fit(texts)
    return codec, np.concatenate([codec.encode(text) for text in texts])


def trained(codec: Words, book: Ids, size: float) -> tuple[Model, str]:
    """CBOW (Mikolov et al. 2013, arXiv:1301.3781, sec. 3.1): the mean of the words around a gap names the missing one."""
    model = build(answering("bag", {"kind": "tokens", "vocabulary": codec.size}, head(codec), width=WIDTH))
    counts = np.bincount(book, minlength=codec.size)
    # How common each word is need not be learned.
    assert isinstance(model.head, LabelHead)
    model.head.scores.bias.data = torch.from_numpy(np.log((counts + 1.0) / counts.sum())).float()
    draw, gaps, tokens = np.random.default_rng(0), gaps_of(book, counts), torch.from_numpy(book)

    def loss(step: int) -> tuple[Tensor, int]:
        at = torch.from_numpy(draw.choice(gaps, BATCH))
        x, _, _ = model.embedder(around(tokens, at))
        y, _ = model.core(x)
        total, count = model.head.loss(model.head(y[:, -1:]), tokens[at])
        return total / count, BATCH

    return model, str(drill(model, loss, max(2, round(STEPS * size)), limit=50, lr=5e-3, unit="gaps"))


def around(tokens: Tensor, at: Tensor) -> Tensor:
    """(B, 2 AROUND): the words before and after each gap `at` (B,), without the one that is missing."""
    return tokens[at[:, None] + torch.tensor([i for i in range(-AROUND, AROUND + 1) if i])]


def vectors_of(model: Model) -> NDArray[np.float32]:
    """(tokens, width): the model's table."""
    assert isinstance(model.embedder, TokenEmbedder)
    table: NDArray[np.float32] = model.embedder.table.weight.detach().numpy()
    return table


def head(codec: Words) -> dict[str, object]:
    """The spec of a head that names a word."""
    return {"kind": "labels", "classes": codec.size}


def gaps_of(book: Ids, counts: NDArray[np.int64]) -> Ids:
    """Places whose word is to be named: all but the book's ends, and of a frequent word's places a part only."""
    share = counts / counts.sum()
    keep = np.sqrt(np.minimum(1.0, FREQUENT / np.maximum(share, 1e-12)))
    places = np.arange(AROUND, len(book) - AROUND)
    kept: Ids = places[np.random.default_rng(1).random(len(places)) < keep[book[places]]]
    return kept


def same_topic(vectors: NDArray[np.floating], topics: list[str]) -> float:
    """The share of words' `NEAREST` neighbours among these words that are of the word's own topic."""
    cosine = cosines(vectors, vectors)
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :NEAREST]
    of = np.array(topics)
    return float((of[nearest] == of[:, None]).mean())


def shuffled(vectors: NDArray[np.floating], topics: list[str]) -> NDArray[np.float64]:
    """(DEALT,) the same rate where the vectors are dealt to the words at random."""
    draw = np.random.default_rng(0)
    return np.array([same_topic(draw.permutation(vectors), topics) for _ in range(DEALT)])


def chart(vectors: NDArray[np.floating], listed: list[str], topics: list[str]) -> Scatter:
    """The words of the topics in the plane in which they spread most."""
    flat = plane(vectors)
    dots = [
        Dot(word, float(x), float(y), topic)
        for word, topic, (x, y) in zip(listed, topics, flat.points, strict=True)
    ]
    return Scatter(
        dots,
        f"first axis, {100 * flat.shares[0]:.0f} % of the variance",
        f"second axis, {100 * flat.shares[1]:.0f} % of the variance",
        title="Words of one topic lie together",
        caption=f"{len(dots)} words in the plane in which their vectors differ most. The colours are ours: the network was "
        "told of no topic.",
    )


def near(table: NDArray[np.floating], codec: Words, ids: dict[str, int]) -> Table:
    """Some words and their nearest neighbours in the whole vocabulary."""
    among = np.arange(2, codec.size)
    rows = [
        [
            word,
            *(f"{codec.token_text(i)} {cosine:.2f}" for i, cosine in neighbours(table, ids[word], among, 5)),
        ]
        for word in SHOWN
    ]
    return Table(
        ["word", "1", "2", "3", "4", "5"],
        rows,
        f"Among all {codec.size - 2:,} words, with the cosine of the angle between the vectors.",
        title="Nearest neighbours",
    )
