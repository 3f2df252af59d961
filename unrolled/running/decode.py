"""Decoding on explicit state: greedy, sampling and beam search, the same for every model that writes tokens.

A translator's state comes from `model.read_source(source)`, a language model's from `model.start(rows)`. What was read
once is never read again: rows that close leave the batch, and beams change places by their states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unrolled.errors import UserError, positive
from unrolled.running.beam import search
from unrolled.running.continuation import Continuation, rows_of
from unrolled.running.hypotheses import (
    BOUNDARY,
    NOTHING,
    Hypothesis,
    Rules,
    not_a_number,
    padded,
    penalty,
    split_forbidden,
)
from unrolled.running.sampling import Draw, Noise, pick_at
from unrolled.state import State

if TYPE_CHECKING:
    from unrolled.model import Model

UNSETTLED = 32  # steps whose log-likelihoods are computed at once
PREDICTIONS = 2**22  # logits kept for that, at most
# 2^32 over the golden ratio (Knuth, The Art of Computer Programming, vol. 3, sec. 6.4): its multiples stay far from each
# other among the 2^32 seeds there are, which keeps the noise of a row's samples apart from that of other rows.
APART = 2_654_435_769

Prefix = Sequence[int] | Sequence[Sequence[int]]


def decode(
    model: Model,
    state: State,
    *,
    longest: int | Sequence[int],
    shortest: int = 0,
    beam: int = 1,
    nbest: int = 1,
    length_penalty: float = 0.6,
    prefix: Prefix = (),
    forbidden: Iterable[int | Sequence[int]] = (),
    draw: Draw | None = None,
    count: int = 1,
    names: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """What the model writes after `state` in each of its R rows: R lists, the best hypothesis first.

    state: before the boundary, from `model.start(R)` or `model.read_source(source)`. It is consumed: give
    `unrolled.state.fork(state)` to keep it. A state that holds nothing counts as one row.
    longest: tokens that a hypothesis may have (one number, or one a row), where it is closed; shortest: tokens before
    which it may not close, unless everything else is forbidden. Both count the prefix.
    beam: 1 takes the likeliest token each time. More: beam search for the `nbest` hypotheses of the highest score, the
    log-likelihood over ((5 + |Y|) / 6)^length_penalty. Every hypothesis of the beam offers its closing at every step, and
    the search goes on until nothing that is still open could beat the nbest found: with a beam that holds all sequences it
    is exhaustive. A row returns fewer where fewer exist, and a beam larger than the vocabulary is narrower at first.
    prefix: tokens every hypothesis begins with: the same for all rows, or a sequence of tokens for each.
    forbidden: tokens, or sequences of tokens that may not stand side by side; what is forced stands.
    draw: samples instead, `count` a row. Sample j of a row depends on its name and on (draw.seed, j) alone: its number
    unless `names` says others, so that rows may be drawn in any order and beside any others.

    Raises UserError for what doesn't fit, and NumericalFailure when a prediction isn't a number.
    """
    rows, vocabulary = rows_of(state), int(model.head.vocabulary)  # type: ignore[arg-type]
    _check(beam, nbest, length_penalty, draw, count, shortest)
    prefixes, limits = _prefixes(prefix, rows, vocabulary), _limits(longest, rows)
    _check_room(prefixes, limits, shortest)
    named = _named(names, rows)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            going = Continuation(model, state)
            device = model.core.anchor.device
            ids, lengths = padded(prefixes, device)
            rules = _rules(prefixes, limits, shortest, split_forbidden(forbidden, vocabulary), device)
            logits, nats = going.begin(ids, lengths) if rows else (torch.zeros(0, vocabulary), torch.zeros(0))
            if beam > 1:
                found = search(going, logits, nats, rules, prefixes, limits, (beam, nbest, length_penalty))
            else:
                written = _Written(going, rules, named, count)
                found = written.run(logits, nats, draw, prefixes, length_penalty)
    finally:
        model.train(training)
    return found


class _Written:
    """Greedy decoding and sampling: `count` sequences a row, one token a step each."""

    def __init__(self, going: Continuation, rules: Rules, named: Sequence[int], count: int) -> None:
        self.going, self.count, rows = going, count, len(named)
        device = rules.left.device
        self.origin = torch.arange(rows, device=device).repeat_interleave(count)
        self.names = [name + APART * number for name in named for number in range(count)]
        self.rules = rules if count == 1 else rules.pick(self.origin)
        self.rows = torch.arange(rows * count, device=device)  # which sequence each row of the batch is
        self.nats = torch.zeros(rows * count, dtype=torch.double, device=device)
        self._stretches: list[tuple[Tensor, Tensor]] = []  # rows and what they wrote, (N,) and (N, T)
        self._steps: list[tuple[Tensor, Tensor]] = []  # logits and ids of steps whose nats aren't counted yet

    def run(
        self, logits: Tensor, nats: Tensor, draw: Draw | None, prefixes: list[list[int]], strength: float
    ) -> list[list[Hypothesis]]:
        """Writes until every row has closed."""
        if self.count > 1:
            self.going.pick(self.origin)
            logits = logits[self.origin]
        self.nats += nats[self.origin]
        noise = Noise(self.names, draw.seed, logits.device) if draw else None
        drawn: Tensor | None = None  # rows of the noise, once some have left
        open_rows, running = len(self.rows), len(self.rows)
        step, alive = 0, None  # alive: rows that haven't closed, once some have
        while running:
            allowed = self.rules.mask(logits, step)
            ids = (
                allowed.argmax(1)
                if noise is None or draw is None
                else pick_at(allowed, draw, noise.next(drawn))
            )
            if alive is not None:
                ids = ids * alive
            self._steps.append((logits, ids))
            still = int(ids.count_nonzero())
            if not still:
                break
            if still < running:
                running, alive = still, ids != BOUNDARY
            if len(self._steps) >= min(UNSETTLED, 1 + PREDICTIONS // logits.numel()):
                self._settle()
            if 2 * running <= open_rows:  # closed rows cost time: leave them behind
                assert alive is not None
                self._settle()
                keep = alive.nonzero()[:, 0]
                self.going.pick(keep)
                self.rules, self.rows, ids = self.rules.pick(keep), self.rows[keep], ids[keep]
                drawn, alive, open_rows = self.rows, None, running
            self.rules.wrote(ids)
            logits, step = self.going.read(ids), step + 1
        self._settle()
        return self._hypotheses(prefixes, strength)

    def _settle(self) -> None:
        """Counts the nats of the steps since the last time, at once: step by step they would cost as much as writing."""
        if not self._steps:
            return
        logits, ids = (torch.stack(part, 1) for part in zip(*self._steps, strict=True))  # (N, T, V), (N, T)
        before = self._stretches[-1] if self._stretches else None
        self._steps = []
        said = logits.log_softmax(-1).gather(2, ids[..., None])[..., 0].double()
        still = torch.ones_like(ids, dtype=torch.bool)
        still[:, 1:] = ids[:, :-1] != BOUNDARY
        if before is not None and len(before[0]) == len(ids):
            still[:, 0] = before[1][:, -1] != BOUNDARY
        self.nats.index_add_(0, self.rows, torch.where(still, said, 0).sum(1))
        if bool(self.nats.isnan().any()):  # what is drawn of NaN might never close
            raise not_a_number()
        self._stretches.append((self.rows, ids))

    def _hypotheses(self, prefixes: list[list[int]], strength: float) -> list[list[Hypothesis]]:
        nats = self.nats.tolist()
        total = sum(ids.shape[1] for _, ids in self._stretches)
        written = torch.zeros(len(nats), total + 1, dtype=torch.long)
        at = 0
        for rows, ids in self._stretches:
            written[rows.cpu(), at : at + ids.shape[1]] = ids.cpu()
            at += ids.shape[1]
        ends = (written == BOUNDARY).int().argmax(1).tolist()
        found: list[list[Hypothesis]] = [[] for _ in prefixes]
        for number, (tokens, end, nat) in enumerate(zip(written.tolist(), ends, nats, strict=True)):
            whole = (*prefixes[number // self.count], *tokens[:end])
            found[number // self.count].append(
                Hypothesis(whole, nat / penalty(len(whole) + 1, strength), nat)
            )
        return [sorted(each, key=lambda one: -one.score) for each in found]


def _check(beam: int, nbest: int, strength: float, draw: Draw | None, count: int, shortest: int) -> None:
    positive("decode", beam=beam, nbest=nbest, count=count)
    if nbest > beam:
        raise UserError(
            f"nbest={nbest}, beam={beam}: a beam holds that many hypotheses at most. Give beam={nbest} or more"
            + (", or count= for more samples." if draw else ".")
        )
    if draw is not None and beam > 1:
        raise UserError(f"beam={beam} and draw={draw}: a beam searches, a draw samples. Give one of them.")
    if draw is None and count > 1:
        raise UserError(
            f"count={count} without draw=: they would all be alike. Give draw=Draw(...), or nbest=."
        )
    if not 0 <= strength < float("inf"):
        raise UserError(f"length_penalty={strength}: expected a number from 0 (none) upwards; 1 is strong.")
    if shortest < 0:
        raise UserError(f"shortest={shortest}: expected a whole number from 0 upwards.")


def _prefixes(prefix: Prefix, rows: int, vocabulary: int) -> list[list[int]]:
    """One prefix a row. Raises UserError for other counts and for ids that can't be written."""
    several: Any = prefix if len(prefix) and isinstance(prefix[0], Sequence) else [prefix] * rows
    if len(several) != rows:
        raise UserError(
            f"prefix: got {len(several)} of them for {rows} rows; give one a row, or one for all."
        )
    each = [[int(token) for token in one] for one in several]
    for row, one in enumerate(each):
        if wrong := [token for token in one if not 0 < token < vocabulary]:
            raise UserError(
                f"prefix of row {row}: got the id {wrong[0]}; expected 1 ... {vocabulary - 1} (0 closes a sequence)."
            )
    return each


def _limits(longest: int | Sequence[int], rows: int) -> list[int]:
    if isinstance(longest, int):
        return [longest] * rows
    if len(longest) != rows:
        raise UserError(
            f"longest: got {len(longest)} numbers for {rows} rows; give one a row, or one for all."
        )
    return [int(one) for one in longest]


def _named(names: Sequence[int] | None, rows: int) -> Sequence[int]:
    if names is not None and len(names) != rows:
        raise UserError(f"names: got {len(names)} of them for {rows} rows; give one a row, or none.")
    return range(rows) if names is None else names


def _check_room(prefixes: list[list[int]], limits: list[int], shortest: int) -> None:
    for row, (prefix, limit) in enumerate(zip(prefixes, limits, strict=True)):
        if limit < max(len(prefix), shortest):
            raise UserError(
                f"row {row}: longest={limit} with shortest={shortest} and a prefix of {len(prefix)} tokens; give a longest "
                f"of at least {max(len(prefix), shortest)}."
            )


def _rules(
    prefixes: list[list[int]],
    limits: list[int],
    shortest: int,
    forbidden: tuple[list[int], list[list[int]]],
    device: torch.device,
) -> Rules:
    alone, sequences = forbidden
    lengths = sorted({len(one) for one in sequences})
    past = max(lengths, default=1) - 1
    ends = [[*[NOTHING] * past, *one][len(one) :] for one in prefixes]
    place = {"dtype": torch.long, "device": device}
    return Rules(
        torch.tensor([shortest - len(one) for one in prefixes], **place),  # type: ignore[arg-type]
        torch.tensor([limit - len(one) for limit, one in zip(limits, prefixes, strict=True)], **place),  # type: ignore[arg-type]
        torch.tensor(alone, **place),  # type: ignore[arg-type]
        [torch.tensor([one for one in sequences if len(one) == length], **place) for length in lengths],  # type: ignore[arg-type]
        torch.tensor(ends, **place).view(len(prefixes), past),  # type: ignore[arg-type]
    )
