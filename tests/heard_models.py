"""Small untrained models that transcribe, and something to hear: what the tests of transcription share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unrolled.datasets.characters import Characters
from unrolled.datasets.inputs import embedder_of
from unrolled.datasets.sound import Sound
from unrolled.datasets.stacked import StackedMel
from unrolled.model import Model, answering, build
from unrolled.tasks import Transcribe

RATE = 8000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    n = int(RATE * seconds)
    return (0.1 * draw.normal(size=n) * (1 + np.sin(np.arange(n) / 500))).astype(np.float32)


def fitted() -> StackedMel:
    """A codec that has heard some noise."""
    return StackedMel().fit([Sound(noise(1.0, seed), RATE) for seed in range(4)])


def task_of(codec: Any, **more: Any) -> Transcribe:
    answers = Characters().fit(["three one", "two"])
    return Transcribe(codec=codec, answers=answers, inputs=("sound",), targets=("text",), **more)


def model_of(task: Transcribe, kind: str = "gru") -> Model:
    torch.manual_seed(1)
    spec = answering(kind, embedder_of(task.codec), task.head(), stepwise=True, width=16, layers=2)
    model = build(spec).eval()
    with torch.no_grad():  # so that an untrained model says something, and often nothing
        model.head.scores.weight.mul_(6)
        model.head.scores.bias[0] += 1
    model.task = task
    return model
