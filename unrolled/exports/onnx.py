"""The ONNX graphs of a model: one step with its state named, and the whole sequence. Sizes that vary stay open."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unrolled.errors import MissingExtra
from unrolled.exports.graph import Leaf, Sourced, Step, Whole, example
from unrolled.model import Seq2Seq

if TYPE_CHECKING:
    from onnx import ModelProto

    from unrolled.model import Model

ROWS, STEPS, CAPACITY = 3, 5, 7  # what is exported with; parity is asked for at other sizes
LEAST = 2  # the smallest capacity of Slots: torch takes sizes of 0 and 1 for constants
BATCH, TIME, SLOTS, SOURCE = "batch", "time", "capacity + 1", "source steps"  # names of the open sizes
OPSET = 20
Shape = list[int | str]


def step_graph(model: Model) -> ModelProto:
    """`answer, next.* = step(raw, state.*)`, see `Step`; rows are open, and so is the capacity of Slots.

    Raises UserError for a model that can't stream.
    """
    step = Step(model, CAPACITY).eval()
    batch, slots = torch.export.Dim("batch", min=1), torch.export.Dim("slots", min=LEAST + 1)
    far = torch.export.Dim("source", min=2)
    open_sizes = ({0: batch}, tuple({0: batch, **_open(leaf, slots, far)} for leaf in step.leaves))
    source = example(model.source.embedder, ROWS, STEPS) if isinstance(model, Seq2Seq) else None
    inputs = (example(model.embedder, ROWS, None), *step.start(ROWS, CAPACITY, source))
    handed = [leaf.after for leaf in step.leaves if leaf.along is None]
    names = ["raw", *(leaf.before for leaf in step.leaves)], ["answer", *handed]
    made = _exported(step, inputs, open_sizes, names)
    shapes: dict[str, Shape] = {"raw": [BATCH, *inputs[0].shape[1:]], "answer": [BATCH, _answers(model)]}
    for leaf in step.leaves:
        shapes[leaf.before] = shapes[leaf.after] = shape_of(leaf)
    return tidied(made, shapes)


def _open(leaf: Leaf, slots: Any, far: Any) -> dict[int, Any]:
    """The sizes of a leaf that stay open, beside its rows."""
    found = {2: slots} if leaf.grows else {}
    return found if leaf.along is None else found | {leaf.along: far}


def shape_of(leaf: Leaf) -> Shape:
    """A leaf's sizes, those that stay open by their names."""
    named: dict[int, str] = {0: BATCH, **_open(leaf, SLOTS, SOURCE)}
    return [named.get(axis, size) for axis, size in enumerate(leaf.start.shape)]


def source_graph(model: Seq2Seq) -> ModelProto:
    """`state.* = source(raw)`, see `Sourced`: whole sources of one length; rows and steps are open."""
    reader = Sourced(model).eval()
    inputs = (example(model.source.embedder, ROWS, STEPS),)
    open_sizes = ({0: torch.export.Dim("batch", min=1), 1: torch.export.Dim("time", min=2)},)
    made = _exported(reader, inputs, open_sizes, (["raw"], [leaf.before for leaf in reader.leaves]))
    shapes = {leaf.before: shape_of(leaf) for leaf in reader.leaves}
    return tidied(made, {"raw": [BATCH, SOURCE, *inputs[0].shape[2:]], **shapes})


def whole_graph(model: Model) -> ModelProto:
    """`answer = sequence(raw)`, see `Whole`; rows and steps are open. Raises what torch.export raises for a model whose
    Python code makes the number of steps a constant.
    """
    inputs = (example(model.embedder, ROWS, STEPS),)
    open_sizes = ({0: torch.export.Dim("batch", min=1), 1: torch.export.Dim("time", min=2)},)
    made = _exported(Whole(model).eval(), inputs, open_sizes, (["raw"], ["answer"]))
    shapes: dict[str, Shape] = {
        "raw": [BATCH, TIME, *inputs[0].shape[2:]],
        "answer": [BATCH, TIME, _answers(model)],
    }
    return tidied(made, shapes)


def _answers(model: Model) -> int:
    """Numbers that the head says after a step."""
    source = example(model.source.embedder, 1, 2) if isinstance(model, Seq2Seq) else None
    with torch.no_grad():
        return int(Whole(model)(example(model.embedder, 1, 1), source).shape[-1])


def _exported(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    open_sizes: tuple[Any, ...],
    names: tuple[list[str], list[str]],
) -> ModelProto:
    onnx_installed("the ONNX export")
    torch._dynamo.reset()  # else the scans of an earlier export make its sizes constants of this one
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
    """Raises MissingExtra where onnx, onnxscript or onnxruntime isn't installed."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise MissingExtra(package, "export", purpose)


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
