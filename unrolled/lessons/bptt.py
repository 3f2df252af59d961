"""Stop `unrolled-bptt`: how much of the loss at step T reaches each earlier state, measured by autograd itself."""

from __future__ import annotations

from math import exp, log

import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.datasets.sampler import Streams
from unrolled.lessons.corpora import tunes
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import practise
from unrolled.model import Model, build, preset
from unrolled.report import LineChart, Section, Series
from unrolled.state import State, detach, leaves
from unrolled.tasks.ngram import joined

WIDTH, STEPS, LAGS, ROWS, CUT = 64, 120, 80, 16, 16


def run(size: float, broken: bool = False) -> Outcome:
    """Measures gradients by lag, before and after a short training. `broken`: history is cut every 16 steps, untrained."""
    corpus = tunes("characters")
    x, y, *_ = Streams(joined(corpus.test), ROWS, LAGS + 1, seed=1).batch(0)
    models = {name: make(name, corpus.codec.size) for name in NETWORKS}
    norms = {name: by_lag(model, x, y[:, -1], CUT if broken else 0) for name, model in models.items()}
    pictures: list[Section] = [chart(norms, "before training", CUT if broken else 0)]
    if broken:
        reach = max(lag for values in norms.values() for lag, norm in enumerate(values) if norm > 0)
        zeros = sum(norm == 0 for values in norms.values() for norm in values[CUT:])
        figures = [
            Figure("farthest step back that any gradient reaches", reach, "steps"),
            Figure(f"gradients beyond it that are exactly 0, of {len(norms) * (LAGS + 1 - CUT)}", zeros),
        ]
        return Outcome(pictures, figures, f"nothing: four fresh networks of {WIDTH} units read 'irish'")
    steps = max(2, round(STEPS * size))
    practices = [f"{name}: {practise(m, corpus.train, steps, limit=15)}" for name, m in models.items()]
    trained = {name: by_lag(model, x, y[:, -1]) for name, model in models.items()}
    pictures.append(chart(trained, "after a short training", 0))
    figures = [
        Figure(f"{name}, {when}: factor on the gradient's norm with each step back", a_step(values))
        for when, of in (("before training", norms), ("after it", trained))
        for name, values in of.items()
    ]
    return Outcome(pictures, figures, f"four networks of {WIDTH} units on 'irish'. {'; '.join(practices)}")


# name -> (kind, factor on the orthogonal recurrent weights, bias of the forget gate)
NETWORKS: dict[str, tuple[str, float, float]] = {
    "RNN, weights x 0.7": ("rnn", 0.7, 0.0),
    "RNN, weights x 1.8": ("rnn", 1.8, 0.0),
    "LSTM, forget bias 1": ("lstm", 1.0, 1.0),
    "LSTM, forget bias 4": ("lstm", 1.0, 4.0),
}


def make(name: str, vocabulary: int) -> Model:
    """One of the networks, fresh."""
    kind, factor, bias = NETWORKS[name]
    model = build(preset(kind, vocabulary, width=WIDTH, embedding=32))
    layer = model.core.layers[0]
    layer.get_parameter("weight_hh_l0").data.mul_(factor)
    if kind == "lstm":
        layer.get_parameter("bias_ih_l0").data[WIDTH : 2 * WIDTH] = bias
    return model


def by_lag(model: Model, x: Tensor, y: Tensor, cut: int = 0) -> list[float]:
    """Norms of d loss_T / d state_{T-lag} for lag 0, 1, ...: the loss of the last token alone, the mean over rows.

    x (B, T), y (B,): what follows the last token. The state is all that the cell carries: (h) or (h, c).
    cut: detach the state every so many steps, as training does between two stretches.
    """
    state: State = model.start(len(x))
    history: list[list[Tensor]] = []
    logits = torch.empty(0)
    for t, x_t in enumerate(torch.split(x, 1, 1)):
        if cut and t and (x.shape[1] - t) % cut == 0:
            state = detach(state)
        logits, state = model(x_t, state)
        history.append([leaf for _, leaf in leaves(state)])
    loss = F.cross_entropy(logits[:, -1], y, reduction="sum")  # a sum: each row's gradient is its own
    flat = [leaf for step in history for leaf in step]
    gradients = iter(torch.autograd.grad(loss, flat, allow_unused=True))
    norms = []
    for step in history:
        parts = [g for _, g in zip(step, gradients, strict=False) if g is not None]
        norms.append(float(torch.cat(parts, 1).norm(dim=1).mean()) if parts else 0.0)
    return norms[::-1]


def a_step(norms: list[float]) -> float:
    """The factor by which the norm changes with each step back, the geometric mean over what is above zero."""
    known = [n for n in norms[1:] if n > 0]
    return exp((log(known[-1]) - log(known[0])) / (len(known) - 1))


def chart(norms: dict[str, list[float]], when: str, cut: int) -> LineChart:
    """Gradient norm over lag, a line a network; zeros can't stand on a logarithmic axis and are left out."""
    ended = (
        f" The history was cut every {cut} steps, so every line ends: beyond it the gradient is exactly zero."
        if cut
        else ""
    )
    return LineChart(
        [Series(name, list(range(1, len(v))), [n or None for n in v[1:]]) for name, v in norms.items()],
        y_label="norm of the gradient with respect to the state",
        x_label="steps back from the loss",
        title=f"How far back the loss reaches, {when}",
        caption="The loss of one character, differentiated with respect to each earlier state; the mean of "
        f"{ROWS} held-out stretches of text, on a logarithmic axis.{ended}",
        y_log=True,
    )
