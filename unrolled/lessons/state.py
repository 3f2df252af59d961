"""Stop `state-in-a-file`: a network laid down in the middle of a tune and taken up again as if nothing had been."""

from __future__ import annotations

from math import log
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from unrolled.datasets.codecs import Ids
from unrolled.lessons.corpora import Corpus, tunes
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import practise
from unrolled.model import Model, build, preset
from unrolled.report import LineChart, Series, Table
from unrolled.running.stream import Stream
from unrolled.state import nbytes

UNITS, STEPS, TUNES, READ, AFTER = (
    64,
    700,
    40,
    120,
    60,
)  # characters read before the break, and measured after it
LENGTHS = (0, 100, 200, 400, 800)  # tokens read, where sizes of states are compared
SMOOTH = 5  # characters whose mean is drawn


def run(size: float, broken: bool = False) -> Outcome:
    """Trains an LSTM on tunes and breaks its reading off. `broken`: the state is thrown away instead of kept in a file."""
    corpus = tunes("characters")
    model = build(preset("lstm", corpus.codec.size, width=UNITS, embedding=32))
    model.task = corpus.task
    practice = practise(model, corpus.train, max(2, round(STEPS * size)), limit=35)
    cut = [ids for ids in corpus.test if len(ids) >= READ + AFTER][: TUNES if size >= 0.5 else 4]
    through, kept, lost = (bits(model, cut, how) for how in ("through", "lost" if broken else "kept", "lost"))
    gap = float(np.abs(through - kept).max())
    first = 10
    kept_how = "without its state" if broken else "state out of a file"
    figures = [
        Figure(
            f"bits of the first {first} characters after the break, {kept_how}",
            float(kept[:, :first].mean()),
        ),
        Figure("the same, never broken off", float(through[:, :first].mean())),
        Figure("the same, begun anew without a state", float(lost[:, :first].mean())),
        Figure("largest difference to never having been broken off", gap, "bits"),
        Figure("size of the state", nbytes(model.start(1)), "bytes"),
        Figure("size of the weights", 4 * model.parameter_count(), "bytes"),
    ]
    trained = (
        f"an LSTM of {UNITS} units on the characters of 'irish': {practice}; {len(cut)} tunes are broken off"
    )
    return Outcome([chart(through, kept, lost, broken), sizes(model, corpus)], figures, trained)


def bits(model: Model, documents: list[Ids], how: str) -> np.ndarray:
    """(tunes, AFTER) bits of each character after the break, where the stream goes `through`, is `kept` in a file between,
    or is `lost` and begins anew.
    """
    found = []
    for ids in documents:
        before, after = ids[:READ], torch.from_numpy(ids[READ : READ + AFTER])
        stream = Stream(model)
        prediction = stream.push([0, *before.tolist()])
        if how == "kept":
            stream = through_a_file(stream)
        elif how == "lost":
            stream = Stream(model)
            prediction = stream.push([0])
        said = [prediction]
        for token in after[:-1]:
            said.append(stream.push(int(token)))
        nats = torch.cat(said).double().log_softmax(-1)
        found.append((-nats[torch.arange(AFTER), after] / log(2)).numpy())
    return np.stack(found)


def through_a_file(stream: Stream) -> Stream:
    """The stream as another process would find it: written, and read again."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        stream.save(path)
        return Stream.load(path, stream.model)


def chart(through: np.ndarray, kept: np.ndarray, lost: np.ndarray, broken: bool) -> LineChart:
    """Bits by place after the break, the mean over the tunes."""
    kernel = np.ones(SMOOTH) / SMOOTH
    places = list(range(SMOOTH, AFTER + 1))
    lines = {"never broken off": through, "begun anew": lost}
    if not broken:
        lines["state out of a file"] = kept
    return LineChart(
        [
            Series(name, places, np.convolve(values.mean(0), kernel, "valid").tolist())
            for name, values in lines.items()
        ],
        y_label="bits per character (less is better)",
        x_label="characters after the break",
        title="What a state is worth",
        caption=f"{len(through)} held-out tunes, each broken off after {READ} characters; means of {SMOOTH} characters. "
        "The line out of a file lies on the line that was never broken off. Begun anew, the network doesn't know that it "
        "stands in the middle of a melody, nor its key, and needs a while to find out.",
    )


def sizes(model: Model, corpus: Corpus) -> Table:
    """How large the state is after so many tokens: of the LSTM, and of a small Transformer."""
    rival = build(preset("transformer", corpus.codec.size, width=32, layers=2))
    rows: list[list[str | float]] = []
    for length in LENGTHS:
        held = []
        for one in (model, rival):
            stream = Stream(one)
            stream.push([0] * max(1, length))
            held.append(nbytes(one.start(1)) if not length else nbytes(stream.state))
        rows.append([str(length), *held])
    return Table(
        ["tokens read", "LSTM, bytes of state", "Transformer, bytes of state"],
        rows,
        "A recurrent network puts all that it has read into a state of fixed size: a stream may run for years. A "
        "Transformer keeps keys and values of every token it has read; its state is doubled when it is full.",
        title="What has to be kept",
    )
