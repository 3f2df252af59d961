"""One step of a stream: `un.Stream` beside ONNX Runtime, the C export and a torch module.

`python -m benchmarks.steps [widths ...]` prints the table: one row, one thread, float32, microseconds a step, the median
of interleaved rounds. The models are those of `model=lstm` and its sisters over 96 tokens. The torch column is what torch
has a cell for, by hand (embedding, cell, linear, in inference mode), else (*) the model itself called with its state.
Transformers begin with 256 tokens of past in room for 512: C and ONNX look over 512 places, torch over those filled.
The C program is compiled with -O3 -march=native; its loop runs in C, the others' in Python.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from unrolled.exports.c.parity import compiler
from unrolled.exports.c.source import compiled
from unrolled.exports.graph import Step
from unrolled.exports.onnx import step_graph
from unrolled.exports.parity import session_of
from unrolled.model import Model, build, preset
from unrolled.running.stream import Stream
from unrolled.state import fork

KINDS = ("lstm", "gru", "mingru", "transformer")
WIDTHS = (64, 128, 256, 512)
VOCABULARY, ROUNDS, STEPS = 96, 7, 64
PAST, CAPACITY = 256, 512  # of a Transformer
CELLS: dict[str, type[nn.LSTMCell] | type[nn.GRUCell]] = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}

Run = Callable[[list[int]], None]

LOOP = """
#include "model.h"
#include <stdlib.h>
static unrolled_state state, kept;
static float answer[UNROLLED_ANSWERS];
#ifdef APART
static unrolled_weights weights;
#define STEP(id) unrolled_step(&weights, &state, id, answer)
int load(void) { return unrolled_load(&weights, "model.bin"); }
#else
#define STEP(id) unrolled_step(&state, id, answer)
int load(void) { return 0; }
#endif
int begin(const int64_t *ids, int n) {
    unrolled_start(&state);
    for (int i = 0; i < n; ++i) if (STEP(ids[i])) return 1;
    kept = state;
    return 0;
}
int steps(const int64_t *ids, int n) {
    state = kept;
    for (int i = 0; i < n; ++i) if (STEP(ids[i])) return 1;
    return 0;
}
"""


def streamed(model: Model, past: list[int]) -> Run:
    """`un.Stream`, an id a push."""
    first = Stream(model, context=CAPACITY)
    if past:
        first.push(past)

    def run(ids: list[int]) -> None:
        stream = first.fork()
        for token in ids:
            stream.push(token)

    return run


def in_onnx(model: Model, past: list[int]) -> Run:
    """The step graph in ONNX Runtime, its state handed on by name."""
    session: onnxruntime.InferenceSession = session_of(step_graph(model).SerializeToString())
    step = Step(model, CAPACITY)
    names = [leaf.before for leaf in step.leaves]

    def follow(ids: list[int], state: list[np.ndarray]) -> list[np.ndarray]:
        for token in ids:
            _, *state = session.run(None, dict(zip(names, state, strict=True), raw=np.array([token])))
        return state

    first = follow(past, [start.numpy() for start in step.start(1, CAPACITY)])
    return lambda ids: follow(ids, first) and None


def in_c(model: Model, past: list[int]) -> Run:
    """The C export as a shared library."""
    folder = Path(tempfile.mkdtemp(prefix="unrolled-steps-"))
    sources = compiled(model, capacity=CAPACITY)
    for name, content in (sources.files() | {"loop.c": LOOP.encode()}).items():
        (folder / name).write_bytes(content)
    apart = ["-DAPART"] if sources.binary is not None else []
    flags = ["-O3", "-march=native", "-shared", "-fPIC", *apart]
    subprocess.run([compiler(), *flags, "-o", "steps.so", "loop.c", "model.c", "-lm"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "steps.so"))
    here = os.getcwd()
    os.chdir(folder)
    assert library.load() == 0
    os.chdir(here)
    numbers = ctypes.c_int64 * len(past)
    assert library.begin(numbers(*past), len(past)) == 0

    def run(ids: list[int]) -> None:
        assert library.steps((ctypes.c_int64 * len(ids))(*ids), len(ids)) == 0

    return run


class Plain(nn.Module):
    """Embedding, a cell of torch, linear."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
        self.cell = CELLS[kind](width, width)

    def forward(self, ids: Tensor, state: object) -> tuple[Tensor, object]:
        after = self.cell(self.embed(ids), state)
        return self.head(after[0] if isinstance(after, tuple) else after), after


def in_torch(kind: str, width: int, model: Model, past: list[int]) -> Run:
    """torch's own cell, or the model as a module."""
    if kind in CELLS:
        plain = Plain(kind, width).eval()

        @torch.inference_mode()
        def cells(ids: list[int]) -> None:
            state = None
            for token in ids:
                _, state = plain(torch.tensor([token]), state)

        return cells
    with torch.inference_mode():
        first = model.start(1, CAPACITY)
        if past:
            first = model(torch.tensor([past]), first)[1]

    @torch.inference_mode()
    def whole(ids: list[int]) -> None:
        state = fork(first)
        for token in ids:
            _, state = model(torch.tensor([[token]]), state)

    return whole


def medians(kind: str, width: int) -> list[float]:
    """Microseconds a step of the four, interleaved."""
    model = build(preset(kind, VOCABULARY, width=width)).eval()
    draw = np.random.default_rng(0)
    past = [] if model.fixed_state else draw.integers(0, VOCABULARY, PAST).tolist()
    ids = draw.integers(0, VOCABULARY, STEPS).tolist()
    makers = (streamed, in_onnx, in_c)
    runs = [*(make(model, past) for make in makers), in_torch(kind, width, model, past)]
    taken: list[list[float]] = [[] for _ in runs]
    for number in range(ROUNDS + 1):  # the first is a warm-up
        for at in range(len(runs)) if number % 2 else reversed(range(len(runs))):
            begun = time.perf_counter()
            runs[at](ids)
            taken[at].append(1e6 * (time.perf_counter() - begun) / STEPS)
    return [statistics.median(each[1:]) for each in taken]


def main() -> None:
    """Prints the table."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    widths = [int(word) for word in sys.argv[1:]] or WIDTHS
    print(
        f"one step, microseconds; torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, 1 thread, float32, "
        f"load {os.getloadavg()[0]:.2f}, median of {ROUNDS} interleaved rounds of {STEPS} steps"
    )
    print(f"{'model':<12} {'width':>5} {'layers':>6} {'Stream':>8} {'ONNX':>8} {'C':>8} {'torch':>8}")
    for kind in KINDS:
        for width in widths:
            stream, onnx, c, plain = medians(kind, width)
            layers = len(preset(kind, VOCABULARY, width=width)["core"]["layers"])
            star = "" if kind in CELLS else "*"
            print(
                f"{kind:<12} {width:5} {layers:6} {stream:8.1f} {onnx:8.1f} {c:8.1f} {plain:8.1f}{star}",
                flush=True,
            )


if __name__ == "__main__":
    main()
