"""One pass through a model that records everything its mixers name, in the computation that they are held to.

There is no second implementation of anything: while a probe listens, a mixer takes its reference path, which calls
`note`. Without one nothing of this exists: no hook, no copy, no branch beside the one that asks whether somebody listens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.errors import UserError, positive, unknown
from unrolled.inspection.trace import UNITS, WEIGHTS, Heard, Trace
from unrolled.layout import Layout
from unrolled.mixer import Mixer
from unrolled.mixers import kind_of
from unrolled.mixers.bidirectional import Bidirectional
from unrolled.model import EMBEDDERS, Core, Model, Seq2Seq
from unrolled.running.overhear import OUTPUT, overheard
from unrolled.state import State

MOST = 1_000_000  # numbers kept of one internal: 4 MB
SOURCE = "source"


def probe(
    model: nn.Module,
    x: Tensor,
    state: State = None,
    layout: Layout | None = None,
    *,
    source: Tensor | tuple[Tensor, Layout] | None = None,
    loss: Callable[[Tensor], Tensor] | None = None,
    only: Collection[str] = (),
    most: int = MOST,
    tokens: Sequence[Sequence[str]] = (),
) -> Trace:
    """Runs `model(x, state, layout)` in eval mode and records what it names on the way, and each layer's output as `y`.

    model: a Model, a Core or a bare Mixer. source: of a Seq2Seq, what its target is conditioned on (with its layout where
    rows are ragged), which is heard too; `state` is then made from it. loss: of the prediction, one number; with it every
    value has its gradient, dL/dvalue, in full: through all later steps. The parameters' own gradients stay as they are.
    only: names (`forget`), layers (`core.layers.0`) or both (`core.layers.0.forget`), everything where empty.

    most: numbers kept of one internal. Of a larger one rows, then units (or heads), then an attention's steps are chosen
    evenly, and `Heard.kept` says which; what a gradient needs is held in full while the pass lasts.

    Raises UserError for what the model can't take, and for a name in `only` that nothing has.
    """
    positive("probe", most=most)
    if source is not None and not isinstance(model, Seq2Seq):
        raise UserError("probe: only a model that reads a source (Seq2Seq) takes source=.")
    ears = Ears(model, loss is not None, frozenset(only), most)
    with _undisturbed(model), torch.set_grad_enabled(loss is not None):
        if source is not None:
            assert isinstance(model, Seq2Seq)
            raw, ragged = source if isinstance(source, tuple) else (source, None)
            ears.begin(SOURCE, raw.shape[1], ragged)
            with overheard(model, ears.hear):
                state = model.condition(raw, ragged)
        ears.begin("", x.shape[1], layout)
        entered = x.detach().clone().requires_grad_() if loss and isinstance(model, Mixer) else x
        with overheard(model, ears.hear):
            prediction, after = model(entered, state, layout)
        total = None if loss is None else loss(prediction)
        heard = ears.joined(total)
    for wanted in only:
        if wanted not in ears.met:
            raise unknown("internal", wanted, ears.met)
    rows = tuple(tuple(row) for row in tokens) or _spelt(model, x)
    return Trace(
        dict(getattr(model, "spec", {})),
        x.detach().cpu(),
        _plain(prediction),
        heard,
        rows,
        None if total is None else float(total.detach()),
        after,
    )


class Ears:
    """Collects what is heard in one pass; a value kept for its gradient stays whole until that is known."""

    def __init__(self, model: nn.Module, graph: bool, only: frozenset[str], most: int) -> None:
        self.model, self.graph, self.only, self.most = model, graph, only, most
        self.parts: dict[tuple[str, str], list[Tensor]] = {}
        self.chosen: dict[tuple[str, str], dict[str, list[int]]] = {}
        self.whole: dict[tuple[str, str], tuple[int, ...]] = {}
        self.times: dict[str, tuple[int, Layout | None]] = {}
        self.met: set[str] = set()
        self.side = ""

    def begin(self, side: str, time: int, layout: Layout | None) -> None:
        """A pass over the source, or (side "") over what is read or written: `time` steps a row."""
        self.side = side
        self.times[side] = time, layout

    def hear(self, path: str, name: str, value: Tensor) -> Tensor | None:
        """One `note`: (B, units) is one step, (B, T, units) a stretch, (B, heads, T, S) a stretch of attention."""
        changed = None
        if self.graph and name == OUTPUT and value.is_floating_point() and not value.requires_grad:
            value = changed = value.requires_grad_()  # frozen weights: the graph begins here
        if not 2 <= value.ndim <= 4:
            raise UserError(
                f"{path}: note({name!r}) names {tuple(value.shape)}; expected one step (batch, units), a stretch (batch, "
                "time, units) or weights (batch, heads, time, source)."
            )
        if self.side and path != self.side and not path.startswith(f"{self.side}."):
            path = f"{self.side}.{path}" if path else self.side  # a table that both sides share
        key = (path or self._kind(path), name)
        asked = (name, key[0], f"{key[0]}.{name}")
        self.met.update(asked)
        if self.only and self.only.isdisjoint(asked):
            return changed
        if key not in self.parts:
            self.parts[key] = []
            self._choose(key, _stretch(value))
        cut = value if self.graph else _take(_stretch(value.detach()), self.chosen[key], ("step",))
        self.parts[key].append(cut)
        return changed

    def _choose(self, key: tuple[str, str], value: Tensor) -> None:
        """Which indices of the joined value are kept: rows first, then units or heads, then an attention's steps."""
        time, _ = self.times[self.side]
        axes = WEIGHTS if value.ndim == 4 else UNITS
        shape = {axis: time if axis == "step" else n for axis, n in zip(axes, value.shape, strict=True)}
        self.whole[key] = tuple(shape.values())
        self.chosen[key] = {}
        for axis in ("row", "unit") if value.ndim == 3 else ("row", "head", "step"):
            others = 1
            for name, size in shape.items():
                others *= size if name != axis else 1
            room = max(1, self.most // max(others, 1))
            if room < shape[axis]:
                self.chosen[key][axis] = evenly(shape[axis], room)
                shape[axis] = room

    def joined(self, loss: Tensor | None) -> tuple[Heard, ...]:
        """Everything heard, steps joined, with the gradients of `loss`."""
        grads: dict[tuple[str, str], list[Tensor | None]] = {}
        if loss is not None:
            if loss.numel() != 1:
                raise UserError(f"probe: the loss is {tuple(loss.shape)}; it must be one number.")
            flat = [(key, part) for key, parts in self.parts.items() for part in parts if part.requires_grad]
            found = torch.autograd.grad(loss, [part for _, part in flat], allow_unused=True)
            by_part = {id(part): grad for (_, part), grad in zip(flat, found, strict=True)}
            grads = {key: [by_part.get(id(part)) for part in parts] for key, parts in self.parts.items()}
        return tuple(self._one(key, parts, grads.get(key)) for key, parts in self.parts.items())

    def _one(self, key: tuple[str, str], parts: list[Tensor], grads: list[Tensor | None] | None) -> Heard:
        layer, name = key
        side = SOURCE if layer == SOURCE or layer.startswith(f"{SOURCE}.") else ""
        value = self._along(layer, side, [_stretch(part) for part in parts])
        grad = None
        if grads is not None and any(g is not None for g in grads):
            full = [torch.zeros_like(p) if g is None else g for p, g in zip(parts, grads, strict=True)]
            grad = self._along(layer, side, [_stretch(part) for part in full])
        kept = self.chosen[key]
        done: Collection[str] = () if self.graph else ("row", "unit", "head")
        cut = [None if each is None else _plain(_take(each, kept, done)) for each in (value, grad)]
        assert cut[0] is not None
        return Heard(
            layer,
            self._kind(layer),
            name,
            cut[0],
            cut[1],
            {axis: tuple(chosen) for axis, chosen in kept.items()},
            self.whole[key],
        )

    def _along(self, layer: str, side: str, parts: list[Tensor]) -> Tensor:
        """Steps in the order of the row: one direction of two names its own in the order in which it reads them."""
        joined = parts[0] if len(parts) == 1 else torch.cat(parts, 2 if parts[0].ndim == 4 else 1)
        above, _, last = layer.rpartition(".")
        if last != "backwards" or not isinstance(self._module(above), Bidirectional):
            return joined
        _, layout = self.times.get(side, (0, None))
        if layout is None:
            return joined.flip(1)
        return joined.gather(1, layout.mirror[..., None].expand_as(joined))

    def _module(self, path: str) -> nn.Module | None:
        try:
            return self.model.get_submodule(path)
        except AttributeError:
            return None

    def _kind(self, path: str) -> str:
        part = self._module(path) or self.model  # a bare mixer's path is its own kind
        return "core" if isinstance(part, Core) else kind_of(part, EMBEDDERS)


def evenly(size: int, count: int) -> list[int]:
    """`count` of the indices 0 ... size - 1, the same distance apart, the first among them."""
    return [i * size // count for i in range(count)]


def _stretch(value: Tensor) -> Tensor:
    """One step (B, units) as a stretch of one."""
    return value.unsqueeze(1) if value.ndim == 2 else value


def _take(value: Tensor, chosen: dict[str, list[int]], done: Collection[str]) -> Tensor:
    """What was chosen of each axis but those in `done`."""
    for number, axis in enumerate(WEIGHTS if value.ndim == 4 else UNITS):
        if axis in chosen and axis not in done:
            value = value.index_select(number, torch.tensor(chosen[axis], device=value.device))
    return value


def _plain(value: Tensor) -> Tensor:
    """On the CPU, out of the graph, a copy, in float32 at least."""
    value = value.detach()
    if value.is_floating_point():
        value = value.to(torch.promote_types(value.dtype, torch.float32))
    return value.to("cpu", copy=True)


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Eval mode within the block, whatever mode the model was in."""
    training = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for part, mode in training.items():
            part.training = mode


def _spelt(model: nn.Module, x: Tensor) -> tuple[tuple[str, ...], ...]:
    """What each step is for people, where steps are tokens of a codec that is known."""
    task: Any = getattr(model, "task", None)
    codec = getattr(task, "answers" if isinstance(model, Seq2Seq) else "codec", None)
    if not isinstance(model, Model) or x.ndim != 2 or not hasattr(codec, "token_text"):
        return ()
    assert codec is not None
    return tuple(tuple(codec.token_text(int(i)) for i in row) for row in x)
