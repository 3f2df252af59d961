"""Beam search (Sutskever et al. 2014, arXiv:1409.3215, sec. 3.2) whose stop is exact.

The device scores and chooses; what was chosen is told the host once a step, and the books are kept there in arrays over all
rows. Where states are long (Slots) a hypothesis stays in the place of its parent if it can, so that few of them move.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.running.continuation import Continuation
from unrolled.running.hypotheses import Hypothesis, Rules, not_a_number, penalty

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Step(NamedTuple):
    """What one step wrote: which rows, and in each place of their beams the token and the place it goes on from."""

    rows: Ints  # (R,)
    token: Ints  # (R, k)
    parent: Ints  # (R, k)


class Found(NamedTuple):
    """The best closed hypotheses of each row, best first; one that isn't there scores -inf."""

    score: Floats  # (R, n)
    nats: Floats  # (R, n)
    step: Ints  # (R, n) tokens written after the prefix
    place: Ints  # (R, n) in the beam of that step

    @classmethod
    def none(cls, rows: int, n: int) -> Found:
        lowest, nothing = np.full((rows, n), -np.inf), np.zeros((rows, n), np.int64)
        return cls(lowest, lowest, nothing, nothing)

    def pick(self, rows: Ints) -> Found:
        return Found._make(part[rows] for part in self)

    def joined(self, score: Floats, nats: Floats, step: int) -> Found:
        """With a row's (R, k) hypotheses that close after `step` tokens, the best n kept."""
        n, wide = self.score.shape[1], score.shape[1]
        if not (score > self.score[:, -1:]).any():
            return self
        steps = np.full_like(score, step, dtype=np.int64)
        places = np.broadcast_to(np.arange(wide), score.shape)
        both = [np.concatenate(pair, 1) for pair in zip(self, (score, nats, steps, places), strict=True)]
        best = np.argsort(-both[0], axis=1, kind="stable")[:, :n]
        return Found._make(np.take_along_axis(part, best, 1) for part in both)


def search(
    going: Continuation,
    logits: Tensor,
    nats: Tensor,
    rules: Rules,
    prefixes: list[list[int]],
    limits: list[int],
    wanted: tuple[int, int, float],
) -> list[list[Hypothesis]]:
    """The `nbest` best hypotheses of each row; wanted: (beam, nbest, length penalty).

    A row is done when none of its open hypotheses could beat the worst of the nbest found. Log-likelihoods only fall, and
    the penalty is greatest at the row's limit, so log-likelihood / penalty(limit) bounds what an open one can still reach.
    """
    beam = wanted[0]
    if not prefixes:
        return []
    books = _Books(prefixes, limits, wanted, still=going.slotted)
    books.total = nats.cpu().numpy()[:, None]
    step = 0
    while True:
        value, index, closing = _chosen(logits, rules, books.total, beam, step)
        books.close(closing, step)
        token, origin = books.extend(value, index, logits.shape[1], step)
        if not books.running:
            return books.hypotheses()
        device = logits.device
        if step == 0:  # all go on from the one row that read the prefix
            spread = torch.arange(len(prefixes), device=device).repeat_interleave(beam)
            going.pick(spread)
            rules = rules.pick(spread)
        elif len(moved := np.flatnonzero(origin != np.arange(len(origin)))):
            rules.reorder(origin)
            if going.slotted:
                rows = torch.from_numpy(np.stack([moved, origin[moved]])).to(device)
                going.move(rows[0], rows[1], books.unlike)
            else:
                going.pick(torch.from_numpy(origin).to(device), siblings=True)
        if 2 * books.running <= len(books.rows):
            keep = books.leave()
            token = token[keep]
            kept = torch.from_numpy((keep[:, None] * beam + np.arange(beam)).reshape(-1)).to(device)
            going.pick(kept)
            rules = rules.pick(kept)
        ids = torch.from_numpy(np.ascontiguousarray(token.reshape(-1))).to(device)
        rules.wrote(ids)
        logits, step = going.read(ids), step + 1


def _chosen(logits: Tensor, rules: Rules, total: Floats, beam: int, step: int) -> tuple[Floats, Ints, Floats]:
    """The best `beam` continuations of each row and the closing of each open hypothesis: nats (R, k) of the token, its
    index among places x vocabulary (R, k), nats (R, places) of closing. One wait for the device.
    """
    rows, places = total.shape
    scores = rules.mask(logits.log_softmax(1), step).view(rows, places, -1)
    closing = scores[..., 0].to(torch.double, copy=True)
    scores[..., 0] = -torch.inf
    before = torch.from_numpy(total).to(device=scores.device, dtype=scores.dtype)
    ranked = (scores + before[..., None]).flatten(1)
    best = ranked.topk(min(beam, ranked.shape[1])).indices
    nats = scores.flatten(1).gather(1, best)
    said = torch.cat([nats.double(), best.double(), closing], 1).cpu().numpy()
    if np.isnan(said).any():
        raise not_a_number()
    kept = best.shape[1]
    value, index = said[:, :kept], said[:, kept : 2 * kept].astype(np.int64)
    if kept < beam:  # fewer continuations than the beam is wide
        missing = ((0, 0), (0, beam - kept))
        value = np.pad(value, missing, constant_values=-np.inf)
        index = np.pad(index, missing, constant_values=1)
    return value, index, said[:, 2 * kept :]


class _Books:
    """Who stands where, what it has cost, and what is found."""

    def __init__(
        self, prefixes: list[list[int]], limits: list[int], wanted: tuple[int, int, float], still: bool
    ) -> None:
        beam, nbest, strength = wanted
        self.prefixes, self.beam, self.still = prefixes, beam, still
        self.rows = np.arange(len(prefixes))
        self.total: Floats = np.zeros((len(prefixes), 1))  # (R, places) nats of open hypotheses; -inf: none
        self.found = Found.none(len(prefixes), nbest)
        self.kept = self.found  # of rows that have left
        self.running = len(prefixes)
        self.unlike = 0  # tokens in which those that move differ at most from those they replace
        lengths = np.array([len(one) for one in prefixes])
        longest = max(limits) + 2
        self._penalties = np.array([penalty(length, strength) for length in range(longest)])
        self._written = lengths[:, None]
        self._last = self._penalties[np.array(limits) + 1][:, None]
        self._steps: list[Step] = []
        self._own = np.arange(beam)
        self._shared = np.zeros(
            (len(prefixes), beam, beam), np.int64
        )  # tokens that two places have in common
        self._live = np.ones(len(prefixes), bool)

    def close(self, closing: Floats, step: int) -> None:
        """Every open hypothesis offers its closing."""
        nats = self.total + closing
        lengths = np.minimum(self._written + step + 1, len(self._penalties) - 1)  # of rows that are done: any
        self.found = self.found.joined(nats / self._penalties[lengths], nats, step)

    def extend(self, value: Floats, index: Ints, vocabulary: int, step: int) -> tuple[Ints, Ints]:
        """Takes the chosen continuations: each place's token (R, k), the flat place (R * k,) it goes on from."""
        parent, token = np.divmod(index, vocabulary)
        total = np.take_along_axis(self.total, parent, 1) + value
        if step and self.still:
            place = _placed(parent)
            token, total, parent = _put(token, place), _put(total, place), _put(parent, place)
        open_ = total / self._last > self.found.score[:, -1:]
        self.total = np.where(open_, total, -np.inf)
        self._live = open_.any(1)
        self.running = int(self._live.sum())
        self._steps.append(Step(self.rows, token, parent))
        origin = np.where(open_, parent, self._own)  # what is given up needn't move
        if step and self.still:
            self._compare(origin, step)
        return token, (np.arange(len(origin))[:, None] * self.beam + origin).reshape(-1)

    def _compare(self, origin: Ints, step: int) -> None:
        """Keeps count of what any two places share, and of what those that move don't share with those they replace."""
        row = np.arange(len(origin))[:, None]
        alike = self._shared[row, self._own, origin]
        self.unlike = step - int(np.where(origin == self._own, step, alike).min())
        same = origin[:, :, None] == origin[:, None]
        self._shared = np.where(same, step, self._shared[row[..., None], origin[:, :, None], origin[:, None]])

    def leave(self) -> Ints:
        """Rows that are done leave; those (N,) that stay."""
        self._keep_found()
        keep = np.flatnonzero(self._live)
        self.rows, self.total, self.found = self.rows[keep], self.total[keep], self.found.pick(keep)
        self._written, self._last = self._written[keep], self._last[keep]
        self._shared, self._live = self._shared[keep], self._live[keep]
        return keep

    def _keep_found(self) -> None:
        if len(self.rows) == len(self.prefixes):
            self.kept = self.found
            return
        self.kept = Found._make(part.copy() for part in self.kept)
        for all_, some in zip(self.kept, self.found, strict=True):
            all_[self.rows] = some

    def hypotheses(self) -> list[list[Hypothesis]]:
        """What was found, traced back through the steps, all at once."""
        self._keep_found()
        rows, n = self.kept.score.shape
        longest = max(int(self.kept.step.max()), 0)
        written = np.zeros((longest, rows, n), np.int64)
        place, row = self.kept.place.copy(), np.arange(rows)
        for step in range(longest - 1, -1, -1):
            at = self._steps[step]
            where = np.full(rows, -1)
            where[at.rows] = row[: len(at.rows)]
            going = (self.kept.step > step) & (where >= 0)[:, None]
            token, parent = at.token[where[:, None], place], at.parent[where[:, None], place]
            written[step] = np.where(going, token, 0)
            place = np.where(going, parent, place)
        return [
            [
                Hypothesis((*prefix, *written[:steps, number, rank].tolist()), score, nats)
                for rank, (score, nats, steps) in enumerate(zip(*parts, strict=True))
                if score > -np.inf
            ]
            for number, (prefix, *parts) in enumerate(
                zip(
                    self.prefixes,
                    self.kept.score.tolist(),
                    self.kept.nats.tolist(),
                    self.kept.step.tolist(),
                    strict=True,
                )
            )
        ]


def _placed(parent: Ints) -> Ints:
    """A place for each of a row's new hypotheses (R, k): the first of a parent stays in its place, the others take those of
    parents without a child.
    """
    rows, k = parent.shape
    row = np.arange(rows)[:, None]
    first = ~np.tril(parent[:, :, None] == parent[:, None], -1).any(2)
    taken = np.zeros((rows, k), bool)
    taken[row, parent] = True
    free = np.argsort(taken, axis=1, kind="stable")
    order = np.maximum(np.cumsum(~first, axis=1) - 1, 0)
    return np.where(first, parent, np.take_along_axis(free, order, 1))


def _put(values: NDArray[Any], place: Ints) -> NDArray[Any]:
    moved = np.empty_like(values)
    np.put_along_axis(moved, place, values, 1)
    return moved
