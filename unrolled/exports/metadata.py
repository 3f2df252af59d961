"""What stands in an exported file beside the numbers: everything that its user needs to feed it and to read it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from torch import Tensor

from unrolled import __version__
from unrolled.datasets.abc_tokens import COARSE, FINE
from unrolled.datasets.words import WORD
from unrolled.exports.graph import Leaf, Step, example
from unrolled.exports.onnx import SOURCE, shape_of
from unrolled.model import Seq2Seq
from unrolled.model.weights import fingerprint

if TYPE_CHECKING:
    from onnx import ModelProto

    from unrolled.model import Model

FORMAT = 1
KEY = "unrolled"  # of the ONNX files' metadata_props; the value is JSON


def describe(model: Model, name: str = "", weights: dict[str, Any] | None = None) -> dict[str, Any]:
    """Plain data for JSON: how to feed the model and how to read what it says.

    name: what the model is called; weights: how they are kept (`rounding`), as they were trained unless given.
    """
    task = model.task
    step = None if model.reach.future else Step(model)
    raw = example(model.embedder, 1, None)
    return {
        "format": FORMAT,
        "unrolled": __version__,
        "name": name,
        **_task(task),
        "input": {"name": "raw", "dtype": _dtype(raw), "shape": ["batch", *raw.shape[1:]]},
        "source": _source(model) if isinstance(model, Seq2Seq) else None,
        "output": {"name": "answer", "says": says(task)},
        "labels": labels(task),
        "states": None if step is None else [_state(leaf) for leaf in step.leaves],
        "context": None if model.reach.future or model.fixed_state else getattr(task, "context", None),
        "sampling": sampling(task),
        "weights": weights or {"kept": "fp32"},
        "sha256": fingerprint(model),
    }


def _source(model: Seq2Seq) -> dict[str, Any]:
    """What the graph that reads a source takes."""
    raw = example(model.source.embedder, 1, None)
    return {"name": "raw", "dtype": _dtype(raw), "shape": ["batch", SOURCE, *raw.shape[1:]]}


def _task(task: Any) -> dict[str, Any]:
    """The task without its codecs, the codec of what it reads, that of what it answers, and what they lean on."""
    if task is None:
        return {"task": None, "codec": None, "target": None}
    told = task.to_dict()
    codec = told.pop("codec")
    if task.kind == "generate":
        return {"task": told, "codec": codec, "target": None, "patterns": _patterns(codec)}
    answers = task.answers
    return {
        "task": told, "codec": codec["input"], "columns": [field.width for field in getattr(task.codec, "fields", ())],
        "target": codec["target"], "patterns": _patterns(codec["input"]),
        "separator": getattr(answers, "separator", ""), "rarer": getattr(task, "rarer", 0),
    }  # fmt: skip


def _patterns(codec: dict[str, Any]) -> dict[str, str]:
    """The regular expressions, as Python writes them, by which a codec cuts texts."""
    if codec["kind"] == "together":
        return {k: v for field in codec["fields"] for k, v in _patterns(field["codec"]).items()}
    if codec["kind"] == "words":
        return {"word": WORD.pattern}
    return {"coarse": COARSE.pattern, "fine": FINE.pattern} if codec["kind"] == "abc" else {}


def says(task: Any) -> str:
    """What the numbers of an answer are."""
    if task is None:
        return "the head's output"
    if task.kind in ("generate", "translate"):
        return "logits of the next token"
    return "numbers in the target's own unit" if task.kind == "regress" else "probabilities"


def labels(task: Any) -> list[str] | None:
    """The name of each number of an answer; None where tokens or nothing are named."""
    if task is None or task.kind in ("generate", "translate"):
        return None
    if task.kind == "transcribe":
        return ["", *(task.answers.token_text(symbol) for symbol in range(1, task.answers.size))]
    return list(task.targets if task.kind == "regress" else task.answers.names)


def sampling(task: Any) -> dict[str, Any] | None:
    """How text is drawn unless asked otherwise."""
    if task is None or task.kind != "generate":
        return None
    return {"temperature": task.temperature, "length": task.length, "top_k": None, "top_p": None}


def attach(proto: ModelProto, described: dict[str, Any]) -> bytes:
    """The graph with its description inside, as a file's content."""
    del proto.metadata_props[:]
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(described, ensure_ascii=False)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _state(leaf: Leaf) -> dict[str, Any]:
    return {
        "name": leaf.name, "before": leaf.before, "after": leaf.after if leaf.along is None else None,
        "dtype": _dtype(leaf.start), "shape": shape_of(leaf), "start": None if leaf.told else _start(leaf.start),
    }  # fmt: skip


def _start(row: Tensor) -> Any:
    """One number where all are equal, else the row's bytes (little-endian) as base64."""
    if not row.numel() or bool((row == row.flatten()[0]).all()):
        return row.flatten()[0].item() if row.numel() else 0
    return {"base64": base64.b64encode(row.contiguous().numpy().tobytes()).decode("ascii")}


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
