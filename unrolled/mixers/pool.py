"""Pooling as a mixer: at every step the summary of the document so far, so early classification needs no code."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.layout import Layout, positions, select
from unrolled.mixer import Mixer, Reach, note
from unrolled.mixers.scan import linear_scan, stepwise
from unrolled.state import Source, State, last

Reduce = Literal["last", "mean", "max", "attention"]


class MeanState(NamedTuple):
    """total (B, D), steps (B,)."""

    total: Tensor
    steps: Tensor


class AttentionState(NamedTuple):
    """Running softmax: best score (B, 1), weighted sum (B, D) and weight (B, 1), both relative to the best."""

    best: Tensor
    total: Tensor
    weight: Tensor


class Pool(Mixer):
    """`last`, `mean`, `max`, or `attention`: a learned score a step, softmax over the document so far, weighted sum
    (Yang et al. 2016, "Hierarchical Attention Networks", eq. 5-7, without the hidden layer), kept as a running
    softmax (Milakov & Gimelshein 2018, arXiv:1805.02867, algorithm 3). Sums are kept in float32 at least.
    """

    sublayer = False

    def __init__(self, width: int, *, inputs: int | None = None, reduce: Reduce = "last") -> None:
        super().__init__(width, inputs=inputs)
        if self.inputs != width or reduce not in get_args(Reduce):
            raise UserError(
                f"Pool: got width={width}, inputs={self.inputs}, reduce={reduce!r}; a pool keeps its width and reduce is "
                f"one of {', '.join(get_args(Reduce))}."
            )
        self.reduce = reduce
        self.reach = Reach(0, 0) if reduce == "last" else Reach()
        if reduce == "attention":
            self.score = nn.Linear(width, 1)

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        wide = self.wide
        if self.reduce == "mean":
            return MeanState(self.zeros(batch, self.width, dtype=wide), self.count(batch))
        if self.reduce == "max":
            return self.zeros(batch, self.width) + torch.finfo(self.anchor.dtype).min
        if self.reduce == "attention":
            best = self.zeros(batch, 1, dtype=wide) + torch.finfo(wide).min
            total, weight = (self.zeros(batch, size, dtype=wide) for size in (self.width, 1))
            return AttentionState(best, total, weight)
        return ()

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        if layout is not None:
            x = select(layout.valid, x)
        before = self.start(x.shape[0]) if state is None else state
        how = {"last": self._last, "mean": self._mean, "max": self._max, "attention": self._attention}
        y, after = how[self.reduce](x, before, layout)
        y = y.to(x.dtype)
        note("pooled", y)
        return y, None if state is None else after

    def _last(self, x: Tensor, state: State, layout: Layout | None) -> tuple[Tensor, State]:
        return x, state

    def _mean(self, x: Tensor, state: MeanState, layout: Layout | None) -> tuple[Tensor, State]:
        x = x.to(state.total.dtype)
        total = _running_sum(torch.ones_like(x), x, state.total, layout)
        count = positions(layout, state.steps, x.shape[1]) + 1
        y = total / count[..., None].to(x.dtype)
        after = state.steps + x.shape[1] if layout is None else layout.after(state.steps)
        return y, MeanState(last(total), after)

    def _max(self, x: Tensor, state: Tensor, layout: Layout | None) -> tuple[Tensor, State]:
        y = _running_max(x.to(state.dtype), state, layout)
        return y, last(y)

    def _attention(self, x: Tensor, state: AttentionState, layout: Layout | None) -> tuple[Tensor, State]:
        score = self.score(x).to(state.best.dtype)  # (B, T, 1)
        note("score", score)
        x = x.to(state.total.dtype)
        best = _running_max(score, state.best, layout)
        previous = torch.cat([state.best[:, None], best[:, :-1]], 1)
        keep, weight = (previous - best).clamp(max=0).exp(), (score - best).clamp(max=0).exp()
        total = _running_sum(keep.expand_as(x), weight * x, state.total, layout)
        mass = _running_sum(keep, weight, state.weight, layout)
        after = AttentionState(last(best), last(total), last(mass))
        return total / mass.clamp(min=torch.finfo(mass.dtype).tiny), after


def _running_sum(a: Tensor, b: Tensor, before: Tensor, layout: Layout | None) -> Tensor:
    """sum within the document: s_t = a_t s_{t-1} + b_t, forgotten at starts, unmoved by padding."""
    if layout is not None:
        a = torch.where(layout.valid[..., None], select(~layout.start, a), 1.0)
        b = select(layout.valid, b)
    return linear_scan(a, b, before)


def _running_max(x: Tensor, before: Tensor, layout: Layout | None) -> Tensor:
    """max within the document, by doubling: after round k each step has seen the 2^k steps before it. Of equals the
    latest counts, as in `cummax`, and it alone has a gradient.
    """
    if layout is None and torch.compiler.is_exporting():  # `cummax` is no operation of ONNX
        return _exported_max(x, before)
    if layout is None:
        return torch.cat([before[:, None], x], 1).cummax(1).values[:, 1:]
    x = torch.where(layout.valid[..., None], x, torch.finfo(x.dtype).min)
    x = torch.where((layout.segment == 0)[..., None], _later(before[:, None], x), x)
    step = 1
    while step < x.shape[1]:
        same = (layout.segment[:, step:] == layout.segment[:, :-step])[..., None]
        x = torch.cat([x[:, :step], torch.where(same, _later(x[:, :-step], x[:, step:]), x[:, step:])], 1)
        step *= 2
    return x


def _exported_max(x: Tensor, before: Tensor) -> Tensor:
    def step(best: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        best = torch.maximum(best, x)
        return best, best.clone()  # a graph's outputs share no storage

    return torch.maximum(before[:, None], x) if x.shape[1] == 1 else stepwise(step, before, x)[1]


def _later(earlier: Tensor, later: Tensor) -> Tensor:
    return torch.where((earlier > later) | earlier.isnan(), earlier, later)
