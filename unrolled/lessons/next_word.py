"""Stop `next-word`: the next token's probabilities from counts, from a fixed window and from a recurrent network."""

from __future__ import annotations

from math import log2

import numpy as np
import torch

from unrolled.datasets.codecs import Ids
from unrolled.lessons.corpora import Corpus, novel
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import practise
from unrolled.model import Model, TokenHead, build, preset
from unrolled.report import IntervalChart, IntervalRow, Table
from unrolled.running.sampling import likeliest
from unrolled.tasks.ngram import NGram, best_ngram
from unrolled.tasks.task import Score

PROMPT = "I took my cat for a"
VOCABULARY, STEPS, WIDTH, WINDOW, TOP = 2000, 700, 128, 8, 8
NAMES = {"window": f"window of {WINDOW}", "gru": "recurrent (GRU)"}


def run(size: float, broken: bool = False) -> Outcome:
    """Asks three models of Moby-Dick for the next word. `broken`: the book's tokens are shuffled before training."""
    corpus = novel(VOCABULARY, min(1.0, size))
    train = corpus.train
    if broken:
        train = [np.random.default_rng(0).permutation(ids) for ids in train]
    # Its order is chosen on the very text that it is scored on, in its favour.
    best = best_ngram(train, corpus.test, corpus.codec.size, range(1, 6))
    scores = {f"{best.order}-gram": score_ngram(best.model, corpus)}
    columns = {f"{best.order}-gram": next_of_ngram(best.model, corpus)}
    said = []
    for kind in ("window", "gru"):
        model = build(spec(kind, corpus.codec.size))
        model.task = corpus.task
        begin_with_frequencies(model, train)
        practice = practise(model, train, max(2, round(STEPS * size)), limit=30, batch=16, length=48, lr=8e-3)
        said.append(f"{NAMES[kind]}, {model.parameter_count():,} weights: {practice}")
        scores[NAMES[kind]] = corpus.task.score(model, corpus.test, *corpus.size_of(len(corpus.test)))
        columns[NAMES[kind]] = next_of_model(model, corpus)
    figures = [Figure(f"{name}: held-out bits per byte", s.bits_per_byte) for name, s in scores.items()]
    for name, words in columns.items():
        figures.append(Figure(f"{name}: likeliest next token {words[0][0]!r}, with probability", words[0][1]))
    trained = f"{sum(map(len, train)):,} tokens of 'moby_dick', {corpus.codec.size} kinds. {'; '.join(said)}"
    return Outcome([answers(columns), chart(scores)], figures, trained)


def spec(kind: str, vocabulary: int) -> dict[str, object]:
    """Two models of one width: the cell differs, what it sees of the past, and with them the number of weights."""
    made = preset(kind, vocabulary, width=WIDTH, embedding=WIDTH, tied=True)
    if kind == "window":
        made["core"]["layers"][0]["context"] = WINDOW
    return made


def begin_with_frequencies(model: Model, train: list[Ids]) -> None:
    """The head's biases as the log frequencies in training: no step is spent on learning how common each token is."""
    assert isinstance(model.head, TokenHead)
    counts = np.bincount(np.concatenate(train), minlength=model.head.vocabulary) + 1.0
    model.head.scores.bias.data = torch.from_numpy(np.log(counts / counts.sum())).float()


def next_of_ngram(model: NGram, corpus: Corpus) -> list[tuple[str, float]]:
    """The likeliest tokens after the prompt, by counts."""
    context = [0, *corpus.codec.encode(PROMPT).tolist()]
    chances = model.probabilities(context[-(model.order - 1) :] if model.order > 1 else [])
    return [(corpus.codec.token_text(int(i)), float(chances[i])) for i in np.argsort(-chances)[:TOP]]


def next_of_model(model: Model, corpus: Corpus) -> list[tuple[str, float]]:
    """The likeliest tokens after the prompt, by a network."""
    context = torch.from_numpy(np.concatenate(([0], corpus.codec.encode(PROMPT))))[None]
    with torch.no_grad():
        logits, _ = model(context)
    return [(corpus.codec.token_text(i), p) for i, p in likeliest(logits[0, -1], TOP)]


def score_ngram(model: NGram, corpus: Corpus) -> Score:
    """The n-gram's bits on the same held-out text, with an interval."""
    nats = [np.log(2) * bits_of(model, ids) for ids in corpus.test]
    return Score.of(nats, *corpus.size_of(len(corpus.test)))


def bits_of(model: NGram, ids: Ids) -> np.ndarray:
    """(T + 1,) the bits of each token of a document and of its end."""
    return model.bits_by_order(np.concatenate(([0], ids, [0])))[-1]


def answers(columns: dict[str, list[tuple[str, float]]]) -> Table:
    """The likeliest tokens side by side."""
    heads = [part for name in columns for part in (name, "%")]
    rows: list[list[str | float]] = []
    for rank in range(TOP):
        row: list[str | float] = [str(rank + 1)]
        for words in columns.values():
            row += [shown(words[rank][0]), 100 * words[rank][1]]
        rows.append(row)
    return Table(
        ["rank", *heads],
        rows,
        "The likeliest next tokens and their probabilities in per cent. ␣ is a space: a token that begins a new word. "
        "A token may be no more than the beginning of a word.",
        title=f"“{PROMPT} …”",
    )


def shown(token: str) -> str:
    """A token whose spaces and line ends can be seen."""
    return token.replace(" ", "␣").replace("\n", "↵")


def chart(scores: dict[str, Score]) -> IntervalChart:
    """Bits per byte on held-out text."""
    rows = [IntervalRow(n, [s.bits_per_byte], *s.interval_per_byte) for n, s in scores.items()]
    return IntervalChart(
        rows,
        "held-out bits per byte (less is better)",
        title="Who predicts the rest of the book better?",
        caption=f"On text none of them was trained on, with the 95 % interval over blocks of it. A guess among "
        f"{VOCABULARY} tokens costs {log2(VOCABULARY):.1f} bits a token. The n-gram's order was chosen on this very text, "
        "in its favour. One short training: a glimpse, no verdict.",
        highlight=min(range(len(rows)), key=lambda i: rows[i].values[0]),
    )
