"""What a probe costs and whether it changes anything: `python -m benchmarks.probing` prints a line a kind of model.

Largest difference between what is said with a probe and without, as a share of the largest number said; the time of a pass
before the first probe, after the last, and while one listens. Medians of rounds, float32, one thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from unrolled.inspection.probe import probe
from unrolled.model import build, preset

KINDS = ("rnn", "lstm", "gru", "mingru", "conv", "window", "transformer")
ROWS, STEPS, ROUNDS = 8, 128, 9


def milliseconds(work: Callable[[], object]) -> float:
    """The median time of some rounds."""
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times)


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    print(f"{'kind':<12} {'largest difference':>18} {'before':>9} {'after':>9} {'probed':>9}  ms a pass")
    for kind in KINDS:
        torch.manual_seed(0)
        model = build(preset(kind, 64, width=128, layers=2)).eval()
        x = torch.randint(64, (ROWS, STEPS))
        with torch.no_grad():
            want = model(x)[0]
            model(x)
            before = milliseconds(lambda m=model, x=x: m(x))  # type: ignore[misc]
            trace = probe(model, x)
            probed = milliseconds(lambda m=model, x=x: probe(m, x))  # type: ignore[misc]
            after = milliseconds(lambda m=model, x=x: m(x))  # type: ignore[misc]
        apart = float((trace.prediction - want).abs().max() / want.abs().max())
        print(f"{kind:<12} {apart:18.1e} {before:9.2f} {after:9.2f} {probed:9.2f}")


if __name__ == "__main__":
    main()
