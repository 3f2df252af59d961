"""The probabilities with which the next token is drawn, as people turn the knobs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unrolled.running.sampling import BELOW, COLDEST, Draw, pick_at

SHOWN = 24  # tokens, the likeliest ones


def odds(logits: Tensor, draw: Draw) -> Tensor:
    """Logits (V,) -> the probability (V,) in float64 of each token under `draw`: that with which `pick_at` takes it."""
    if draw.temperature < COLDEST:
        return torch.zeros_like(logits, dtype=torch.double).index_fill(0, logits.argmax(), 1.0)
    best, ids = (logits / draw.temperature).topk(min(draw.top_k or len(logits), len(logits)))
    share = best.softmax(-1, dtype=torch.double)
    if draw.top_p is not None:
        share = torch.where(share.cumsum(-1) - share < draw.top_p, share, 0)
        share = share / share.sum()
    return torch.zeros_like(logits, dtype=torch.double).scatter(0, ids, share)


def following(logits: Tensor, draw: Draw, uniform: float | None, name: Any) -> dict[str, Any]:
    """The likeliest next tokens under `draw` beside what the model itself gives them, and the token that falls to
    `uniform`, a number from 0 to 1. name: id -> text.
    """
    share, own = odds(logits, draw), logits.softmax(-1, dtype=torch.double)
    order = torch.argsort(share, descending=True, stable=True)
    if draw.temperature < COLDEST or draw.top_k is not None:
        order = torch.argsort(own + share, descending=True, stable=True)
    shown = order[:SHOWN].tolist()
    possible = share[share > 0]
    told: dict[str, Any] = {
        "tokens": [{"id": i, "label": name(i), "p": float(share[i]), "own": float(own[i])} for i in shown],
        "rest": max(0.0, 1 - float(share[shown].sum())),
        "possible": len(possible),
        "bits": float(-(possible * possible.log2()).sum()),
        "of": len(logits),
    }
    if uniform is not None:
        told["drawn"] = int(
            pick_at(logits[None], draw, torch.tensor([min(uniform, BELOW)], dtype=torch.float32))[0]
        )
    return told
