"""Gradient flow: slopes that theory knows, and verdicts on planted cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unrolled.datasets.sampler import Batch
from unrolled.inspection.gradient_flow import GradientFlow, by_lag, fitted, gradient_flow, of_trace
from unrolled.inspection.held_out import Held
from unrolled.inspection.probe import probe
from unrolled.mixer import Mixer, note
from unrolled.mixers import GRU, LSTM, RNN
from unrolled.model import Model, build, preset

STEPS = 100


class Linear(Mixer):
    """h_t = W h_{t-1} + x_t: the network whose gradient is known, dh_T/dh_t = W^(T-t)."""

    def __init__(self, width: int, weight: Tensor) -> None:
        super().__init__(width)
        self.weight = torch.nn.Parameter(weight)

    def forward(self, x: Tensor, state: Any = None, layout: Any = None) -> tuple[Tensor, Any]:
        h, out = x.new_zeros(len(x), self.width), []
        for x_t in x.unbind(1):
            h = h @ self.weight.T + x_t
            note("hidden", h)
            out.append(h)
        return torch.stack(out, 1), None


def orthogonal(width: int) -> Tensor:
    return torch.linalg.qr(torch.randn(width, width, dtype=torch.float64))[0]


def skewed(width: int) -> Tensor:
    """Not normal, its largest eigenvalue 1, the next 0.7."""
    basis = torch.randn(width, width, dtype=torch.float64)
    values = torch.linspace(0.1, 0.7, width, dtype=torch.float64)
    values[0] = 1.0
    return basis @ torch.diag(values) @ torch.linalg.inv(basis)


@pytest.mark.parametrize("radius", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("shape", [orthogonal, skewed])
def test_the_slope_of_a_linear_network_is_its_spectral_radius(
    radius: float, shape: Callable[[int], Tensor]
) -> None:
    """Within 2 %, where the verdict at 100 steps is what 0.9^100 = 3e-5, 1 and 1.1^100 = 1e4 say."""
    torch.manual_seed(0)
    mixer = Linear(12, radius * shape(12))
    x = torch.randn(4, STEPS, 12, dtype=torch.float64)
    trace = probe(mixer, x, loss=lambda y: y[:, -1].sum())
    (layer,) = of_trace(mixer, trace).layers
    assert abs(layer.factor / radius - 1) < 0.02
    if radius != 1.0:
        assert abs(np.log(layer.factor) / np.log(radius) - 1) < 0.02
    wanted = {0.9: "vanishing", 1.0: "healthy", 1.1: "exploding"}[radius]
    assert layer.verdict == wanted
    exact = torch.ones(12, dtype=torch.float64)
    for lag in range(5):
        assert layer.norms[lag] == pytest.approx(float(exact.norm().detach()), rel=1e-5)
        exact = mixer.weight.T @ exact


def planted(kind: str, seed: int) -> tuple[Model, str]:
    """A model whose gradient was made to vanish, explode, or neither, and which it is."""
    torch.manual_seed(seed)
    wanted = ("vanishing", "healthy", "exploding")[seed % 3]
    model = build(preset(kind, 11, width=24, layers=1))
    layer = model.core.layers[0]
    assert isinstance(layer, RNN | LSTM | GRU)
    with torch.no_grad():
        if kind == "rnn":  # small inputs: tanh stays linear, the radius is that of the weights
            layer.weight_ih_l0.mul_(1e-3)
            layer.weight_hh_l0.mul_({"vanishing": 0.85, "healthy": 1.0, "exploding": 1.0}[wanted])
            if wanted == "exploding":  # relu has no ceiling
                layer.nonlinearity = "relu"
                layer.weight_hh_l0.copy_(1.12 * torch.eye(24))
        elif (
            kind == "lstm"
        ):  # the forget gate is the factor: 0.5, or nearly 1; growth through the other gates
            bias = layer.bias_ih_l0
            bias[24:48] = {"vanishing": 0.0, "healthy": 5.0, "exploding": 8.0}[wanted]
            layer.weight_hh_l0.mul_(0.1)
            if wanted == "exploding":
                layer.weight_ih_l0.mul_(1e-9)  # so small that no tanh bends
                layer.weight_hh_l0.zero_()
                layer.weight_hh_l0[48:72] = 1.0 * torch.eye(24)
                bias[:24], bias[72:] = 2.0, 2.0
        else:  # the update gate is the factor: 0.5 or nearly 1; a candidate that turns further than it is long
            layer.bias_ih_l0[24:48] = {"vanishing": 0.0, "healthy": 5.0, "exploding": 0.0}[wanted]
            layer.weight_hh_l0.mul_(0.1)
            if wanted == "exploding":
                layer.weight_ih_l0.mul_(1e-4)
                layer.weight_hh_l0.zero_()
                layer.weight_hh_l0[48:] = 1.6 * torch.eye(24)
                layer.bias_ih_l0[:24] = 4.0
    return model, wanted


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("seed", range(10))
def test_the_verdict_on_thirty_planted_cases(kind: str, seed: int) -> None:
    model, wanted = planted(kind, seed)
    steps = 30 if wanted == "exploding" and kind != "rnn" else STEPS
    x = torch.randint(1, 11, (4, steps))
    found = gradient_flow(Held(model, Batch(x, x)))
    assert found.verdict == wanted, found.text()


def test_a_convolution_is_out_of_reach_where_its_reach_ends() -> None:
    torch.manual_seed(0)
    model = build(preset("conv", 11, width=8, layers=3))
    x = torch.randint(1, 11, (3, 40))
    found = gradient_flow(Held(model, Batch(x, x)))
    assert found.verdict == "out of reach" and len(found.layers) == 3
    last, middle, first = reversed(found.layers)
    for layer, reach in ((first, 2 + 4 + 8), (middle, 4 + 8), (last, 8)):
        assert all(norm == 0 for norm in layer.norms[reach + 1 :]) and layer.norms[reach] != 0


def test_attention_reaches_all_steps_alike() -> None:
    torch.manual_seed(0)
    model = build(preset("transformer", 11, width=16, layers=2))
    x = torch.randint(1, 11, (3, 60))
    found = gradient_flow(Held(model, Batch(x, x)))
    assert all(one.verdict == "healthy" and 0.9 < one.factor < 1.1 for one in found.layers)
    assert len(found.layers) == 2


def test_rows_that_end_early_count_from_their_own_end() -> None:
    grads = torch.zeros(2, 4, 1)
    grads[0, :, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    grads[1, :2, 0] = torch.tensor([5.0, 6.0])
    assert by_lag([grads], [4, 2]).tolist() == [5.0, 4.0, 2.0, 1.0]
    assert fitted(np.array([1.0, 0.5, 0.25, 0.0])) == pytest.approx(0.5)


def test_what_overflows_explodes_and_is_told() -> None:
    model, _ = planted("rnn", 2)
    with torch.no_grad():
        model.core.layers[0].weight_hh_l0.mul_(50)  # type: ignore[operator, union-attr]
        model.core.layers[0].weight_ih_l0.mul_(0)  # type: ignore[operator, union-attr]
        model.core.layers[0].bias_ih_l0.fill_(1e-38)  # type: ignore[operator, union-attr]
    x = torch.randint(1, 11, (2, 40))
    found = gradient_flow(Held(model, Batch(x, x)))
    assert found.verdict == "exploding" and "exploding" in found.lead()
    assert found.charts() and isinstance(found.text(), str) and isinstance(found, GradientFlow)


@pytest.mark.parametrize("kind", ["bilstm", "bag"])
def test_models_that_see_both_ways_or_no_order(kind: str) -> None:
    from unrolled.model import answering

    torch.manual_seed(0)
    spec = answering(
        kind, {"kind": "tokens", "vocabulary": 9}, {"kind": "labels", "classes": 3}, width=8, layers=1
    )
    model = build(spec)
    x, y = torch.randint(1, 9, (3, 20)), torch.tensor([0, 1, 2])
    found = gradient_flow(Held(model, Batch(x, y, lengths=torch.tensor([20, 9, 4]))))
    if kind == "bag":
        assert found.layers == [] and "No layer" in found.lead()
    else:
        assert [one.layer.rpartition(".")[2] for one in found.layers] == ["forwards", "backwards"]
    assert found.text() and found.blocks()


def test_what_reads_backwards_is_out_of_reach_where_nothing_above_looks_back() -> None:
    from unrolled.model import answering

    torch.manual_seed(0)
    head = {"kind": "labels", "classes": 3, "stepwise": True}
    table = {"kind": "tokens", "vocabulary": 9}
    model = build(answering("bilstm", table, head, stepwise=True, width=8, layers=2))
    x = torch.randint(1, 9, (3, 20))
    found = {one.layer: one for one in gradient_flow(Held(model, Batch(x, x % 3))).layers}
    last = max(name for name in found if name.endswith("backwards"))
    assert found[last].verdict == "out of reach" and not any(found[last].norms[1:])
    first = min(name for name in found if name.endswith("backwards"))
    assert found[first].verdict != "out of reach" and all(found[first].norms)
