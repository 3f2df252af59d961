"""Decoding: what a beam costs beside greedy, and greedy beside a plain torch loop and Hugging Face's generate.

`python -m benchmarks.decoding [threads]` prints both tables. All sides are of one size, random, float32, in inference mode,
never close by themselves and run interleaved in this process; a figure is the median over rounds. The plain side is what a
careful author writes by hand: `nn.GRUCell` a step; a pre-norm Transformer with precomputed rotary tables and a preallocated
key-value cache of which each step reads only the filled part, rows checked for their end at each step as a decoder must.
Hugging Face's side is a Llama of the same widths (`transformers`, where it can be imported), with its cache.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.generation import PlainBlock
from unrolled.model import Model, build, preset
from unrolled.running.decode import decode

VOCABULARY, ROUNDS, NEVER = 2000, 3, -1e9
WIDTH, LAYERS, HEADS = 256, 4, 4  # of the Transformers
HIDDEN = 512  # of the GRUs
Job = Callable[[int, int], object]  # rows, tokens


class PlainGRU(nn.Module):
    """Embedding, one nn.GRUCell, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, HIDDEN)
        self.cell, self.head = nn.GRUCell(HIDDEN, HIDDEN), nn.Linear(HIDDEN, VOCABULARY)
        nn.init.constant_(self.head.bias[:1], NEVER)

    @torch.inference_mode()
    def write(self, rows: int, length: int) -> Tensor:
        """The likeliest tokens (rows, length); stops when all rows have closed."""
        ids, state = torch.zeros(rows, dtype=torch.long), torch.zeros(rows, HIDDEN)
        open_, written = torch.ones(rows, dtype=torch.bool), []
        for _ in range(length):
            state = self.cell(self.embed(ids), state)
            ids = self.head(state).argmax(1) * open_
            written.append(ids)
            open_ = open_ & (ids != 0)
            if not open_.any():
                break
        return torch.stack(written, 1)


class PlainTransformer(nn.Module):
    """Embedding, blocks, norm, linear; one step at a time with a static cache."""

    def __init__(self, longest: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(PlainBlock(WIDTH, HEADS) for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY)
        nn.init.constant_(self.head.bias[:1], NEVER)
        half = WIDTH // HEADS // 2
        angle = torch.arange(longest)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.angles = angle.cos(), angle.sin()

    @torch.inference_mode()
    def write(self, rows: int, length: int) -> Tensor:
        """The likeliest tokens (rows, length); stops when all rows have closed."""
        held = (rows, HEADS, length, WIDTH // HEADS)
        caches = [(torch.zeros(held), torch.zeros(held)) for _ in self.blocks]
        ids = torch.zeros(rows, dtype=torch.long)
        open_, written = torch.ones(rows, dtype=torch.bool), []
        for at in range(length):
            x = self.embed(ids)
            for block, cache in zip(self.blocks, caches, strict=True):
                x = block(x, cache, self.angles, at)
            ids = self.head(self.norm(x)).argmax(1) * open_
            written.append(ids)
            open_ = open_ & (ids != 0)
            if not open_.any():
                break
        return torch.stack(written, 1)


def ours(kind: str) -> Model:
    """The same sizes from a preset; never closes by itself."""
    if kind == "gru":
        model = build(preset("gru", VOCABULARY, width=HIDDEN, layers=1))
    else:
        model = build(preset("transformer", VOCABULARY, width=WIDTH, layers=LAYERS, heads=HEADS))
    nn.init.constant_(model.head.scores.bias[:1], NEVER)  # type: ignore[union-attr, index]
    return model.eval()


def writer(model: Model, beam: int = 1) -> Job:
    """Ours: `length` steps, of which the last closes."""
    return lambda rows, length: decode(model, model.start(rows), longest=length - 1, beam=beam)


def hugging_face() -> Job | None:
    """A random Llama of the same widths, or None where `transformers` can't be imported."""
    if importlib.util.find_spec("transformers") is None:
        return None
    import transformers

    transformers.logging.set_verbosity_error()
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH * 2 // 3,  # three matrices where ours has two
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = transformers.LlamaForCausalLM(config).eval()

    @torch.inference_mode()
    def write(rows: int, length: int) -> object:
        first = torch.zeros(rows, 1, dtype=torch.long)
        seen = torch.ones_like(first)
        return model.generate(
            first, attention_mask=seen, max_new_tokens=length, min_new_tokens=length, do_sample=False
        )

    return write


def medians(jobs: dict[str, Job], rows: int, length: int) -> dict[str, float]:
    """Seconds of each job, interleaved."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(ROUNDS + 1):  # the first is a warm-up
        for name in sorted(jobs, reverse=bool(number % 2)):
            begun = time.perf_counter()
            jobs[name](rows, length)
            taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(each[1:]) for name, each in taken.items()}


def main() -> None:
    """Prints the tables."""
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads())
    print(
        f"decoding; torch {torch.__version__}, {torch.get_num_threads()} thread(s), float32, vocabulary {VOCABULARY}, "
        f"GRU {HIDDEN}, Transformer {LAYERS} x {WIDTH}, load {os.getloadavg()[0]:.2f}, median of {ROUNDS} rounds"
    )
    print("beam 5 beside greedy, seconds")
    print(f"{'model':12} {'tokens':>6} {'batch':>5} {'greedy':>8} {'beam 5':>8} {'ratio':>6}")
    models = {kind: ours(kind) for kind in ("gru", "transformer")}
    for kind, model in models.items():
        for length in (20, 200):
            for rows in (1, 8, 64):
                both = medians({"greedy": writer(model), "beam": writer(model, 5)}, rows, length)
                print(
                    f"{kind:12} {length:6} {rows:5} {both['greedy']:8.3f} {both['beam']:8.3f} "
                    f"{both['beam'] / both['greedy']:6.2f}",
                    flush=True,
                )
    other = hugging_face()
    print(
        "greedy, tokens/s"
        + ("" if other else "; transformers can't be imported, so Hugging Face's column is empty")
    )
    print(
        f"{'model':12} {'tokens':>6} {'batch':>5} {'plain':>8} {'hf':>8} {'unrolled':>8} {'to plain':>8} {'to hf':>6}"
    )
    plain = {"gru": PlainGRU().eval(), "transformer": PlainTransformer(200).eval()}
    for kind, model in models.items():
        for length in (20, 200):
            for rows in (1, 16):
                jobs = {"ours": writer(model), "plain": plain[kind].write}
                if other and kind == "transformer":
                    jobs["hf"] = other
                pace = {name: rows * length / took for name, took in medians(jobs, rows, length).items()}
                theirs = f"{pace['hf']:8.0f}" if "hf" in pace else f"{'-':>8}"
                ratio = f"{pace['ours'] / pace['hf']:6.2f}" if "hf" in pace else f"{'-':>6}"
                print(
                    f"{kind:12} {length:6} {rows:5} {pace['plain']:8.0f} {theirs} {pace['ours']:8.0f} "
                    f"{pace['ours'] / pace['plain']:8.2f} {ratio}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
