"""The law, as a function anyone can call on a mixer of their own: `un.law.check(mixer)`.

    ya, t = mixer(a, s);  yb, u = mixer(b, t)      gives      (ya ++ yb, u) == mixer(a ++ b, s)

Two states are equal when they hold the same vectors and every continuation answers the same: memories of past
inputs (Tail, Slots) may keep what no later output can see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from unrolled.errors import CheckFailed, UserError
from unrolled.layout import Layout
from unrolled.state import Slots, Source, State, Tail, detach, fork, leaves, pick, put

Inputs = Callable[[int, int, torch.Generator], Tensor]  # (batch, time, generator) -> raw (batch, time, ...)

TOLERANCE = {torch.float64: (1e-12, 1e-11), torch.float32: (1e-5, 1e-4), torch.bfloat16: (5e-2, 2e-1)}


@dataclass
class Finding:
    """One comparison: the largest error of a check, where it was, and what was allowed."""

    check: str
    where: str
    error: float
    allowed: float

    @property
    def held(self) -> bool:
        return self.error <= self.allowed


@dataclass
class Report:
    """What `check` found: for each check its worst finding."""

    mixer: str
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(finding.held for finding in self.findings.values())

    def __str__(self) -> str:
        lines = [f"the law for {self.mixer}: {'holds' if self.ok else 'BROKEN'}"]
        for f in self.findings.values():
            mark = "ok    " if f.held else "BROKEN"
            lines.append(f"  {mark} {f.check:<28} error {f.error:.1e}, allowed {f.allowed:.0e}  ({f.where})")
        return "\n".join(lines)

    def require(self) -> Report:
        """This report; raises CheckFailed with the whole table when something is broken."""
        if not self.ok:
            raise CheckFailed(str(self))
        return self


def check(
    mixer: nn.Module,
    source: Source | None = None,
    *,
    inputs: Inputs | None = None,
    cuts: int = 200,
    time: int = 13,
    seed: int = 0,
    tolerance: tuple[float, float] | None = None,
) -> Report:
    """Holds `mixer` to the law, in its own dtype and in eval mode, and reports the worst error of every check.

    source: for a conditioned mixer, with 3 rows. inputs(batch, time, generator): raw inputs, standard normal vectors
    (B, T, mixer.inputs) unless given. cuts: random cuts tried. tolerance: (values, gradients) relative to the largest
    entry. Raises UserError for a conditioned mixer without a source.
    """
    if getattr(mixer, "conditioned", False) and source is None:
        raise UserError(
            f"{type(mixer).__name__} reads a source: law.check(mixer, source=Source(values, valid))."
        )
    was_training = mixer.training
    mixer.eval()
    try:
        checker = _Checker(mixer, source, inputs, cuts, time, seed, tolerance)
        for law in (*_ALWAYS, *(_STREAMING if checker.streams else (_cannot_stream,))):
            law(checker)
    finally:
        mixer.train(was_training)
    return checker.report


class _Checker:
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


def _real(values: Tensor, layout: Layout | None) -> Tensor:
    """Only what real tokens answered."""
    return values if layout is None else values[layout.valid]


def _random_cuts(c: _Checker) -> None:
    with torch.no_grad():
        for attempt in range(c.cuts):
            x, layout = c.draw(), c.layout() if attempt % 4 else None
            _, state = c.run(c.draw(3), c.start(), None)
            cuts = sorted(c.number(0 if c.guarded else 1, c.time) for _ in range(c.number(1, 4)))
            cuts = cuts if c.guarded else sorted(set(cuts))
            want, end = c.run(x, fork(state), layout)
            got, end_of_pieces = c.in_pieces(x, fork(state), layout, cuts)
            where = f"cut {attempt} at {cuts}, {'dense' if layout is None else 'ragged and packed'}"
            c.compare("random cuts", _real(got, layout), _real(want, layout), where)
            c.same_state("state after random cuts", end_of_pieces, end, where)


def _token_by_token(c: _Checker) -> None:
    with torch.no_grad():
        for layout in (None, c.layout(), c.layout()):
            x = c.draw()
            want, end = c.run(x, c.start(), layout)
            got, last = c.in_pieces(x, c.start(), layout, list(range(1, c.time)))
            c.compare("token by token", _real(got, layout), _real(want, layout), "one token a call")
            c.same_state("state token by token", last, end, "one token a call")
            alone, none = c.run(x, None, layout)
            c.compare("with state = without", _real(alone, layout), _real(want, layout), "from the start")
            c.found(
                "no state in, no state out",
                f"got {type(none).__name__}",
                float(none is not None and none != ()),
                0,
            )


def _no_tokens(c: _Checker) -> None:
    if not c.guarded:
        return
    with torch.no_grad():
        _, state = c.run(c.draw(), c.start(), None)
        y, after = c.run(c.draw(0), fork(state), None)
        c.found("T = 0", f"output of shape {tuple(y.shape)}", float(y.shape[1] != 0), 0)
        c.same_state("T = 0", after, state, "a call without tokens")
        empty = torch.zeros(c.batch, c.time, dtype=torch.bool, device=c.device)
        _, after = c.run(c.draw(), fork(state), Layout(empty, empty))
        c.same_state("only padding", after, state, "a call of padding alone")


def _packed_documents(c: _Checker) -> None:
    """Documents packed in one row answer as documents one by one."""
    with torch.no_grad():
        lengths = [1, 4, 2, 5, 3]
        documents = [c.draw(n, 1) for n in lengths]
        valid = torch.ones(1, sum(lengths), dtype=torch.bool, device=c.device)
        start = torch.zeros_like(valid)
        start[0, [0, 1, 5, 7, 12]] = True
        source, c.source = c.source, None if c.source is None else Source(*(leaf[:1] for leaf in c.source))
        if not getattr(c.mixer, "conditioned", False):
            packed, _ = c.run(torch.cat(documents, 1), None, Layout(valid, start))
            alone = torch.cat([c.run(document, None, None)[0] for document in documents], 1)
            c.compare("packed = one by one", packed, alone, f"documents of {lengths} tokens, without state")
        if c.streams:
            packed, _ = c.run(torch.cat(documents, 1), c.start(1), Layout(valid, start))
            alone = torch.cat([c.run(document, c.start(1), None)[0] for document in documents], 1)
            c.compare("packed = one by one", packed, alone, f"documents of {lengths} tokens, with state")
        c.source = source


def _padding(c: _Checker) -> None:
    """What stands in padding reaches no output, no state and no gradient."""
    layout, x = c.layout(), c.draw()
    if not x.is_floating_point():
        return
    poison = float("nan") if c.guarded else 1e30
    poisoned = torch.where(layout.valid[..., None], x, poison)
    clean = torch.where(layout.valid[..., None], x, 0.0)
    results, ends = [], []
    for raw in (clean, poisoned):
        raw = raw.clone().requires_grad_()
        y, end = c.run(raw, c.start() if c.streams else None, layout)
        ends.append(detach(end))
        total = _real(y, layout).square().sum()
        wanted = [raw, *(p for p in c.mixer.parameters() if p.requires_grad)]
        results.append((y, torch.autograd.grad(total, wanted, allow_unused=True)))
    (y_clean, g_clean), (y_poisoned, g_poisoned) = results
    if c.streams:
        with torch.no_grad():
            c.same_state("padding changes nothing", ends[1], ends[0], f"padding of {poison}")
    c.compare(
        "padding changes nothing", _real(y_poisoned, layout), _real(y_clean, layout), f"padding of {poison}"
    )
    for got, want in zip(g_poisoned, g_clean, strict=True):
        if want is not None and got is not None:
            c.compare("padding: gradients", got, want, f"padding of {poison}", gradient=True)
    if g_poisoned[0] is not None:
        leak = float(g_poisoned[0][~layout.valid].abs().max()) if (~layout.valid).any() else 0.0
        c.found("padding: gradients", "into the padding", leak if leak == leak else float("inf"), c.gradients)


def _gradients_across_cuts(c: _Checker) -> None:
    for layout in (None, c.layout(), c.layout()):
        x = c.draw()
        weight = torch.randn(c.run(x, None, layout)[0].shape, generator=c.generator, dtype=torch.float64).to(
            x.device
        )
        gradients = []
        for cuts in ([], sorted({c.number(1, c.time), c.number(1, c.time)})):
            raw = x.clone().requires_grad_() if x.is_floating_point() else x
            y, _ = c.in_pieces(raw, c.start(), layout, cuts)
            wanted = [p for p in (raw, *c.mixer.parameters()) if p.requires_grad]
            total = (_real(y, layout) * _real(weight, layout).to(y.dtype)).sum()
            gradients.append(
                torch.autograd.grad(total, wanted, allow_unused=True) if total.requires_grad else ()
            )
        for want, got in zip(*gradients, strict=True):
            if want is not None and got is not None:
                c.compare("gradients across cuts", got, want, f"cut at {cuts}", gradient=True)
            else:
                c.found(
                    "gradients across cuts",
                    "a parameter without gradient",
                    float((want is None) != (got is None)),
                    0,
                )


def _jacobian(c: _Checker, time: int) -> Tensor | None:
    """(T, T): the largest |d y_t / d x_s| over a row; None for raw inputs that aren't numbers."""
    x = c.draw(time, 16 if c.source is None else c.batch)
    if not x.is_floating_point():
        return None
    x.requires_grad_()
    y, _ = c.run(x, None if c.source is None else c.start(), None)
    rows = []
    for t in range(time):
        (g,) = torch.autograd.grad(y[:, t].square().sum(), x, retain_graph=True, allow_unused=True)
        rows.append(x.new_zeros(time) if g is None else g.abs().amax((0, 2)))
    return torch.stack(rows)


def _reach(c: _Checker) -> None:
    """Nothing above the diagonal when causal; the gradient reaches exactly as far as declared."""
    past, future = c.mixer.reach  # type: ignore[misc]
    time = c.time if past == float("inf") else min(int(past) + 4, 200)
    jacobian = _jacobian(c, time)
    if jacobian is None:
        return
    if future == 0:
        c.found("causality", "gradient from the future", float(jacobian.triu(1).abs().max()), 0.0)
    if past < time - 1:
        beyond = float(jacobian.tril(-int(past) - 1).abs().max())
        c.found("declared reach", f"sees beyond its declared past of {past}", beyond, 0.0)
    furthest = time - 1 if past == float("inf") else min(int(past), time - 1)
    silent = float(jacobian[time - 1, time - 1 - furthest]) == 0.0
    c.found(
        "declared reach",
        f"d y[{time - 1}] / d x[{time - 1 - furthest}] is 0: declared {past}",
        float(silent),
        0.0,
    )


def _rules_of_state(c: _Checker) -> None:
    with torch.no_grad():
        begin = c.start()
        described = [(n, leaf.shape, leaf.dtype, leaf.stride()) for n, leaf in leaves(begin)]
        storages = [leaf.untyped_storage().data_ptr() for _, leaf in leaves(begin) if leaf.numel()]
        c.found("rules of State", "leaves share storage", float(len(set(storages)) != len(storages)), 0)
        owned = {
            p.untyped_storage().data_ptr()
            for p in (*c.mixer.state_dict().values(), *c.mixer.buffers())
            if p.numel()
        }
        c.found("rules of State", "the state is a parameter or buffer", float(bool(owned & set(storages))), 0)
        for layout in (None, c.layout()):
            _, end = c.run(c.draw(), c.start(), layout)
            for (name, shape, dtype, stride), (_, leaf) in zip(described, leaves(end), strict=True):
                stride = stride if leaf.numel() else leaf.stride()  # nothing is stored, nothing to step over
                same = (leaf.shape, leaf.dtype, leaf.stride()) == (shape, dtype, stride)
                got = f"{name}: {tuple(leaf.shape)} {leaf.dtype} strides {leaf.stride()}"
                got += f", start gave {tuple(shape)} {dtype} strides {stride}"
                c.found("rules of State", got if not same else "structure", float(not same), 0)
                c.found("rules of State", f"{name} isn't batch first", float(leaf.shape[0] != c.batch), 0)
        _, state = c.run(c.draw(), c.start(), None)
        rows = torch.tensor([2, 0, 1], device=c.device)
        x = c.draw(3)
        want, _ = c.run(x, fork(state), None)
        got_rows, _ = c.run(x[rows], pick(state, rows), None)
        c.compare("pick and put rows", got_rows, want[rows], "rows 2, 0, 1")
        swapped = put(c.start(), rows, pick(state, rows))
        c.compare("pick and put rows", c.run(x, swapped, None)[0], want, "rows put back")


def _many_documents(c: _Checker) -> None:
    """100 documents, one after the other, through a capacity of twice the longest."""
    with torch.no_grad():
        longest, state = 6, c.start(capacity=12)
        for number in range(100):
            x = c.draw(c.number(1, longest + 1))
            start = torch.zeros(c.batch, x.shape[1], dtype=torch.bool, device=c.device)
            start[:, 0] = True
            got, state = c.run(x, state, Layout(torch.ones_like(start), start))
            want, _ = c.run(x, c.start(), None)
            c.compare("100 documents, one state", got, want, f"document {number}")


def _cannot_stream(c: _Checker) -> None:
    try:
        c.start()
    except UserError:
        return
    c.found("start of what can't stream", "start() gave a state; it must raise UserError", 1.0, 0.0)


_ALWAYS = (_packed_documents, _padding, _reach)
_STREAMING = (
    _random_cuts,
    _token_by_token,
    _no_tokens,
    _gradients_across_cuts,
    _rules_of_state,
    _many_documents,
)
