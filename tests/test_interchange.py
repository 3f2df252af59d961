"""Other people's recurrent weights as arrays: Keras' kernels against Keras itself, torch's state dicts."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
import torch
from torch import nn

os.environ["KERAS_BACKEND"] = "torch"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

import unrolled as un  # noqa: E402
from unrolled.errors import UserError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
LAYERS = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


def drawn(layers: list, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Random weights in all layers -> an input and what they make of it."""
    x = np.random.default_rng(0).normal(size=(2, 7, inputs)).astype(np.float32)
    generator = np.random.default_rng(1)
    y = x
    for layer in layers:
        layer.build(y.shape)
        layer.set_weights(
            [0.4 * generator.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()]
        )
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            y = keras.ops.convert_to_numpy(layer(y))
    return x, y


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_stack_says_what_keras_says(kind: str, bias: bool) -> None:
    layers = [LAYERS[kind](units, return_sequences=True, use_bias=bias) for units in (5, 4)]
    x, wanted = drawn(layers, 3)
    core = un.from_keras([layer.get_weights() for layer in layers], kind)
    with torch.no_grad():
        got, _ = core(torch.from_numpy(x))
        state, steps = core.start(2), []
        for step in torch.from_numpy(x).split(1, 1):
            y, state = core(step, state)
            steps.append(y)
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    np.testing.assert_allclose(torch.cat(steps, 1), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("bias", [True, False])
def test_both_directions_say_what_keras_says(kind: str, bias: bool) -> None:
    inner = LAYERS[kind](4, return_sequences=True, use_bias=bias)
    layers = [keras.layers.Bidirectional(inner), LAYERS[kind](3, return_sequences=True, use_bias=bias)]
    x, wanted = drawn(layers, 6)
    core = un.from_keras([layer.get_weights() for layer in layers], kind)
    with torch.no_grad():
        np.testing.assert_allclose(core(torch.from_numpy(x))[0], wanted, atol=1e-5)


def test_what_is_no_layer_of_keras_is_refused() -> None:
    before = keras.layers.GRU(4, reset_after=False)
    drawn([before], 3)
    with pytest.raises(UserError, match="reset_after=False"):
        un.from_keras([before.get_weights()], "gru")
    lstm = keras.layers.LSTM(4)
    drawn([lstm], 3)
    with pytest.raises(UserError, match=r"of gru with 4 units they are \(inputs, 12\) and \(4, 12\)"):
        un.from_keras([lstm.get_weights()], "gru")
    with pytest.raises(UserError, match="expected kernel, recurrent_kernel and bias"):
        un.from_keras([lstm.get_weights()[:1]], "lstm")
    kernel, recurrent, _ = lstm.get_weights()
    with pytest.raises(UserError, match="bias is .3,."):
        un.from_keras([[kernel, recurrent, np.zeros(3)]], "lstm")
    with pytest.raises(UserError, match="of different sizes"):
        un.from_keras([[kernel, recurrent, kernel[:2], recurrent]], "lstm")
    with pytest.raises(UserError, match="layer 1 .* takes 3"):
        un.from_keras([lstm.get_weights()] * 2, "lstm")
    with pytest.raises(UserError, match="Did you mean 'lstm'"):
        un.from_keras([], "lst")


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("both", [True, False])
def test_a_state_dict_is_enough(kind: type[nn.RNNBase], both: bool) -> None:
    torch.manual_seed(0)
    module = kind(3, 5, 2, batch_first=True, bidirectional=both)
    weights = {f"net.rnn.{name}": value for name, value in module.state_dict().items()}
    weights["net.other"] = torch.zeros(2)
    core = un.from_torch(weights, prefix="net.rnn.")
    x = torch.randn(2, 6, 3)
    with torch.no_grad():
        torch.testing.assert_close(core(x)[0], module(x)[0])
    with pytest.raises(UserError, match=r"under \['net.rnn.'\]"):
        un.from_torch(weights)
    weights.pop("net.rnn.bias_hh_l1")
    with pytest.raises(UserError, match="bias_hh_l1 is missing"):
        un.from_torch(weights, prefix="net.rnn.")
    weights["net.rnn.weight_hh_l0"] = torch.zeros(11, 5)
    with pytest.raises(UserError, match=r"weight_hh_l0 is \(11, 5\); expected 1, 3 or 4 rows"):
        un.from_torch(weights, prefix="net.rnn.")
