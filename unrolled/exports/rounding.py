"""Weights in fewer bits: a model that holds exactly what the small file holds, so that parity and quality are its own."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.errors import unknown
from unrolled.model.weights import weights_of

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

    from unrolled.model import Model

KEPT = ("fp32", "bf16", "int8")
LARGE = 256  # values from which a matrix is worth rounding
BITS = 127  # of int8, symmetric: -127 ... 127


def rounded(model: Model, kept: str) -> Model:
    """A copy whose matrices hold what `kept` can: bf16: to the nearest, ties to even; int8: one scale a row, which is an
    output or a token (symmetric, the largest of the row is 127). Vectors stay as they are; fp32 is the model itself.
    """
    if kept not in KEPT:
        raise unknown("weights", kept, KEPT)
    if kept == "fp32":
        return model
    made = deepcopy(model)
    made.task = model.task
    with torch.no_grad():
        for value in weights_of(made).values():
            if value.is_floating_point() and value.ndim == 2 and value.numel() >= LARGE:
                value.copy_(value.bfloat16().float() if kept == "bf16" else _from_int8(value))
    return made.eval()


def _from_int8(weight: Tensor) -> Tensor:
    """Each row's scale has 16 digits, so that its products with 8 are exact and it can be read back from them."""
    scale = weight.abs().amax(1, keepdim=True) / BITS
    digits = scale.contiguous().view(torch.int32)
    scale = ((digits + 0xFF) & ~0xFF).view(torch.float32)
    scale = torch.where(scale > 0, scale, 1.0)
    return (weight / scale).round().clamp(-BITS, BITS) * scale


def compact(proto: ModelProto, kept: str) -> int:
    """Replaces what the graph holds of `rounded` weights by their small form, which is exactly equal -> how many. Matrices
    that the exporter made of others stay in float32.
    """
    if kept == "fp32":
        return 0
    from onnx import numpy_helper

    graph = proto.graph
    nodes: list[NodeProto] = []
    small: list[TensorProto] = []
    done = 0
    for initializer in graph.initializer:
        array = numpy_helper.to_array(initializer)
        if array.dtype != np.float32 or array.ndim != 2 or array.size < LARGE:
            small.append(initializer)
            continue
        held, node = (_bf16 if kept == "bf16" else _int8)(initializer.name, array)
        small += held or [initializer]
        nodes += node
        done += bool(held)
    body = [*nodes, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(small)
    graph.node.extend(body)
    return done


def _bf16(name: str, array: NDArray[Any]) -> tuple[list[TensorProto], list[NodeProto]]:
    from onnx import TensorProto, helper

    bits = array.view(np.uint32)
    if (bits & 0xFFFF).any():
        return [], []
    held = TensorProto(name=f"{name}.bf16", data_type=TensorProto.BFLOAT16, dims=array.shape)
    held.raw_data = (bits >> 16).astype("<u2").tobytes()
    return [held], [helper.make_node("Cast", [held.name], [name], to=TensorProto.FLOAT)]


def _int8(name: str, array: NDArray[Any]) -> tuple[list[TensorProto], list[NodeProto]]:
    """By rows or, where the exporter turned the matrix round, by columns. A product, not DequantizeLinear: around that one
    ONNX Runtime rounds the other factor of a matrix product too, and the graph no longer says what the model says.
    """
    from onnx import TensorProto, helper, numpy_helper

    for axis in (1, 0):
        scale = np.abs(array).max(axis, keepdims=True) / np.float32(BITS)
        scale = np.where(scale > 0, scale, np.float32(1))
        whole = np.round(array / scale)
        if np.array_equal(whole * scale, array):
            parts = {f"{name}.int8": whole.astype(np.int8), f"{name}.scale": scale}
            held = [numpy_helper.from_array(part, part_name) for part_name, part in parts.items()]
            wide = helper.make_node("Cast", [f"{name}.int8"], [f"{name}.wide"], to=TensorProto.FLOAT)
            return held, [wide, helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name])]
    return [], []
