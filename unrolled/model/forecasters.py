"""Heads and shapes that forecast: a horizon of numbers, quantiles or a distribution after the last step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn, tensor
from torch.nn import functional as F

from unrolled.errors import UserError, positive, unknown
from unrolled.kernels import Affine

Distribution = Literal["quantiles", "gaussian", "student", "point"]
DECILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LEAST_SCALE = (
    1e-3  # of a distribution, in deviations: below, one step known by heart would outweigh all others
)
LEAST_DEGREES = 2.0  # of freedom: above them a Student distribution has a variance


class ForecastHead(nn.Module):
    """What comes next: (..., width) -> (..., targets * horizon * size), size numbers for each step to come.

    quantiles: one a level; the middle one and steps of softplus away from it, so that they never cross. gaussian: mean and
    log scale. student: mean, log scale and degrees of freedom (Salinas et al. 2020, DeepAR, sec. 3.1, has the Gaussian).
    point: the mean. last: in training only so many of the last steps are answered, those that are learnt from.
    """

    def __init__(
        self,
        width: int,
        horizon: int,
        *,
        targets: int = 1,
        distribution: Distribution = "quantiles",
        levels: Sequence[float] = DECILES,
        last: int = 1,
    ) -> None:
        super().__init__()
        positive("ForecastHead", width=width, horizon=horizon, targets=targets, last=last)
        if distribution not in get_args(Distribution):
            raise unknown("distribution", distribution, get_args(Distribution))
        if not levels or list(levels) != sorted({*levels}) or not 0 < levels[0] <= levels[-1] < 1:
            raise UserError(f"ForecastHead: levels={list(levels)}; they rise and lie between 0 and 1.")
        self.width, self.horizon, self.targets, self.last = width, horizon, targets, last
        self.distribution, self.levels = distribution, tuple(levels)
        self.size = {"quantiles": len(levels), "gaussian": 2, "student": 3, "point": 1}[distribution]
        self.values = Affine(width, targets * horizon * self.size)
        nn.init.xavier_uniform_(self.values.weight, gain=0.1)
        nn.init.zeros_(self.values.bias)

    def forward(self, y: Float[Tensor, "*batch width"]) -> Float[Tensor, "*answered answers"]:
        if self.training and y.ndim == 3 and y.shape[1] > self.last:
            y = y[:, -self.last :]
        return self.values(y)  # type: ignore[no-any-return]

    def parameters_of(
        self, prediction: Float[Tensor, "*batch answers"]
    ) -> Float[Tensor, "*batch targets horizon size"]:
        """The numbers of each step to come: rising quantiles; mean, scale and degrees of freedom; or the mean."""
        raw = prediction.reshape(*prediction.shape[:-1], self.targets, self.horizon, self.size)
        if self.distribution == "point":
            return raw
        if self.distribution == "quantiles":
            return rising(raw, len(self.levels) // 2)
        mean, scale = raw[..., 0], F.softplus(raw[..., 1] + 0.5) + LEAST_SCALE
        if self.distribution == "gaussian":
            return torch.stack((mean, scale), -1)
        return torch.stack((mean, scale, F.softplus(raw[..., 2] + 2.0) + LEAST_DEGREES), -1)

    def loss(
        self,
        prediction: Float[Tensor, "batch time answers"],
        target: Float[Tensor, "batch last targets ahead"],
        layout: Any = None,
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """The total over known steps to come, and how many there are: pinball loss, minus log likelihood, or half the
        squared error. target: (B, last, targets, horizon + 1), NaN where missing; behind the horizon the weight of an
        error.
        """
        found = self.parameters_of(prediction[:, -target.shape[1] :])
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        wanted, weight = target[..., :-1].to(found.dtype), target[..., -1:].to(found.dtype)
        known = wanted.isfinite()
        wanted = torch.where(known, wanted, 0.0)
        each = self._lost(found, wanted, weight)
        return torch.where(known, each, 0.0).sum(), tensor(int(known.sum()), device=each.device)

    def _lost(self, found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
        """(B, S, K, H) the loss of each step to come."""
        if self.distribution == "point":
            return ((found[..., 0] - wanted) * weight).square() / 2
        if self.distribution == "quantiles":
            levels = found.new_tensor(self.levels)
            off = wanted[..., None] - found
            return 2 * weight * torch.maximum(levels * off, (levels - 1) * off).mean(-1)
        mean, scale = found[..., 0], found[..., 1]
        if self.distribution == "gaussian":
            return scale.log() + ((wanted - mean) / scale).square() / 2
        return student_nats(wanted, mean, scale, found[..., 2])


def rising(raw: Float[Tensor, "*batch levels"], middle: int) -> Float[Tensor, "*batch levels"]:
    """Numbers that rise: the middle one as it is, the others steps of softplus above and below it (Gasthaus et al. 2019, in
    the spirit of their monotone splines).
    """
    steps = F.softplus(raw - 1.0)
    below = raw[..., middle : middle + 1] - steps[..., :middle].flip(-1).cumsum(-1).flip(-1)
    above = raw[..., middle : middle + 1] + steps[..., middle + 1 :].cumsum(-1)
    return torch.cat((below, raw[..., middle : middle + 1], above), -1)


def student_nats(y: Tensor, mean: Tensor, scale: Tensor, degrees: Tensor) -> Tensor:
    """-log p of Student's t: lgamma(v/2) - lgamma((v+1)/2) + log(v pi)/2 + log s + (v+1)/2 log(1 + z^2 / v)."""
    z = (y - mean) / scale
    return (
        torch.lgamma(degrees / 2) - torch.lgamma((degrees + 1) / 2) + (degrees * torch.pi).log() / 2 + scale.log()
        + (degrees + 1) / 2 * torch.log1p(z.square() / degrees)
    )  # fmt: skip
