"""A short training, plain enough to be read as a lesson: one loop, truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from time import perf_counter

import torch
from torch.nn.utils import clip_grad_norm_

from unrolled.datasets.codecs import Ids
from unrolled.datasets.sampler import Streams
from unrolled.layout import Layout
from unrolled.model import Model
from unrolled.state import State, detach
from unrolled.tasks.ngram import joined
from unrolled.training.optimizer import adamw, set_rate

WARMUP = 20  # steps
DECAY = 0.3  # of the training: the learning rate falls to 0 over this last part
CLIP = 1.0


@dataclass(frozen=True)
class Practice:
    """What a training came to."""

    steps: int
    tokens: int
    seconds: float
    skipped: int  # steps whose gradient wasn't finite

    def __str__(self) -> str:
        cut = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.steps} steps, {self.tokens:,} tokens, {self.seconds:.0f} s{cut}"


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

    The learning rate decays as steps or time run out, whichever comes first, so a slow machine ends well too.
    `resets`: a document's start forgets; without it the stream runs on and the model must forget by itself.
    """
    optimizer = adamw(model, lr, (0.9, 0.99), 0.01)
    sampler = Streams(joined(documents), batch, length)
    parameters = [p for p in model.parameters() if p.requires_grad]
    state: State = None
    begun, done, tokens, skipped = perf_counter(), 0, 0, 0
    model.train()
    for step in range(steps):
        progress = max(step / steps, (perf_counter() - begun) / limit)
        if progress >= 1:
            break
        set_rate(optimizer, lr * min(1.0, (step + 1) / WARMUP, (1 - progress) / DECAY))
        x, y, start, _ = sampler.batch(step)
        assert start is not None
        state = model.start(len(x)) if state is None else detach(state)  # truncation: history ends here
        logits, state = model(x, state, Layout(torch.ones_like(start), start) if resets else None)
        total, count = model.head.loss(logits, y)
        optimizer.zero_grad()
        (total / count).backward()  # type: ignore[no-untyped-call]
        done, tokens = step + 1, tokens + x.numel()
        if isfinite(float(clip_grad_norm_(parameters, CLIP))):
            optimizer.step()
        else:
            skipped += 1
    model.eval()
    return Practice(done, tokens, perf_counter() - begun, skipped)
