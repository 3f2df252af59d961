"""Stop `gradients`: networks whose gradients vanish or explode, and what each cure does for them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from unrolled.datasets.sampler import Batch
from unrolled.inspection.gradient_flow import GradientFlow, gradient_flow
from unrolled.inspection.held_out import Held
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import Practice, drill
from unrolled.model import Model, answering, build
from unrolled.report import LineChart, Section, Series, Table

SYMBOLS, LENGTH, WIDTH, STEPS, ROWS = 6, 40, 32, 400, 64
CLIP = 1.0


@dataclass(frozen=True)
class Patient:
    """A network: its kind, what its recurrent weights (orthogonal at first) are multiplied by, an LSTM's forget bias, and
    what the gradient's norm is clipped to.
    """

    name: str
    kind: str
    factor: float = 1.0
    forget: float = 1.0
    clip: float = CLIP


PATIENTS = (
    Patient("RNN x 0.7", "rnn", factor=0.7, clip=inf),
    Patient("RNN x 0.7, clipped", "rnn", factor=0.7),
    Patient("RNN x 2", "rnn", factor=2.0, clip=inf),
    Patient("RNN x 2, clipped", "rnn", factor=2.0),
    Patient("LSTM, forget bias 1", "lstm"),
    Patient("LSTM, forget bias 4", "lstm", forget=4.0),
    Patient("attention", "transformer"),
)
BROKEN = (
    Patient("LSTM, forget bias -3", "lstm", forget=-3.0),
    Patient("LSTM, forget bias 4", "lstm", forget=4.0),
)


@dataclass(frozen=True)
class Case:
    """What became of a patient: its gradients before training, the training, and the share of right answers after it."""

    patient: Patient
    flow: GradientFlow
    practice: Practice
    right: float


def run(size: float, broken: bool = False) -> Outcome:
    """Measures and trains each network on recalling the first of 40 symbols. `broken`: forget gates that begin shut."""
    cases = [treated(patient, max(2, round(STEPS * size))) for patient in (BROKEN if broken else PATIENTS)]
    figures = [Figure(f"{case.patient.name}: share of symbols recalled", case.right) for case in cases]
    figures.append(Figure("the same by guessing", 1 / SYMBOLS))
    figures += [
        Figure(f"{case.patient.name}: a step multiplies the gradient by", case.flow.layers[0].factor)
        for case in cases
    ]
    figures += [
        Figure(f"{case.patient.name}: largest gradient norm met in training", case.practice.largest)
        for case in cases
    ]
    seconds = sum(case.practice.seconds for case in cases)
    trained = (
        f"{len(cases)} networks of {WIDTH} units on sequences of {LENGTH} random symbols, the answer is the first: "
        f"{cases[0].practice.steps} steps each, {seconds:.0f} s in all"
    )
    sections: list[Section] = [chart(cases), table(cases)]
    return Outcome(sections, figures, trained)


def treated(patient: Patient, steps: int) -> Case:
    """One network: made, measured, trained, asked."""
    torch.manual_seed(0)
    model = make(patient)
    x, y = questions(-1, 256)
    flow = gradient_flow(Held(model, Batch(x[:ROWS], y[:ROWS])))

    def loss(step: int) -> tuple[Tensor, int]:
        total, count = model.head.loss(model(questions(step)[0])[0], questions(step)[1])
        return total / count, int(count)

    practice = drill(model, loss, steps, limit=9, lr=5e-3, unit="sequences", clip=patient.clip)
    with torch.no_grad():
        right = (model(x)[0][:, -1].argmax(-1) == y).float().mean()
    return Case(patient, flow, practice, float(right))


def make(patient: Patient) -> Model:
    """The fresh network: the answer is read off its last state."""
    spec = answering(
        patient.kind, {"kind": "tokens", "vocabulary": SYMBOLS}, {"kind": "labels", "classes": SYMBOLS},
        pool="last", width=WIDTH, layers=1,
    )  # fmt: skip
    model = build(spec)
    layer = model.core.layers[0]
    if patient.kind in ("rnn", "lstm"):
        layer.get_parameter("weight_hh_l0").data.mul_(patient.factor)
    if patient.kind == "lstm":
        layer.get_parameter("bias_ih_l0").data[WIDTH : 2 * WIDTH] = patient.forget
    return model


def questions(step: int, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """(rows, 40) random symbols, and the first of each: the same for a step every time."""
    draw = torch.Generator().manual_seed(step + 1)
    x = torch.randint(SYMBOLS, (rows, LENGTH), generator=draw)
    return x, x[:, 0]


def chart(cases: list[Case]) -> LineChart:
    """The gradient by lag before training, a line a network that differs then."""
    seen: dict[tuple[str, float, float], Case] = {}
    for case in cases:
        seen.setdefault((case.patient.kind, case.patient.factor, case.patient.forget), case)
    lines = []
    for case in seen.values():
        norms = case.flow.layers[0].norms
        lines.append(Series(case.patient.name, list(range(len(norms))), [norm or None for norm in norms]))
    return LineChart(
        lines, "norm of dL/dh", "steps before the answer", title="What reaches the first symbol, before training",
        y_log=True,
        caption=f"The loss of the answer after {LENGTH} symbols, differentiated with respect to each earlier state (of "
        "attention: what enters the layer). Clipping changes none of these lines: it scales the whole gradient, near and "
        "far alike.",
    )  # fmt: skip


def table(cases: list[Case]) -> Table:
    """Which cure helped which patient."""
    rows: list[list[str | float | int | None]] = [
        [
            case.patient.name, case.flow.layers[0].factor, case.flow.verdict, case.practice.largest,
            f"{case.right:.0%}",
        ]
        for case in cases
    ]  # fmt: skip
    most = max(case.right for case in cases)
    best = [i for i, case in enumerate(cases) if case.right == most]
    return Table(
        ["network", "a step multiplies by", "verdict before training", "largest gradient norm met", "recalled"], rows,
        f"Recalled: the share of 256 new sequences whose first symbol is named after {LENGTH} steps; guessing is right in "
        f"{1 / SYMBOLS:.0%}. Clipped: to a norm of {CLIP:g}.",
        title="Which cure helps against what", highlight=best[0] if len(best) == 1 else None,
        highlight_label="recalls best",
    )  # fmt: skip
