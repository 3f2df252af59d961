"""Stop `attention-maps`: which heads link which words, how far above chance, and whether that is what mattered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.datasets.sampler import Batch
from unrolled.inspection.attention_maps import AttentionMaps, attention_maps
from unrolled.inspection.held_out import Held
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import drill
from unrolled.model import Model, build, preset
from unrolled.report import Heatmap, Section, Table

WIDTH, LAYERS, HEADS, STEPS, ROWS = 64, 2, 4, 300, 64
EVEN = 1e-6  # a scale of scores at which all weights of a row are the same
ANIMALS = ("cat", "dog", "horse", "bird", "child", "bear")
THINGS = ("ball", "book", "box", "stone", "wheel", "chair")
MOODS = ("excited", "tired", "hungry", "afraid")
LOOKS = ("round", "red", "heavy", "broken")
SHUFFLES = 2000
ROUNDING = 1e-4  # weights that differ by less are the same
CAT = "The cat that I saw yesterday was sleeping"
DOG = "The dog chased the ball because it was excited : dog"


@dataclass(frozen=True)
class Sentence:
    """Words, the place from which something is foretold, and the place that decides it."""

    words: tuple[str, ...]
    asks: int
    decides: int


@dataclass(frozen=True)
class Link:
    """The head that links most, chosen on half of the sentences; weight and chance on the other half.

    weight: what it puts on the word that decides, in the mean. chance: the same for words drawn at random from those it
    could look at; p: the share of random draws that reach the weight.
    """

    what: str
    layer: int
    head: int
    weight: float
    chance: float
    p: float
    right: float  # the share of sentences whose word is foretold rightly


def run(size: float, broken: bool = False) -> Outcome:
    """Trains a Transformer on a small grammar and asks what its heads link. `broken`: every head looks everywhere alike."""
    agreeing, referring = agreements(), references()
    held = {"agreement": split(agreeing, CAT), "reference": split(referring, DOG)}
    codec = Vocabulary([one.words for one in (*agreeing, *referring)])
    torch.manual_seed(0)
    spec = preset("transformer", len(codec.words), width=WIDTH, layers=LAYERS, heads=HEADS)
    if broken:
        for layer in spec["core"]["layers"]:
            layer.update({"scale": EVEN} if layer["kind"] == "attention" else {})
    model = build(spec)
    model.task = codec
    train = [one for kept, _ in held.values() for one in kept]
    practice = drill(
        model, lambda step: lesson(model, codec, train, step), max(2, round(STEPS * size)), limit=45, lr=3e-3,
        unit="words",
    )  # fmt: skip
    links = [linked(model, codec, name, kept) for name, (_, kept) in held.items()]
    shown = {"agreement": mapped(model, codec, CAT), "reference": mapped(model, codec, DOG)}
    figures: list[Figure] = []
    for one in links:
        figures += [
            Figure(f"{one.what}: weight of layer {one.layer + 1}, head {one.head + 1} on what decides", one.weight),
            Figure(f"{one.what}: the same on words drawn at random", one.chance),
            Figure(f"{one.what}: share of random draws that reach it", one.p),
            Figure(f"{one.what}: held-out sentences foretold rightly", one.right),
        ]  # fmt: skip
    sections: list[Section] = [
        picture(found, link, text)
        for (found, link, text) in zip(shown.values(), links, (CAT, DOG), strict=True)
    ]
    sections += [table(links, broken), check(shown)]
    what = f"a Transformer of {LAYERS} layers with {HEADS} heads"
    trained = f"{what} on {len(train):,} sentences of a small grammar: {practice}"
    return Outcome(sections, figures, trained)


def agreements() -> list[Sentence]:
    """The verb agrees with the first noun, whatever stands between: seen from the word before the verb."""
    found = []
    for animal, many, who, verb, when in product(
        ANIMALS,
        (False, True),
        ("I", "we", "you", "they"),
        ("saw", "met", "heard"),
        ("yesterday", "today", "often"),
    ):
        for doing in ("sleeping", "running"):
            noun, is_ = (plural(animal), "were") if many else (animal, "was")
            found.append(Sentence(("The", noun, "that", who, verb, when, is_, doing), 5, 1))
    for animal, other, many, others in product(ANIMALS, ANIMALS, (False, True), (False, True)):
        noun, is_ = (plural(animal), "were") if many else (animal, "was")
        beside = plural(other) if others else other
        found += [
            Sentence(("The", noun, "near", "the", beside, is_, doing), 4, 1)
            for doing in ("sleeping", "running")
            if animal != other
        ]
    return found


def references() -> list[Sentence]:
    """What `it` is decides what is said after the colon: a mood is the animal's, a look the thing's, first or second."""
    found = []
    for animal, thing, (verb, back) in product(
        ANIMALS, THINGS, (("chased", "hit"), ("carried", "touched"), ("found", "stopped"))
    ):
        for adjective in (*MOODS, *LOOKS):
            meant = animal if adjective in MOODS else thing
            for first, second, did in ((animal, thing, verb), (thing, animal, back)):
                words = ("The", first, did, "the", second, "because", "it", "was", adjective, ":", meant)
                place = 1 if meant == first else 4
                found.append(Sentence(words, 9, place))
    return found


def plural(noun: str) -> str:
    """More than one of it."""
    return {"box": "boxes", "child": "children"}.get(noun, f"{noun}s")


def split(sentences: Sequence[Sentence], kept: str) -> tuple[list[Sentence], list[Sentence]]:
    """A fifth is held out, with `kept` among it: the same every time."""
    order = np.random.default_rng(0).permutation(len(sentences))
    out = {int(i) for i in order[: len(sentences) // 5]}
    out |= {i for i, one in enumerate(sentences) if " ".join(one.words) == kept}
    return (
        [one for i, one in enumerate(sentences) if i not in out],
        [one for i, one in enumerate(sentences) if i in out],
    )


class Vocabulary:
    """The grammar's words as ids from 1, 0 is a sentence's end; what the model's `task` is here."""

    kind = "generate"

    def __init__(self, sentences: Sequence[Sequence[str]]) -> None:
        self.words = ["END", *sorted({word for words in sentences for word in words})]
        self._ids = {word: number for number, word in enumerate(self.words)}

    @property
    def codec(self) -> Vocabulary:
        """It spells itself."""
        return self

    def ids(self, words: Sequence[str]) -> list[int]:
        """The words' ids."""
        return [self._ids[word] for word in words]

    def token_text(self, token: int) -> str:
        """The word of an id."""
        return self.words[token]


def lesson(model: Model, codec: Vocabulary, train: Sequence[Sentence], step: int) -> tuple[Tensor, int]:
    """The loss of the next words of some sentences, drawn anew for each step."""
    draw = np.random.default_rng(step)
    rows = [[0, *codec.ids(train[int(i)].words), 0] for i in draw.integers(len(train), size=ROWS)]
    longest = max(map(len, rows))
    x = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    total, count = model.head.loss(model(x[:, :-1])[0], x[:, 1:])
    return total / count, int(count)


def linked(model: Model, codec: Vocabulary, what: str, held: Sequence[Sentence]) -> Link:
    """The head whose weight on the deciding word is largest on every other sentence, and its weight on the rest."""
    weights, right = looks(model, codec, held)  # (N, layers, heads, words)
    decides = np.array([one.decides for one in held])
    own = np.take_along_axis(weights, decides[:, None, None, None] + 1, 3)[..., 0]  # 1: END stands first
    chosen, rest = own[::2].mean(0), own[1::2].mean(0)
    layer, head = np.unravel_index(int(chosen.argmax()), chosen.shape)
    draw = np.random.default_rng(0)
    asks = np.array([one.asks for one in held])[1::2]
    there = weights[1::2, layer, head]
    # Any word up to the one that asks, the sentence's beginning included: what the head could look at.
    random = np.array(
        [
            there[np.arange(len(there)), draw.integers(0, asks + 2)].mean() for _ in range(SHUFFLES)
        ]
    )  # fmt: skip
    weight = float(rest[layer, head])
    p = float((1 + (random >= weight - ROUNDING).sum()) / (SHUFFLES + 1))
    return Link(what, int(layer), int(head), weight, float(random.mean()), p, float(right.mean()))


def looks(
    model: Model, codec: Vocabulary, held: Sequence[Sentence]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(N, layers, heads, words) the weights of the step that asks, and whether it foretells rightly what comes."""
    longest = max(len(one.words) for one in held)
    rows = [[0, *codec.ids(one.words)] + [0] * (longest - len(one.words)) for one in held]
    x = torch.tensor(rows)
    trace = Held(model, Batch(x, x)).probe(only=["weights"], most=10**9)
    step = torch.tensor([one.asks + 1 for one in held])
    at = torch.arange(len(held))
    weights = torch.stack([one.value[at, :, step] for one in trace.heard], 1)
    said = trace.prediction[at, step].argmax(-1)
    return weights.double().numpy(), (said == x[at, step + 1]).numpy()


def mapped(model: Model, codec: Vocabulary, text: str) -> AttentionMaps:
    """Every head over one sentence, with the check of what taking a word out does."""
    ids = torch.tensor([[0, *codec.ids(text.split())]])
    return replace(attention_maps(Held(model, Batch(ids, ids))), tokens=["START", *text.split()])


def picture(found: AttentionMaps, link: Link, text: str) -> Heatmap:
    """The head that links most, over the sentence."""
    words = ["START", *text.split()]
    return Heatmap(
        found.layers[link.layer].weights[link.head], words, words, low=0.0, high=1.0,
        title=f"{link.what.capitalize()}: layer {link.layer + 1}, head {link.head + 1}",
        row_label="the word that looks", column_label="what it looks at",
        caption="A row's weights sum to 1. The head was chosen on other sentences, as the one that puts most on the word "
        "that decides.",
    )  # fmt: skip


def table(links: Sequence[Link], broken: bool) -> Table:
    """The heads that link, held against chance."""
    how = "Every head was made to look everywhere alike. " if broken else ""
    rows: list[list[str | float | int | None]] = [
        [
            one.what, f"layer {one.layer + 1}, head {one.head + 1}", one.weight, one.chance,
            f"{one.p:.4f}", "links" if one.p < 0.01 else "doesn't link", f"{one.right:.0%}",
        ]
        for one in links
    ]  # fmt: skip
    return Table(
        ["what", "head", "weight on the deciding word", "on random words", "p", "so it", "foretold rightly"], rows,
        f"{how}Agreement: before was or were, the weight on the noun that decides. Reference: after the colon, the "
        "weight on what `it` is. The head was chosen on half of the held-out sentences and is measured on the other half; "
        f"p is the share of {SHUFFLES:,} draws of random words that get as much.",
        title="Which heads link which words",
    )  # fmt: skip


def check(shown: dict[str, AttentionMaps]) -> Table:
    """Whether looking is mattering, on the two sentences."""
    rows: list[list[Any]] = []
    for name, found in shown.items():
        rows += [
            [f"{name}, layer {n + 1}", one.mean.agreement, one.mean.chance]
            for n, one in enumerate(found.layers)
        ]
        rows.append([f"{name}, closeness alone", found.recency.agreement, None])
    return Table(
        ["map", "agreement with taking the word out", "as good by chance"], rows,
        "The rank correlation of a layer's weights with how far the next word moves when a word is taken out. "
        "A map that agrees no better than closeness shows where the layer looks, not what mattered.",
        title="Is that what mattered?",
    )  # fmt: skip
