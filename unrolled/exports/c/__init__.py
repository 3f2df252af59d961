"""A model as C: one header, one file, no dependencies.

Not one template for each mixer but a small compiler: the graph of one step becomes plain C99 loops with constant bounds
(`program`, with the tables of `pointwise` and `operators`), so that a new mixer exports without a line of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.exports.c.parity import LENGTHS, check
from unrolled.exports.c.source import compiled

if TYPE_CHECKING:
    from unrolled.model import Model

CAPACITY = 512  # steps that full attention remembers, where the task doesn't say


@dataclass(frozen=True)
class CParity:
    """The proof of a C program. difference: the largest, of numbers beyond 1 relative to their size; lengths: of the
    sequences compared; files: what was written; state_bytes: what a caller keeps for a sequence; weights: how many numbers
    are stored.
    """

    difference: float
    lengths: tuple[int, ...]
    files: tuple[str, ...]
    state_bytes: int
    weights: int


def write_c(model: Model, folder: Path, weights: str = "fp32", capacity: int | None = None) -> CParity:
    """Writes model.h, model.c and example.c (large models: model.bin too) once they proved equal to the model.

    weights: "int8" or "bf16" stores each matrix in that form that it holds exactly; give it what `rounding.rounded` made.
    capacity: steps of one sequence that full attention has room for; the context it was trained on unless given.
    Raises UserError for a model that can't stream or an operation without a C form, CheckFailed when the compiled program
    differs by more than 1e-5, RunFailed without a C compiler.
    """
    room = capacity or getattr(model.task, "context", None) or CAPACITY
    training = model.training
    model.eval()
    try:
        sources = compiled(model, weights, 0 if model.fixed_state else room)
        lengths = tuple(min(length, room) for length in LENGTHS)
        difference = check(model, sources, lengths)
    finally:
        model.train(training)
    files = sources.files()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return CParity(difference, lengths, tuple(files), sources.state_bytes, sources.stored)
