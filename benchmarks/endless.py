"""A stream of a million steps: does it drift from the whole-sequence form, and does its memory grow?

`python -m benchmarks.endless [steps=1000000] [kind=lstm] [width=128]` pushes one token at a time and, beside it, calls the
model on windows of 1,000 steps with their own carried state; prints the largest difference of the logits and the resident
memory by tenths. Untrained weights: recurrent ones twice as large make the network chaotic, and then two orders of the same
sums differ after a few hundred steps whoever computes them.
"""

from __future__ import annotations

import os
import sys
import time

import torch

from unrolled.model import Model, build, preset
from unrolled.running.stream import Stream

WINDOW, VOCABULARY, BOUND = 1000, 64, 1e-5


def resident() -> float:
    """MB of this process that lie in memory, now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@torch.inference_mode()
def tenth(model: Model, stream: Stream, state: object, ids: torch.Tensor) -> tuple[object, float, float]:
    """Reads ids (1, T) both ways -> the whole form's state, the largest difference, seconds of single steps."""
    worst = seconds = 0.0
    for window in ids.split(WINDOW, 1):
        begun = time.perf_counter()
        stepped = []
        for token in window[0]:
            stream.read(token.view(1, 1))
            assert stream.prediction is not None
            stepped.append(stream.prediction)
        seconds += time.perf_counter() - begun
        whole, state = model(window, state)
        worst = max(worst, float((torch.stack(stepped, 1) - whole).abs().max()))
    return state, worst, seconds


def main(steps: int = 1_000_000, kind: str = "lstm", width: int = 128) -> float:
    """Prints the table and returns the largest difference."""
    torch.manual_seed(0)
    model = build(preset(kind, VOCABULARY, width=width)).eval()
    stream, state = Stream(model), model.start(1)
    print(
        f"a stream of {steps:,} steps, {kind} {width}; torch {torch.__version__}, {torch.get_num_threads()} thread(s), "
        f"float32, load {os.getloadavg()[0]:.2f}"
    )
    print(f"{'steps':>10} {'largest difference':>19} {'us a step':>10} {'MB resident':>12}")
    overall = 0.0
    generator = torch.Generator().manual_seed(1)
    for part in range(1, 11):
        ids = torch.randint(VOCABULARY, (1, steps // 10), generator=generator)
        state, worst, seconds = tenth(model, stream, state, ids)  # type: ignore[assignment]
        overall = max(overall, worst)
        print(
            f"{part * steps // 10:>10,} {worst:>19.2e} {1e6 * seconds / ids.shape[1]:>10.1f} {resident():>12.1f}",
            flush=True,
        )
    print(f"largest difference {overall:.2e}, {'within' if overall <= BOUND else 'BEYOND'} {BOUND:.0e}")
    return overall


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    numbers = {key: int(given[key]) for key in ("steps", "width") if key in given}
    sys.exit(main(kind=given.get("kind", "lstm"), **numbers) > BOUND)
