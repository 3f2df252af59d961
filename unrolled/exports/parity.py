"""Whether an exported graph says what the model says: asked at sizes that were never used to make it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unrolled.errors import CheckFailed
from unrolled.exports.graph import Step, Whole, example
from unrolled.model import Seq2Seq

if TYPE_CHECKING:
    from unrolled.model import Model

SHAPES = ((1, 1), (1, 12), (2, 3), (6, 10), (4, 33), (8, 64))  # (rows, steps); graphs are made at 3 rows of 5
TOLERANCE = 1e-5  # of float32, relative to the largest number that the model says where that is above 1
# raw (B, T, ...) and, of a `Seq2Seq`, what its source is -> what is said after each step (B, T, C)
Ask = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


@dataclass(frozen=True)
class Difference:
    """How far a graph lies from the model at one size: the largest difference, relative where answers exceed 1."""

    graph: str
    rows: int
    steps: int
    error: float


def differences(
    model: Model, name: str, ask: Ask, shapes: Sequence[tuple[int, int]] = SHAPES
) -> list[Difference]:
    """`ask` against the whole-sequence form of the model in torch, at each shape."""
    found = []
    sources = [steps for _, steps in reversed(shapes)]  # of other lengths than the targets
    for seed, ((rows, steps), far) in enumerate(zip(shapes, sources, strict=True), 1):
        raw = example(model.embedder, rows, steps, seed)
        source = example(model.source.embedder, rows, far, seed) if isinstance(model, Seq2Seq) else None
        with torch.no_grad():
            wanted = Whole(model)(raw, source).numpy()
        said = ask(raw.numpy(), None if source is None else source.numpy())
        if said.shape != wanted.shape:
            raise CheckFailed(
                f"{name}: answers of shape {said.shape} for raw {tuple(raw.shape)}; the model's are {wanted.shape}. "
                "Nothing was written."
            )
        error = float(np.abs(said - wanted).max() / max(1.0, float(np.abs(wanted).max())))
        found.append(Difference(name, rows, steps, error))
    return found


def require(found: Sequence[Difference], tolerance: float = TOLERANCE) -> None:
    """Raises CheckFailed, naming the graph and the size, unless all differences are within `tolerance`."""
    wrong = [each for each in found if not each.error <= tolerance]  # NaN is wrong too
    if wrong:
        worst = max(wrong, key=lambda each: np.nan_to_num(each.error, nan=np.inf))
        raise CheckFailed(
            f"{worst.graph}: at {worst.rows} rows of {worst.steps} steps it differs from the model by {worst.error:.2g}; "
            f"at most {tolerance:g} is allowed ({len(wrong)} of {len(found)} sizes are beyond). Nothing was written."
        )


def summary(found: Sequence[Difference]) -> dict[str, Any]:
    """The differences as plain data, with the largest."""
    return {
        "tolerance": TOLERANCE,
        "worst": max((each.error for each in found), default=None),
        "at": [asdict(each) for each in found],
    }


def chained(model: Model, content: bytes, reader: bytes | None = None) -> Ask:
    """The step graph in ONNX Runtime, a step after the other, its state handed on by name. reader: the graph that reads a
    `Seq2Seq`'s source.
    """
    session, reads = session_of(content), None if reader is None else session_of(reader)
    step = Step(model)
    handed = [leaf.before for leaf in step.leaves if leaf.along is None]

    def ask(raw: np.ndarray, source: np.ndarray | None) -> np.ndarray:
        rows, steps = raw.shape[:2]
        # one more than is needed, so that the capacity is another one than the graph was made at
        state = {
            leaf.before: start.numpy()
            for leaf, start in zip(step.leaves, step.start(rows, steps + 1), strict=True)
        }
        if reads is not None:
            told = [each.name for each in reads.get_outputs()]
            state |= dict(zip(told, reads.run(None, {"raw": source}), strict=True))
        said = []
        for t in range(steps):
            answer, *after = session.run(None, {"raw": raw[:, t], **state})
            said.append(answer)
            state |= dict(zip(handed, after, strict=True))
        return np.stack(said, 1)

    return ask


def at_once(content: bytes) -> Ask:
    """The whole-sequence graph in ONNX Runtime."""
    session = session_of(content)
    return lambda raw, _: np.asarray(session.run(None, {"raw": raw})[0])


def session_of(content: bytes) -> Any:
    """A graph in ONNX Runtime, on one thread: sums are then made in one order. Warnings, which a wrong declared size
    would be, are errors of the graph and shown.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
