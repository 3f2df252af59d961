"""Keras' recurrent layers, as the arrays of their `get_weights()`, -> cores. Keras itself isn't needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import UserError, unknown
from unrolled.mixer import Mixer
from unrolled.mixers.bidirectional import Bidirectional
from unrolled.mixers.recurrent import GRU, LSTM, RNN, Recurrent
from unrolled.model.core import Core

OURS: dict[str, type[Recurrent]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
# Where each of our gates stands among theirs: an LSTM's i, f, c, o are our i, f, g, o, a GRU's z, r, h our r, z, n.
ORDER = {"rnn": (0,), "lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}


def from_keras(layers: Sequence[Sequence[np.ndarray]], kind: str) -> Core:
    """A core that computes what a stack of Keras' SimpleRNN ("rnn"), LSTM ("lstm") or GRU ("gru") does, in eval mode.

    layers: of each its `get_weights()`: [kernel (inputs, G H), recurrent_kernel (H, G H), bias], without the bias where it
    has none (`use_bias=False`), and of a Bidirectional that concatenates those of both directions, forward first. A GRU's
    bias is (2, 3 H), as with `reset_after=True`, Keras' default. Activations must be Keras' defaults too: arrays don't say
    them.

    Raises UserError for arrays of other numbers or shapes, and for a GRU with `reset_after=False`, whose equation is
    another one.
    """
    if kind not in OURS:
        raise unknown("kind of recurrent layer", kind, OURS)
    made: list[Mixer] = []
    for number, arrays in enumerate(layers):
        parts = _directions(number, [np.asarray(array) for array in arrays])
        sizes = {(part[0].shape[0], part[1].shape[0]) for part in parts}
        if len(sizes) != 1:
            raise UserError(
                f"from_keras: layer {number}: its directions are of different sizes, {sorted(sizes)}."
            )
        ((inputs, width),) = sizes
        layer: Mixer
        if len(parts) == 1:
            layer = OURS[kind](width, inputs=inputs)
            _fill(layer, kind, parts[0], number)
        else:
            layer = Bidirectional(2 * width, inputs=inputs, of=kind)
            _fill(layer.forwards, kind, parts[0], number)
            _fill(layer.backwards, kind, parts[1], number)
        made.append(layer)
    return Core(made).eval()


def _directions(number: int, arrays: list[np.ndarray]) -> list[list[np.ndarray]]:
    """The arrays of each direction: each begins with two matrices, and 4 are two directions without biases."""
    per = {2: 2, 3: 3, 4: 2, 6: 3}.get(len(arrays), 0)
    parts = [arrays[i : i + per] for i in range(0, len(arrays), per)] if per else []
    if not parts or any(part[0].ndim != 2 or part[1].ndim != 2 for part in parts):
        raise UserError(
            f"from_keras: layer {number} has arrays of shapes {[array.shape for array in arrays]}; expected kernel, "
            "recurrent_kernel and bias, of one direction or of two."
        )
    return parts


@torch.no_grad()
def _fill(cell: Mixer, kind: str, arrays: list[np.ndarray], number: int) -> None:
    assert isinstance(cell, Recurrent)
    gates, width = len(ORDER[kind]), cell.width
    rows = gates * width
    kernel, recurrent = arrays[:2]
    if kernel.shape != (cell.inputs, rows) or recurrent.shape != (width, rows):
        raise UserError(
            f"from_keras: layer {number} has a kernel {kernel.shape} and a recurrent kernel {recurrent.shape}; of "
            f"{kind} with {width} units they are (inputs, {rows}) and ({width}, {rows})."
        )
    biases = np.zeros((2, rows), kernel.dtype)
    if len(arrays) == 3:
        bias = arrays[2]
        if kind == "gru" and bias.shape == (rows,):
            raise UserError(
                f"from_keras: layer {number}'s bias is {bias.shape}, as with reset_after=False, which resets the state "
                f"before its matrix and isn't built here; only reset_after=True is, whose bias is (2, {rows})."
            )
        if bias.shape != ((2, rows) if kind == "gru" else (rows,)):
            raise UserError(
                f"from_keras: layer {number}'s bias is {bias.shape}; expected one of {rows} numbers."
            )
        biases[: bias.ndim] = bias
    whole = (kernel.T, recurrent.T, biases[0], biases[1])
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    for name, value in zip(names, whole, strict=True):
        target: Tensor = getattr(cell, name)
        parts = np.split(np.ascontiguousarray(value), gates)
        target.copy_(torch.from_numpy(np.concatenate([parts[gate] for gate in ORDER[kind]])))
