"""A model's weights as plain tensors: tied ones once, with a SHA-256 that tells one model from another."""

from __future__ import annotations

import hashlib
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from unrolled.errors import UserError

DIGEST = "sha256"  # in the header of a file of weights


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """The module's weights, tied ones once, under their first name (safetensors rejects two names for one storage)."""
    seen: set[tuple[Any, ...]] = set()
    found: dict[str, Tensor] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        place = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        if value.numel() and place in seen:
            continue
        seen.add(place)
        found[name] = value.detach()
    return found


def load_weights(module: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Copies `weights_of` back, strictly: names and shapes must be the module's own. Raises UserError naming `source`."""
    put_weights(weights_of(module), tensors, source)


@torch.no_grad()
def put_weights(own: dict[str, Tensor], tensors: dict[str, Tensor], source: str) -> None:
    """Copies `tensors` into those of `own` of the same names, strictly. Raises UserError naming `source`."""
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    wrong = [n for n in own.keys() & tensors.keys() if own[n].shape != tensors[n].shape]
    if missing or extra or wrong:
        raise UserError(
            f"{source}: the weights don't fit the model. Missing: {missing[:5]}; unexpected: {extra[:5]}; "
            f"of another shape: {sorted(wrong)[:5]}. The file belongs to another model or version."
        )
    for name, value in own.items():
        value.copy_(tensors[name])


def packed(tensors: dict[str, Tensor]) -> bytes:
    """Safetensors bytes with their own SHA-256; copies, since fused kernels keep many weights as views of one storage."""
    plain = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
    return safetensors.torch.save(plain, {DIGEST: digest(plain)})


def fingerprint(module: nn.Module) -> str:
    """The `digest` of a model's weights, wherever it lives: what tells one model from another."""
    return digest({name: value.cpu() for name, value in weights_of(module).items()})


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the names, dtypes, shapes and bytes of the tensors."""
    found = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(
            value.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
        )
    return found.hexdigest()
