"""Memory length: what is declared where a reach is declared, and the distance that a task needs where it was learnt."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.datasets.sampler import Batch
from unrolled.errors import UserError
from unrolled.inspection.held_out import Held
from unrolled.inspection.memory_length import memory_length
from unrolled.mixers import RNN
from unrolled.model import Model, answering, build, preset

torch.set_num_threads(1)


def held(model: Model, rows: int = 6, steps: int = 48, seed: int = 0) -> Held:
    x = torch.randint(1, 11, (rows, steps), generator=torch.Generator().manual_seed(seed))
    return Held(model.eval(), Batch(x, x))


def spread(model: Model) -> Model:
    """Larger weights: an untrained model's influences over many layers would round to nothing."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5) if parameter.ndim > 1 else parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("window", [2, 5, 9])
def test_windowed_attention_remembers_what_it_declares(window: int, layers: int) -> None:
    torch.manual_seed(window)
    spec = preset("transformer", 11, width=16, layers=layers)
    for layer in spec["core"]["layers"]:
        if layer["kind"] == "attention":
            layer["window"] = window
    model = spread(build(spec))
    found = memory_length(held(model))
    assert found.seen == found.declared == model.reach.past == layers * (window - 1)
    assert str(found.declared) in found.lead()


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_convolutions_remember_what_they_declare(layers: int) -> None:
    torch.manual_seed(layers)
    model = spread(build(preset("conv", 11, width=16, layers=layers)))
    found = memory_length(held(model, steps=80))
    reach = 2 * (2**layers - 1)
    assert found.seen == found.declared == model.reach.past == reach
    # Beyond its reach a step that was taken out isn't missed either: what follows stands where it stood.
    assert found.deleted[1] and found.deleted[reach]
    assert all((effect or 0) < 1e-12 for effect in found.deleted[reach + 1 :])


def test_a_window_over_words_and_a_feed_forward() -> None:
    torch.manual_seed(0)
    found = memory_length(held(spread(build(preset("window", 11, width=16, layers=2)))))
    assert found.seen == found.declared == 15
    assert all(not effect for effect in found.changed[16:40]) and found.changed[0]
    bag = build(
        answering("bag", {"kind": "tokens", "vocabulary": 11}, {"kind": "labels", "classes": 3}, width=8)
    )
    assert memory_length(held(bag, steps=12)).declared is None


def copier(distance: int, steps: int = 1500) -> Model:
    """An LSTM that has learnt to say what it read `distance` steps ago."""
    torch.manual_seed(0)
    head = {"kind": "labels", "classes": 5, "stepwise": True}
    model = build(
        answering("lstm", {"kind": "tokens", "vocabulary": 5}, head, stepwise=True, width=48, layers=1)
    )
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for _ in range(steps):
        x = torch.randint(1, 5, (32, 4 * distance))
        y = torch.cat([torch.zeros(32, distance, dtype=torch.int64), x[:, :-distance]], 1)
        loss = F.cross_entropy(model(x)[0].flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.03:
            return model
    raise AssertionError(f"it hasn't learnt the task: {loss.item():.3f}")


@pytest.mark.parametrize("distance", [4, 8])
def test_an_lstm_that_copies_remembers_the_distance(distance: int) -> None:
    x = torch.randint(1, 5, (12, 6 * distance), generator=torch.Generator().manual_seed(5))
    found = memory_length(Held(copier(distance).eval(), Batch(x, x)))
    assert found.memory == found.peak == distance
    assert (found.changed[distance] or 0) > 0.8
    assert f"{distance} steps" in found.lead()
    assert found.blocks() and "memory" in found.text()


def test_rows_of_other_lengths_and_other_heads() -> None:
    torch.manual_seed(0)
    for head in ({"kind": "numbers", "targets": 2}, {"kind": "labels", "classes": 3, "several": True}):
        model = build(answering("gru", {"kind": "values", "inputs": 3}, head, width=8, layers=1)).eval()
        x = torch.randn(4, 20, 3)
        y: Tensor = torch.randn(4, 2)
        batch = Batch(x, y, lengths=torch.tensor([20, 11, 5, 2]))
        found = memory_length(Held(model, batch))
        assert found.measured == found.seen == 11 and len(found.changed) == 12 and found.memory > 0


@pytest.mark.parametrize("seed", range(4))
def test_a_document_start_is_no_input_to_be_remembered(seed: int) -> None:
    """It is neither changed nor put in the place of another: this model forgets all but how often it stood."""
    torch.manual_seed(0)
    model = build(preset("rnn", 11, width=11, layers=1))
    layer = model.core.layers[0]
    assert isinstance(layer, RNN)
    layer.nonlinearity = "relu"
    with torch.no_grad():
        model.embedder.table.weight.copy_(torch.eye(11))  # type: ignore[union-attr]
        layer.weight_ih_l0.copy_(torch.eye(11))
        layer.weight_hh_l0.zero_()[0, 0] = 1.0
        layer.bias_ih_l0.zero_()
    x = torch.randint(1, 11, (6, 40), generator=torch.Generator().manual_seed(seed))
    x[:, 0] = 0
    found = memory_length(Held(model.eval(), Batch(x, x)), seed=seed)
    assert found.memory == found.seen == 0 and found.changed[0] and found.measured == 21


def test_one_that_looks_ahead_is_refused() -> None:
    spec = answering(
        "bilstm", {"kind": "tokens", "vocabulary": 11}, {"kind": "labels", "classes": 3}, width=8, layers=1
    )
    with pytest.raises(UserError, match="sees whole sequences"):
        memory_length(held(build(spec)))


def test_the_smallest_effect_is_seen() -> None:
    """A last tap of 1e-9 beside others of 1: in float32 it would round away."""
    torch.manual_seed(0)
    model = build(preset("window", 11, width=8, layers=1))
    with torch.no_grad():
        model.core.layers[0].get_parameter("weight")[:, :8] *= 1e-9  # the oldest of 16
    assert memory_length(held(model)).seen == 15
