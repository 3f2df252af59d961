"""Documents of unequal length to one padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unrolled.datasets.spelling import BOUNDARY, Ids

if TYPE_CHECKING:
    from torch import Tensor

    from unrolled.layout import Layout


def pad(documents: Sequence[Ids]) -> tuple[Tensor, Tensor, Layout]:
    """(x int64 (B,T), y int64 (B,T), layout) with T = the longest document + 1, padded on the right with 0.

    x is the boundary and the tokens, y the tokens and the closing boundary; every row starts at its first
    step.
    """
    import torch

    from unrolled.layout import Layout

    lengths = np.array([len(ids) + 1 for ids in documents], np.int64)
    steps = int(lengths.max(initial=0))
    x = np.full((len(documents), steps), BOUNDARY, np.int64)
    y = np.full((len(documents), steps), BOUNDARY, np.int64)
    for row, ids in enumerate(documents):
        x[row, 1 : len(ids) + 1] = ids
        y[row, : len(ids)] = ids
    valid = np.arange(steps) < lengths[:, None]
    start = np.zeros((len(documents), steps), bool)
    start[:, :1] = True
    layout = Layout(valid=torch.from_numpy(valid), start=torch.from_numpy(start))
    return torch.from_numpy(x), torch.from_numpy(y), layout
