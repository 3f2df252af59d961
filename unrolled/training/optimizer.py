"""AdamW with decay on matrices only, and the learning rate as a pure function of the step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.training.budget import Plan
from unrolled.training.tuning import Part


def adamw(
    parts: Sequence[Part], lr: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019). Vectors (biases, gains) aren't decayed: pulling them to 0 is no simplicity.

    Fused where torch has it (CPU, CUDA, MPS; floating point of one device): one call instead of a dozen a step.
    """
    parameters = [p for part in parts for p in part.parameters]
    groups: list[dict[str, Any]] = []
    for part in parts:
        matrices = [p for p in part.parameters if p.ndim >= 2]
        vectors = [p for p in part.parameters if p.ndim < 2]
        groups.append({"params": matrices, "weight_decay": weight_decay, "rate": part.rate})
        groups.append({"params": vectors, "weight_decay": 0.0, "rate": part.rate})
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda", "mps") for p in parameters)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=betas, fused=fused)


def schedule(step: int, warmup: int, plan: Plan) -> float:
    """The factor on the learning rate at `step` (0-based): warm-up, flat, linear decay to 0 over the run's end.

    A plan that isn't settled yet has no end, hence no decay: a time budget is measured while the rate is flat.
    """
    factor = min(1.0, (step + 1) / (warmup + 1))
    if plan.total is not None and plan.decay_from is not None and step >= plan.decay_from:
        factor = min(factor, (plan.total - step) / (plan.total - plan.decay_from + 1))
    return max(factor, 0.0)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step, of every group its share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]


class Average:
    """An exponential moving average of the weights, in float32; young averages forget faster (Polyak, as in TensorFlow)."""

    def __init__(self, live: Sequence[nn.Parameter], decay: float) -> None:
        self.decay, self.live = decay, list(live)
        self.mean = [p.detach().clone().float() for p in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after `step` (1-based)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mean, [p.detach().float() for p in self.live], weight)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges live and averaged weights: once before an evaluation, once after it."""
        for live, mean in zip(self.live, self.mean, strict=True):
            kept = live.detach().clone()
            live.copy_(mean)
            mean.copy_(kept)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory as flat named tensors: `3.exp_avg` belongs to the fourth parameter of its groups."""
    return {
        f"{index}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, entry in optimizer.state_dict()["state"].items()
        for name, value in entry.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Puts `optimizer_tensors` back; rates and decays stay those of the present recipe."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, field = name.partition(".")
        state.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
