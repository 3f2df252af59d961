"""An embedder whose steps are whole pictures: a convolutional network gives one vector each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import UserError, positive, unknown
from unrolled.layout import Layout, select
from unrolled.model.media_embedders import Numbers
from unrolled.state import State

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "gelu": F.gelu,
    "none": lambda x: x,
}
SHORTCUTS = ("none", "same", "mapped")


class FixedNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) * weight + bias, a channel each (Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm
    2). Mean and variance are those that the network was trained with, in training too: a small set of pictures would spoil
    them.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(
        self, x: Float[Tensor, "n channels height width"]
    ) -> Float[Tensor, "n channels height width"]:
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, False, 0.0, self.eps)


class Convolution(nn.Module):
    """act(norm(conv(x))), without a bias of its own. padding: "even", kernel // 2 on all sides, or "same", so much that the
    output has the input's size over the stride rounded up, the odd one behind.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        kernel: int,
        stride: int,
        groups: int,
        activation: str,
        padding: str,
        eps: float,
    ) -> None:
        super().__init__()
        positive("Convolution", channels=channels, kernel=kernel, stride=stride, groups=groups)
        if activation not in ACTIVATIONS:
            raise unknown("activation", activation, ACTIVATIONS)
        if inputs % groups or channels % groups:
            raise UserError(
                f"Convolution: {groups} groups of {inputs} and {channels} channels; they must divide both."
            )
        self.kernel, self.stride, self.groups, self.activation, self.padding = (
            kernel,
            stride,
            groups,
            activation,
            padding,
        )
        self.weight = nn.Parameter(torch.empty(channels, inputs // groups, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.norm = FixedNorm(channels, eps)

    def forward(self, x: Float[Tensor, "n inputs height width"]) -> Tensor:
        around = [self.kernel // 2] * 4
        if self.padding == "same":
            around = []
            for size in (x.shape[3], x.shape[2]):
                more = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
                around += [more // 2, more - more // 2]
        y = F.conv2d(F.pad(x, around), self.weight, None, self.stride, 0, 1, self.groups)
        return ACTIVATIONS[self.activation](self.norm(y))


class Unit(nn.Module):
    """Convolutions one after the other, around which a shortcut may go: act(x + f(x)) (He et al. 2016, arXiv:1512.03385,
    eq. 1-2), and a maximum over 3 x 3 of every other pixel behind, where `pool`.
    """

    def __init__(self, inputs: int, given: Mapping[str, Any], padding: str, eps: float) -> None:
        super().__init__()
        if extra := given.keys() - {"layers", "shortcut", "activation", "pool"}:
            raise unknown("key of a unit", min(extra), ["layers", "shortcut", "activation", "pool"])
        self.shortcut, self.activation = given.get("shortcut", "none"), given.get("activation", "none")
        self.pool = bool(given.get("pool", False))
        if self.shortcut not in SHORTCUTS or self.activation not in ACTIVATIONS:
            raise UserError(
                f"unit: got shortcut={self.shortcut!r}, activation={self.activation!r}; known: {', '.join(SHORTCUTS)}; "
                f"{', '.join(ACTIVATIONS)}."
            )
        layers, width, stride = [], inputs, 1
        for channels, kernel, step, groups, activation in given["layers"]:
            layers.append(Convolution(width, channels, kernel, step, groups, activation, padding, eps))
            width, stride = channels, stride * step
        self.layers, self.width = nn.ModuleList(layers), width
        if self.shortcut == "same" and (width != inputs or stride != 1):
            raise UserError(
                f"unit: shortcut='same' from {inputs} to {width} channels, stride {stride}; take 'mapped'."
            )
        mapped = self.shortcut == "mapped"
        self.map = Convolution(inputs, width, 1, stride, 1, "none", padding, eps) if mapped else None

    def forward(self, x: Float[Tensor, "n inputs height width"]) -> Tensor:
        y = x
        for layer in self.layers:
            y = layer(y)
        if self.shortcut != "none":
            y = y + (x if self.map is None else self.map(x))
        y = ACTIVATIONS[self.activation](y)
        return F.max_pool2d(y, 3, 2, 1) if self.pool else y


class PictureEmbedder(Numbers):
    """raw (B, T, height * width * channels), pixels in reading order, -> (B, T, width): of each picture the mean over its
    places of what the last unit gives. A picture alone is a sequence of one step, a video one of many.

    shape: (height, width, channels); units: tables of layers [channels, kernel, stride, groups, activation], shortcut,
    activation and pool, see `Unit`; padding: see `Convolution`; eps: the smallest variance.
    """

    def __init__(
        self,
        shape: Sequence[int],
        units: Sequence[Mapping[str, Any]],
        *,
        padding: Literal["even", "same"] = "even",
        eps: float = 1e-5,
    ) -> None:
        if len(shape) != 3 or not units or padding not in ("even", "same"):
            raise UserError(
                f"PictureEmbedder: got shape={shape}, {len(units)} units, padding={padding!r}; expected height, width and "
                "channels, at least one unit, and 'even' or 'same'."
            )
        positive("PictureEmbedder", height=shape[0], width=shape[1], channels=shape[2])
        made, channels = [], shape[2]
        for given in units:
            made.append(Unit(channels, given, padding, eps))
            channels = made[-1].width
        super().__init__(shape[0] * shape[1] * shape[2], channels)
        self.shape, self.units = tuple(shape), nn.ModuleList(made)

    def forward(
        self, raw: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State, Layout | None]:
        if layout is not None:
            raw = select(layout.valid, raw)
        x = raw.reshape(-1, *self.shape).permute(0, 3, 1, 2)
        for unit in self.units:
            x = unit(x)
        return x.mean((2, 3)).view(*raw.shape[:2], self.width), state, layout
