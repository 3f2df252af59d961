"""What a step costs: in torch, in ONNX Runtime and in C, one row on one thread, and what each holds in memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from unrolled.exports.graph import Step, example
from unrolled.exports.parity import session_of
from unrolled.running.stream import Stream

if TYPE_CHECKING:
    from unrolled.model import Model

WARM, ROUNDS, STEPS = 50, 10, 100
CAPACITY = ROUNDS * STEPS + WARM  # of Slots

HELD = """
import re, sys
{load}
print(re.search("VmRSS:\\\\s+(\\\\d+)", open("/proc/self/status").read())[1])
"""


def measured(model: Model, files: dict[str, bytes]) -> list[dict[str, Any]]:
    """One row an engine: `median` and `p95` microseconds a step over 1,000 steps, taken in turns of 100, and `megabytes`
    that a fresh process holds with the engine and the graph loaded (resident; None where the system doesn't say). The C
    program is timed in C, by itself.

    Nothing of a model that has no step.
    """
    if model.reach.future:
        return []
    engines: dict[str, Callable[[], object]] = {"torch (Stream)": _in_torch(model)}
    if "step.onnx" in files:
        engines["onnxruntime"] = _in_onnx(model, files["step.onnx"])
    taken: dict[str, list[float]] = {name: [] for name in engines}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for step in engines.values():
            for _ in range(WARM):
                step()
        for _ in range(ROUNDS):
            for name, step in engines.items():
                taken[name] += [_seconds(step) for _ in range(STEPS)]
    finally:
        torch.set_num_threads(threads)
    rows = [_row(name, seconds, _megabytes(name, files)) for name, seconds in taken.items()]
    if "model.c" in files:
        from unrolled.exports.c.bench import timed

        rows.append(_row("C", *timed(model, files, ROUNDS * STEPS, WARM)))
    return rows


def _row(name: str, seconds: list[float], megabytes: float | None) -> dict[str, Any]:
    return {
        "engine": name,
        "median": 1e6 * statistics.median(seconds),
        "p95": 1e6 * statistics.quantiles(seconds, n=20)[-1],
        "megabytes": megabytes,
    }


def _seconds(step: Callable[[], object]) -> float:
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun


def _in_torch(model: Model) -> Callable[[], object]:
    stream = Stream(model, context=None if model.fixed_state else CAPACITY)
    raw = example(model, 1, 1)
    return lambda: stream.push(raw)


def _in_onnx(model: Model, content: bytes) -> Callable[[], object]:
    session, step = session_of(content), Step(model)
    state = {
        leaf.before: start.numpy() for leaf, start in zip(step.leaves, step.start(1, CAPACITY), strict=True)
    }
    raw = example(model, 1, None).numpy()

    def run() -> None:
        _, *after = session.run(None, {"raw": raw, **state})
        state.update(zip(state, after, strict=True))

    return run


def _megabytes(name: str, files: dict[str, bytes]) -> float | None:
    """Of a process that loads the engine and the graph; of torch the engine alone."""
    with tempfile.TemporaryDirectory(prefix="unrolled-bench-") as folder:
        file = Path(folder) / "step.onnx"
        load = "import torch"
        if name == "onnxruntime":
            file.write_bytes(files["step.onnx"])
            load = "import onnxruntime\nsession = onnxruntime.InferenceSession(sys.argv[1])"
        done = subprocess.run(
            [sys.executable, "-c", HELD.format(load=load), str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
    return int(done.stdout) * 1024 / 1e6 if done.returncode == 0 else None
