"""The mixer under test: its random inputs, layouts and starts, and the comparisons every check makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from unrolled.errors import CheckFailed
from unrolled.law.report import Finding, Report
from unrolled.layout import Layout
from unrolled.state import Slots, Source, State, Tail, describe, fork, names

Inputs = Callable[[int, int, torch.Generator], Tensor]  # (batch, time, generator) -> raw (batch, time, ...)

TOLERANCE = {
    torch.float64: (1e-12, 1e-11),
    torch.float32: (1e-5, 1e-4),
    torch.float16: (1e-2, 5e-2),
    torch.bfloat16: (5e-2, 2e-1),
}


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
        where = anchor(mixer)
        assert where is not None
        self.dtype, self.device = where.dtype, where.device
        self.values, self.gradients = tolerance or TOLERANCE[self.dtype]
        self.inputs = inputs or self._vectors
        self.report = Report(type(mixer).__name__)
        self.streams = mixer.reach.future == 0  # type: ignore[union-attr]
        self.guarded = bool(getattr(mixer, "guarded", False))
        self.conditioned = bool(getattr(mixer, "conditioned", False))
        # in padding may stand anything; a door that promises so is tried with NaN
        self.poison = float("nan") if self.guarded else min(1e30, torch.finfo(self.dtype).max / 1e3)

    def _vectors(self, batch: int, time: int, generator: torch.Generator) -> Tensor:
        return torch.randn(batch, time, self.mixer.inputs, generator=generator, dtype=torch.float64)  # type: ignore[call-overload, no-any-return]

    def draw(self, time: int | None = None, batch: int | None = None) -> Tensor:
        x = self.inputs(
            self.batch if batch is None else batch, self.time if time is None else time, self.generator
        )
        return x.to(self.device, self.dtype if x.is_floating_point() else x.dtype)

    def start(self, batch: int | None = None, capacity: int | None = None, row: int = 0) -> State:
        """The state of `batch` rows, from `row` on where they read a source."""
        batch = self.batch if batch is None else batch
        source = self.source
        if source is not None:
            source = Source(*(leaf[row : row + batch] for leaf in source))
        return self.mixer.start(batch, 8 * self.time if capacity is None else capacity, source)  # type: ignore[operator]

    def begin(self, batch: int | None = None, row: int = 0) -> State:
        """What a whole sequence begins with: nothing, where no source must be read."""
        return self.start(batch, None, row) if self.conditioned else None

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

    @cached_property
    def scale(self) -> float:
        """The largest entry of an output: what errors of outputs are relative to, at least."""
        with torch.no_grad():
            return largest([self.run(self.draw(), self.begin(), None)[0]])

    def compare(
        self,
        name: str,
        got: Tensor,
        want: Tensor,
        where: str,
        *,
        scale: float | None = None,
        gradient: bool = False,
    ) -> None:
        """The error relative to the largest entry of `want`, or to `scale` (the output's) if that is larger."""
        if got.shape != want.shape:
            return self.holds(name, False, f"{where}: shape {tuple(got.shape)}, expected {tuple(want.shape)}")
        got, want = got.detach().double(), want.detach().double()
        scale = max(largest([want]), self.scale if scale is None else scale, TINY)
        error = float((got - want).abs().masked_fill(got == want, 0.0).max()) / scale if want.numel() else 0.0
        self.found(name, where, error, self.gradients if gradient else self.values)

    def holds(self, name: str, held: bool, complaint: str) -> None:
        """A rule that has no size: it holds or it doesn't."""
        self.found(name, complaint, 0.0 if held else float("inf"), 0.0)

    def found(self, name: str, where: str, error: float, allowed: float) -> None:
        error = float("inf") if error != error else error
        worst = self.report.findings.get(name)
        if worst is None or error > worst.error:
            self.report.findings[name] = Finding(name, where, error, allowed)

    def unchecked(self, name: str, why: str) -> None:
        """Says in the report that a check was left out."""
        self.report.unchecked[name] = why

    def run(self, x: Tensor, state: State, layout: Layout | None) -> tuple[Tensor, State]:
        y, after = self.mixer(x, state, layout)
        if y.shape[:2] != x.shape[:2]:
            raise CheckFailed(f"y is {tuple(y.shape)} for x of {tuple(x.shape)}: rows and steps must stay")
        return y, after

    def in_pieces(
        self, x: Tensor, state: State, layout: Layout | None, cuts: list[int]
    ) -> tuple[Tensor, State]:
        outputs = []
        for begin, end in zip([0, *cuts], [*cuts, x.shape[1]], strict=True):
            y, state = self.run(x[:, begin:end], state, part(layout, begin, end))
            outputs.append(y)
        return torch.cat(outputs, 1), state

    def same_state(self, name: str, got: State, want: State, where: str) -> None:
        if names(got) != names(want):
            return self.holds(name, False, f"{where}: {describe(got)}, expected {describe(want)}")
        for (leaf, mine), (_, theirs) in zip(_vectors(got), _vectors(want), strict=True):
            self.compare(name, mine, theirs, f"{where}, state {leaf or 'vector'}", scale=0.0)
        probe = self.draw(4)
        y_got, _ = self.run(probe, fork(got), None)
        y_want, _ = self.run(probe, fork(want), None)
        self.compare(name, y_got, y_want, f"{where}, continued by 4 tokens")

    def same_gradients(
        self, name: str, got: Sequence[Tensor | None], want: Sequence[Tensor | None], where: str
    ) -> None:
        """Relative to the largest of all: a gradient that is zero in exact arithmetic is noise here."""
        scale = largest([gradient for gradient in want if gradient is not None])
        for mine, theirs in zip(got, want, strict=True):
            if mine is not None and theirs is not None:
                self.compare(name, mine, theirs, where, scale=scale, gradient=True)
            else:
                self.holds(name, mine is theirs, f"{where}: a parameter without gradient")


TINY = 1e-300  # nothing divides by zero


def anchor(mixer: nn.Module) -> Tensor | None:
    """The tensor whose dtype and device are the mixer's."""
    found = getattr(mixer, "anchor", None)
    return found if isinstance(found, Tensor) else next(mixer.parameters(), None)


def largest(tensors: Sequence[Tensor]) -> float:
    """The largest finite magnitude in any of them; 0 where there is none."""
    finite = [t.detach()[t.isfinite()].abs().double() for t in tensors]
    return max((float(t.max()) for t in finite if t.numel()), default=0.0)


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
