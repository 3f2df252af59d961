"""Stop `attention`: the context vector computed by hand from one run's numbers, and a map of where each step looked."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.datasets.pairs import Pairs
from unrolled.datasets.store import Ragged
from unrolled.inspection.by_length import judge, written
from unrolled.inspection.probe import probe
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.pairs import Sides, days, rehearse
from unrolled.mixers.cross import CrossAttention
from unrolled.model import Seq2Seq
from unrolled.report import Heatmap, Section, Table

UNITS, STEPS, DATES, NUMBERS = 64, 700, 16_000, 3
LONG = 20  # characters: what is shown is a date that long or longer


class Look(NamedTuple):
    """One step of writing, in float64: the decoder's state (units,), what of it is multiplied by the encoder's states (the
    same, with the dot score), these states for each of S characters (S, units), the model's own weights (S,) and its
    prediction (V,).
    """

    decoder: NDArray[np.float64]
    query: NDArray[np.float64]
    encoder: NDArray[np.float64]
    weights: NDArray[np.float64]
    prediction: NDArray[np.float64]


class ByHand(NamedTuple):
    """The attention of one step, computed: scores and weights (S,), the context (units,)."""

    scores: NDArray[np.float64]
    weights: NDArray[np.float64]
    context: NDArray[np.float64]


def run(size: float, broken: bool = False) -> Outcome:
    """Learns to rewrite dates and computes its attention by hand. `broken`: every weight is held at 1 / S."""
    sides = days(DATES if size >= 0.5 else 400)
    model = sides.model(UNITS, "general" if broken else "dot")
    if broken:
        uniform(model)
    practice = rehearse(model, sides.train, max(2, round(STEPS * size)), limit=40)
    source, said = example(model, sides)
    looks = watched(model, source, said)
    hands = [by_hand(look) for look in looks]
    read = [sides.read.token_text(int(i)) for i in source]
    write = [*(sides.write.token_text(int(i)) for i in said), "END"]
    step = shared(looks, write)
    gaps = [
        (np.abs(hand.weights - look.weights).max(), np.abs(predicted(model, look, hand.context) - look.prediction).max())
        for hand, look in zip(hands, looks, strict=True)
    ]  # fmt: skip
    figures = [
        Figure("held-out dates rewritten without a mistake", float(judge(model, sides.test).exact.mean())),
        Figure("largest difference of a weight by hand to the model's own", float(max(w for w, _ in gaps))),
        Figure(
            "largest difference of a prediction by hand to the model's own", float(max(p for _, p in gaps))
        ),
        Figure("mean of the largest weight a step", float(np.mean([look.weights.max() for look in looks]))),
        Figure("the same if all weights were equal", 1 / len(source)),
    ]
    trained = f"a GRU of {UNITS} units on {len(sides.train):,} dates: {practice}"
    sections: list[Section] = [
        alignment(looks, read, write, broken),
        working(looks[step], hands[step], read, write[step]),
    ]
    return Outcome(sections, figures, trained, {".csv": spreadsheet(looks[step], hands[step], read)})


def uniform(model: Seq2Seq) -> None:
    """Every score 0 for good, so that every weight is the same: W of `decoder . W encoder` is 0 and isn't trained."""
    for part in model.modules():
        if isinstance(part, CrossAttention):
            assert part.query is not None
            part.query.weight.data.zero_()
            part.query.weight.requires_grad_(False)


def example(model: Seq2Seq, sides: Sides) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """A held-out date of `LONG` characters or more, the first that was written rightly if there is one, and what was
    written for it.
    """
    long = [i for i, length in enumerate(sides.test.lengths) if length >= LONG][:50]
    few = Pairs(*(Ragged.of(side[i] for i in long) for side in (sides.test.inputs, sides.test.targets)))
    said = written(model, few)
    right = [i for i, one in enumerate(said) if list(one) == few.targets[i].tolist()]
    chosen = right[0] if right else 0
    return np.asarray(few.inputs[chosen], np.int64), said[chosen]


def watched(model: Seq2Seq, source: NDArray[np.int64], said: Sequence[int]) -> list[Look]:
    """The numbers of each step of writing `said`, and of the step that closes it, as a probe hears them."""
    cross, read = cross_of(model), torch.from_numpy(source)[None]
    trace = probe(model, torch.tensor([[0, *said]]), source=read)
    last = len(model.core.layers) - 1
    states = trace.find(f"core.layers.{last - 1}", "hidden").value[0]
    weights = trace.find(f"core.layers.{last}", "weights").value[0, 0]
    looks = []
    with torch.no_grad():
        encoder = model.read_source(read).core[last].values[0, 0]
        for decoder, weight, prediction in zip(states, weights, trace.prediction[0], strict=True):
            query = decoder if cross.query is None else cross.query(decoder)
            heard = (decoder, query, encoder, weight, prediction)
            looks.append(Look(*(value.double().numpy() for value in heard)))
    return looks


def cross_of(model: Seq2Seq) -> CrossAttention:
    """The layer that looks at the source."""
    layer = model.core.layers[-1]
    assert isinstance(layer, CrossAttention)
    return layer


def by_hand(look: Look) -> ByHand:
    """score = decoder . encoder, weights = softmax of the scores, context = weighted sum of the encoder's states."""
    scores = look.encoder @ look.query
    powers = np.exp(scores - scores.max())
    weights = powers / powers.sum()
    context = weights @ look.encoder
    return ByHand(scores, weights, context)


def predicted(model: Seq2Seq, look: Look, context: NDArray[np.float64]) -> NDArray[np.float64]:
    """(V,) what follows from a context by hand: the layer merges it with the decoder's state, the head reads that."""
    names = ("out.weight", cross_of(model)), ("scores.weight", model.head), ("scores.bias", model.head)
    out, scores, bias = (of.get_parameter(name).detach().double().numpy() for name, of in names)
    said: NDArray[np.float64] = scores @ np.tanh(out @ np.concatenate([context, look.decoder])) + bias
    return said


def shared(looks: Sequence[Look], write: Sequence[str]) -> int:
    """Of the steps that write a digit, the one whose second largest weight is largest: a sum of several states shows more
    than a single one.
    """
    digits = [step for step, name in enumerate(write) if name.isdigit()] or [0]
    return max(digits, key=lambda step: float(np.sort(looks[step].weights)[-2]))


def alignment(looks: Sequence[Look], read: Sequence[str], write: Sequence[str], broken: bool) -> Heatmap:
    """The weights of every step: a row a character written, a column a character read."""
    how = "Every weight was held at the same value. " if broken else ""
    return Heatmap(
        [look.weights.tolist() for look in looks],
        write,
        read,
        title="Where it looked while it wrote",
        row_label="written, from top to bottom",
        column_label="the date as it was read",
        low=0.0,
        high=1.0,
        caption=f"{how}A row's weights sum to 1. Nobody said which characters belong together.",
    )


def working(look: Look, hand: ByHand, read: Sequence[str], written_as: str) -> Table:
    """The numbers of one step: a line a character read, the context in the last."""
    units = range(NUMBERS)
    rows: list[list[str | float | None]] = [
        [
            visible(name),
            *(float(state[u]) for u in units),
            round(float(score), 4),
            *(f"{w:.6f}" for w in (weight, own)),
        ]
        for name, state, score, weight, own in zip(
            read, look.encoder, hand.scores, hand.weights, look.weights, strict=True
        )
    ]
    rows.append(["the decoder's state", *(float(look.decoder[u]) for u in units), None, None, None])
    total = [f"{float(weights.sum()):.6f}" for weights in (hand.weights, look.weights)]
    rows.append(["context: weighted sum", *(float(hand.context[u]) for u in units), None, *total])
    return Table(
        ["read", *(f"unit {u + 1}" for u in units), "score", "weight", "the model's"],
        rows,
        f"While {written_as!r} was written. Of {len(look.decoder)} units the first {NUMBERS} are shown; the file beside "
        "this page has all. A score is the sum over all units of the decoder's number times the encoder's; the weights, by "
        "hand and as the model had them, are e^score, each divided by their sum; the context is the sum of the states, "
        "each times its weight.",
        title="One step, by hand",
        muted=[len(read)],
        highlight=len(read) + 1,
        highlight_label="context",
    )


def spreadsheet(look: Look, hand: ByHand, read: Sequence[str]) -> bytes:
    """All numbers of the step as a table of comma-separated values, for whoever wants to compute it again."""
    units = range(1, len(look.decoder) + 1)
    head = ["what", *(f"unit {u}" for u in units), "score", "weight"]
    states = zip(read, look.encoder, hand.scores, hand.weights, strict=True)
    rows: list[list[str]] = [
        [f"encoder {visible(name)}", *map(repr, state.tolist()), repr(float(score)), repr(float(weight))]
        for name, state, score, weight in states
    ]
    rows.append(["decoder", *map(repr, look.query.tolist()), "", ""])
    rows.append(["context", *map(repr, hand.context.tolist()), "", ""])
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue().encode()


def visible(character: str) -> str:
    """A character by a name that can be seen."""
    return "space" if character == " " else character
