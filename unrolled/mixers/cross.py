"""Attention from a target to its source: what the target's state looks back at is the source's, projected once."""

from __future__ import annotations

from math import inf, sqrt
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import UserError, positive
from unrolled.kernels import Affine
from unrolled.layout import Layout, select
from unrolled.mixer import Mixer, Reach, listening, note
from unrolled.state import Memory, Source, State

Score = Literal["dot", "scaled", "general", "additive"]
Merge = Literal["tanh", "linear"]


class CrossAttention(Mixer):
    """context = softmax(score(x, source)) values, merged with x.

    score: "dot" x . s and "general" x . W s (Luong et al. 2015, arXiv:1508.04025, eq. 8), "scaled" (W x) . (U s) / sqrt(d)
    with `heads` of them (Vaswani et al. 2017, arXiv:1706.03762, eq. 1 and sec. 3.2.2), "additive" v . tanh(W x + U s)
    (Bahdanau et al. 2015, arXiv:1409.0473, app. A.1.2).
    merge: "tanh" gives tanh(W [context; x]) (Luong et al. 2015, eq. 5), "linear" W context, for a residual to add to x.

    source: the width of what it reads. bias: of the maps of score="scaled", but for that of the keys, which would change
    nothing (Whisper's; Radford et al. 2022, arXiv:2212.04356, as its code has it). Its state is a Memory: the source's keys
    and values, the same at every step.
    """

    reach = Reach(0, 0)
    conditioned = True

    def __init__(
        self,
        width: int,
        *,
        inputs: int | None = None,
        source: int | None = None,
        score: Score = "scaled",
        heads: int = 1,
        merge: Merge = "linear",
        bias: bool = False,
    ) -> None:
        super().__init__(width, inputs=inputs)
        source = self.inputs if source is None else source
        positive("CrossAttention", source=source, heads=heads)
        if score not in get_args(Score) or merge not in get_args(Merge):
            raise UserError(
                f"CrossAttention: got score={score!r}, merge={merge!r}; score is one of {', '.join(get_args(Score))}, "
                f"merge one of {', '.join(get_args(Merge))}."
            )
        if heads > 1 and (score != "scaled" or self.inputs % heads):
            raise UserError(
                f"CrossAttention: got heads={heads}, score={score!r}, inputs={self.inputs}; only score='scaled' has "
                "several heads, and they must divide inputs."
            )
        if bias and (score != "scaled" or merge != "linear"):
            raise UserError(
                f"CrossAttention: bias=True with score={score!r}, merge={merge!r}; only the maps of 'scaled' have."
            )
        if score == "dot" and source != self.inputs:
            raise UserError(
                f"CrossAttention: score='dot' multiplies a target of {self.inputs} by a source of {source}; make them "
                "equal, or take score='general'."
            )
        self.source, self.score, self.heads, self.merge = source, score, heads, merge
        self.size = self.inputs // heads if score in ("scaled", "additive") else source
        self.query = (
            None
            if score == "dot"
            else Affine(self.inputs, heads * self.size, bias=bias or score == "additive")
        )
        self.key = Affine(source, heads * self.size, bias=False) if score in ("scaled", "additive") else None
        self.value = Affine(source, self.inputs, bias=bias) if score == "scaled" else None
        read = source if self.value is None else self.inputs
        self.weigh = Affine(self.size, 1, bias=False) if score == "additive" else None
        self.out = Affine(read + (self.inputs if merge == "tanh" else 0), width, bias=bias)
        for linear in (self.query, self.key, self.value, self.weigh, self.out):
            if linear is not None:
                nn.init.xavier_uniform_(linear.weight)

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        """The source's keys and values, projected. Raises UserError without a source, or for one of other rows or width."""
        if source is None:
            raise UserError("CrossAttention reads a source: start(batch, source=Source(values, valid)).")
        if source.values.shape[::2] != (batch, self.source):
            raise UserError(
                f"CrossAttention: the source is {tuple(source.values.shape)}; expected ({batch}, steps, {self.source})."
            )
        values = select(source.valid, source.values)
        keys = values.clone() if self.key is None else self.key(values)
        read = values if self.value is None else self.value(values)
        return Memory(self._headed(keys), self._headed(read), source.valid.clone())

    def _headed(self, values: Tensor) -> Float[Tensor, "batch heads time size"]:
        return values.view(*values.shape[:2], self.heads, -1).transpose(1, 2).contiguous()

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        if state is None:
            raise UserError("CrossAttention reads a source: give it the state of start(batch, source=...).")
        q = x if self.query is None else self.query(x)
        context = self.look(self._headed(q), state).transpose(1, 2).flatten(2)
        if self.merge == "linear":
            return self.out(context), state
        return torch.tanh(self.out(torch.cat([context, x], -1))), state

    def look(
        self, q: Float[Tensor, "batch heads time size"], memory: Memory
    ) -> Float[Tensor, "batch heads time read"]:
        """The context vectors of projected queries. A row whose source has no step reads zeros."""
        keys, values = memory.keys.to(q.dtype), memory.values.to(q.dtype)
        seen = memory.filled | ~memory.filled.any(
            1, keepdim=True
        )  # where there is nothing, the zeros of the padding
        mask = seen[:, None, None]  # (B, 1, 1, S)
        if self.score != "additive" and not listening():
            return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=self._scale)
        return cross_reference(self.scores(q, keys), values, mask)

    def scores(self, q: Tensor, keys: Tensor) -> Float[Tensor, "batch heads time steps"]:
        """How well each source step suits each query, before the softmax."""
        if self.weigh is None:
            return q @ keys.transpose(-1, -2) * self._scale
        return self.weigh(torch.tanh(q[..., None, :] + keys[..., None, :, :])).squeeze(-1)  # type: ignore[no-any-return]

    @property
    def _scale(self) -> float:
        return 1 / sqrt(self.size) if self.score == "scaled" else 1.0


def cross_reference(
    scores: Float[Tensor, "batch heads time steps"], values: Tensor, mask: Bool[Tensor, "batch 1 1 steps"]
) -> Float[Tensor, "batch heads time read"]:
    """weights = softmax(scores), context = weights . values. Names the weights for a probe."""
    weights = scores.masked_fill(~mask, -inf).softmax(-1)
    note("weights", weights)
    return weights @ values
