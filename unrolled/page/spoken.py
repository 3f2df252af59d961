"""What a sequence's steps are called, and what a model says at each: the words and numbers beside the glass box."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled.running.sampling import Draw
from unrolled.running.writer import BOUNDARY, Writer
from unrolled.training.example import prompt

WRITTEN = 48  # tokens that a box shows before anybody types
CLASSES = 40  # of which the probabilities are shown
COLUMNS = 96  # of steps that are numbers


def begun(model: Any, task: Any) -> list[int]:
    """What the model makes of its usual beginning: something to look at before anybody types."""
    given = [int(i) for i in task.codec.encode(prompt(task))]
    writer = Writer(model, given, length=WRITTEN, draw=Draw(task.temperature, seed=0))
    drawn = [token for pairs in writer for _, token in pairs if token != BOUNDARY]
    return [*given, *drawn]


def label(codec: Any, token: int) -> str:
    """A token in words; ∎ is where a text ends."""
    return "∎" if token == BOUNDARY and codec.kind != "items" else str(codec.token_text(token))


def labels(task: Any, ids: list[int], begun: bool, codec: Any = None) -> list[str]:
    """A name each; of what was `begun` the first is ▸, which stands before any token."""
    codec = codec or task.codec
    if not hasattr(codec, "token_text"):
        return [str(i) for i in ids]
    names = [label(codec, i) for i in ids]
    return ["▸", *names[1:]] if begun else names


def numbered(steps: int) -> list[str]:
    """The names of steps that are numbers: 1, 2, 3."""
    return [str(i + 1) for i in range(steps)]


def image(steps: Tensor) -> dict[str, Any]:
    """(T, D) numbers from 0 to 255: of the columns that change, at most `COLUMNS`, evenly chosen."""
    values = steps.double().cpu()
    changing = torch.nonzero(values.amax(0) > values.amin(0))[:, 0].tolist() or list(range(values.shape[1]))
    count = min(COLUMNS, len(changing))
    shown = values[:, [changing[i * len(changing) // count] for i in range(count)]]
    low, high = float(shown.min()), float(shown.max())
    grey = ((shown - low) / (high - low + 1e-12)).mul(255).round().long().tolist()
    return {"columns": count, "of": values.shape[1], "low": low, "high": high, "values": grey}


def surprise(prediction: Tensor, ids: list[int]) -> list[float]:
    """Bits of each token given those before it; 0 for the first, which nothing precedes."""
    nats = -prediction[:-1].double().log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return [0.0, *(round(bit, 3) for bit in (nats / np.log(2)).tolist())]


def classes(task: Any) -> list[str]:
    """What it chooses from, or what it estimates."""
    if task.kind in ("classify", "tag"):
        return [str(name) for name in task.answers.names][:CLASSES]
    if task.kind == "transcribe":
        return ["·", *(task.answers.decode([i]) for i in range(1, task.answers.size))][:CLASSES]
    return list(task.targets) if task.kind == "regress" else []


def answers(task: Any, prediction: Tensor) -> list[list[float]]:
    """(T, C): what the model would say had the sequence ended at each step."""
    said = task.settled(prediction.double())
    return [[float(f"{value:.4g}") for value in row] for row in said[:, :CLASSES].tolist()]


def growing(task: Any, prediction: Tensor) -> list[str]:
    """The transcript after each step."""
    said = task.settled(prediction.double()).numpy()
    memo, texts = None, []
    for step, answer in zip(said, task.shown(said), strict=True):
        answer, memo = task.continued(answer, step, memo)
        texts.append(str(answer[task.target]))
    return texts
