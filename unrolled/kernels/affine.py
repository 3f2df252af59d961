"""x W^T + b, where a few rows meet a large matrix: the step of a stream.

Such a product takes as long as reading W takes. On a CPU `F.linear` hands it to a BLAS that reads W with one thread;
oneDNN reads it with all of them and takes the weights as they lie, so nothing is packed and nothing can go stale.
Measured in `benchmarks/products.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

FEW = 64  # rows; beyond, a product is bound by arithmetic, which both do alike
LARGE = 2**18  # weights; below, what a call of oneDNN costs outweighs its speed


def _engine() -> Any:
    """oneDNN's product of strided tensors; None where torch was built without it."""
    packet = getattr(torch.ops.mkldnn, "_linear_pointwise", None)  # its namespace is empty without oneDNN
    return getattr(packet, "default", None)


ENGINE = _engine()


def affine(
    x: Float[Tensor, "*batch inputs"], weight: Float[Tensor, "outputs inputs"], bias: Tensor | None
) -> Float[Tensor, "*batch outputs"]:
    """x W^T + b. The reference is `F.linear`, which is also what all but inference mode gets to see."""
    if quick(x, weight) and (bias is None or bias.is_contiguous()):
        y: Tensor = ENGINE(x, weight, bias, "none", [], "")
        return y
    return F.linear(x, weight, bias)


def quick(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN takes this product. Inference mode: without gradients alone, forward-mode tangents would be lost."""
    return (
        not torch.compiler.is_compiling()  # first: the rest would become guards of the graph
        and torch.is_inference_mode_enabled()
        and ENGINE is not None
        and 0 < x.numel() <= FEW * x.shape[-1]
        and weight.numel() >= LARGE
        and torch.get_num_threads() > 1
        and x.dtype == weight.dtype == torch.float32
        and x.is_cpu
        and not torch.is_autocast_enabled("cpu")
    )


class Affine(nn.Linear):
    """`nn.Linear` whose product is `affine`."""

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, self.weight, self.bias)
