"""Short trainings, plain enough to be read as a lesson: one loop, and truncated backpropagation through time over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from time import perf_counter

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from unrolled.datasets.codecs import Ids
from unrolled.datasets.sampler import Streams
from unrolled.layout import Layout
from unrolled.model import Model
from unrolled.state import State, detach
from unrolled.tasks.ngram import joined
from unrolled.training.optimizer import adamw, set_rate
from unrolled.training.tuning import plain

WARMUP = 20  # steps
DECAY = 0.3  # of the training: the learning rate falls to 0 over this last part
CLIP = 1.0


@dataclass(frozen=True)
class Practice:
    """What a training came to."""

    steps: int
    items: int
    seconds: float
    skipped: int  # steps whose gradient wasn't finite
    unit: str = "tokens"  # what the items are
    largest: float = 0.0  # gradient norm met, before it was clipped

    def __str__(self) -> str:
        cut = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.steps} steps, {self.items:,} {self.unit}, {self.seconds:.0f} s{cut}"


def drill(
    model: Model,
    loss: Callable[[int], tuple[Tensor, int]],
    steps: int,
    *,
    limit: float,
    lr: float,
    unit: str = "tokens",
    clip: float = CLIP,
) -> Practice:
    """Lowers `loss(step)` -> (mean loss, items it is the mean of); stops after `limit` seconds at the latest.

    The learning rate decays as steps or time run out, whichever comes first, so a slow machine ends well too.
    clip: the gradient's norm is scaled down to it; inf leaves it as it is.
    """
    optimizer = adamw(plain(model).parts, lr, (0.9, 0.99), 0.01)
    parameters = [p for p in model.parameters() if p.requires_grad]
    begun, done, items, skipped, largest = perf_counter(), 0, 0, 0, 0.0
    model.train()
    for step in range(steps):
        progress = max(step / steps, (perf_counter() - begun) / limit)
        if progress >= 1:
            break
        set_rate(optimizer, lr * min(1.0, (step + 1) / WARMUP, (1 - progress) / DECAY))
        mean, count = loss(step)
        optimizer.zero_grad()
        mean.backward()  # type: ignore[no-untyped-call]
        done, items = step + 1, items + count
        norm = float(clip_grad_norm_(parameters, clip))
        if isfinite(norm):
            largest = max(largest, norm)
            optimizer.step()
        else:
            skipped += 1
    model.eval()
    return Practice(done, items, perf_counter() - begun, skipped, unit, largest)


def practise(
    model: Model,
    documents: Sequence[Ids],
    steps: int,
    *,
    limit: float,
    lr: float = 4e-3,
    batch: int = 32,
    length: int = 64,
    resets: bool = True,
) -> Practice:
    """Trains on contiguous streams with carried, detached state; stops after `limit` seconds at the latest.

    `resets`: a document's start forgets; without it the stream runs on and the model must forget by itself.
    """
    sampler = Streams(joined(documents), batch, length)
    state: State = None

    def loss(step: int) -> tuple[Tensor, int]:
        nonlocal state
        x, y, start, *_ = sampler.batch(step)
        assert start is not None
        state = model.start(len(x)) if state is None else detach(state)  # truncation: history ends here
        logits, state = model(x, state, Layout(torch.ones_like(start), start) if resets else None)
        total, count = model.head.loss(logits, y)
        return total / count, x.numel()

    return drill(model, loss, steps, limit=limit, lr=lr)
