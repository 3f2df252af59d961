"""torch's recurrent modules <-> cores: names change, values don't."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.mixer import Mixer
from unrolled.mixers.bidirectional import Bidirectional
from unrolled.mixers.recurrent import GRU, LSTM, RNN, Recurrent
from unrolled.model.core import Core

TORCH: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
OURS: dict[str, type[Recurrent]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


GATES = {4: "lstm", 3: "gru", 1: "rnn"}  # rows of a weight for each unit


def from_torch(module: nn.RNNBase | Mapping[str, Tensor], prefix: str = "") -> Core:
    """A core that computes what a torch.nn.RNN, LSTM or GRU does, layer by layer, both directions.

    module: the module, or a state dict in which its weights stand under `prefix` ("lstm."), of which nothing else is
    looked at. Of a state dict alone an RNN is taken for one with tanh.

    Raises UserError for projections (`proj_size`), for modules without biases and for dropout between layers: torch's
    draws a mask at every step, a Core's one a call.
    """
    if isinstance(module, Mapping):
        module = _module(module, prefix)
    kind = next((name for name, known in TORCH.items() if isinstance(module, known)), None)
    if kind is None or module.proj_size or not module.bias:
        got = ", ".join(f"{key}={getattr(module, key, None)}" for key in ("proj_size", "bias"))
        raise UserError(
            "from_torch takes nn.RNN, nn.LSTM or nn.GRU with biases and without proj_size; "
            f"got {type(module).__name__} with {got}."
        )
    if module.dropout and module.num_layers > 1:
        raise UserError(
            f"from_torch: got dropout={module.dropout}, which a core draws otherwise. Set module.dropout = 0 before, and "
            "core.dropout after if you train on."
        )
    options: dict[str, Any] = {"nonlinearity": module.nonlinearity} if isinstance(module, nn.RNN) else {}
    hidden, layers = module.hidden_size, []
    for number in range(module.num_layers):
        inputs = module.input_size if number == 0 else hidden * (1 + module.bidirectional)
        layer: Mixer
        if module.bidirectional:
            layer = Bidirectional(2 * hidden, inputs=inputs, of=kind)
            for direction in (layer.forwards, layer.backwards):
                vars(direction).update(options)
        else:
            layer = OURS[kind](hidden, inputs=inputs, **options)
        layers.append(layer)
        for ours, theirs in zip(_directions(layer), ("", "_reverse"), strict=False):
            _copy(module, f"_l{number}{theirs}", ours, "_l0")
    core = Core(layers, dropout=0.0).to(module.weight_ih_l0.device, module.weight_ih_l0.dtype)  # type: ignore[arg-type]
    return core.train(module.training)


def _module(weights: Mapping[str, Tensor], prefix: str) -> nn.RNNBase:
    """The torch module that a state dict is of."""
    own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    own = {name: value for name, value in own.items() if name.startswith(WEIGHTS)}
    recurrent = own.get("weight_hh_l0")
    if recurrent is None or recurrent.ndim != 2 or not recurrent.shape[1] or "weight_ih_l0" not in own:
        beginnings = sorted(
            {name.rpartition("weight_hh_l0")[0] for name in weights if name.endswith("weight_hh_l0")}
        )
        raise UserError(
            f"from_torch: no weight_ih_l0 and weight_hh_l0 (rows, hidden) under the prefix {prefix!r}; there are such "
            f"under {beginnings or 'none'}."
        )
    rows, hidden = recurrent.shape
    kind = GATES.get(rows // hidden)
    if kind is None or rows % hidden:
        raise UserError(
            f"from_torch: {prefix}weight_hh_l0 is {(rows, hidden)}; expected 1, 3 or 4 rows a unit."
        )
    layers = sum(f"weight_hh_l{number}" in own for number in range(len(own)))
    both = "weight_hh_l0_reverse" in own
    with torch.device("meta"):
        module: nn.RNNBase = TORCH[kind](own["weight_ih_l0"].shape[-1], hidden, layers, bidirectional=both)
    wanted = {name: value.shape for name, value in module.named_parameters()}
    wrong = [
        f"{name} {tuple(own[name].shape) if name in own else 'is missing'}"
        for name, shape in wanted.items()
        if name not in own or own[name].shape != shape
    ]
    wrong += [f"{name} is too many" for name in own if name not in wanted]
    if wrong:
        raise UserError(
            f"from_torch: not the weights of {layers} layers of {kind} with biases under {prefix!r}: "
            f"{', '.join(wrong[:20])}."
        )
    module.load_state_dict(own, assign=True)
    return module.eval()


def to_torch(core: Mixer) -> nn.RNNBase:
    """The torch.nn module that computes what a plain recurrent core does (`batch_first=True`).

    Raises UserError when torch has no such module: another mixer, unequal widths, norms, residuals or dropout.
    """
    if not isinstance(core, Core):
        raise UserError(f"to_torch takes a Core, got {type(core).__name__}: to_torch(un.Core([mixer])).")
    layers = list(core.layers)
    parts = [_directions(layer) for layer in layers]
    kinds = {
        (type(part), part.width, getattr(part, "nonlinearity", None)) for layer in parts for part in layer
    }
    shapes = {len(layer) for layer in parts}
    known = all(kind in OURS.values() for kind, *_ in kinds)
    if len(kinds) != 1 or not known or len(shapes) != 1 or 0 in shapes or core.norm or core.residual:
        names = ", ".join(f"{type(layer).__name__}({layer.width})" for layer in layers)
        raise UserError(
            "to_torch takes layers of one recurrent kind and width, without norm or residual; "
            f"got {names}, norm={core.norm!r}, residual={core.residual}."
        )
    drops = {core.dropout, core.input_dropout, *(part.weight_drop for layer in parts for part in layer)}
    if drops != {0.0}:
        raise UserError(
            f"to_torch: got dropout={core.dropout}, input_dropout={core.input_dropout} and weight_drop up to {max(drops)}, "
            "which torch's module hasn't got. Set them to 0 before."
        )
    first = parts[0][0]
    name = next(name for name, known in OURS.items() if type(first) is known)
    options: dict[str, Any] = {"nonlinearity": first.nonlinearity} if isinstance(first, RNN) else {}
    module: nn.RNNBase = TORCH[name](
        parts[0][0].inputs, first.width, len(layers), batch_first=True, bidirectional=shapes == {2}, **options
    )
    module = module.to(first.weight_ih_l0.device, first.weight_ih_l0.dtype)
    for number, layer in enumerate(parts):
        for part, suffix in zip(layer, ("", "_reverse"), strict=False):
            _copy(part, "_l0", module, f"_l{number}{suffix}")
    return module.train(core.training)


def _directions(layer: nn.Module) -> list[Recurrent]:
    if isinstance(layer, Bidirectional):
        return [part for part in (layer.forwards, layer.backwards) if isinstance(part, Recurrent)]
    return [layer] if isinstance(layer, Recurrent) else []


def _copy(source: nn.Module, source_suffix: str, target: nn.Module, target_suffix: str) -> None:
    with torch.no_grad():
        for name in WEIGHTS:
            value = getattr(source, name + source_suffix)
            parameter = getattr(target, name + target_suffix)
            parameter.data = value.detach().clone()
