"""Generation beside a plain torch.nn loop at its best: tokens a second, and the memory an LSTM's loop takes.

`python -m benchmarks.generation [threads]` prints the table. Both sides are of one size, run interleaved in
this process, in float32 and inference mode; a figure is the median over rounds. The plain side is what a
careful author writes by hand: `nn.LSTM` called on one step with (h, c); a pre-norm Transformer with
precomputed rotary tables and a preallocated key-value cache of which each step reads only the filled part.
Both sides draw from the softmax and hand each token to the host. Only ours also counts the log-likelihood.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.model import build
from unrolled.running.sampling import Draw
from unrolled.running.writer import Writer

VOCABULARY, CONTEXT, ROUNDS = 96, 512, 5


class PlainLSTM(nn.Module):
    """Embedding, nn.LSTM of 2 layers, linear; one step at a time."""

    def __init__(self, width: int = 256, layers: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.head = nn.Linear(width, VOCABULARY)

    @torch.inference_mode()
    def write(self, count: int, length: int) -> None:
        """Draws `length` tokens for each of `count` rows."""
        ids, state = torch.zeros(count, 1, dtype=torch.long), None
        for _ in range(length):
            y, state = self.lstm(self.embed(ids), state)
            ids = torch.multinomial((self.head(y[:, -1]) / 0.8).softmax(-1), 1)
            ids.tolist()


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
        angle = torch.arange(CONTEXT)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.angles = angle.cos(), angle.sin()
        self.shape = heads, width // heads

    @torch.inference_mode()
    def write(self, count: int, length: int) -> None:
        """Draws `length` <= CONTEXT tokens for each of `count` rows."""
        heads, size = self.shape
        held = (count, heads, CONTEXT, size)
        caches = [(torch.zeros(held), torch.zeros(held)) for _ in self.blocks]
        ids = torch.zeros(count, dtype=torch.long)
        for at in range(length):
            x = self.embed(ids)
            for block, cache in zip(self.blocks, caches, strict=True):
                x = block(x, cache, self.angles, at)
            ids = torch.multinomial((self.head(self.norm(x)) / 0.8).softmax(-1), 1)[:, 0]
            ids.tolist()


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


def write_ours(model: nn.Module, count: int, length: int) -> None:
    """`length` tokens for each of `count` rows with the library's loop; no row may end."""
    for _ in Writer(model, count=count, length=length, draw=Draw(0.8), ends=(), context=CONTEXT):
        pass


@dataclass(frozen=True)
class Row:
    """One line of the table: tokens a second of both sides, all rows of the batch counted."""

    model: str
    batch: int
    plain: float
    ours: float

    @property
    def ratio(self) -> float:
        """Above 1: ours is faster."""
        return self.ours / self.plain


def measure(name: str, batch: int, length: int, rounds: int = ROUNDS) -> Row:
    """Interleaved rounds of both sides; medians."""
    torch.manual_seed(0)
    plain = (PlainLSTM() if name == "lstm" else PlainTransformer()).eval()
    mine = ours(name).eval()
    sides: dict[str, Callable[[int], None]] = {
        "plain": lambda n: plain.write(batch, n),
        "ours": lambda n: write_ours(mine, batch, n),
    }
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for side in sides.values():
        side(min(length, 50))
    for round_ in range(rounds):
        for side in sides if round_ % 2 == 0 else reversed(sides):
            begun = time.perf_counter()
            sides[side](length)
            taken[side].append(batch * length / (time.perf_counter() - begun))
    return Row(name, batch, statistics.median(taken["plain"]), statistics.median(taken["ours"]))


def resident() -> int:
    """Bytes of memory this process holds (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(tokens: int = 5000) -> int:
    """Bytes by which the process grows while an LSTM writes `tokens` tokens, after a warm-up."""
    model = ours("lstm").eval()
    write_ours(model, 1, 500)
    before = resident()
    write_ours(model, 1, tokens)
    return resident() - before


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads())
    print(
        f"generation, tokens/s; torch {torch.__version__}, {torch.get_num_threads()} thread(s), float32, "
        f"load {os.getloadavg()[0]:.2f}, median of {ROUNDS} interleaved rounds"
    )
    print(f"{'model':24} {'batch':>5} {'plain loop':>11} {'unrolled':>11} {'ratio':>6}")
    for name, label in (("lstm", "LSTM 2 x 256"), ("transformer", "Transformer 6 x 384")):
        for batch in (1, 16):
            row = measure(name, batch, 1000 if name == "lstm" else CONTEXT)
            print(f"{label:24} {batch:5} {row.plain:11.0f} {row.ours:11.0f} {row.ratio:6.2f}", flush=True)
    print(f"memory gained while an LSTM writes 5000 tokens: {growth() / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
