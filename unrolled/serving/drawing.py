"""The next token of texts that share a batch: rows that are drawn alike are drawn together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrolled.running.sampling import Draw, likeliest, pick_at
from unrolled.serving.seats import Log, Writing


def draw(
    texts: Sequence[Writing], predictions: Float[Tensor, "texts vocabulary"]
) -> Iterator[tuple[Writing, int | None, Log | None]]:
    """Texts with their predictions -> each text with its token, None where the prediction is no number, and what the
    model thinks of it, where that is asked for.
    """
    logits = predictions.float()
    sick = logits.isnan().any(1).tolist()
    groups: dict[tuple[Any, ...], list[int]] = {}
    for at, seat in enumerate(texts):
        groups.setdefault(seat.key, []).append(at)
    for key, members in groups.items():
        seats = [texts[at] for at in members]
        rows = logits if len(members) == len(texts) else logits[torch.tensor(members)]
        uniform = torch.tensor([seat.uniform() for seat in seats], dtype=torch.double)
        tokens = pick_at(rows, Draw(*key), uniform).tolist()
        for place, (at, seat, token) in enumerate(zip(members, seats, tokens, strict=True)):
            if sick[at]:
                yield seat, None, None
            else:
                yield seat, token, None if seat.logs is None else _log(rows[place], token, seat.logs)


def _log(logits: Tensor, token: int, count: int) -> Log:
    """A token, its log-probability under the model, and those of the likeliest."""
    best = likeliest(logits, count) if count else []
    own = float(logits.double().log_softmax(-1)[token])
    return token, own, [(other, float(np.log(max(p, 1e-300)))) for other, p in best]
