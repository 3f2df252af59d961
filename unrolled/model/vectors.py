"""A table of tokens that starts from vectors learned elsewhere."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.errors import UserError


def start_from(table: nn.Embedding, matrix: np.ndarray | Tensor, ids: np.ndarray | Tensor) -> float:
    """Puts `matrix` (n, width) into the rows `ids` (n,) of `table`, in place; the other rows keep their random start.

    All are multiplied by one number, which is returned, so that their root mean square is that of the random rows: the
    layers above were made for inputs of that size, and what is long among the vectors stays long. Raises UserError for
    another width than the table's, ids outside of it or twice, and vectors that are all zero or not finite.
    """
    rows, places = torch.as_tensor(matrix), torch.as_tensor(ids, dtype=torch.int64)
    if rows.ndim != 2 or rows.shape != (len(places), table.embedding_dim):
        raise UserError(
            f"vectors of the shape {tuple(rows.shape)} for {len(places)} rows of a table {table.embedding_dim} wide: make "
            "the embedding as wide as the vectors."
        )
    known = {place for place in places.tolist() if 0 <= place < table.num_embeddings}
    if len(known) < len(places):
        raise UserError(
            f"ids of a table of {table.num_embeddings} rows, each once, are wanted; got {places.tolist()[:8]}."
        )
    weight = table.weight
    with torch.no_grad():
        rows = rows.to(weight)
        size = rows.square().mean().sqrt()
        if not (size > 0 and bool(torch.isfinite(size))):
            raise UserError("the vectors are all zero, or not finite: nothing to start from.")
        scale = float(weight.square().mean().sqrt() / size)
        weight[places.to(weight.device)] = scale * rows
    return scale
