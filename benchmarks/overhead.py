"""What the framework costs: `unrolled train` beside a bare hand-written PyTorch loop of the same LSTM.

`python -m benchmarks.overhead [threads]` prints tokens a second of both, in float32 and, where the CPU has it, in
bfloat16: H = 256, B = 32, T = 128, characters, blocks of steps interleaved in one process,
medians. The bare loop is what a careful author writes: nn.LSTM with carried state, fused AdamW, gradient clipping,
batches sliced from one tensor. Ours is the loop of `unrolled train` without what happens between steps (evaluating,
saving), and without dropout, which the bare loop hasn't got. On the novel, one document, both compute the same. On
the tunes ours also resets the state wherever a tune begins; the bare loop doesn't, and lets tunes run into each other.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from unrolled.training.device import choose_dtype
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.session import Session
from unrolled.training.setup import set_up

BATCH, LENGTH, WIDTH, BLOCK, ROUNDS = 32, 128, 256, 8, 9


class Bare(nn.Module):
    """Embedding, LSTM, linear."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, vocabulary)


def bare_steps(tokens: torch.Tensor, vocabulary: int, bfloat16: bool) -> Iterator[None]:
    """The hand-written loop; each `next` is one optimizer step."""
    model = Bare(vocabulary)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    lane = (len(tokens) - 1) // BATCH
    rows = tokens[: lane * BATCH + 1]
    x, y = rows[:-1].view(BATCH, lane), rows[1:].view(BATCH, lane)
    state, at = None, 0
    while True:
        if at + LENGTH > lane:
            state, at = None, 0
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            out, state = model.lstm(model.embed(x[:, at : at + LENGTH]), state)
            logits = model.head(out)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), y[:, at : at + LENGTH].reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        loss.item()
        optimizer.step()
        optimizer.zero_grad()
        state, at = tuple(part.detach() for part in state), at + LENGTH
        yield


def our_session(data: str, folder: str, dtype: str) -> Session:
    """A real run's session, as `unrolled train` opens it."""
    keys = {"model": {"kind": "lstm", "width": WIDTH, "embedding": WIDTH, "dropout": 0.0, "layers": 1}}
    recipe = Recipe.of(
        data=data, codec="characters", budget="100000steps", batch=BATCH, length=LENGTH, lr=1e-3, ema=0.0,
        weight_decay=0.01, betas=(0.9, 0.99), dtype=dtype, runs=folder, evaluate_every=100_000, **keys,
    )  # fmt: skip
    talk = Talk(quiet=True)
    return Session.begin(set_up(recipe, {}, talk), talk)


def measure(data: str, dtype: str, rounds: int = ROUNDS) -> tuple[float, float]:
    """Median tokens a second of the bare loop and of ours."""
    with tempfile.TemporaryDirectory() as folder, our_session(data, folder, dtype) as session:
        corpus = session.setup.material.corpus
        tokens = torch.from_numpy(corpus.train.tokens[:].astype("int64"))
        loops = {
            "bare": bare_steps(tokens, corpus.codec.size, dtype == "bfloat16"),
            "ours": session.steps(),
        }
        rates: dict[str, list[float]] = {name: [] for name in loops}
        for loop in loops.values():
            for _ in range(BLOCK):
                next(loop)
        for round_ in range(rounds):
            for name in loops if round_ % 2 == 0 else reversed(loops):
                begun = time.perf_counter()
                for _ in range(BLOCK):
                    next(loops[name])
                rates[name].append(BLOCK * BATCH * LENGTH / (time.perf_counter() - begun))
    return statistics.median(rates["bare"]), statistics.median(rates["ours"])


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads())
    native, _ = choose_dtype("auto", torch.device("cpu"), print)
    print(
        f"framework overhead, tokens/s; torch {torch.__version__}, {torch.get_num_threads()} thread(s), load "
        f"{os.getloadavg()[0]:.2f}, LSTM H={WIDTH}, B={BATCH}, T={LENGTH}, median of {ROUNDS} interleaved blocks"
    )
    print(f"{'':20} {'bare loop':>10} {'unrolled':>10} {'ratio':>6}")
    for data in ("moby_dick", "irish"):
        for dtype in ("float32", "bfloat16") if native else ("float32",):
            bare, ours = measure(data, dtype)
            print(f"{data:10}{dtype:10} {bare:10.0f} {ours:10.0f} {ours / bare:6.3f}", flush=True)


if __name__ == "__main__":
    main()
