"""Who sits in which row of a batch, who stands in line for one, and who still reads a prompt alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from unrolled.serving.batch import Batch
from unrolled.serving.seats import Seat, Session

if TYPE_CHECKING:
    from unrolled.model import Model

ALONE = 256  # steps of prompts read between two steps of the batch
PATIENCE = 64  # steps that a batch stays larger than it need be


class Rows:
    """At most `most` rows of a model; who finds none free waits in `line`."""

    def __init__(self, model: Model, most: int) -> None:
        self.batch, self.most = Batch(model), most
        self.seats: list[Seat | None] = [None]
        self.line: deque[Seat] = deque()
        self.filling: deque[Seat] = deque()
        self._tick, self._wide = 0, 0

    @property
    def active(self) -> int:
        """Rows that somebody owns."""
        return sum(seat is not None for seat in self.seats)

    @property
    def waiting(self) -> int:
        """Those without a row that want one."""
        return len(self.line)

    @property
    def busy(self) -> bool:
        """True when a call would move somebody on."""
        waits = any(seat is not None and seat.ready and seat.pending for seat in self.seats)
        can_sit = bool(self.line) and (self.active < self.most or self.resting() is not None)
        return bool(waits or self.filling or can_sit)

    @property
    def idle(self) -> bool:
        """True when nobody has anything to read."""
        return not (self.line or self.filling or any(seat is not None and seat.waits for seat in self.seats))

    def leave(self, seat: Seat) -> None:
        """Its row is free, its place in line too."""
        if seat.row is not None:
            self.vacate(seat)
        elif seat in self.line:
            self.line.remove(seat)
        if seat in self.filling:
            self.filling.remove(seat)
        seat.alone = None
        seat.pending.clear()

    def admit(self) -> None:
        """Gives free rows to those in line; a session that rests makes room where there is none."""
        while self.line:
            if self.active >= self.most:
                resting = self.resting()
                if resting is None:
                    return
                self._park(resting)
            seat = self.line.popleft()
            if seat.gone:
                continue
            self._sit(seat)

    def _sit(self, seat: Seat) -> None:
        free = next((row for row, held in enumerate(self.seats) if held is None), None)
        if free is None:
            free = len(self.seats)
            self.batch.resize(2 * free, range(free))
            self.seats += [None] * free
        self.seats[free], seat.row, seat.last = seat, free, self._tick
        if len(seat.fill) == 1 and seat.fresh:
            seat.pending.appendleft(seat.fill.pop())
        if seat.fill:
            self.filling.append(seat)
            return
        if seat.alone is not None:
            self.batch.place([free], seat.alone)
            seat.alone = None
        seat.ready = True

    def resting(self) -> Seat | None:
        """The session that has waited longest to be fed."""
        resting = [s for s in self.seats if isinstance(s, Session) and s.ready and not s.waits]
        return min(resting, key=lambda seat: seat.last, default=None)

    def _park(self, seat: Seat) -> None:
        assert seat.row is not None
        if not seat.fresh:
            seat.alone = self.batch.take(seat.row)
        self.vacate(seat)

    def vacate(self, seat: Seat) -> None:
        assert seat.row is not None
        self.batch.clear(seat.row)
        self.seats[seat.row] = None
        seat.row, seat.ready = None, False

    def move(self) -> tuple[list[Seat], Tensor | None]:
        """Reads some of the prompts alone, then one step of every row that has one -> who was read for, and what the model
        predicts for each.
        """
        seats: list[Seat] = []
        found: list[Tensor] = []
        for group, predictions in self._fill():
            seats += group
            found.append(predictions)
        readers, stepped = self._advance()
        if stepped is not None:
            seats += readers
            found.append(stepped)
        return seats, torch.cat(found) if len(found) > 1 else next(iter(found), None)

    def _fill(self) -> Iterator[tuple[list[Seat], Tensor]]:
        """Those whose prompts are through, with the predictions after them."""
        budget = ALONE
        while budget > 0 and (group := self._group(budget)):
            first, longest = group[0], max(len(seat.fill) for seat in group)
            pieces = [seat.fill[:budget] for seat in group]  # cut only where it is one
            if first.alone is None:
                for seat in group:
                    seat.used, seat.recent = 0, []
                first.alone = self.batch.begin(len(group), longest)
            predictions, alone = self.batch.read(pieces, first.alone, first.used)
            first.alone = None
            for seat, piece in zip(group, pieces, strict=True):
                seat.fill, seat.used = seat.fill[len(piece) :], seat.used + len(piece)
                if self.batch.context is not None:
                    seat.recent += piece
            budget -= len(group) * longest
            if first.fill:
                first.alone = alone
                return
            self.batch.place([seat.row for seat in group], alone)
            for seat in group:
                self.filling.popleft()
                seat.ready, seat.fresh = True, False
            yield group, predictions

    def _group(self, budget: int) -> list[Seat]:
        """The first of those that read alone: several at once where nothing of them was read yet, and all fit."""
        waiting = iter(self.filling)
        group = [next(waiting)] if self.filling else []
        longest = len(group[0].fill) if group else 0
        if not group or group[0].alone is not None:
            return group
        for seat in waiting:
            longest = max(longest, len(seat.fill))
            if seat.alone is not None or (len(group) + 1) * longest > budget:
                break
            group.append(seat)
        return group

    def _advance(self) -> tuple[list[Seat], Tensor | None]:
        """One step of every row that has one to read, in one call -> whose, and their predictions."""
        batch = self.batch
        readers = [seat for seat in self.seats if seat is not None and seat.ready and seat.pending]
        if batch.context is not None:
            readers = [seat for seat in readers if not self._slides(seat)]
        if not readers:
            return [], None
        self._tick += 1
        free = batch.fixed  # whatever nobody's row reads: it is forgotten when somebody sits down
        reads = [free and seat is None for seat in self.seats]
        begins = [False] * batch.size
        steps: list[Any] = [None] * batch.size
        for seat in readers:
            row = seat.row
            assert row is not None
            steps[row], reads[row], begins[row] = seat.pending.popleft(), True, seat.fresh
            seat.fresh, seat.used, seat.last = False, (0 if seat.fresh else seat.used) + 1, self._tick
            if batch.context is not None:
                seat.recent.append(steps[row])
        most = max(seat.used for seat in self.seats if seat is not None)
        predictions = batch.advance(self._stacked(steps), reads, begins, most)
        rows = [seat.row for seat in readers]
        return readers, predictions if len(rows) == batch.size else predictions[torch.tensor(rows)]

    def _slides(self, seat: Seat) -> bool:
        """A full context: the row begins anew and reads its last half again, alone, as a stream does."""
        batch = self.batch
        assert batch.context is not None and seat.row is not None
        if seat.fresh or seat.used < batch.context:
            return False
        seat.fill = [*seat.recent, seat.pending.popleft()][-max(1, batch.context // 2) :]
        seat.ready, seat.alone = False, None
        batch.clear(seat.row)
        self.filling.append(seat)
        return True

    def _stacked(self, steps: list[Any]) -> Tensor:
        one = next(step for step in steps if step is not None)
        if isinstance(one, int):
            return torch.tensor([0 if step is None else step for step in steps])[:, None]
        nothing = np.zeros_like(one)
        return torch.from_numpy(np.stack([nothing if step is None else step for step in steps])[:, None])

    def fit(self) -> None:
        """Halves the rows once a quarter has been enough for a while."""
        self._wide = self._wide + 1 if 4 * self.active <= len(self.seats) > 1 else 0
        if self._wide < PATIENCE:
            return
        kept = [row for row, seat in enumerate(self.seats) if seat is not None]
        size = len(self.seats) // 2
        self.batch.resize(size, kept)
        self.seats = [self.seats[row] for row in kept] + [None] * (size - len(kept))
        for row, seat in enumerate(self.seats):
            if seat is not None:
                seat.row = row
        self._wide = 0
