"""Numbers to pixels: scales, ticks at round numbers, and how a number is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LARGEST = 1e150  # beyond it the span of an axis, or a square, would leave the floats: drawn as a gap


def finite(values: Iterable[float | None], positive: bool = False) -> list[float]:
    """The values that can be drawn (and are > 0 where `positive`), as floats."""
    kept = (float(v) for v in values if v is not None)
    return [v for v in kept if abs(v) <= LARGEST and (v > 1 / LARGEST or not positive)]


def number(value: float | None, digits: int = 4) -> str:
    """`value` in about `digits` significant digits, without an exponent where that reads well; an en dash for none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-4:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    if float(value).is_integer() or size >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace(",", "\u202f").replace("-", "−")
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    return f"{value:.{decimals}f}".replace("-", "−")


def compact(value: float) -> str:
    """A tick's label: 0.25, 40, 10k, 1.5M."""
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit and (unit > 1e3 or abs(value) >= 1e4):
            return f"{value / unit:.10g}{letter}".replace("-", "−")
    if 0 < abs(value) < 1e-4:
        return f"{value:.3g}".replace("-", "−")
    return f"{round(value, 10):.10g}".replace("-", "−")


def labels(ticks: Sequence[float]) -> list[str]:
    """The ticks' labels, with equal decimals: 1.5, 2.0, 2.5. Ticks that reach over powers of ten keep their own."""
    texts = [compact(value) for value in ticks]
    places = {len(text.partition(".")[2]) for text in texts if text[-1].isdigit() and "e" not in text}
    kept = [value for value in ticks if value]
    wide = kept and max(map(abs, kept)) >= 100 * min(map(abs, kept))
    if wide or len(places) < 2 or any(not text[-1].isdigit() or "e" in text for text in texts):
        return texts
    return [f"{value:.{max(places)}f}".replace("-", "−") for value in ticks]


def linear_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` multiples of 1, 2 or 5 times a power of ten within [low, high]."""
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Powers of ten within [low, high]; with 2 and 5 between them, or plain round numbers, where those are too few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1,), (1, 3), (1, 2, 5)):
        ticks = [
            m * 10.0**e
            for e in exponents
            for m in multiples
            if low <= m * 10.0**e * (1 + 1e-9) <= high * (1 + 2e-9)
        ]
        if len(ticks) >= 3:
            every = math.ceil(len(ticks) / (2 * count))
            return ticks[::every]
    return linear_ticks(low, high, count)


@dataclass(frozen=True)
class Scale:
    """A map from values in [low, high] to pixels from `start` to `stop` (which may run backwards)."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    @classmethod
    def around(
        cls, values: Iterable[float | None], start: float, stop: float, log: bool = False, pad: float = 0.0
    ) -> Scale:
        """The scale that holds every finite value; [0, 1] where there is none, a unit about a lone one."""
        kept = finite(values, positive=log)
        low, high = (min(kept), max(kept)) if kept else (0.1 if log else 0.0, 1.0)
        if log:
            if high / low < 1.0 + 1e-9:
                low, high = low / 2, high * 2
            factor = (high / low) ** pad
            return cls(low / factor, high * factor, start, stop, True)
        # Differences below a float's resolution are no axis: widen, or the tick step would be zero.
        if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
            half = abs(low) / 2 or 0.5
            low, high = low - half, high + half
        span = high - low
        return cls(low - pad * span, high + pad * span, start, stop)

    def __call__(self, value: float) -> float:
        """The pixel of `value`, limited to 1e5 so that a far outlier still gives a legal path."""
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + (self.stop - self.start) * max(-100.0, min(100.0, part))

    def holds(self, value: float | None) -> bool:
        """Whether `value` can be drawn at all: finite, sane, and positive on a logarithmic axis."""
        return bool(finite((value,), positive=self.log))

    def ticks(self, count: int = 5) -> list[float]:
        """Round numbers to label the axis with."""
        return log_ticks(self.low, self.high, count) if self.log else linear_ticks(self.low, self.high, count)
