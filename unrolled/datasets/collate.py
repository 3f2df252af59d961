"""Sequences of unequal length to one padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def padded(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Rows (T_i, ...) -> (B, T, ...) with T the longest, zeros on the right, and their lengths (B,) int64."""
    import torch

    lengths = np.array([len(row) for row in rows], np.int64)
    out = np.zeros((len(rows), int(lengths.max(initial=0)), *rows[0].shape[1:]), rows[0].dtype)
    for place, row in zip(out, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(out), torch.from_numpy(lengths)
