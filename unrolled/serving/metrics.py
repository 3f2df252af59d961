"""What a server counts, in the text format that Prometheus reads (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds


@dataclass
class Histogram:
    """Seconds, counted below each of `BOUNDS`."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        place = next((at for at, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        self.counts[place] += 1
        self.total += seconds

    def lines(self, name: str, labels: str) -> Iterable[str]:
        """Its samples: cumulated buckets, the sum and the count."""
        below = 0
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], self.counts, strict=True):
            below += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {below}'
        yield f"{name}_sum{{{labels}}} {self.total:.6f}"
        yield f"{name}_count{{{labels}}} {below}"


@dataclass
class Counters:
    """What one model has done. Only ever written by one thread each."""

    tokens: int = 0
    steps: int = 0
    records: int = 0
    refused: int = 0
    dropped: int = 0
    failures: int = 0
    ticks: Histogram = field(default_factory=Histogram)

    def step(self, seconds: float, rows: int) -> None:
        """One step of the batch that has moved `rows` rows on."""
        self.ticks.add(seconds)


KNOWN = {
    "tokens": "Tokens written.", "steps": "Steps of sessions answered.", "records": "Whole records answered.",
    "refused": "Requests answered 429.", "dropped": "Readers dropped as too slow.",
    "failures": "Steps that failed with an error of our own.",
}  # fmt: skip


def exposition(
    models: Mapping[str, tuple[Counters, Mapping[str, int]]], requests: Mapping[tuple[str, int], int]
) -> str:
    """All samples as text: of each model its counters and gauges, and the requests by route and status."""
    lines: list[str] = []
    for name, says in KNOWN.items():
        full = f"unrolled_{name}_total"
        lines += [f"# HELP {full} {says}", f"# TYPE {full} counter"]
        lines += [f'{full}{{model="{_escaped(m)}"}} {getattr(c, name)}' for m, (c, _) in models.items()]
    for gauge in dict.fromkeys(name for _, gauges in models.values() for name in gauges):
        lines += [f"# TYPE unrolled_{gauge} gauge"]
        lines += [f'unrolled_{gauge}{{model="{_escaped(m)}"}} {gs[gauge]}' for m, (_, gs) in models.items()]
    full = "unrolled_step_seconds"
    lines += [f"# HELP {full} Seconds of one step of a model's batch.", f"# TYPE {full} histogram"]
    for model, (counters, _) in models.items():
        lines += counters.ticks.lines(full, f'model="{_escaped(model)}"')
    full = "unrolled_requests_total"
    lines += [f"# HELP {full} Requests by route and status.", f"# TYPE {full} counter"]
    lines += [f'{full}{{route="{_escaped(r)}",status="{s}"}} {n}' for (r, s), n in sorted(requests.items())]
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
