"""Stop `rnn`: what a hidden state is, drawn over the characters of a tune as a just-trained tiny RNN reads it."""

from __future__ import annotations

from math import log

import numpy as np
import torch
from torch.nn import functional as F

from unrolled.datasets.codecs import Ids
from unrolled.inspection.probe import probe
from unrolled.layout import Layout
from unrolled.lessons.corpora import Corpus, in_header, tunes
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import practise
from unrolled.model import Model, build, preset
from unrolled.report import Heatmap, HiddenLines

UNITS, STEPS, TUNES, SHOWN = 48, 700, 40, 90


def run(size: float, broken: bool = False) -> Outcome:
    """Trains an RNN of 48 units on tunes and reads its state. `broken`: its recurrent weights are held at zero."""
    corpus = tunes("characters")
    model = build(preset("rnn", corpus.codec.size, width=UNITS, embedding=32))
    if broken:
        recurrent = model.core.layers[0].get_parameter("weight_hh_l0")
        recurrent.data.zero_()
        recurrent.requires_grad_(False)
    practice = practise(model, corpus.train, max(2, round(STEPS * size)), limit=35)
    count = TUNES if size >= 0.5 else 4
    held_out, texts = corpus.test[:count], corpus.test_texts[:count]
    states = [hidden_states(model, ids) for ids in held_out]
    unit, agreement = best_unit(states, [in_header(text) for text in texts])
    bits = [bits_per_character(model, corpus, count, forget) for forget in (False, True)]
    trained = f"an RNN of {UNITS} units on the characters of 'irish': {practice}"
    first, letters = states[0][:SHOWN], list(texts[0][:SHOWN])
    every = Heatmap(
        first.T.tolist(),
        [f"unit {number}" for number in range(UNITS)],
        letters,
        title="The hidden state while it reads",
        column_label="a tune it was not trained on, a character at a time",
        diverging=True,
        caption=f"{UNITS} numbers between -1 and 1, a row each. A column is all that the network knows there.",
    )
    one = HiddenLines(
        first[:, unit : unit + 1].T.tolist(),
        letters,
        {0: f"unit {unit}"},
        y_label="hidden state h",
        x_label="the same tune",
        title="One number with a meaning that nobody gave it",
        caption=f"Unit {unit} was chosen on half of the held-out tunes as the one that best tells the header (X: T: M: K:) "
        f"from the melody. On the other half its correlation with 'inside a header line' is {agreement:.2f}.",
    )
    figures = [
        Figure("held-out bits per character, state carried along", bits[0]),
        Figure("the same network, state erased before every character", bits[1]),
        Figure(f"correlation of unit {unit} with 'inside a header line'", agreement),
        Figure(
            "largest difference between one call and a call a character", unrolled_gap(model, held_out[0])
        ),
    ]
    return Outcome([every, one], figures, trained)


def hidden_states(model: Model, ids: Ids) -> np.ndarray:
    """(T, units): the state after each token of a document, heard from the cell itself by a probe."""
    heard = probe(model, torch.from_numpy(np.concatenate(([0], ids)))[None], only=["hidden"])
    states: np.ndarray = heard.find("core.layers.0", "hidden").value[0, 1:].numpy()
    return states  # the first state follows the boundary, not a character


def unrolled_gap(model: Model, ids: Ids) -> float:
    """How far the logits of one call over a tune and of one call a character differ: the loop is the network."""
    x = torch.from_numpy(ids)[None]
    with torch.no_grad():
        whole, _ = model(x, model.start(1))
        state, steps = model.start(1), []
        for x_t in torch.split(x, 1, 1):
            logits, after = model(x_t, state)
            assert after is not None
            state = after
            steps.append(logits)
    return float((whole - torch.cat(steps, 1)).abs().max())


def bits_per_character(model: Model, corpus: Corpus, count: int, forget: bool) -> float:
    """Of the first `count` held-out tunes. `forget`: every character is a document's start, which erases the state."""
    nats = 0.0
    for ids in corpus.test[:count]:
        x = torch.from_numpy(np.concatenate(([0], ids)))[None]
        y = torch.from_numpy(np.append(ids, 0))
        start = torch.full_like(x, forget, dtype=torch.bool)
        with torch.no_grad():
            logits, _ = model(x, None, Layout(torch.ones_like(start), start))
        nats += float(F.cross_entropy(logits[0], y, reduction="sum"))
    return nats / log(2) / corpus.size_of(count)[0]


def best_unit(states: list[np.ndarray], wanted: list[np.ndarray]) -> tuple[int, float]:
    """The unit that follows `wanted` most closely on every other tune, and its correlation on the rest."""
    chosen, rest = (
        np.nan_to_num(
            [
                np.corrcoef(unit, np.concatenate(wanted[half::2]))[0, 1]
                for unit in np.concatenate(states[half::2]).T
            ]
        )
        for half in (0, 1)
    )
    unit = int(np.abs(chosen).argmax())
    return unit, float(rest[unit])
