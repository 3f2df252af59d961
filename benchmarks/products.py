"""A few rows times a large matrix: `affine` beside F.linear.

`python -m benchmarks.products [threads]` prints the table: float32, as many copies of the matrix as 32 MB hold, used in
turn, since a step meets each of a model's matrices once; interleaved rounds, medians, microseconds a product.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.kernels import affine

SHAPES = ((512, 512), (1024, 256), (1152, 384), (1536, 384), (384, 1536), (2048, 512), (8192, 256))
ROWS, ROUNDS, BYTES = (1, 4, 16, 64), 7, 2**25


def microseconds(
    product: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, weights: list[Tensor]
) -> float:
    """One product's time, over all copies of the weights."""
    bias = torch.zeros(len(weights[0]))
    begun = time.perf_counter()
    for weight in weights:
        product(x, weight, bias)
    return 1e6 * (time.perf_counter() - begun) / len(weights)


@torch.inference_mode()
def compared(shape: tuple[int, int], rows: int) -> tuple[float, float]:
    """Medians of F.linear and of `affine`."""
    weights = [torch.randn(shape) for _ in range(max(1, BYTES // (4 * shape[0] * shape[1])))]
    x = torch.randn(rows, shape[1])
    taken: dict[bool, list[float]] = {False: [], True: []}
    for number in range(ROUNDS + 1):  # the first is a warm-up
        for ours in sorted(taken, reverse=bool(number % 2)):
            taken[ours].append(microseconds(affine if ours else F.linear, x, weights))
    return statistics.median(taken[False][1:]), statistics.median(taken[True][1:])


def main() -> None:
    """Prints the table."""
    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads())
    print(
        f"products of a step, microseconds; torch {torch.__version__}, {torch.get_num_threads()} thread(s), float32, "
        f"load {os.getloadavg()[0]:.2f}, median of {ROUNDS} interleaved rounds"
    )
    print(f"{'outputs x inputs':>16} {'rows':>5} {'F.linear':>9} {'affine':>9} {'ratio':>6}")
    for shape in SHAPES:
        for rows in ROWS:
            plain, ours = compared(shape, rows)
            print(
                f"{shape[0]:8} x {shape[1]:5} {rows:5} {plain:9.0f} {ours:9.0f} {plain / ours:6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
