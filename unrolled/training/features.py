"""What a frozen body says of rows, once and for all: then an epoch is one matrix product a row."""

from __future__ import annotations

import numpy as np

from unrolled.datasets.examples import Examples
from unrolled.datasets.store import Ragged
from unrolled.model import Model, build
from unrolled.tasks.answer import answers, every_answer


def featured(body: Model, examples: Examples) -> Examples:
    """The examples with the core's vectors as inputs: one a row, (1, width), or one a step, (T, width)."""
    reading = Model(body.embedder, body.core, build(_nothing(body.core.width)).head, body.spec)
    inputs = list(examples.inputs)
    if not inputs:
        said = []
    elif examples.stepwise or examples.ragged:
        said = [row.astype(np.float32) for row in every_answer(reading, inputs)]
    else:
        said = list(answers(reading, inputs).astype(np.float32)[:, None])
    return Examples(Ragged.of(said), examples.targets, examples.stepwise, examples.ragged)


def head_of(whole: Model) -> Model:
    """The head of a model by itself, on vectors: what trains while the body stands still. Its weights are shared."""
    made = build(_nothing(whole.core.width) | {"head": whole.spec["head"]})
    made.head, made.task = whole.head, whole.task
    return made


def whole_of(body: Model, head: Model) -> Model:
    """The body under a head that was trained by itself."""
    made = Model(body.embedder, body.core, head.head, body.spec)
    made.task = head.task
    return made.eval()


def _nothing(width: int) -> dict[str, dict[str, object]]:
    """The spec of a model that says each vector again."""
    return {
        "embedder": {"kind": "vectors", "width": width},
        "core": {"layers": [{"kind": "pool", "width": width, "reduce": "last"}]},
        "head": {"kind": "vectors"},
    }
