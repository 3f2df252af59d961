"""The graphs of a model, handed out only once they say what the model says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unrolled.errors import UserError
from unrolled.exports import onnx as graphs
from unrolled.exports.graph import sees_ahead, whole_only
from unrolled.exports.parity import Difference, at_once, chained, differences, require
from unrolled.exports.rounding import compact

if TYPE_CHECKING:
    from unrolled.model import Model


def proved(model: Model, weights: str) -> tuple[dict[str, Any], list[Difference], list[str]]:
    """The graphs of a model with their weights kept so, how far they differ, and notes. Raises CheckFailed."""
    contents: dict[str, Any] = {}
    found: list[Difference] = []
    notes: list[str] = []
    if model.reach.future:
        notes.append(f"no step graph: {sees_ahead(model)} sequence.onnx answers whole sequences.")
    else:
        contents["step.onnx"] = graphs.step_graph(model)
    try:
        contents["sequence.onnx"] = graphs.whole_graph(model)
    except Exception as error:  # what torch.export raises has no common kind
        if not contents:
            raise UserError(
                f"{whole_only(model)} Its whole-sequence graph can't be made either: {_first_line(error)}"
            ) from error
        notes.append(f"no whole-sequence graph, chain the step graph instead: {_first_line(error)}")
    for name, proto in contents.items():
        compact(proto, weights)
        content = proto.SerializeToString()
        ask = chained(model, content) if name == "step.onnx" else at_once(content)
        found += differences(model, name, ask)
    require(found)
    return contents, found, notes


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]
