"""Sequences to pick from: held-out ones of a run's own data, encoded as its model reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.inspection.held_out import between
from unrolled.training.resume import same_data
from unrolled.training.rows import corpus_of, rows_of
from unrolled.training.run import Run

LISTED = 60
LABEL = 80  # characters of what a sequence is called


@dataclass(frozen=True)
class Passage:
    """One sequence: its steps, what people call it, and what is right where that is known."""

    steps: np.ndarray
    label: str
    truth: str = ""


def passages(run: Run, task: Any) -> list[Passage]:
    """The first held-out sequences. Raises UserError where the data is gone, or has changed since the run began."""
    if task.kind == "generate":
        corpus = corpus_of(run)
        same_data(run, corpus.facts)
        documents = corpus.documents("test")[0][:LISTED]
        return [Passage(d, _short(task.codec.decode(d[:LABEL]))) for d in documents if len(d)]
    material = rows_of(run)
    same_data(run, material.facts)
    examples = material.examples("test")
    count = min(LISTED, len(examples))
    return [_row(task, number, examples.inputs[number], examples.targets[number]) for number in range(count)]


def _row(task: Any, number: int, steps: np.ndarray, target: Any) -> Passage:
    truth = said(task, target)
    if hasattr(task.codec, "token_text") and steps.ndim == 1:
        label = _short(spelt(task.codec, steps[:LABEL]))
    else:
        label = f"sequence {number + 1}, {len(steps)} steps"
    return Passage(steps, label, truth)


def said(task: Any, target: Any) -> str:
    """An encoded answer for people."""
    kind, answers = task.kind, task.answers
    found = np.asarray(target)
    if kind in ("translate", "transcribe"):
        return str(answers.decode(found.tolist()))
    if kind == "regress":
        values = np.asarray(answers.decode(found), np.float64).reshape(-1)
        return ", ".join(f"{name} {value:.4g}" for name, value in zip(task.targets, values, strict=False))
    names: Sequence[str] = answers.names
    if kind == "tag":
        return " ".join(names[int(i)] for i in found)
    if found.ndim == 0:
        return names[int(found)]
    return ", ".join(name for name, on in zip(names, found, strict=False) if on) or "none"


def spelt(codec: Any, ids: np.ndarray) -> str:
    """A sequence of ids as a text: with spaces between words, without between characters."""
    return between(codec).join(codec.token_text(int(i)) for i in ids)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LABEL else line[: LABEL - 1] + "…"
