"""One optimizer step: batch -> model -> loss -> backward -> clip -> step, and everything it changes.

Nothing depends on wall-clock time but the settling of a time budget; order of samples and dropout's noise are
functions of (seed, step). So a run that goes on from a checkpoint repeats, bit for bit, what it would have done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

from unrolled.datasets.sampler import Batch
from unrolled.layout import Layout
from unrolled.model import Seq2Seq
from unrolled.model.weights import put_weights, weights_of
from unrolled.state import State, detach, fork, leaves
from unrolled.training.budget import Plan
from unrolled.training.checkpoint import Checkpoint
from unrolled.training.optimizer import Average, load_optimizer, optimizer_tensors, schedule, set_rate
from unrolled.training.tuning import Tuned, plain

if TYPE_CHECKING:
    from unrolled.model import Model


class Sampler(Protocol):
    """Batches as a pure function of (seed, index). `carried`: rows go on where those of the batch before ended."""

    notes: list[str]
    batch_size: int

    @property
    def carried(self) -> bool:
        """Whether the state goes along from batch to batch."""
        ...

    def batch(self, step: int) -> Batch:
        """The batch of that number."""
        ...


@dataclass
class Progress:
    """The plain numbers of a run, all that a checkpoint keeps beside tensors."""

    plan: Plan
    step: int = 0  # optimizer steps done
    shift: int = 0  # batches passed over for good: the next batch is number `step + shift`
    seconds: float = 0.0  # of optimizer steps, over all resumes
    best: float = inf  # lowest validation score
    best_step: int = -1
    stale: int = 0  # evaluations since then
    # Numbers of the batches with a non-finite loss or gradient.
    skipped: list[int] = field(default_factory=list)
    rewinds: int = 0
    in_a_row: int = 0  # skipped batches without a good one between
    nats: float = 0.0  # since the last line of metrics
    tokens: float = 0.0
    largest: float = 0.0  # gradient norm since then
    metrics_bytes: int = 0  # length of metrics.jsonl when the checkpoint was written
    evaluate_every: int = 0
    evaluated: int = -1  # step of the last evaluation

    def to_dict(self) -> dict[str, Any]:
        """JSON knows no infinity: no score yet is None."""
        return asdict(self) | {"best": self.best if isfinite(self.best) else None}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Progress:
        """The inverse of `to_dict`; floats come back bit for bit."""
        best = inf if kept["best"] is None else kept["best"]
        return cls(**(kept | {"plan": Plan(**kept["plan"]), "best": best}))


class Computed(NamedTuple):
    """What one batch gave: its loss in nats over `targets`, the norm of the mean loss's gradient, the states after it."""

    nats: float
    targets: float
    norm: float
    states: list[State]


class NonFinite(Exception):  # noqa: N818 - not an error by itself: the policy decides
    """The batch's loss or gradient isn't finite; the optimizer hasn't seen it."""


@dataclass
class Settings:
    """The part of a resolved recipe that the loop reads."""

    seed: int
    lr: float
    betas: tuple[float, float]
    weight_decay: float
    warmup: int
    clip: float
    ema: float
    accumulate: int
    bfloat16: bool


class Learner:
    """A model, its optimizer and what they have come to: exactly what a checkpoint holds. `update` is one step."""

    def __init__(
        self,
        model: Model,
        optimizer: torch.optim.Optimizer,
        sampler: Sampler,
        settings: Settings,
        progress: Progress,
        tuned: Tuned | None = None,
    ) -> None:
        self.model, self.optimizer, self.sampler = model, optimizer, sampler
        self.settings, self.progress = settings, progress
        self.tuned = tuned or plain(model)
        self.parameters = self.tuned.parameters
        self.device = self.parameters[0].device
        self.carries = sampler.carried
        self.average = Average(self.parameters, settings.ema) if settings.ema else None
        # Carried by contiguous streams, one a piece; empty before the first batch.
        self.states: list[State] = []
        self._valid: dict[tuple[int, int], Tensor] = {}
        self._seed: Callable[[int], object] = _seeder(self.device)

    def next_batch(self) -> Batch:
        """What `update` is to be given now: apart from it, since reading isn't the budget's time."""
        return self.sampler.batch(self.progress.step + self.progress.shift)

    def update(self, batch: Batch) -> None:
        """One optimizer step. Raises NonFinite, with nothing changed, when the loss or the gradient's norm isn't finite."""
        settings, progress = self.settings, self.progress
        self._seed(_mix(settings.seed, progress.step + progress.shift))
        self.tuned.thaw(progress.step)
        got = self.compute(batch)
        if not (isfinite(got.nats) and isfinite(got.norm)):
            self.optimizer.zero_grad()
            raise NonFinite(f"loss {got.nats / max(got.targets, 1):.4g}, gradient norm {got.norm:.4g}")
        shrink = min(1.0, settings.clip / got.norm) if settings.clip and got.norm else 1.0
        torch._foreach_mul_(
            [p.grad for p in self.parameters if p.grad is not None], shrink / max(got.targets, 1.0)
        )
        set_rate(self.optimizer, settings.lr * schedule(progress.step, settings.warmup, progress.plan))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.states = got.states
        progress.step += 1
        progress.nats += got.nats
        progress.tokens += got.targets
        progress.largest = max(progress.largest, got.norm)
        if self.average:
            self.average.update(progress.step)

    def compute(self, batch: Batch) -> Computed:
        """Forward and backward in `accumulate` pieces. Gradients are those of the *sum* over targets: pieces of unequal
        counts add up exactly, and the one multiplication that clips also divides by the count.
        """
        sums, after = [], []
        for part, state in self._pieces(batch):
            layout = self._layout(part)
            with self._autocast():
                state = self._conditioned(part, state)
                logits, state = self.tuned.call(self.model, part.x, state, layout)
                nats, count = self.model.head.loss(logits, part.y, None if part.lengths is None else layout)
            torch.autograd.backward(nats)
            sums.append(torch.stack((nats.detach().double(), count.double())))
            after.append(detach(state) if self.carries else None)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        both = torch.stack(sums).sum(0)
        # The step's one wait for the device.
        nats_, count_, norm_ = torch.cat((both, norm.double()[None])).tolist()
        return Computed(nats_, count_, norm_ / max(count_, 1.0), after if self.carries else [])

    def suspects(self) -> list[int]:
        """The rows of the present batch whose own loss isn't finite; none when only their gradient overflowed."""
        self._seed(_mix(self.settings.seed, self.progress.step + self.progress.shift))
        found = []
        with torch.no_grad(), self._autocast():
            for part, state in self._pieces(self.next_batch()):
                logits, _ = self.tuned.call(
                    self.model, part.x, self._conditioned(part, fork(state)), self._layout(part)
                )
                sizes = [part.x.shape[1]] * len(part.x) if part.lengths is None else part.lengths.tolist()
                for row, size in enumerate(sizes):
                    y = part.y[row : row + 1]
                    y = y[:, :size] if y.ndim == 2 and y.shape[1] == part.x.shape[1] else y
                    found.append(self.model.head.loss(logits[row : row + 1, :size], y, None)[0].item())
        return [row for row, nats in enumerate(found) if not isfinite(nats)]

    @contextmanager
    def as_scored(self) -> Iterator[None]:
        """The model as it is scored and shipped: without dropout, averaged weights (if any) in place of the live ones, and
        adapters merged.
        """
        self.model.eval()
        if self.average:
            self.average.swap()
        try:
            with self.tuned.adapters.merged() if self.tuned.adapters else nullcontext():
                yield
        finally:
            if self.average:
                self.average.swap()
            self.model.train()

    def checkpoint(self) -> Checkpoint:
        """Everything needed to go on exactly. Noise and order need no tensors: they are functions of (seed, step)."""
        tensors = {"weights": self._trained(), "optimizer": optimizer_tensors(self.optimizer)}
        if self.average:
            tensors["average"] = {str(i): mean for i, mean in enumerate(self.average.mean)}
        if self.states:
            tensors["carried"] = {
                f"{i}/{n}": leaf for i, state in enumerate(self.states) for n, leaf in leaves(state)
            }
        return Checkpoint(self.progress.step, tensors, self.progress.to_dict())

    @torch.no_grad()
    def restore(self, checkpoint: Checkpoint, source: str) -> None:
        """Back to where `checkpoint` was taken. Raises UserError when it belongs to another model."""
        put_weights(self._trained(), checkpoint.tensors["weights"], source)
        load_optimizer(self.optimizer, checkpoint.tensors["optimizer"])
        for i, mean in enumerate(self.average.mean if self.average else ()):
            mean.copy_(checkpoint.tensors["average"][str(i)])
        carried, pieces = checkpoint.tensors.get("carried"), self.settings.accumulate
        rows = self.sampler.batch(0)[0].shape[0] // pieces
        self.states = [self.model.start(rows) for _ in range(pieces)] if carried else []
        for i, state in enumerate(self.states):
            for name, leaf in leaves(state):
                leaf.copy_((carried or {})[f"{i}/{name}"])
        self.progress = Progress.from_dict(checkpoint.progress)

    def _trained(self) -> dict[str, Tensor]:
        """What isn't the same at every step: all weights but those that stand still."""
        moving = {p.data_ptr() for p in self.parameters}
        own = weights_of(self.model)
        still = {name for name, p in self.model.named_parameters() if p.data_ptr() not in moving}
        found = {name: weight for name, weight in own.items() if name not in still}
        adapters = self.tuned.adapters
        return found | ({f"adapters.{n}": w for n, w in weights_of(adapters).items()} if adapters else {})

    def _pieces(self, batch: Batch) -> Iterator[tuple[Batch, State]]:
        """The pieces of a batch, x and y on the model's device, with the state that each goes on from."""
        n = self.settings.accumulate
        rows = len(batch.x) // n
        carried = self.states or [self.model.start(rows) if self.carries else None for _ in range(n)]
        for at, state in enumerate(carried):
            here = slice(at * rows, (at + 1) * rows)
            x, y, start, lengths, source, sizes = (None if part is None else part[here] for part in batch)
            assert x is not None and y is not None
            source = None if source is None else self._here(source)
            yield Batch(self._here(x), self._here(y), start, lengths, source, sizes), state

    def _conditioned(self, batch: Batch, state: State) -> State:
        """The state that a piece begins with: what its sources say, where it has some."""
        if batch.source is None:
            return state
        assert isinstance(self.model, Seq2Seq)
        layout = None
        if batch.source_lengths is not None:
            layout = Layout.of_lengths(self._here(batch.source_lengths), batch.source.shape[1])
        return self.model.condition(batch.source, layout)

    def _layout(self, batch: Batch) -> Layout | None:
        """None, the fast path, where nothing is padded and no row begins a document (but at its own beginning)."""
        if batch.lengths is not None:
            return Layout.of_lengths(self._here(batch.lengths), batch.x.shape[1])
        start = batch.start
        if start is None or not bool((start if self.carries else start[:, 1:]).any()):
            return None
        shape = (start.shape[0], start.shape[1])
        if shape not in self._valid:
            self._valid[shape] = torch.ones(shape, dtype=torch.bool, device=self.device)
        return Layout(self._valid[shape], self._here(start))

    def _here(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True) if self.device.type != "cpu" else tensor

    def _autocast(self) -> AbstractContextManager[Any]:
        if not self.settings.bfloat16:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


def _mix(seed: int, index: int) -> int:
    """A well-stirred 63-bit number of (seed, index): splitmix64's finalizer (Steele, Lea and Flood 2014)."""
    z = (seed * 0x9E3779B97F4A7C15 + index * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (z ^ (z >> 31)) >> 1


def _seeder(device: torch.device) -> Callable[[int], object]:
    """Seeds the generator that dropout draws from; much cheaper than torch.manual_seed, which visits every device."""
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index].manual_seed
    if device.type == "mps":
        return torch.mps.manual_seed
    return torch.default_generator.manual_seed
