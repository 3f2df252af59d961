"""The proof: what was written is compiled, run and held to the model's whole-sequence form."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import CheckFailed, RunFailed
from unrolled.exports.c.source import Sources
from unrolled.exports.graph import Whole, example
from unrolled.exports.parity import Difference

if TYPE_CHECKING:
    from unrolled.model import Model

COMPILERS = ("cc", "gcc", "clang")
LENGTHS = (5, 1, 33, 2)  # of the sequences that are compared, one after the other in one run


def compiler() -> str:
    """A C compiler's name. Raises RunFailed where there is none."""
    for name in COMPILERS:
        if shutil.which(name):
            return name
    raise RunFailed(
        f"to=c proves itself by compiling what it wrote, and there is no C compiler ({', '.join(COMPILERS)}). Install one, "
        "on Debian and Ubuntu: apt-get install gcc libc6-dev."
    )


def check(
    model: Model, sources: Sources, lengths: Sequence[int] = LENGTHS, flags: Sequence[str] = ("-O2",)
) -> list[Difference]:
    """Sequences of these lengths through the compiled example, step by step with a restart between them, against the model
    at once.

    Raises RunFailed without a compiler or when it refuses, CheckFailed when the program ends early.
    """
    sequences = [example(model.embedder, 1, length, seed) for seed, length in enumerate(lengths)]
    with tempfile.TemporaryDirectory(prefix="unrolled-c-") as made:
        folder = Path(made)
        for name, content in sources.files().items():
            (folder / name).write_bytes(content)
        said = run(built(folder, flags), sequences)
    if said.shape != (sum(lengths), sources.answers):
        raise CheckFailed(
            f"model.c: answers of shape {said.shape} to {sum(lengths)} steps; expected {sources.answers} numbers a step. "
            "Nothing was written."
        )
    found = []
    with torch.no_grad():
        for sequence in sequences:
            got, said = said[: sequence.shape[1]], said[sequence.shape[1] :]
            wanted = Whole(model)(sequence)[0].double().numpy().reshape(got.shape)
            error = float(np.abs(got - wanted).max() / max(1.0, float(np.abs(wanted).max())))
            found.append(Difference("model.c", 1, len(got), error))
    return found


def built(folder: Path, flags: Sequence[str] = ("-O2",)) -> Path:
    """The example program of a folder, compiled there. Raises RunFailed with what the compiler says."""
    name = compiler()
    command = [name, *flags, "-o", "example", "example.c", "model.c", "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunFailed(f"to=c: {name} refused what was written:\n{done.stderr[:2000]}")
    return folder / "example"


def run(program: Path, sequences: Sequence[Tensor]) -> np.ndarray:
    """What the example program says after each step of sequences (1, T, ...), with restarts between: (steps, answers)."""
    lines = []
    for sequence in sequences:
        steps = sequence[0].reshape(sequence.shape[1], -1).tolist()
        lines += [" ".join(map(repr, step)) for step in steps] + [""]
    done = subprocess.run(
        [f"./{program.name}"], cwd=program.parent, input="\n".join(lines) + "\n", capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise CheckFailed(
            f"to=c: the compiled program ended with code {done.returncode}: {done.stderr[:500]}"
        )
    return np.array([[float(word) for word in line.split()] for line in done.stdout.splitlines()])
