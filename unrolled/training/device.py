"""Where and in which arithmetic a run computes; every fallback is said aloud."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any

import torch

from unrolled import __version__
from unrolled.errors import UserError

Say = Callable[[str], None]


def choose_device(asked: str, say: Say) -> torch.device:
    """`auto` takes CUDA, else MPS, else the CPU. One asked for that isn't there: the CPU, said aloud."""
    there = [
        n for n, ok in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())) if ok
    ]
    if asked == "auto":
        return torch.device(there[0] if there else "cpu")
    kind, _, number = asked.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise UserError(f"device={asked!r}: expected auto, cpu, cuda, cuda:1 or mps.")
    if kind != "cpu" and kind not in there:
        say(f"device={asked} isn't available to this torch ({torch.__version__}): falling back to the CPU")
        return torch.device("cpu")
    if number and kind == "cuda" and int(number) >= torch.cuda.device_count():
        say(f"device={asked}: there are {torch.cuda.device_count()} CUDA devices; falling back to cuda:0")
        return torch.device("cuda:0")
    return torch.device(asked)


def choose_dtype(asked: str, device: torch.device, say: Say) -> tuple[bool, str]:
    """Whether to compute in bfloat16, and why. `auto`: where the hardware multiplies it natively, 1.3 to 2 x as fast."""
    native = _native(device)
    has_it = native or device.type == "cpu"
    if asked == "bfloat16" and not has_it:
        say(f"dtype=bfloat16 isn't supported on {device}: falling back to float32")
        return False, "float32: bfloat16 isn't supported here"
    if asked == "auto":
        why = "multiplies it natively" if native else "only emulates it"
        return native, f"{'bfloat16' if native else 'float32'}: this {device.type.upper()} {why}"
    return asked == "bfloat16", f"{asked}: as asked"


def _native(device: torch.device) -> bool:
    """Whether bfloat16 pays: tensor cores, or a CPU with AMX or AVX-512 BF16 (emulated, it is slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    asks = [
        getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    ]
    return any(bool(ask()) for ask in asks if ask is not None)


def environment(device: torch.device) -> dict[str, Any]:
    """What a result may depend on beside the recipe; nothing that names the machine or its user."""
    return {
        "unrolled": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
