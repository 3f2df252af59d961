"""States and gates: figures that are known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unrolled.datasets.sampler import Batch
from unrolled.inspection.held_out import Held
from unrolled.inspection.states import states
from unrolled.mixers import GRU, LSTM, RNN, MinGRU
from unrolled.model import Model, build, preset

X = torch.randint(1, 11, (4, 30), generator=torch.Generator().manual_seed(0))


def made(kind: str) -> Model:
    torch.manual_seed(0)
    return build(preset(kind, 11, width=16, layers=1)).eval()


def test_a_gate_held_open_keeps_for_as_long_as_it_says() -> None:
    """forget = sigmoid(b) at every step: the time constant is 1 / (1 - that)."""
    model = made("lstm")
    layer = model.core.layers[0]
    assert isinstance(layer, LSTM)
    with torch.no_grad():
        layer.weight_ih_l0[16:32] = 0
        layer.weight_hh_l0[16:32] = 0
        layer.bias_ih_l0[16:32] = torch.linspace(-2, 5, 16)
    found = states(Held(model, Batch(X, X)))
    wanted = [1 / (1 - 1 / (1 + math.exp(-b))) for b in np.linspace(-2, 5, 16)]
    assert found.kept[0].constants == pytest.approx(sorted(wanted), rel=1e-4)
    forget = next(gate for gate in found.gates if gate.name == "forget")
    assert forget.mean == pytest.approx(np.mean([1 - 1 / w for w in wanted]), abs=1e-4)
    assert "keeps for" in found.text() and found.lead()


def test_gru_and_mingru_keep_at_opposite_ends() -> None:
    for kind, part, gate in (("gru", "bias_ih_l0", 1), ("mingru", "gates.bias", -1)):
        model = made(kind)
        layer = next(one for one in model.core.layers if isinstance(one, GRU | MinGRU))
        units = 16 if kind == "gru" else 24
        with torch.no_grad():
            bias = layer.get_parameter(part)
            weights = (
                [layer.weight_ih_l0, layer.weight_hh_l0] if isinstance(layer, GRU) else [layer.gates.weight]
            )
            where = slice(16, 32) if kind == "gru" else slice(0, units)
            for weight in weights:
                weight[where] = 0
            bias[where] = gate * math.log(9)  # keeps 0.9
        (kept,) = states(Held(model, Batch(X, X))).kept
        assert kept.constants == pytest.approx([10.0] * units, rel=1e-4)


def test_stuck_and_saturated_units_are_counted() -> None:
    model = made("rnn")
    layer = model.core.layers[0]
    assert isinstance(layer, RNN)
    with torch.no_grad():
        layer.weight_ih_l0[:4] = 0
        layer.weight_hh_l0[:4] = 0
        layer.bias_ih_l0[:2], layer.bias_ih_l0[2:4] = 0.1, 9.0
    (one,) = states(Held(model, Batch(X, X))).states
    assert one.stuck == 0.25 and one.saturated is not None and one.saturated >= 2 / 16
    assert one.largest == pytest.approx(1.0, abs=1e-5) and one.units == 16
    assert "stuck" in states(Held(model, Batch(X, X))).text()


def test_a_state_that_grows_is_told() -> None:
    model = made("rnn")
    layer = model.core.layers[0]
    assert isinstance(layer, RNN)
    layer.nonlinearity = "relu"
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.eye(16))
        layer.bias_ih_l0.fill_(1.0)
    found = states(Held(model, Batch(X, X)))
    assert "grows along the sequence" in found.lead() and found.states[0].late > 3 * found.states[0].early


def test_padding_counts_for_nothing() -> None:
    model = made("gru")
    short = states(Held(model, Batch(X[:, :9], X[:, :9])))
    padded = X.clone()
    padded[:, 9:] = 3
    long = states(Held(model, Batch(padded, padded, lengths=torch.tensor([9] * 4))))
    assert long.gates == short.gates and long.kept == short.kept
    assert long.states[0].norm == pytest.approx(short.states[0].norm)
    assert long.states[0].late == pytest.approx(short.states[0].late)


@pytest.mark.parametrize("kind", ["transformer", "conv", "window", "mingru", "lstm"])
def test_every_kind_has_an_answer(kind: str) -> None:
    found = states(Held(made(kind), Batch(X, X)))
    assert found.lead() and isinstance(found.to_dict(), dict) and "picture" not in found.to_dict()
    assert bool(found.states) == (kind in ("mingru", "lstm"))
    assert all(isinstance(one, str) for one in found.charts())
