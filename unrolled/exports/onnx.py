"""The ONNX graphs of a model: one step with its state named, and the whole sequence. Sizes that vary stay open."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unrolled.errors import MissingExtra
from unrolled.exports.graph import Step, Whole, example

if TYPE_CHECKING:
    from onnx import ModelProto

    from unrolled.model import Model

ROWS, STEPS, CAPACITY = 3, 5, 7  # what is exported with; parity is asked for at other sizes
LEAST = 2  # the smallest capacity of Slots: torch takes sizes of 0 and 1 for constants
BATCH, TIME, SLOTS = "batch", "time", "capacity + 1"  # names of the open sizes
OPSET = 20
Shape = list[int | str]


def step_graph(model: Model) -> ModelProto:
    """`answer, next.* = step(raw, state.*)`, see `Step`; rows are open, and so is the capacity of Slots.

    Raises UserError for a model that can't stream.
    """
    step = Step(model, CAPACITY).eval()
    batch, slots = torch.export.Dim("batch", min=1), torch.export.Dim("slots", min=LEAST + 1)
    open_sizes = (
        {0: batch},
        tuple({0: batch, 2: slots} if leaf.grows else {0: batch} for leaf in step.leaves),
    )
    inputs = (example(model, ROWS, None), *step.start(ROWS, CAPACITY))
    names = ["raw", *(leaf.before for leaf in step.leaves)], ["answer", *(leaf.after for leaf in step.leaves)]
    made = _exported(step, inputs, open_sizes, names)
    shapes: dict[str, Shape] = {"raw": [BATCH, *inputs[0].shape[1:]], "answer": [BATCH, _answers(model)]}
    for leaf in step.leaves:
        sizes = [SLOTS if leaf.grows and axis == 2 else size for axis, size in enumerate(leaf.start.shape)]
        shapes[leaf.before] = shapes[leaf.after] = [BATCH, *sizes[1:]]
    return tidied(made, shapes)


def whole_graph(model: Model) -> ModelProto:
    """`answer = sequence(raw)`, see `Whole`; rows and steps are open. Raises what torch.export raises for a model whose
    Python code makes the number of steps a constant.
    """
    inputs = (example(model, ROWS, STEPS),)
    open_sizes = ({0: torch.export.Dim("batch", min=1), 1: torch.export.Dim("time", min=2)},)
    made = _exported(Whole(model).eval(), inputs, open_sizes, (["raw"], ["answer"]))
    shapes: dict[str, Shape] = {
        "raw": [BATCH, TIME, *inputs[0].shape[2:]],
        "answer": [BATCH, TIME, _answers(model)],
    }
    return tidied(made, shapes)


def _answers(model: Model) -> int:
    """Numbers that the head says after a step."""
    with torch.no_grad():
        return int(Whole(model)(example(model, 1, 1)).shape[-1])


def _exported(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    open_sizes: tuple[Any, ...],
    names: tuple[list[str], list[str]],
) -> ModelProto:
    onnx_installed("the ONNX export")
    with torch.no_grad(), _quietly():
        program = torch.export.export(module, inputs, dynamic_shapes=open_sizes, strict=False)
        made: Any = torch.onnx.export(
            program,
            dynamo=True,
            input_names=names[0],
            output_names=names[1],
            opset_version=OPSET,
            verbose=False,
        )
    proto: ModelProto = made.model_proto
    return proto


def onnx_installed(purpose: str) -> None:
    """Raises MissingExtra where onnx, onnxscript or onnxruntime can't be imported."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError:
            raise MissingExtra(package, "export", purpose) from None


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's notes on packages that aren't there and on its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def tidied(proto: ModelProto, shapes: Mapping[str, Sequence[int | str]]) -> ModelProto:
    """The graph with the right sizes declared at its door, and without the places of source files on the machine that
    made it. The exporter declares some sizes wrong; what lies between the doors is inferred anew by who reads it.
    """
    graph = proto.graph
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        del value.type.tensor_type.shape.dim[:]
        for size in shapes[value.name]:
            dim = value.type.tensor_type.shape.dim.add()
            if isinstance(size, str):
                dim.dim_param = size
            else:
                dim.dim_value = size
        del value.metadata_props[:]
    proto.producer_name = "unrolled"
    proto.ClearField("doc_string")
    del proto.metadata_props[:], graph.metadata_props[:]
    for holder in (*_graphs(graph), *proto.functions):
        del holder.metadata_props[:], holder.value_info[:]
        for node in holder.node:
            node.ClearField("doc_string")
            del node.metadata_props[:]
    for initializer in graph.initializer:
        del initializer.metadata_props[:]
    return proto


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and those inside its nodes (the bodies of scans)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
