"""What a probe heard, layer by layer, in the form in which the page draws it."""

from __future__ import annotations

import base64
from math import isinf
from typing import Any

import numpy as np
from torch import Tensor

from unrolled.errors import NumericalFailure
from unrolled.inspection.probe import evenly
from unrolled.inspection.trace import Heard, Trace
from unrolled.mixer import Mixer
from unrolled.mixers import kind_of
from unrolled.model import Core

UNITS = 96  # of a layer that are shown, evenly chosen
HEADS = 16
# the closed range of what a name stands for; all else is signed
SHARES = ("input", "forget", "output", "update", "reset")
EQUATIONS = {
    "lstm": "c′ = f·c + i·g,  h′ = o·tanh c′",
    "gru": "h′ = (1−z)·n + z·h,  n = tanh(Wx + r·Uh)",
    "mingru": "h′ = (1−z)·h + z·h̃",
    "conv": "y = act(Σₖ Wₖ xₜ₋ₖ)",
    "attention": "y = softmax(q·kᵀ/√d) v",
    "ffn": "y = W₂ act(W₁ x)",
}
# of attention to a source: `CrossAttention` names their papers
SCORES = {"scaled": "q·kᵀ/√d", "dot": "x·sᵀ", "general": "W x·sᵀ", "additive": "v·tanh(Wx + Us)"}


def layers_of(model: Any) -> list[dict[str, Any]]:
    """The model's mixers in order: path, kind, width, reach, parameters."""
    found = []
    for path, part in model.named_modules():
        if isinstance(part, Mixer) and not isinstance(part, Core):
            past, future = part.reach
            kind = kind_of(part)
            found.append({
                "path": path, "kind": kind, "width": part.width, "parameters": sum(p.numel() for p in part.parameters()),
                "past": _steps(past), "future": _steps(future),
                "equation": _equation(part, kind), "heads": getattr(part, "heads", None),
            })  # fmt: skip
    return found


def _equation(part: Mixer, kind: str) -> str:
    """What it computes, with the score or the nonlinearity that it was built with; "" where that is no one line."""
    if kind == "cross":
        return f"y = softmax({SCORES[part.score]}) v"  # type: ignore[index]
    if kind == "rnn":
        return f"h′ = {part.nonlinearity}(Wx + Uh)"
    return EQUATIONS.get(kind, "")


def _steps(reach: float) -> int | None:
    """None where there is no end to it."""
    return None if isinf(reach) else int(reach)


def heard(model: Any, trace: Trace, known: int) -> list[dict[str, Any]]:
    """A layer each, in the order in which they spoke: its named values (T, units) and attention (heads, T, S) from step
    `known` on, as 16-bit numbers. What a source's reader says comes whole. Raises NumericalFailure for the first that
    isn't a number: it would be drawn as zero.
    """
    told: dict[str, dict[str, Any]] = {}
    for one in trace.heard:
        part = _module(model, one.layer)
        if not isinstance(part, Mixer) or isinstance(part, Core):
            continue
        if not bool(one.value.isfinite().all()):
            raise NumericalFailure(f"{one.layer}: the {one.name} of this layer isn't a number.")
        layer = told.setdefault(
            one.layer,
            {"path": one.layer, "kind": one.kind, "source": one.layer.startswith("source"), "values": []},
        )
        first = 0 if layer["source"] else known
        if one.name == "weights":
            layer["weights"] = _weights(one, first) | {"cross": bool(part.conditioned)}
        else:
            layer["values"].append({"name": one.name, "share": one.name in SHARES, **_units(one, first)})
    for layer in told.values():
        _settle(layer)
    return [layer for layer in told.values() if layer["values"] or "weights" in layer]


def _settle(layer: dict[str, Any]) -> None:
    """The output is left out where it is the state itself, or says no more than the weights do."""
    names = {value["name"] for value in layer["values"]}
    if names & {"hidden", "output", "pooled"} or "weights" in layer:
        layer["values"] = [value for value in layer["values"] if value["name"] != "y"]


def _module(model: Any, path: str) -> Any:
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


def _units(one: Heard, first: int) -> dict[str, Any]:
    value = one.value[0, first:]  # (T, units)
    units = value.shape[-1]
    if units > UNITS:
        value = value[:, evenly(units, UNITS)]
    return _packed(value) | {"units": value.shape[-1], "of": one.whole[-1] if one.whole else units}


def _weights(one: Heard, first: int) -> dict[str, Any]:
    value = one.value[0]  # (heads, T, S)
    heads = value.shape[0]
    value = value[evenly(heads, HEADS)] if heads > HEADS else value
    value = value[:, first:]
    return _packed(value) | {"heads": value.shape[0], "of": heads, "width": value.shape[2]}


def _packed(value: Tensor) -> dict[str, Any]:
    """Numbers as 16-bit integers times a scale, in base64: a third of JSON's size, and finer than any screen."""
    plain = value.double().numpy()
    scale = float(np.abs(plain).max(initial=0.0)) / 32_767 or 1.0
    whole = np.round(plain / scale).astype("<i2")
    return {
        "scale": scale,
        "steps": value.shape[-2],
        "data": base64.b64encode(whole.tobytes()).decode("ascii"),
    }
