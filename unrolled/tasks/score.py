"""Scoring held-out documents: every token once, given its document before it as far as the model can see.

* A state of fixed size (recurrent, convolution, window) reads whole documents from their start, in stretches
  with the state carried over. Documents are batched longest first and leave the batch as they end.
* Slots (full attention) read windows of the training length that slide by half: each scores what the one
  before did not, so a token sees between half a window and a window of its past.

Padding never enters a figure, so the batch size changes nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from unrolled.datasets.spelling import BOUNDARY
from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.model import TokenHead
from unrolled.state import State, pick

if TYPE_CHECKING:
    from unrolled.model import Model

STRETCH = 512  # tokens of a row read in one call, where several rows share it
PREDICTIONS = 2**24  # logits of one call: 64 MiB in float32


def nats(
    model: Model, documents: Sequence[np.ndarray], context: int | None = None, batch: int = 64
) -> list[np.ndarray]:
    """Nats of each document's tokens and closing boundary: float64 (n + 1,) each, in the given order.

    `context`: the length the model was trained on; needed where it holds Slots. `batch`: rows at once. Raises
    UserError unless both are at least 1.
    """
    _check(model, context, batch)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            if model.fixed_state:
                return _carried(model, documents, batch)
            return _windows(model, documents, int(context or 1), batch)
    finally:
        model.train(training)


def _check(model: Model, context: int | None, batch: int) -> None:
    if batch < 1:
        raise UserError(f"batch={batch}: expected a whole number of at least 1, the documents read at once.")
    if context is None and not model.fixed_state:
        raise UserError(
            f"context={context}: a model with full attention is scored in windows of its training length; "
            "give that length."
        )
    if context is not None and context < 1:
        raise UserError(
            f"context={context}: expected a whole number of at least 1, the tokens a prediction may see."
        )


def _carried(model: Model, documents: Sequence[np.ndarray], batch: int) -> list[np.ndarray]:
    order = sorted(range(len(documents)), key=lambda i: -len(documents[i]))
    out: list[np.ndarray] = [np.zeros(0)] * len(documents)
    for begin in range(0, len(order), batch):
        rows = order[begin : begin + batch]
        for row, scored in zip(rows, _together([documents[i] for i in rows], model), strict=True):
            out[row] = scored
    return out


def _together(documents: list[np.ndarray], model: Model) -> list[np.ndarray]:
    """Documents, longest first, as the rows of one batch, with carried state.

    Inputs and targets are cut for each stretch: beside one long document, rows padded to its end would take 64 times
    its memory.
    """
    lengths = [len(document) + 1 for document in documents]
    scored = [np.zeros(length, dtype=np.float64) for length in lengths]
    device = next(model.parameters()).device
    state: State = model.start(len(documents))
    rows, now = len(documents), 0
    while now < lengths[0]:
        staying = sum(length > now for length in lengths)
        if staying < rows:  # the others have ended
            state, rows = pick(state, torch.arange(staying, device=device)), staying
        until = min(lengths[0], now + _stretch(rows, model))
        group = [Span(row, now, now, min(length, until)) for row, length in enumerate(lengths[:rows])]
        state = _read(model, documents, group, state, scored)
        now = until
    return scored


class Span(NamedTuple):
    """A window: inputs `begin:end` of a document (the boundary is input 0), scored from `new` on."""

    document: int
    begin: int
    new: int
    end: int


def spans(lengths: Sequence[int], context: int) -> list[Span]:
    """The windows in which documents with `lengths` targets are scored, sliding by half of `context`."""
    found: list[Span] = []
    for document, length in enumerate(lengths):
        begin, new = 0, 0
        while new < length:
            end = min(length, begin + context)
            found.append(Span(document, begin, new, end))
            begin, new = begin + max(1, context // 2), end
    return found


def _windows(model: Model, documents: Sequence[np.ndarray], context: int, batch: int) -> list[np.ndarray]:
    lengths = [len(document) + 1 for document in documents]
    scored = [np.zeros(length, dtype=np.float64) for length in lengths]
    ordered = sorted(spans(lengths, context), key=lambda span: span.begin - span.end)
    rows = max(1, min(batch, PREDICTIONS // (context * _vocabulary(model))))
    for at in range(0, len(ordered), rows):
        _read(model, documents, ordered[at : at + rows], None, scored)
    return scored


def _read(
    model: Model,
    documents: Sequence[np.ndarray],
    group: list[Span],
    state: State | None,
    scored: list[np.ndarray],
) -> State:
    """Reads the windows of a group, the longest first, into `scored`; returns the state after them."""
    device = next(model.parameters()).device
    sizes = [span.end - span.begin for span in group]
    cuts = [_shifted(documents[span.document], span) for span in group]
    x, y = (_stack([cut[side] for cut in cuts], sizes[0]) for side in (0, 1))
    logits, state = model(torch.from_numpy(x).to(device), state, _layout(sizes, sizes[0], device))
    for span, losses in zip(group, _losses(logits, y), strict=True):
        scored[span.document][span.new : span.end] = losses[span.new - span.begin : span.end - span.begin]
    return state


def _shifted(document: np.ndarray, span: Span) -> tuple[np.ndarray, np.ndarray]:
    """The inputs and the targets of a window of [0, t1..tn, 0]."""
    closed = np.concatenate(([BOUNDARY], document[max(0, span.begin - 1) : span.end], [BOUNDARY]))
    begin = span.begin - max(0, span.begin - 1)
    size = span.end - span.begin
    return closed[begin : begin + size], closed[begin + 1 : begin + 1 + size]


def _stack(rows: list[np.ndarray], time: int) -> np.ndarray:
    stacked = np.full((len(rows), time), BOUNDARY, dtype=np.int64)
    for row, values in zip(stacked, rows, strict=True):
        row[: len(values)] = values
    return stacked


def _layout(sizes: list[int], time: int, device: torch.device) -> Layout | None:
    """None when no row has padding: the fast path."""
    return None if min(sizes) == time else Layout.of_lengths(torch.tensor(sizes, device=device), time)


def _losses(logits: Float[Tensor, "rows time vocabulary"], target: np.ndarray) -> np.ndarray:
    """Nats of each target (rows, T); padding's are nobody's, the caller leaves them out."""
    wanted: Int[Tensor, "rows time"] = torch.from_numpy(np.ascontiguousarray(target)).to(logits.device)
    losses = F.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten(), reduction="none")
    return losses.double().view(wanted.shape).cpu().numpy()


def _stretch(rows: int, model: Model) -> int:
    """Steps read in one call: many where a document is alone, fewer where rows or vocabulary are many."""
    return min(8192 if rows == 1 else STRETCH, max(32, PREDICTIONS // (rows * _vocabulary(model))))


def _vocabulary(model: Model) -> int:
    assert isinstance(model.head, TokenHead)
    return model.head.vocabulary
