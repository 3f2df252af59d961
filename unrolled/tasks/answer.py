"""What a model says after the last step of each sequence, and at every step: the same whatever the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from unrolled.datasets.collate import padded
from unrolled.errors import UserError
from unrolled.layout import Layout

if TYPE_CHECKING:
    from unrolled.model import Model

BATCH = 64
MOST = 2**20  # steps of one call, padding included


def answers(model: Model, inputs: Sequence[np.ndarray], batch: int = BATCH) -> np.ndarray:
    """(N, C) float64: the head's output at each sequence's last step."""
    found = every_answer(model, inputs, batch)
    return np.stack([steps[-1] for steps in found]) if found else np.zeros((0, 0))


def every_answer(model: Model, inputs: Sequence[np.ndarray], batch: int = BATCH) -> list[np.ndarray]:
    """The head's output at every step, (T, C) float64 each, in the given order. Raises UserError for an empty sequence."""
    if batch < 1:
        raise UserError(f"batch={batch}: expected a whole number of at least 1.")
    if empty := [i for i, row in enumerate(inputs) if not len(row)]:
        raise UserError(f"sequence {empty[0]} has no step: there is nothing to answer to.")
    order = sorted(range(len(inputs)), key=lambda i: -len(inputs[i]))
    out: list[np.ndarray] = [np.zeros(0)] * len(inputs)
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            at = 0
            while at < len(order):
                rows = order[at : at + max(1, min(batch, MOST // len(inputs[order[at]])))]
                x, lengths = padded([inputs[i] for i in rows])
                layout = (
                    Layout.of_lengths(lengths.to(device), x.shape[1])
                    if len({*lengths.tolist()}) > 1
                    else None
                )
                said = model(x.to(device), None, layout)[0].double().cpu().numpy()
                for place, row in enumerate(rows):
                    out[row] = said[place, : len(inputs[row])].copy()
                at += len(rows)
    finally:
        model.train(training)
    return out
