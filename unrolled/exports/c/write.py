"""A model's C files, which exist only once they proved equal to the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.exports.c.parity import LENGTHS, check
from unrolled.exports.c.source import Sources, compiled
from unrolled.exports.parity import Difference, require, summary

if TYPE_CHECKING:
    from unrolled.model import Model

CAPACITY = 512  # steps that full attention remembers, where the task doesn't say
MOST = 2048  # of those that a task says: what is reserved stays reserved


def made(
    model: Model, described: Mapping[str, Any], weights: str = "fp32", capacity: int | None = None
) -> tuple[dict[str, bytes], list[Difference], list[str]]:
    """model.h, model.c, example.c and model.json (large models: model.bin too) as bytes, what they differ from the model
    by, and notes.

    weights: "int8" or "bf16" stores each matrix in that form that it holds exactly; give it what `rounding.rounded` made.
    capacity: steps of one sequence that full attention has room for; the context it was trained on, at most 2048, unless
    given. Raises UserError for a model that can't stream or an operation without a C form, CheckFailed when the compiled
    program differs by more than 1e-5, RunFailed without a C compiler.
    """
    room = capacity or min(getattr(model.task, "context", None) or CAPACITY, MOST)
    training = model.training
    model.eval()
    try:
        sources = compiled(model, weights, room)
        found = check(model, sources, sorted({min(length, room) for length in LENGTHS}))
        require(found)
    finally:
        model.train(training)
    whole = {**described, "parity": summary(found)}
    files = sources.files() | {"model.json": json.dumps(whole, ensure_ascii=False, indent=1).encode() + b"\n"}
    return files, found, _notes(sources, room)


def _notes(sources: Sources, room: int) -> list[str]:
    notes = [f"a stream's state takes {sources.state_bytes} bytes"]
    if "UNROLLED_CAPACITY" in sources.header:
        notes.append(f"full attention has room for {room} steps; then unrolled_step returns UNROLLED_FULL")
    if sources.binary is not None:
        notes.append(
            f"{sources.stored} weights are too many for a C file: they lie in model.bin, which unrolled_load reads"
        )
    return notes


def write_c(
    model: Model, folder: Path, weights: str = "fp32", capacity: int | None = None
) -> list[Difference]:
    """Writes what `made` makes into an existing folder; returns the differences."""
    files, found, _ = made(model, {}, weights, capacity)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return found
