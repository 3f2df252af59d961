"""The engine: one thread that owns the rows of a model and advances all that have something to read in one call.

A sequence joins when a row is free: its prompt is read alone, in bounded pieces between the others' steps, and then put
into the batch (continuous batching: Yu et al. 2022, "Orca", sec. 3.1, here over the rows of any model's state). Rows that
have nothing to read are padding, which changes nothing. Whole records are answered between steps, some at a time.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import UnrolledError
from unrolled.serving.batch import Batch, as_steps
from unrolled.serving.drawing import draw
from unrolled.serving.limits import Limits
from unrolled.serving.metrics import Counters
from unrolled.serving.records import Records, Whole
from unrolled.serving.seats import Piece, Seat, Session, Writing

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from unrolled.model import Model

ALONE = 256  # steps of prompts read between two steps of the batch
PATIENCE = 64  # steps that a batch stays larger than it need be


class Busy(UnrolledError):
    """Too much waits already. `seconds`: after which it may be tried again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many requests wait already. Try again in {seconds} s.")
        self.seconds = seconds


class Draining(UnrolledError):
    """The server is told to stop and takes nothing new."""


class Engine:
    """Runs one model. What others call (`submit`, `feed`, `leave`, `answer`) only leaves word for the thread."""

    def __init__(self, model: Model, limits: Limits, loop: AbstractEventLoop | None = None) -> None:
        self.model, self.limits, self.loop = model.eval(), limits, loop
        self.streams = not model.reach.future and not model.conditioned
        self.counters = Counters()
        self._word = threading.Condition()
        self._orders: deque[Callable[[], None]] = deque()
        self._stop = False
        self.draining = False
        self.waiting = 0  # texts that have no row yet
        self.texts = 0  # texts that aren't over
        self.records = 0  # records not yet answered
        self._pace = 1.0  # seconds that a text keeps its row, about
        self._reset()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def _reset(self) -> None:
        self._batch = Batch(self.model) if self.streams else None
        self._seats: list[Seat | None] = [None]
        self._line: deque[Seat] = deque()  # of those that want a row
        self._filling: deque[Seat] = deque()
        self._whole = Whole()
        self._tick, self._wide = 0, 0
        self._told: list[tuple[Callable[[Any], None], Any]] = []

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def close(self) -> None:
        """Ends after the step that runs."""
        with self._word:
            self._stop = True
            self._word.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def active(self) -> int:
        """Rows that somebody owns."""
        return sum(seat is not None for seat in self._seats)

    @property
    def idle(self) -> bool:
        """True when nothing is being worked on and nothing waits; sessions that aren't fed don't count."""
        busy = any(seat is not None and seat.waits for seat in self._seats)
        return not (
            busy
            or self.texts
            or self._orders
            or self._line
            or self._filling
            or self._whole.jobs
            or self.waiting
        )

    @property
    def full(self) -> bool:
        """True while no text is taken."""
        return self.texts >= self.limits.queue + self.limits.streams

    @property
    def patience(self) -> int:
        """Seconds after which a row may be free."""
        return max(1, min(60, round(self._pace * (self.waiting + 1) / self.limits.streams)))

    # --- what others call

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        self._word.notify()

    def submit(self, texts: Sequence[Writing]) -> None:
        """Texts to be written. Raises Busy where the line is full, Draining once the server is told to stop."""
        with self._word:
            if self.draining:
                raise Draining("the server is stopping. Try another, or later.")
            if self.texts + len(texts) > self.limits.queue + self.limits.streams:
                self.counters.refused += 1
                raise Busy(self.patience)
            self.texts += len(texts)
            self.waiting += len(texts)
            self._order(lambda: self._line.extend(texts))

    def feed(self, session: Session, steps: Sequence[Any]) -> None:
        """Steps that a session is to read. Raises Draining."""
        with self._word:
            if self.draining:
                raise Draining("the server is stopping. Try another, or later.")
            self._order(lambda: self._feed(session, steps))

    def forget(self, session: Session) -> None:
        """A session begins anew with its next step."""
        with self._word:
            self._order(lambda: self._forget(session))

    def leave(self, seat: Seat | Records) -> None:
        """Whoever asked has gone: its row is free before the next step."""
        seat.gone = True
        with self._word:
            self._order(lambda: self._leave(seat))

    def answer(self, records: Records) -> None:
        """Whole records to be answered. Raises Busy, Draining."""
        with self._word:
            if self.draining:
                raise Draining("the server is stopping. Try another, or later.")
            if self.records and self.records + len(records.inputs) > self.limits.rows * 4:
                self.counters.refused += 1
                raise Busy(1)
            self.records += len(records.inputs)
            self._order(lambda: self._whole.jobs.append(records))

    # --- the thread

    def _run(self) -> None:
        with torch.inference_mode():
            while True:
                with self._word:
                    while not (self._orders or self._stop or self._busy()):
                        self._word.wait()
                    if self._stop:
                        return
                    orders, self._orders = self._orders, deque()
                try:
                    for order in orders:
                        order()
                    self._work()
                except Exception as error:  # one request's fault must not stop the others' server
                    self._failed(error)
                self._deliver()

    def _busy(self) -> bool:
        waits = any(seat is not None and seat.ready and seat.pending for seat in self._seats)
        return bool(waits or self._filling or self._whole.jobs or self._can_seat())

    def _can_seat(self) -> bool:
        return bool(self._line) and (self.active < self.limits.streams or self._resting() is not None)

    def _work(self) -> None:
        begun = time.perf_counter()
        if self._batch is not None:
            self._admit()
            found = self._fill()
            found += self._advance()
            if found:
                self._write([(seat, row) for seat, row in found if isinstance(seat, Writing)])
                self._say([(seat, row) for seat, row in found if isinstance(seat, Session)])
                self.counters.step(time.perf_counter() - begun, len(found))
            self._fit()
        if self._whole.jobs:
            self._answer()

    def _admit(self) -> None:
        """Gives free rows to those in line; a session that rests makes room where there is none."""
        while self._line:
            if self.active >= self.limits.streams:
                resting = self._resting()
                if resting is None:
                    return
                self._park(resting)
            seat = self._line.popleft()
            if seat.gone:
                self._seated(seat)
                continue
            self._seated(seat)
            self._sit(seat)

    def _seated(self, seat: Seat) -> None:
        if isinstance(seat, Writing):
            with self._word:
                self.waiting -= 1

    def _sit(self, seat: Seat) -> None:
        assert self._batch is not None
        free = next((row for row, held in enumerate(self._seats) if held is None), None)
        if free is None:
            free = len(self._seats)
            self._batch.resize(2 * free, range(free))
            self._seats += [None] * free
        self._seats[free], seat.row, seat.last = seat, free, self._tick
        if len(seat.fill) == 1 and seat.fresh:
            seat.pending.appendleft(seat.fill.pop())
        if seat.fill:
            self._filling.append(seat)
            return
        if seat.alone is not None:
            self._batch.place(free, seat.alone)
            seat.alone = None
        seat.ready = True

    def _resting(self) -> Seat | None:
        """The session that has waited longest to be fed."""
        resting = [s for s in self._seats if isinstance(s, Session) and s.ready and not s.waits]
        return min(resting, key=lambda seat: seat.last, default=None)

    def _park(self, seat: Seat) -> None:
        assert self._batch is not None and seat.row is not None
        if not seat.fresh:
            seat.alone = self._batch.take(seat.row)
        self._vacate(seat)

    def _vacate(self, seat: Seat) -> None:
        assert self._batch is not None and seat.row is not None
        self._batch.clear(seat.row)
        self._seats[seat.row] = None
        seat.row, seat.ready = None, False

    def _fill(self) -> list[tuple[Seat, Tensor]]:
        """Reads some of the prompts, alone -> the predictions after those that are through."""
        batch, budget, found = self._batch, ALONE, []
        assert batch is not None
        while self._filling and budget > 0:
            seat = self._filling[0]
            if seat.row is None:
                self._filling.popleft()
                continue
            piece, seat.fill = seat.fill[:budget], seat.fill[budget:]
            if seat.alone is None:
                seat.alone, seat.used, seat.recent = batch.begin(1, len(piece) + len(seat.fill)), 0, []
            prediction, seat.alone = batch.read(as_steps(piece), seat.alone, seat.used)
            seat.used, budget = seat.used + len(piece), budget - len(piece)
            if batch.context is not None:
                seat.recent += piece
            if not seat.fill:
                self._filling.popleft()
                batch.place(seat.row, seat.alone)
                seat.alone, seat.ready, seat.fresh = None, True, False
                found.append((seat, prediction))
        return found

    def _advance(self) -> list[tuple[Seat, Tensor]]:
        """One step of every row that has one to read, in one call -> their predictions, a row each."""
        batch = self._batch
        assert batch is not None
        readers = [seat for seat in self._seats if seat is not None and seat.ready and seat.pending]
        if batch.context is not None:
            readers = [seat for seat in readers if not self._slides(seat)]
        if not readers:
            return []
        self._tick += 1
        free = self.model.fixed_state  # whatever nobody's row reads: it is forgotten when somebody sits down
        reads = [free and seat is None for seat in self._seats]
        begins = [False] * batch.size
        steps: list[Any] = [None] * batch.size
        for seat in readers:
            row = seat.row
            assert row is not None
            steps[row], reads[row], begins[row] = seat.pending.popleft(), True, seat.fresh
            seat.fresh, seat.used, seat.last = False, (0 if seat.fresh else seat.used) + 1, self._tick
            if batch.context is not None:
                seat.recent.append(steps[row])
        most = max(seat.used for seat in self._seats if seat is not None)
        predictions = batch.advance(self._stacked(steps), reads, begins, most)
        rows = [seat.row for seat in readers]
        chosen = predictions if len(rows) == batch.size else predictions[torch.tensor(rows)]
        return [(seat, chosen[at : at + 1]) for at, seat in enumerate(readers)]

    def _slides(self, seat: Seat) -> bool:
        """A full context: the row begins anew and reads its last half again, alone, as a stream does."""
        batch = self._batch
        assert batch is not None and batch.context is not None and seat.row is not None
        if seat.fresh or seat.used < batch.context:
            return False
        seat.fill = [*seat.recent, seat.pending.popleft()][-max(1, batch.context // 2) :]
        seat.ready, seat.alone = False, None
        batch.clear(seat.row)
        self._filling.append(seat)
        return True

    def _stacked(self, steps: list[Any]) -> Tensor:
        one = next(step for step in steps if step is not None)
        if isinstance(one, int):
            return torch.tensor([0 if step is None else step for step in steps])[:, None]
        nothing = np.zeros_like(one)
        return torch.from_numpy(np.stack([nothing if step is None else step for step in steps])[:, None])

    def _write(self, found: list[tuple[Writing, Tensor]]) -> None:
        """The next token of each text."""
        for seat, token, log in draw(found):
            if token is None:
                self._tell(seat, Piece("", seat.tokens, error="the model's prediction is not a number"))
                self._leave(seat)
                continue
            piece = seat.wrote(token, log)
            if piece is not None:
                self._tell(seat, piece)
            if seat.reason is not None:
                self._leave(seat)
        self.counters.tokens += len(found)

    def _say(self, found: list[tuple[Session, Tensor]]) -> None:
        """The answers of sessions after the step that each has read."""
        if not found:
            return
        task = self.model.task
        raw = torch.cat([row for _, row in found]).double().cpu()
        answers = task.shown(task.settled(raw).numpy())
        for (seat, _), answer in zip(found, answers, strict=True):
            seat.steps += 1
            self._tell(seat, {"step": seat.steps, "answer": answer})
        self.counters.steps += len(found)

    def _fit(self) -> None:
        """Halves the rows once a quarter has been enough for a while."""
        assert self._batch is not None
        self._wide = self._wide + 1 if 4 * self.active <= len(self._seats) > 1 else 0
        if self._wide < PATIENCE:
            return
        kept = [row for row, seat in enumerate(self._seats) if seat is not None]
        size = len(self._seats) // 2
        self._batch.resize(size, kept)
        self._seats = [self._seats[row] for row in kept] + [None] * (size - len(kept))
        for row, seat in enumerate(self._seats):
            if seat is not None:
                seat.row = row
        self._wide = 0

    def _answer(self) -> None:
        """Some whole records, of several requests together."""
        asked = self._whole.some()
        if asked:
            task = self.model.task
            said = task.rows(task.predict(self.model, [record for _, record in asked]))
            self.counters.records += len(asked)
            self._told += [(job.tell, job.said) for job in self._whole.take(asked, said)]
        with self._word:
            self.records -= self._whole.settled()

    # --- orders

    def _feed(self, session: Session, steps: Sequence[Any]) -> None:
        if session.gone:
            return
        queued = session.waits and session.row is None
        session.pending.extend(steps)
        if session.row is None and not queued:
            self._line.append(session)

    def _forget(self, session: Session) -> None:
        session.fresh, session.alone, session.used, session.recent = True, None, 0, []
        session.pending.clear()
        session.fill, session.steps = [], 0
        if session in self._filling:
            self._filling.remove(session)
            session.ready = True

    def _leave(self, seat: Seat | Records) -> None:
        seat.gone = True
        if isinstance(seat, Records):
            return
        if isinstance(seat, Writing) and not seat.over:
            seat.over = True
            with self._word:
                self.texts -= 1
            self._pace += 0.05 * (time.monotonic() - seat.asked - self._pace)
        if seat.row is not None:
            self._vacate(seat)
        elif seat in self._line:
            self._line.remove(seat)
            self._seated(seat)
        if seat in self._filling:
            self._filling.remove(seat)
        seat.alone = None
        seat.pending.clear()

    def _tell(self, seat: Seat, what: Any) -> None:
        if not seat.gone:
            self._told.append((seat.tell, what))

    def _deliver(self) -> None:
        """One wake-up of the event loop for all that a step has brought."""
        told, self._told = self._told, []
        if told and self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(_tell_all, told)
        elif told and self.loop is None:
            _tell_all(told)

    def _failed(self, error: Exception) -> None:
        """Tells everyone who is being served, and begins anew with empty rows."""
        traceback.print_exception(error, file=sys.stderr)
        self.counters.failures += 1
        gone = [seat for seat in [*self._seats, *self._line] if seat is not None]
        jobs, told = list(self._whole.jobs), self._told
        self._reset()
        self._told = told
        with self._word:
            self.waiting = self.records = self.texts = 0
        for seat in gone:
            self._tell(seat, Piece("", 0, error="the model failed"))
            seat.gone, seat.row = True, None
            if isinstance(seat, Writing):
                seat.over = True
        self._told += [(job.tell, None) for job in jobs]


def _tell_all(told: list[tuple[Callable[[Any], None], Any]]) -> None:
    for tell, what in told:
        tell(what)
