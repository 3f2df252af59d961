"""The mixer under test: its random inputs, layouts and starts, and the comparisons every check makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from unrolled.law.report import Finding, Report
from unrolled.layout import Layout
from unrolled.state import Slots, Source, State, Tail, fork

Inputs = Callable[[int, int, torch.Generator], Tensor]  # (batch, time, generator) -> raw (batch, time, ...)

TOLERANCE = {torch.float64: (1e-12, 1e-11), torch.float32: (1e-5, 1e-4), torch.bfloat16: (5e-2, 2e-1)}


class Checker:
    """The mixer under test, its random inputs and the report that grows."""

    batch = 3

    def __init__(
        self,
        mixer: nn.Module,
        source: Source | None,
        inputs: Inputs | None,
        cuts: int,
        time: int,
        seed: int,
        tolerance: tuple[float, float] | None,
    ) -> None:
        self.mixer, self.source, self.cuts, self.time = mixer, source, cuts, time
        self.generator = torch.Generator().manual_seed(seed)
        anchor = getattr(mixer, "anchor", None)
        anchor = next(mixer.parameters()) if anchor is None else anchor
        self.dtype, self.device = anchor.dtype, anchor.device
        self.values, self.gradients = tolerance or TOLERANCE[self.dtype]
        self.inputs = inputs or self._vectors
        self.report = Report(type(mixer).__name__)
        self.streams = mixer.reach.future == 0  # type: ignore[union-attr]
        self.guarded = bool(getattr(mixer, "guarded", False))

    def _vectors(self, batch: int, time: int, generator: torch.Generator) -> Tensor:
        return torch.randn(batch, time, self.mixer.inputs, generator=generator, dtype=torch.float64)  # type: ignore[call-overload, no-any-return]

    def draw(self, time: int | None = None, batch: int | None = None) -> Tensor:
        x = self.inputs(
            self.batch if batch is None else batch, self.time if time is None else time, self.generator
        )
        return x.to(self.device, self.dtype if x.is_floating_point() else x.dtype)

    def start(self, batch: int | None = None, capacity: int | None = None) -> State:
        batch = self.batch if batch is None else batch
        return self.mixer.start(batch, 8 * self.time if capacity is None else capacity, self.source)  # type: ignore[operator]

    def layout(self, time: int | None = None) -> Layout:
        """Ragged rows, one of them possibly empty, with random document starts."""
        time = self.time if time is None else time
        lengths = torch.randint(0, time + 1, (self.batch,), generator=self.generator)
        lengths[int(torch.randint(self.batch, (1,), generator=self.generator))] = time
        valid = Layout.of_lengths(lengths, time).valid
        start = torch.rand(self.batch, time, generator=self.generator) < 0.2
        return Layout(valid.to(self.device), (start & valid).to(self.device))

    def number(self, low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=self.generator))

    def compare(self, name: str, got: Tensor, want: Tensor, where: str, gradient: bool = False) -> None:
        allowed = self.gradients if gradient else self.values
        if got.shape != want.shape:
            return self.found(
                name, f"{where}: shape {tuple(got.shape)}, expected {tuple(want.shape)}", float("inf"), 0
            )
        got, want = got.detach(), want.detach()
        scale = float(want.abs().max()) if want.numel() else 0.0
        error = float((got.double() - want.double()).abs().max()) / max(1.0, scale) if want.numel() else 0.0
        self.found(name, where, float("inf") if error != error else error, allowed)

    def found(self, name: str, where: str, error: float, allowed: float) -> None:
        worst = self.report.findings.get(name)
        if worst is None or error > worst.error:
            self.report.findings[name] = Finding(name, where, error, allowed)

    def run(self, x: Tensor, state: State, layout: Layout | None) -> tuple[Tensor, State]:
        return self.mixer(x, state, layout)  # type: ignore[no-any-return]

    def in_pieces(
        self, x: Tensor, state: State, layout: Layout | None, cuts: list[int]
    ) -> tuple[Tensor, State]:
        outputs = []
        for begin, end in zip([0, *cuts], [*cuts, x.shape[1]], strict=True):
            y, state = self.run(x[:, begin:end], state, part(layout, begin, end))
            outputs.append(y)
        return torch.cat(outputs, 1), state

    def same_state(self, name: str, got: State, want: State, where: str) -> None:
        for (leaf, mine), (_, theirs) in zip(_vectors(got), _vectors(want), strict=True):
            self.compare(name, mine, theirs, f"{where}, state {leaf or 'vector'}")
        probe = self.draw(4)
        y_got, _ = self.run(probe, fork(got), None)
        y_want, _ = self.run(probe, fork(want), None)
        self.compare(name, y_got, y_want, f"{where}, continued by 4 tokens")


def part(layout: Layout | None, begin: int, end: int) -> Layout | None:
    """The stretch [begin, end) of a layout."""
    return None if layout is None else Layout(layout.valid[:, begin:end], layout.start[:, begin:end])


def _vectors(state: State) -> Iterator[tuple[str, Tensor]]:
    """The leaves that must be equal entry by entry: all but those of Tail and Slots."""
    if isinstance(state, Tail | Slots) or state is None:
        return
    if isinstance(state, Tensor):
        yield "", state
        return
    for index, child in enumerate(state):
        name = state._fields[index] if hasattr(state, "_fields") else str(index)
        yield from ((f"{name}.{leaf}".rstrip("."), value) for leaf, value in _vectors(child))


def real(values: Tensor, layout: Layout | None) -> Tensor:
    """Only what real tokens answered."""
    return values if layout is None else values[layout.valid]
