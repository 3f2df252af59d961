"""Generation beside a plain torch.nn loop at its best: steady tokens a second, and the memory an LSTM's loop takes.

`python -m benchmarks.generation [threads]` prints the table. Both sides are of one size, run interleaved in
this process, in float32 and inference mode; a figure is the median over rounds. The plain side is what a
careful author writes by hand: `nn.LSTMCell` (and, for comparison, `nn.LSTM` called on one step); a pre-norm
Transformer with precomputed rotary tables and a preallocated key-value cache of which each step reads only the
filled part. The Transformers write tokens 513 to 640 after a prompt of 512, which isn't timed. Both sides draw
from the softmax and hand each token to the host. Only ours also counts the log-likelihood.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.model import build
from unrolled.running.sampling import Draw
from unrolled.running.writer import Writer

VOCABULARY, ROUNDS = 96, 5
CONTEXT, STEADY = 512, 128  # tokens of past a Transformer begins with, and tokens it then writes
LSTM_TOKENS = 600
WARM = 8  # tokens before the clock starts


class PlainLSTM(nn.Module):
    """Embedding, nn.LSTM of 2 layers, linear; one step at a time."""

    def __init__(self, width: int = 256, layers: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.head = nn.Linear(width, VOCABULARY)

    def write(self, count: int) -> Iterator[list[int]]:
        """Draws tokens for each of `count` rows, for ever."""
        ids, state = torch.zeros(count, 1, dtype=torch.long), None
        while True:
            y, state = self.lstm(self.embed(ids), state)
            ids = drawn(self.head(y[:, -1]))[:, None]
            yield ids[:, 0].tolist()


class PlainCells(nn.Module):
    """The same of nn.LSTMCell: the quickest single step that torch.nn has on a CPU."""

    def __init__(self, width: int = 256, layers: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.cells = nn.ModuleList(nn.LSTMCell(width, width) for _ in range(layers))
        self.head = nn.Linear(width, VOCABULARY)
        self.width = width

    def write(self, count: int) -> Iterator[list[int]]:
        """Draws tokens for each of `count` rows, for ever."""
        ids, zeros = torch.zeros(count, dtype=torch.long), torch.zeros(count, self.width)
        states = [(zeros, zeros) for _ in self.cells]
        while True:
            x = self.embed(ids)
            for number, cell in enumerate(self.cells):
                states[number] = cell(x, states[number])
                x = states[number][0]
            ids = drawn(self.head(x))
            yield ids.tolist()


def drawn(logits: Tensor) -> Tensor:
    """Logits (B, V) -> ids (B,)."""
    return torch.multinomial((logits / 0.8).softmax(-1), 1)[:, 0]


class PlainBlock(nn.Module):
    """Pre-norm attention with rotary positions and a feed-forward of 4 x width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(
        self, x: Tensor, cache: tuple[Tensor, Tensor], angles: tuple[Tensor, Tensor], at: int
    ) -> Tensor:
        """One step at position `at`: x (B, width)."""
        batch, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, 3, self.heads, 1, width // self.heads)
        q, k, v = qkv.unbind(1)  # (B, H, 1, D)
        keys, values = cache
        keys[:, :, at : at + 1] = _turn(k, angles, at)
        values[:, :, at : at + 1] = v
        y = F.scaled_dot_product_attention(_turn(q, angles, at), keys[:, :, : at + 1], values[:, :, : at + 1])
        x = x + self.out(y.reshape(batch, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def _turn(x: Tensor, angles: tuple[Tensor, Tensor], at: int) -> Tensor:
    cos, sin = angles[0][at], angles[1][at]
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class PlainTransformer(nn.Module):
    """Embedding, 6 blocks, norm, linear; one step at a time with a static cache."""

    def __init__(self, width: int = 384, layers: int = 6, heads: int = 6) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(PlainBlock(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY)
        half = width // heads // 2
        angle = torch.arange(CONTEXT + STEADY)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.angles = angle.cos(), angle.sin()
        self.shape = heads, width // heads

    def write(self, count: int) -> Iterator[list[int]]:
        """Draws `STEADY` tokens for each of `count` rows after CONTEXT made-up ones."""
        heads, size = self.shape
        held = (count, heads, CONTEXT + STEADY, size)
        caches = [(torch.randn(held), torch.randn(held)) for _ in self.blocks]
        ids = torch.zeros(count, dtype=torch.long)
        for at in range(CONTEXT, CONTEXT + STEADY):
            x = self.embed(ids)
            for block, cache in zip(self.blocks, caches, strict=True):
                x = block(x, cache, self.angles, at)
            ids = drawn(self.head(self.norm(x)))
            yield ids.tolist()


def ours(kind: str) -> nn.Module:
    """The same sizes as the plain models, from a spec."""
    if kind == "lstm":
        layers = [{"kind": "lstm", "width": 256}] * 2
        core = {"layers": layers, "norm": None, "residual": False}
        width = 256
    else:
        layers = [{"kind": "attention", "width": 384, "heads": 6}, {"kind": "ffn", "width": 384}] * 6
        core = {"layers": layers, "norm": "before", "residual": True}
        width = 384
    return build(
        {
            "embedder": {"kind": "tokens", "vocabulary": VOCABULARY, "width": width},
            "core": core,
            "head": {"kind": "tokens", "tied": False},
        }
    )


def write_ours(model: nn.Module, count: int, length: int) -> Iterator[object]:
    """`length` tokens for each of `count` rows with the library's loop; no row may end."""
    prompt = [1] * (0 if model.fixed_state else CONTEXT - 1)
    return iter(
        Writer(
            model, prompt, count=count, length=length, draw=Draw(0.8), ends=(), context=CONTEXT + STEADY + 1
        )
    )


@dataclass(frozen=True)
class Row:
    """One line of the table: tokens a second of each side, all rows of the batch counted."""

    model: str
    batch: int
    plain: float
    ours: float

    @property
    def ratio(self) -> float:
        """Above 1: ours is faster."""
        return self.ours / self.plain


@torch.inference_mode()
def pace(tokens: Iterable[object], count: int, length: int) -> float:
    """Tokens a second of `count` rows, the first WARM steps left out."""
    steps = iter(tokens)
    for _ in range(WARM):
        next(steps)
    begun = time.perf_counter()
    for _ in range(length - WARM):
        next(steps)
    return count * (length - WARM) / (time.perf_counter() - begun)


def measure(plain: nn.Module, mine: nn.Module, label: str, batch: int) -> Row:
    """Interleaved rounds of both sides; medians."""
    length = LSTM_TOKENS if mine.fixed_state else STEADY
    taken: dict[str, list[float]] = {"plain": [], "ours": []}
    for number in range(ROUNDS + 1):  # the first is a warm-up
        for side in sorted(taken, reverse=bool(number % 2)):
            tokens = plain.write(batch) if side == "plain" else write_ours(mine, batch, length)
            taken[side].append(pace(tokens, batch, length))
    return Row(label, batch, statistics.median(taken["plain"][1:]), statistics.median(taken["ours"][1:]))


def resident() -> int:
    """Bytes of memory this process holds (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(tokens: int = 5000) -> int:
    """Bytes by which the process grows while an LSTM writes `tokens` tokens, after a warm-up."""
    model = ours("lstm").eval()
    for _ in write_ours(model, 1, 500):
        pass
    before = resident()
    for _ in write_ours(model, 1, tokens):
        pass
    return resident() - before


def main() -> None:
    """Prints the table."""
    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads())
    print(
        f"generation, tokens/s; torch {torch.__version__}, {torch.get_num_threads()} thread(s), float32, "
        f"load {os.getloadavg()[0]:.2f}, median of {ROUNDS} interleaved rounds"
    )
    print(f"{'model':24} {'beside':>12} {'batch':>5} {'plain loop':>11} {'unrolled':>11} {'ratio':>6}")
    rows = (
        ("LSTM 2 x 256", "nn.LSTMCell", PlainCells(), ours("lstm")),
        ("LSTM 2 x 256", "nn.LSTM", PlainLSTM(), ours("lstm")),
        ("Transformer 6 x 384", "own cache", PlainTransformer(), ours("transformer")),
    )
    for label, beside, plain, mine in rows:
        for batch in (1, 16):
            row = measure(plain.eval(), mine.eval(), label, batch)
            print(
                f"{label:24} {beside:>12} {batch:5} {row.plain:11.0f} {row.ours:11.0f} {row.ratio:6.2f}",
                flush=True,
            )
    print(f"memory gained while an LSTM writes 5000 tokens: {growth() / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
