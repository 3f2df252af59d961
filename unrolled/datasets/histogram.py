"""Counts as bars of characters: lengths in bins of round width, classes by name."""

from __future__ import annotations

from collections import Counter
from itertools import cycle

import numpy as np

BINS = 8
BAR = 30  # columns of the longest bar
EIGHTHS = " ▏▎▍▌▋▊▉"

Bin = tuple[int, int, int]  # (from, to, how many)


def histogram(lengths: Counter[int]) -> list[Bin]:
    """At most `BINS` + 1 equal bins of round width."""
    low, high = min(lengths), max(lengths)
    width = _round_up((high - low + 1) / BINS)
    first = low // width * width
    counts = np.zeros((high - first) // width + 1, np.int64)
    for length, number in lengths.items():
        counts[(length - first) // width] += number
    return [(first + i * width, first + (i + 1) * width - 1, int(n)) for i, n in enumerate(counts)]


def bars(named: list[tuple[str, int]], indent: int = 4) -> list[str]:
    """A line for each (name, count): what there is of it never has an empty bar."""
    most = max(number for _, number in named)
    edge = max(len(name) for name, _ in named)
    return [f"{'':{indent}}{name:<{edge}}  {_bar(number, most):<{BAR}} {number:,}" for name, number in named]


def ranges(bins: list[Bin], hundredths: bool = False) -> list[tuple[str, int]]:
    """What `bars` takes, of bins; `hundredths`: of numbers that are counted in hundredths."""

    def shown(number: int) -> str:
        return f"{number / 100:,.2f}" if hundredths else f"{number:,}"

    edge = len(shown(bins[-1][1]))
    return [(f"{shown(begin):>{edge}} to {shown(end):>{edge}}", number) for begin, end, number in bins]


def _bar(number: int, most: int) -> str:
    eighths = round(8 * BAR * number / most) or (1 if number else 0)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _round_up(width: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50, ..."""
    step = 1
    for factor in cycle((2, 2.5, 2)):
        if step >= width:
            return step
        step = int(step * factor)
    raise AssertionError
