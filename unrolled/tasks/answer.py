"""What a model says after the last step of each sequence, and at every step: the same whatever the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """(N, C) float64: the head's output at each sequence's last step. Raises UserError for an empty sequence."""
    out = np.zeros((0, 0))
    for row, steps in _answered(model, inputs, batch):
        if not out.size:
            out = np.zeros((len(inputs), steps.shape[1]))
        out[row] = steps[-1]
    return out


def every_answer(model: Model, inputs: Sequence[np.ndarray], batch: int = BATCH) -> list[np.ndarray]:
    """The head's output at every step, (T, C) float64 each, in the given order. Raises UserError for an empty sequence."""
    out: list[np.ndarray] = [np.zeros(0)] * len(inputs)
    for row, steps in _answered(model, inputs, batch):
        out[row] = steps.copy()
    return out


def _answered(model: Model, inputs: Sequence[np.ndarray], batch: int) -> Iterator[tuple[int, np.ndarray]]:
    """Each sequence's number and its (T, C) answers, the longest first."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        for rows in alike(inputs, batch, MOST):
            x, sizes = padded([inputs[i] for i in rows])
            ragged = len({*sizes.tolist()}) > 1
            layout = Layout.of_lengths(sizes.to(device), x.shape[1]) if ragged else None
            with torch.inference_mode():
                said = model(x.to(device), None, layout)[0].double().cpu().numpy()
            for place, row in enumerate(rows):
                yield row, said[place, : len(inputs[row])]
    finally:
        model.train(training)


def alike(inputs: Sequence[np.ndarray], batch: int, most: int) -> Iterator[list[int]]:
    """Numbers of sequences of similar length, the longest first: at most `batch` together, and `most` steps, padding
    included. Raises UserError for an empty sequence.
    """
    if batch < 1:
        raise UserError(f"batch={batch}: expected a whole number of at least 1.")
    lengths = [len(row) for row in inputs]
    if 0 in lengths:
        raise UserError(f"sequence {lengths.index(0)} has no step: there is nothing to answer to.")
    order = sorted(range(len(inputs)), key=lambda i: -lengths[i])
    at = 0
    while at < len(order):
        rows = order[at : at + max(1, min(batch, most // lengths[order[at]]))]
        yield rows
        at += len(rows)
