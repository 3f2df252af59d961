"""Training on rows of unequal length: ours beside torch.nn on a PackedSequence and on plain padding.

`python -m benchmarks.ragged [threads]` prints the table: one forward and backward pass over a batch of 32 rows,
lengths uniform in 16..128, H = 256, float32; interleaved rounds, medians. Plain padding is there for
reference: one call too, but its final states are those of the padding, not of the rows.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.layout import Layout
from unrolled.mixers import GRU, LSTM, RNN

BATCH, WIDTH, ROUNDS = 32, 256, 9
KINDS = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}


def sides(kind: str) -> dict[str, Callable[[], None]]:
    """One training pass each, over the same rows and weights."""
    torch.manual_seed(0)
    lengths = torch.randint(16, 129, (BATCH,))
    x = torch.randn(BATCH, int(lengths.max()), WIDTH)
    theirs = getattr(nn, kind)(WIDTH, WIDTH, batch_first=True)
    ours = KINDS[kind](WIDTH)
    ours.load_state_dict(theirs.state_dict())

    def packed() -> None:
        y, _ = theirs(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        pad_packed_sequence(y, batch_first=True)[0].sum().backward()

    def padded() -> None:
        theirs(x)[0].sum().backward()

    def unrolled() -> None:
        ours(x, None, Layout.of_lengths(lengths, x.shape[1]))[0].sum().backward()

    def unrolled_with_state() -> None:
        ours(x, ours.start(BATCH), Layout.of_lengths(lengths, x.shape[1]))[0].sum().backward()

    return {"packed": packed, "padded": padded, "ours": unrolled, "ours+state": unrolled_with_state}


def measure(kind: str, rounds: int = ROUNDS) -> dict[str, float]:
    """Median milliseconds of each side."""
    functions = sides(kind)
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for round_ in range(rounds):
        for name in functions if round_ % 2 == 0 else reversed(functions):
            begun = time.perf_counter()
            functions[name]()
            taken[name].append(1e3 * (time.perf_counter() - begun))
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads())
    print(
        f"ragged rows, ms a training pass; torch {torch.__version__}, {torch.get_num_threads()} thread(s), float32, "
        f"load {os.getloadavg()[0]:.2f}, B={BATCH}, H={WIDTH}, lengths 16..128, median of {ROUNDS} interleaved rounds"
    )
    print(f"{'':6} {'packed':>9} {'padded':>9} {'ours':>9} {'ours+state':>11} {'packed/ours':>12}")
    for kind in KINDS:
        ms = measure(kind)
        ratio = ms["packed"] / ms["ours"]
        print(
            f"{kind:6} {ms['packed']:9.1f} {ms['padded']:9.1f} {ms['ours']:9.1f} {ms['ours+state']:11.1f} {ratio:12.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
