"""Rows of unequal length for cells whose engines know rectangles only: longest first, or steered through an added step."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from unrolled.layout import Layout, Stretched, select


@runtime_checkable
class Rectangular(Protocol):
    """A recurrent mixer whose engine consumes rectangles: x (B, T, inputs), state -> y, the leaves of the next state."""

    width: int
    state_type: ClassVar[Any]

    def engine(
        self, x: Tensor, state: Any, weights: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]: ...


def by_length(
    mixer: Rectangular, x: Tensor, state: Any, layout: Layout, weights: tuple[Tensor, ...], hold: bool = False
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Documents as rows, longest first, so that rows leave as they end. hold: the weights have a column more, for an
    input that is 1 past a row's end. Returns y and each document's state at the end of the piece it ended in.
    """
    rows, flat = layout.rows, x.flatten(0, 1)
    now = tuple(select(~rows.fresh, leaf[rows.source]) for leaf in state)
    outputs, ended = [], []
    for piece in rows.pieces:
        inputs = flat.index_select(0, piece.tokens.flatten()).view(*piece.tokens.shape, -1)
        if hold:
            inputs = torch.cat([inputs, (~piece.real)[..., None].to(x.dtype)], 2)
        ended.append(tuple(leaf[len(inputs) :] for leaf in now))
        y, now = mixer.engine(inputs, mixer.state_type(*(leaf[: len(inputs)] for leaf in now)), weights)
        outputs.append(y.flatten(0, 1))
    nothing = outputs[0] if outputs else flat.new_zeros(1, mixer.width)
    outputs.insert(0, nothing.new_zeros(1, mixer.width))  # what padding answers
    y = torch.cat(outputs).index_select(0, rows.place).view(*x.shape[:2], mixer.width)
    ends = zip(now, *reversed(ended), strict=True)
    return y, tuple(torch.cat(parts) for parts in ends)


def stretch(x: Tensor, steps: Stretched) -> Tensor:
    """(B, T, D) -> (B, S, D): tokens where the stretched layout puts them, zeros elsewhere."""
    return select(
        steps.real, x.flatten(0, 1).index_select(0, steps.tokens.flatten()).view(*steps.real.shape, -1)
    )


def shrink(y: Tensor, steps: Stretched, layout: Layout) -> Tensor:
    """(B, S, D) -> (B, T, D): each token's output."""
    if not steps.moved:
        return y
    return y.flatten(0, 1).index_select(0, steps.place).view(*layout.valid.shape, -1)
