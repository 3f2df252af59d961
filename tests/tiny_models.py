"""Small untrained models of every task, with their codecs: what the tests of streams, exports and servers share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unrolled.datasets.characters import Characters
from unrolled.datasets.inputs import embedder_of
from unrolled.datasets.labels import Labels, MultiLabels, Tags
from unrolled.datasets.spelling import BOUNDARY
from unrolled.datasets.standard import Numbers, Values
from unrolled.datasets.words import Words
from unrolled.model import Model, answering, build, preset
from unrolled.tasks import Classify, ClassifySeveral, GenerateText, Regress, Tag

STREAMING = ("rnn", "lstm", "gru", "mingru", "conv", "transformer", "window")
ANSWERING = ("classify", "classify_several", "regress", "tag")
TEXTS = ["the cat sat on a mat", "a dog ran far , far away", "on the mat a dog sat"]
SERIES = [np.random.default_rng(seed).normal(3, 2, (9, 2)) for seed in range(4)]


def task_of(kind: str, reads: str = "text") -> Any:
    """A fitted task. reads: text (words) or series (2 channels)."""
    codec: Any = Words(1).fit(TEXTS) if reads == "text" else Values().fit(SERIES)
    column = "text" if reads == "text" else "series"
    shared: dict[str, Any] = {"codec": codec, "inputs": (column,), "targets": ("y",)}
    if kind == "classify":
        return Classify(answers=Labels({"bad": 3, "good": 5, "so": 2}), temperature=1.7, **shared)
    if kind == "classify_several":
        return ClassifySeveral(answers=MultiLabels().fit([["red"], ["blue", "red"]]), **shared)
    if kind == "tag":
        return Tag(answers=Tags().fit([["N", "V"], ["D", "N"]]), temperature=1.3, **shared)
    return Regress(
        answers=Numbers().fit([[100.0, 2.0], [180.0, 3.0], [120.0, 2.5]]), **shared | {"targets": ("y", "z")}
    )


def model_of(task: Any, kind: str, width: int = 16, seed: int = 0, **options: Any) -> Model:
    """An untrained model of this kind for the task."""
    torch.manual_seed(seed)
    if task.kind == "generate":
        model = build(preset(kind, task.codec.size, width=width, layers=2, **options))
    else:
        spec = answering(
            kind,
            embedder_of(task.codec),
            task.head(),
            stepwise=task.stepwise,
            width=width,
            layers=2,
            **options,
        )
        model = build(spec)
    with torch.no_grad():  # zeros would hide what a bias does
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.task = task
    return model.eval()


def writer_of(kind: str, context: int | None = 32, seed: int = 0, width: int = 16) -> Model:
    """An untrained model that writes text."""
    return model_of(GenerateText(Characters().fit(["abcdefgh \n"]), context), kind, width, seed)


def endless_writer_of(kind: str) -> Model:
    """One whose texts never end by themselves."""
    model = writer_of(kind)
    with torch.no_grad():
        model.head.scores.bias[BOUNDARY] = -1e9
    return model


def raw_of(task: Any, number: int = 0) -> Any:
    """Something that people have and this task reads."""
    if task.kind == "generate":
        return "abc de"
    return TEXTS[number % len(TEXTS)] if isinstance(task.codec, Words) else SERIES[number % len(SERIES)]
