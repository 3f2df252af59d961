"""Stop `gates`: what a network's gates do over a text, when nobody tells it where one tune ends and the next begins."""

from __future__ import annotations

from math import log

import numpy as np
import torch
from torch.nn import functional as F

from unrolled.datasets.codecs import Ids
from unrolled.inspection.probe import probe
from unrolled.lessons.corpora import Corpus, in_header, tunes
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import practise
from unrolled.model import Model, build, preset
from unrolled.report import Heatmap, LineChart, Section, Series, Table
from unrolled.tasks.ngram import joined

WIDTH, STEPS, READ, AROUND, UNITS = 64, 800, 6000, 36, 12
END, NOTE = "a document's end", "a note"
END_MARK = "\0"  # stands for a document's end among characters
HOLD = 1e4  # a bias at which a sigmoid is exactly 1
GATES = {"lstm": "forget", "gru": "update"}  # the gate that keeps the old memory where it is 1


def run(size: float, broken: bool = False) -> Outcome:
    """Trains an LSTM and a GRU on tunes in one endless stream. `broken`: an LSTM whose forget gate is held at 1."""
    corpus = tunes("characters")
    stream = joined(corpus.test)[: READ if size >= 0.5 else 1500]
    if broken:
        heard, said, figures = trained("lstm", corpus, stream, size, broken=True)
        return Outcome([magnitude(heard["cell"], stream)], [*growth(heard["cell"]), *figures], said)
    sections: list[Section] = []
    rows: list[list[str | float]] = []
    first: list[Figure] = []
    rest: list[Figure] = []
    stories = []
    for kind, gate in GATES.items():
        heard, said, figures = trained(kind, corpus, stream, size)
        means = by_character(heard[gate], stream, corpus)
        sections.append(picture(kind, heard[gate], stream, corpus))
        rows.append([f"{kind.upper()}, {gate} gate, all units", *means.values()])
        late = slice(len(stream) // 2, None)
        few = heard[gate][:, closers(heard[gate], stream)][late]
        closing = by_character(few, stream[late], corpus)
        rows.append([f"{kind.upper()}, the {UNITS} that close most", *closing.values()])
        first += [
            Figure(
                f"{kind.upper()}: mean {gate} gate at {where}, the {UNITS} units that close most",
                closing[where],
            )
            for where in (END, NOTE)
        ]
        rest += figures
        stories.append(said)
        if kind == "lstm":
            memory, grown = magnitude(heard["cell"], stream), growth(heard["cell"])
    sections += [table(rows, list(means)), memory]
    return Outcome(sections, [*first, *rest, *grown], "; ".join(stories))


def trained(
    kind: str, corpus: Corpus, stream: Ids, size: float, broken: bool = False
) -> tuple[dict[str, np.ndarray], str, list[Figure]]:
    """Trains one network on the stream -> what a probe hears over `stream`, what was done in words, its score."""
    model = build(preset(kind, corpus.codec.size, width=WIDTH, embedding=32))
    if broken:
        without_forgetting(model)
    practice = practise(model, corpus.train, max(2, round(STEPS * size)), limit=30, resets=False)
    heard, bits = read(model, stream)
    said = f"{kind.upper()} of {WIDTH} units on the characters of 'irish' as one stream: {practice}"
    return heard, said, [Figure(f"{kind.upper()}: held-out bits per character, without resets", bits)]


def without_forgetting(model: Model) -> None:
    """The forget gate at 1 for good, as in the LSTM of 1997. So large a bias leaves the gate no gradient to move it by."""
    model.core.layers[0].get_parameter("bias_ih_l0").data[WIDTH : 2 * WIDTH] = HOLD


def read(model: Model, stream: Ids) -> tuple[dict[str, np.ndarray], float]:
    """What a probe hears while the model reads (T,) ids: name -> (T, units); and its bits per character."""
    x, y = torch.from_numpy(stream[:-1])[None], torch.from_numpy(stream[1:])
    trace = probe(model, x, model.start(1), only=["core.layers.0"])
    nats = float(F.cross_entropy(trace.prediction[0], y, reduction="sum"))
    characters = int((stream[1:] != 0).sum())
    return {one.name: one.value[0].numpy() for one in trace.heard}, nats / log(2) / characters


def by_character(gate: np.ndarray, stream: Ids, corpus: Corpus) -> dict[str, float]:
    """The mean gate over units and places, by what is being read."""
    text = [corpus.codec.token_text(int(i)) if i else "" for i in stream[:-1]]
    last = stream[1:] == 0
    kinds = {
        END: stream[:-1] == 0,
        "the last character before it": last,
        "a bar line": np.array([c == "|" for c in text]),
        "a new line": np.array([c == "\n" for c in text]) & ~last,
        NOTE: np.array([c in set("abcdefgABCDEFG") and c != "" for c in text]) & ~_header(text),
    }
    return {name: float(gate[where].mean()) for name, where in kinds.items()}


def _header(text: list[str]) -> np.ndarray:
    """(T,) whether each character, "" where a document ends, stands in a header line: a letter there is no note."""
    found = []
    for tune in "".join(c or END_MARK for c in text).split(END_MARK):
        found += [*in_header(tune).tolist(), 0.0]
    return np.array(found[:-1], dtype=bool)


def closers(gate: np.ndarray, stream: Ids) -> np.ndarray:
    """The units whose gate falls most at documents' ends in the first half of the stream."""
    half = gate[: len(gate) // 2]
    return np.argsort(half[stream[: len(half)] == 0].mean(0) - half.mean(0))[:UNITS]


def picture(kind: str, gate: np.ndarray, stream: Ids, corpus: Corpus) -> Heatmap:
    """The gate's units over the characters around a document's end, those that close most on top."""
    ends = np.flatnonzero(stream[:-1] == 0)
    inside = ends[(ends > AROUND) & (ends < len(gate) - AROUND)]
    end, order = int(inside[-1]), closers(gate, stream)
    near = slice(end - AROUND, end + AROUND)
    return Heatmap(
        gate[near][:, order].T.tolist(),
        [f"unit {u}" for u in order],
        [corpus.codec.token_text(int(i)) if i else "END" for i in stream[near]],
        title=f"The {GATES[kind]} gate of the {kind.upper()}, around the end of a tune",
        row_label="units that close most",
        column_label="the text as it is read; END stands between two tunes",
        low=0.0,
        high=1.0,
        caption=f"1 keeps the old memory, 0 drops it. Shown are the {UNITS} of {WIDTH} units whose gate falls most at "
        "the ends of tunes.",
    )


def table(rows: list[list[str | float]], kinds: list[str]) -> Table:
    """The mean gate where it matters."""
    return Table(
        ["gate", *(f"at {kind}" for kind in kinds)],
        rows,
        f"Means over the held-out stream; 1 keeps the old memory, 0 drops it. The {UNITS} units were chosen on the first "
        "half of the stream and measured on the second.",
        title="When do the gates close?",
    )


def growth(cell: np.ndarray) -> list[Figure]:
    """The size of the LSTM's cell early and late in the stream."""
    size = np.abs(cell).mean(1)
    late = min(len(size), 6000)
    return [
        Figure("LSTM: mean |cell| over characters 1 to 100 of the stream", float(size[:100].mean())),
        Figure(f"LSTM: mean |cell| over the last 100 of {late} characters", float(size[-100:].mean())),
        Figure("LSTM: largest |cell| in the stream", float(np.abs(cell).max())),
    ]


def magnitude(cell: np.ndarray, stream: Ids) -> LineChart:
    """How large the memory cells are along the stream."""
    steps = list(range(1, len(cell) + 1))
    size = np.abs(cell)
    return LineChart(
        [
            Series("mean |cell|", steps, size.mean(1).tolist()),
            Series("largest |cell|", steps, size.max(1).tolist()),
        ],
        y_label="size of the LSTM's memory cells",
        x_label="characters read",
        title="Does the memory stay bounded?",
        caption=f"Read without a break: {int((stream[1:] == 0).sum())} tunes end on the way, and nothing is reset there.",
    )
