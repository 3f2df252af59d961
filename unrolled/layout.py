"""Where tokens sit in a (B, T) rectangle: which are real, and where documents start.

Padding is on the right of a row. A row may hold several documents one after the other (packing) and may
continue a document that began in an earlier call. `None` in place of a layout means dense and continuing,
which is the fast path.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unrolled.errors import UserError

GRID = 8  # sizes are rounded up to it: engines prepare themselves anew for every shape they haven't met


class Stretched(NamedTuple):
    """Rows with one more step before each document start, and padding up to a common length S >= T."""

    # flat index b * T + t of the token that stands here; 0 where none does
    tokens: Int[Tensor, "batch steps"]
    # a token stands here
    real: Bool[Tensor, "batch steps"]
    # the step before a start, in which the state is to become that of `start`
    reset: Bool[Tensor, "batch steps"]
    # (B * T,) where each token's output lies among the flat B * S steps
    place: Int[Tensor, " tokens"]
    # False: nothing was inserted, S = T and each token stands where it stood
    moved: bool


class Piece(NamedTuple):
    """A stretch of time in which the same rows are consumed together; some end within it."""

    # flat index b * T + t of each token; past a row's end any
    tokens: Int[Tensor, "rows steps"]
    # False past a row's end
    real: Bool[Tensor, "rows steps"]


class Rows(NamedTuple):
    """Documents as rows, longest first, so that rows leave as they end.

    Only a batch row's first document continues a state (`source`, unless `fresh`).
    """

    pieces: list[Piece]
    # (B * T,) where each token's output lies in [0, *flat pieces]; padding: at the 0
    place: Int[Tensor, " tokens"]
    # batch row whose state a document continues
    source: Int[Tensor, " rows"]
    # True where a document begins in this call
    fresh: Bool[Tensor, " rows"]
    # so many of the rows are documents, the others spare
    documents: int


@dataclass(frozen=True, eq=False)
class Layout:
    """`valid[b, t]`: a real token stands here. `start[b, t]`: a document begins here; the past is forgotten.

    Every mixer's door calls `checked`: UserError when padding isn't on the right or the shapes differ.
    """

    valid: Bool[Tensor, "batch time"]
    start: Bool[Tensor, "batch time"]

    @classmethod
    def of_lengths(
        cls, lengths: Int[Tensor, " batch"], time: int | None = None, fresh: bool = False
    ) -> Layout:
        """Rows of the given lengths, padded to `time`; `fresh` marks each row's first token as a start.

        Raises UserError for a length below 0 or beyond `time`.
        """
        least, longest = (int(n) for n in torch.aminmax(lengths)) if len(lengths) else (0, 0)
        time = longest if time is None else time
        if least < 0 or longest > time:
            raise UserError(
                f"Layout.of_lengths: got lengths from {least} to {longest}; they lie in 0 ... {time}."
            )
        steps = torch.arange(time, device=lengths.device)[None]  # (1, T)
        valid = steps < lengths[:, None]
        return cls(valid, valid & (steps == 0) if fresh else torch.zeros_like(valid))

    def checked(self, batch: int, time: int) -> Layout:
        """This layout with starts in the padding dropped, for an input of `batch` rows and `time` steps.

        Raises UserError for other shapes and, on a CPU, for padding before a token: there values can be read at no
        cost to speak of. They are read once a layout, however many layers it passes. Eager mode only.
        """
        wanted = (batch, time)
        for name, mask in (("valid", self.valid), ("start", self.start)):
            if mask.shape != wanted or mask.dtype != torch.bool:
                raise UserError(
                    f"layout.{name} is {mask.dtype} of shape {tuple(mask.shape)}; the input needs bool {wanted}."
                )
        return self._sound

    @cached_property
    def _sound(self) -> Layout:
        sound = self
        if self.valid.is_cpu:
            late = self.valid[:, 1:] & ~self.valid[:, :-1]
            if bool(late.any()):
                row = int(late.any(1).nonzero()[0])
                raise UserError(
                    f"layout.valid: row {row} has padding before a token. Put padding on the right."
                )
        if not self.valid.is_cpu or bool((self.start & ~self.valid).any()):
            sound = Layout(self.valid, self.start & self.valid)
            sound.__dict__["_sound"] = sound
        return sound

    @cached_property
    def lengths(self) -> Int[Tensor, " batch"]:
        """Real tokens of each row."""
        return self.valid.sum(1)

    @cached_property
    def packed(self) -> bool:
        """True when a document starts behind another in some row."""
        return bool(self.start[:, 1:].any())

    @cached_property
    def segment(self) -> Int[Tensor, "batch time"]:
        """Which document of its row a token belongs to; 0 continues the past."""
        return self.start.cumsum(1)

    @cached_property
    def same_document(self) -> Bool[Tensor, "batch time time"]:
        """[b, t, s]: tokens t and s of row b stand in one document and s is real, or t == s (padding sees itself)."""
        same = self.segment[:, :, None] == self.segment[:, None, :]
        itself = torch.eye(self.valid.shape[1], dtype=torch.bool, device=self.valid.device)
        return (same & self.valid[:, None, :]) | itself

    def positions(self, before: Int[Tensor, " batch"]) -> Int[Tensor, "batch time"]:
        """Each token's position in its document, when `before` tokens of the running document came earlier."""
        steps = torch.arange(self.valid.shape[1], device=before.device)[None]
        begun = torch.where(self.start, steps, -1).cummax(1).values  # the latest start, -1 if none yet
        return torch.where(begun >= 0, steps - begun, before[:, None] + steps)

    def at_last(self, values: Tensor, otherwise: Tensor) -> Tensor:
        """(B, T, ...) -> (B, ...): the values at each row's last real token, `otherwise` (B, ...) where there is none."""
        index = (self.lengths - 1).clamp(min=0).view(-1, *[1] * (values.ndim - 1))
        picked = values.gather(1, index.expand(-1, 1, *values.shape[2:]))[:, 0]
        some = (self.lengths > 0).view(-1, *[1] * (values.ndim - 2))
        return torch.where(some, picked, otherwise)

    def after(self, before: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Tokens of the running document once this call is over."""
        return self.at_last(self.positions(before) + 1, before)

    @cached_property
    def mirror(self) -> Int[Tensor, "batch time"]:
        """The index that reads every document backwards and leaves padding where it is."""
        steps = torch.arange(self.valid.shape[1], device=self.valid.device).expand_as(self.segment)
        first = torch.where(self.start, steps, 0).cummax(1).values
        # padding is a group of its own
        ends = torch.where(self.valid, self.segment, self.segment + self.valid.shape[1] + 1)
        following = torch.cat([ends[:, 1:] != ends[:, :-1], torch.ones_like(self.valid[:, :1])], 1)
        last = torch.where(following, steps, steps.shape[1]).flip(1).cummin(1).values.flip(1)
        return torch.where(self.valid, first + last - steps, steps)

    @cached_property
    def stretched(self) -> Stretched:
        """Room for a step of forgetting before each start but those of column 0, which begin the call."""
        batch, time = self.valid.shape
        start = self.start.clone()
        start[:, 0] = False
        inserted = start.cumsum(1)
        place = torch.arange(time, device=start.device) + inserted  # (B, T)
        longest = int((self.lengths + inserted[:, -1]).max()) if time else 0
        size = time if longest <= time else -(-longest // GRID) * GRID
        rows = torch.arange(batch, device=start.device)[:, None].expand(-1, time)
        tokens = torch.zeros(batch, size, dtype=torch.long, device=start.device)
        real, reset = (torch.zeros(batch, size, dtype=torch.bool, device=start.device) for _ in range(2))
        flat = rows * time + torch.arange(time, device=start.device)
        tokens[rows[self.valid], place[self.valid]] = flat[self.valid]
        real[rows[self.valid], place[self.valid]] = True
        reset[rows[start], place[start] - 1] = True
        place = (rows * size + place.clamp(max=max(size - 1, 0))).flatten()
        return Stretched(tokens, real, reset, place, self.packed)

    @cached_property
    def rows(self) -> Rows:
        """Unpacks documents to rows, longest first. Reads values: eager mode only; derived once a call."""
        first = self.start.clone()
        first[:, 0] |= self.valid[:, 0]
        begin = first.flatten().nonzero()[:, 0]  # (N,) flat index of each document's first token
        document = first.flatten().cumsum(0) - 1  # (B * T,) the document of each token
        lengths = torch.bincount(document[self.valid.flatten()], minlength=len(begin))
        order = lengths.argsort(descending=True, stable=True)
        spare = -len(begin) % GRID  # rows of one token that nobody reads
        begin = torch.cat([begin[order], begin[order][:1].expand(spare)])
        lengths = torch.cat([lengths[order], lengths.new_zeros(spare)])
        pieces, place = _pieces(begin, lengths, self.valid.numel())
        fresh = self.start.flatten()[begin] if len(begin) else self.start.new_zeros(0)
        return Rows(pieces, place, begin // max(self.valid.shape[1], 1), fresh, len(begin) - spare)


def _pieces(begin: Tensor, lengths: Tensor, size: int) -> tuple[list[Piece], Tensor]:
    """Cuts time where a quarter of the rows have ended, so that little work is spent past the ends."""
    place = torch.zeros(size, dtype=torch.long, device=begin.device)
    pieces: list[Piece] = []
    known, offset, now = lengths.tolist(), 1, 0  # longest first
    while known and now < known[0]:
        rows = -(-sum(length > now for length in known) // GRID) * GRID
        until = max(known[int(0.75 * rows)], now + 1)
        until = now + -(-(until - now) // (2 * GRID)) * 2 * GRID
        steps = torch.arange(now, until, device=begin.device)[None]
        here = steps < lengths[:rows, None]
        tokens = begin[:rows, None] + steps.minimum((lengths[:rows, None] - 1).clamp(min=0))
        flat = torch.arange(offset, offset + tokens.numel(), device=begin.device).view_as(tokens)
        place[tokens[here]] = flat[here]
        pieces.append(Piece(tokens, here))
        offset, now = offset + tokens.numel(), until
    return pieces, place


def select(mask: Bool[Tensor, "*rows"], values: Tensor) -> Tensor:
    """Zeros where `mask` is False. Selection, not multiplication: NaN in padding leaks neither value nor gradient."""
    wide = mask.view(*mask.shape, *[1] * (values.ndim - mask.ndim))
    return torch.where(wide, values, torch.zeros((), dtype=values.dtype, device=values.device))


def positions(layout: Layout | None, before: Int[Tensor, " batch"], time: int) -> Int[Tensor, "batch time"]:
    """Each token's position in its document; without a layout every row simply continues."""
    if layout is not None:
        return layout.positions(before)
    return counted_on(before, time)


def counted_on(before: Int[Tensor, " batch"], time: int) -> Int[Tensor, "batch time"]:
    """The numbers before, before + 1, ... of `time` steps."""
    return before[:, None] if time == 1 else before[:, None] + torch.arange(time, device=before.device)


def admit(layout: object, batch: int, time: int) -> Layout:
    """`layout.checked(batch, time)`; UserError for what isn't a Layout."""
    if not isinstance(layout, Layout):
        raise UserError(
            f"layout is a {type(layout).__name__}; it must be a Layout: Layout(valid, start) or Layout.of_lengths(...)."
        )
    return layout.checked(batch, time)
