"""Self-attention with its positions: rotary angles are counted in the mixer's own state, a row at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import inf, sqrt
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import UserError, positive
from unrolled.kernels import Affine
from unrolled.layout import Layout, positions, select
from unrolled.mixer import Mixer, Reach, listening, note
from unrolled.mixers.remember import extend, write
from unrolled.state import Slots, Source, State, Tail


class Turn(NamedTuple):
    """How fast each pair of numbers of a head turns with its position: base^(-2 i / size) / factors[i]."""

    base: float = 10000.0
    factors: tuple[float, ...] = ()  # none: all 1

    @classmethod
    def of(cls, given: object, size: int) -> Turn:
        """What `rotary` of heads of `size` asks for. Raises UserError for what it can't be."""
        if isinstance(given, bool) or given == 0:
            return cls()
        table: Mapping[str, Any] = given if isinstance(given, Mapping) else {"base": given}
        base, factors = table.get("base", 10000.0), table.get("factors", ())
        numbers = [base, *factors] if isinstance(factors, Sequence) else []
        above = [isinstance(number, (int, float)) and number > 0 for number in numbers]
        if (
            not numbers
            or not all(above)
            or len(factors) not in (0, size // 2)
            or table.keys() - {"base", "factors"}
        ):
            raise UserError(
                f"Attention: got rotary={given!r:.80}; it is true, false, the base of its angles, or a table of base and "
                f"factors, numbers above 0, one factor for each of {size // 2} pairs of a head."
            )
        return cls(float(base), tuple(map(float, factors)))


class Attention(Mixer):
    """softmax(q k^T scale) v over the running document: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.

    heads: query heads; kv_heads: key and value heads, shared by groups of query heads (Ainslie et al. 2023,
    arXiv:2305.13245); window: how many tokens back, itself included, it may look (Beltagy et al. 2020,
    arXiv:2004.05150, sec. 3.1); rotary: turn queries and keys by position (Su et al. 2021, arXiv:2104.09864, eq. 34), a
    number: by angles of another base than 10,000, a table of base and factors: also slower by one factor for each pair of
    numbers of a head, which stretches a model to longer texts (Chen et al. 2023, arXiv:2306.15595, eq. 4); size: of a
    head, width / heads unless given; bias: of all maps, or "qkv" of all but the last (Qwen2, arXiv:2407.10671, sec. 2.2.1).
    Causal attention remembers in Slots, windowed in a Tail; attention that is not causal can't stream.
    """

    def __init__(
        self,
        width: int,
        *,
        inputs: int | None = None,
        heads: int = 4,
        kv_heads: int | None = None,
        causal: bool = True,
        window: int | None = None,
        rotary: bool | float | Mapping[str, Any] = True,
        bias: bool | Literal["qkv"] = False,
        scale: float | None = None,
        size: int | None = None,
    ) -> None:
        super().__init__(width, inputs=inputs)
        kv_heads = heads if kv_heads is None else kv_heads
        sizes = {"window": window, "size": size}
        positive(
            "Attention", heads=heads, kv_heads=kv_heads, **{k: n for k, n in sizes.items() if n is not None}
        )
        whole = size is not None or width % heads == 0
        size = width // heads if size is None else size
        if not whole or heads % kv_heads or (rotary and size % 2):
            raise UserError(
                f"Attention: got width={width}, heads={heads}, kv_heads={kv_heads}, size={size}; heads must divide width "
                "unless size is given, kv_heads must divide heads, and rotary positions take an even size."
            )
        if window is not None and not causal:
            raise UserError(f"Attention: window={window} with causal={causal}; a window is causal.")
        self.heads, self.kv_heads = heads, kv_heads
        if bias not in (True, False, "qkv"):
            raise UserError(f"Attention: got bias={bias!r}; bias is true, false or 'qkv'.")
        self.causal, self.window, self.rotary = causal, window, bool(rotary)
        self.turn = Turn.of(rotary, size)
        self.size = size
        self.scale = 1 / sqrt(self.size) if scale is None else scale
        self.reach = Reach(inf if window is None else window - 1, 0 if causal else inf)
        self.project = Affine(self.inputs, (heads + 2 * kv_heads) * self.size, bias=bool(bias))
        self.out = Affine(heads * self.size, width, bias=bias is True)
        for linear in (self.project, self.out):
            nn.init.xavier_uniform_(linear.weight)

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        if not self.causal:
            raise UserError(
                "Attention(causal=False) cannot stream: its output at t needs inputs after t. "
                "Call it on whole sequences (state=None)."
            )
        if self.window is not None:
            past = (batch, self.window - 1, self.kv_heads, self.size)
            return Tail((self.zeros(*past), self.zeros(*past)), self.count(batch))
        held = (batch, self.kv_heads, capacity + 1, self.size)
        return Slots(self.zeros(*held), self.zeros(*held), self.count(batch), self.count(batch))

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        if layout is not None:
            x = select(layout.valid, x)
        turned = self.heads + self.kv_heads
        qk, v = self.project(x).unflatten(-1, (-1, self.size)).split((turned, self.kv_heads), 2)
        if self.rotary:
            position = positions(layout, self._counted(state, x.shape[0]), x.shape[1])
            if layout is not None:  # padding stands past the end of what may be looked up
                position = select(layout.valid, position)
            limit = state.capacity if isinstance(state, Slots) else None
            qk = rotate(qk, rotary_angles(position, self.size, x.dtype, limit, self.turn))
        q, k = qk.split((self.heads, self.kv_heads), 2)  # (B, T, H, D)
        after: State = None
        if state is None:
            y = self._attend(q, k, v, self._whole_mask(x, layout))
        elif self.window is not None:
            y, after = self._windowed(q, k, v, state, layout)
        else:
            y, after = self._slotted(q, k, v, state, layout)
        return self.out(y.flatten(2).to(x.dtype)), after

    def _counted(self, state: State, batch: int) -> Int[Tensor, " batch"]:
        """Tokens of the running document before this call."""
        if state is None:
            return self.count(batch)
        return state.seen if isinstance(state, Tail) else state.filled - state.begin

    def _whole_mask(self, x: Tensor, layout: Layout | None) -> Bool[Tensor, "#batch time time"] | None:
        """Which of the call's own tokens each may see; None: all (or, causal, all before)."""
        if self.window is None and layout is None:
            return None
        steps = torch.arange(x.shape[1], device=x.device)
        distance = steps[:, None] - steps[None]
        seen = distance >= 0 if self.causal else torch.ones_like(distance, dtype=torch.bool)
        if self.window is not None:
            seen = seen & (distance < self.window)
        return seen[None] if layout is None else seen & layout.same_document

    def _windowed(
        self, q: Tensor, k: Tensor, v: Tensor, state: Tail, layout: Layout | None
    ) -> tuple[Tensor, Tail]:
        past = extend(state, (k, v), layout)
        n, time = int(self.reach.past), q.shape[1]
        steps = torch.arange(n + time, device=q.device)
        distance = steps[n:, None] - steps[None]  # (T, n + T)
        seen = ((distance >= 0) & (distance <= n))[None] & past.alive[:, None]
        if past.segment is not None:
            seen = (seen & (past.segment[:, n:, None] == past.segment[:, None])) | (distance == 0)
        keys, values = past.items
        return self._attend(q, keys, values, seen), past.tail

    def _slotted(
        self, q: Tensor, k: Tensor, v: Tensor, state: Slots, layout: Layout | None
    ) -> tuple[Tensor, Slots]:
        slots, place, begin, counts = write(state, k, v, layout)
        # Attend to what is written, not to all that is reserved.
        bound = slots.capacity if counts is None else max(1, counts.most)
        same = (
            counts is not None and counts.alike and counts.first == 0
        )  # rows of one length, one document each
        if same and layout is None and bound == q.shape[1]:  # nothing came before
            return self._attend(q, k, v, None), slots
        keys, values = (part[:, :, :bound].transpose(1, 2) for part in (slots.keys, slots.values))
        if same and q.shape[1] == 1:
            return self._attend(q, keys, values, None, last=True), slots
        held = torch.arange(bound, device=q.device)
        seen = (held <= place[..., None]) & (held >= begin[..., None])  # (B, T, bound)
        return self._attend(q, keys, values, seen), slots

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, last: bool = False
    ) -> Float[Tensor, "batch time heads size"]:
        """q (B, T, H, D), k and v (B, S, K, D), seen (B, T, S) or None for all that causality allows; last: the one step
        of q is the last of S, so it sees all.
        """
        k, v = k.to(q.dtype), v.to(q.dtype)
        if self.kv_heads != self.heads:
            k, v = (part.repeat_interleave(self.heads // self.kv_heads, 2) for part in (k, v))
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        causal = seen is None and self.causal and not last
        if listening():
            return attention_reference(q, k, v, seen, causal, self.scale).transpose(1, 2)
        mask = None if seen is None else seen[:, None]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=self.scale)
        return y.transpose(1, 2)

    def flops(self, tokens: int) -> int:
        seen = tokens if self.window is None else min(self.window, tokens)
        pairs = seen * (seen + 1) // 2 + (tokens - seen) * seen if self.causal else tokens * tokens
        return super().flops(tokens) + 4 * pairs * self.heads * self.size


def attention_reference(
    q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, causal: bool, scale: float
) -> Float[Tensor, "batch heads time size"]:
    """Scores, softmax, weighted sum, as the equation says; q, k, v (B, H, T, D). Names the weights for a probe."""
    scores = q @ k.transpose(-1, -2) * scale  # (B, H, T, S)
    if causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()[None]
    if seen is not None:
        scores = scores.masked_fill(~seen[:, None], -inf)
    weights = scores.softmax(-1)
    note("weights", weights)
    return weights @ v


def rotary_angles(
    position: Int[Tensor, "batch time"],
    size: int,
    dtype: torch.dtype,
    limit: int | None = None,
    turn: Turn | None = None,
) -> tuple[Float[Tensor, "batch time 1 size"], Float[Tensor, "batch time 1 size"]]:
    """Cosine and signed sine of position * base^(-2 i / size) for both halves of a head, in float32 at least. limit: what
    no position reaches, so that they may be looked up.
    """
    turn = Turn() if turn is None else turn
    if limit is None or torch.compiler.is_compiling():
        cos, sin = _turns(position, size, dtype, turn).unbind(-3)
    else:
        cos, sin = _table(1 << limit.bit_length(), size, dtype, position.device, turn)[position].unbind(-3)
    return cos, sin


def _turns(
    position: Tensor, size: int, dtype: torch.dtype, turn: Turn
) -> Float[Tensor, "*position 2 1 size"]:
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    half = size // 2
    frequency = turn.base ** (-torch.arange(half, device=position.device, dtype=wide) / half)
    if turn.factors:
        frequency = frequency / torch.tensor(turn.factors, device=position.device, dtype=wide)
    angle = position[..., None].to(wide) * frequency
    cos, sin = angle.cos(), angle.sin()
    both = torch.stack([torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)], -2)
    return both.unsqueeze(-2).to(dtype)


@lru_cache(maxsize=4)
def _table(
    length: int, size: int, dtype: torch.dtype, device: torch.device, turn: Turn
) -> Float[Tensor, "length 2 1 size"]:
    """The angles of positions 0 .. length - 1, kept: a step would compute them anew in every layer."""
    with torch.inference_mode(False), torch.no_grad():
        return _turns(torch.arange(length, device=device), size, dtype, turn)


def rotate(x: Float[Tensor, "batch time heads size"], angles: tuple[Tensor, Tensor]) -> Tensor:
    """Turns the pairs (x_i, x_{i + size/2}) by their angles (the half-split form of GPT-NeoX and Llama)."""
    cos, sin = angles
    swapped = x.view(*x.shape[:-1], 2, -1).flip(-2).flatten(-2)
    return torch.addcmul(x * cos, swapped, sin)
