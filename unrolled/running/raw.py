"""What is pushed -> the model's own steps: tensors and ids as they are, all else through the task's codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import UserError

if TYPE_CHECKING:
    from unrolled.model import Model

BOUNDARY = 0  # the token that begins and closes every document


def steps_of(model: Model, x: Any, begins: bool = False) -> Tensor:
    """x, see `Stream.push` -> (T,) or (rows, T) ids, (T, D) or (rows, T, D) float32. begins: a text to go on from gets the
    document boundary before it. Raises UserError for what can't be read.
    """
    tokens = model.embedder.sides == 2
    if isinstance(x, Tensor):
        return x if x.is_floating_point() or not tokens else x.long()
    if tokens and _ids(x):
        return torch.as_tensor(x, dtype=torch.long).reshape(-1 if np.ndim(x) == 0 else np.shape(x))
    task = model.task
    if task is None:
        raise UserError("this model has no codec, so it can't read text: push token ids.")
    if tokens and not isinstance(x, (str, Sequence, Mapping, np.ndarray)):
        raise UserError(
            f"got {x!r:.60}; this model reads {'text' if task.kind == 'generate' else 'what its codec takes'} or token ids."
        )
    goes_on = task.kind == "generate"
    if goes_on and not isinstance(x, str):
        raise UserError(f"got {x!r:.60}; this model reads text or token ids.")
    steps = torch.from_numpy(np.asarray(task.steps(x)))
    if goes_on and begins:
        return torch.cat([steps.new_full((1,), BOUNDARY), steps])
    return steps


def _ids(x: Any) -> bool:
    """Whether x is an id, or a rectangle of ids."""
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "iu"
    if isinstance(x, (str, bytes, bool)) or not isinstance(x, (int, np.integer, Sequence)):
        return False
    try:
        array = np.asarray(x)
    except ValueError:
        return False
    return array.dtype.kind in "iu" or not array.size
