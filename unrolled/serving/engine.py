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
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from unrolled.errors import UnrolledError, UserError
from unrolled.serving.drawing import draw
from unrolled.serving.limits import Limits
from unrolled.serving.metrics import Counters
from unrolled.serving.records import Records, Whole
from unrolled.serving.rows import Rows
from unrolled.serving.seats import Piece, Seat, Session, Writing
from unrolled.tasks import Forecast
from unrolled.tasks.answering import Answering

LOCKSTEP = 0.05  # seconds that a step waits at most until the one before was told: both need the interpreter

S = TypeVar("S", bound=Seat)

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from unrolled.model import Model


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
        self.model, self.loop = model.eval(), loop
        most = limits.steps if model.fixed_state else min(limits.steps, limits.looked)
        if model.conditioned:  # a text is written as long as its source asks for, while everyone else waits
            most = min(most, limits.length)
        self.limits = replace(limits, steps=most)
        foretells = isinstance(model.task, Forecast)  # what it says of a step needs the steps before it, too
        self.streams = not (model.reach.future or model.conditioned or foretells)
        self.counters = Counters()
        self._word = threading.Condition()
        self._orders: deque[Callable[[], None]] = deque()
        self._stop = False
        self.draining = False
        self.texts = 0  # texts that aren't over
        self.records = 0  # records not yet answered
        self._pace = 1.0  # seconds that a text keeps its row, about
        self._reset()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def _reset(self) -> None:
        self._rows = Rows(self.model, self.limits.streams) if self.streams else None
        self._whole = Whole()
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
        return self._rows.active if self._rows else 0

    @property
    def waiting(self) -> int:
        """Those without a row that want one."""
        return self._rows.waiting if self._rows else 0

    @property
    def idle(self) -> bool:
        """True when nothing is being worked on and nothing waits; sessions that aren't fed don't count."""
        rests = self._rows is None or self._rows.idle
        return rests and not (self.texts or self._orders or self._whole.jobs)

    @property
    def room(self) -> int:
        """Texts that are taken now."""
        return self.limits.queue + self.limits.streams - self.texts

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
            if len(texts) > self.room + self.texts:
                raise UserError(f"{len(texts)} texts; at most {self.room + self.texts} are taken at once.")
            if len(texts) > self.room:
                self.counters.refused += 1
                raise Busy(self.patience)
            self.texts += len(texts)
            self._order(lambda: self._wanted(texts))

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
                    while orders:
                        orders.popleft()()
                    self._work()
                except Exception as error:  # one request's fault must not stop the others' server
                    self._failed(error)
                    self._orders.extendleft(reversed(orders))  # what came after the fault
                self._deliver()

    def _busy(self) -> bool:
        return bool(self._whole.jobs or (self._rows and self._rows.busy))

    def _work(self) -> None:
        begun, rows = time.perf_counter(), self._rows
        if rows is not None:
            rows.admit()
            seats, predictions = rows.move()
            if predictions is not None:
                self._write(*_those(Writing, seats, predictions))
                self._say(*_those(Session, seats, predictions))
                self.counters.step(time.perf_counter() - begun, len(seats))
            rows.fit()
        if self._whole.jobs:
            self._answer()

    def _write(self, texts: list[Writing], predictions: Tensor) -> None:
        """The next token of each text."""
        for seat, token, log in draw(texts, predictions):
            if token is None:
                self._tell(seat, Piece("", seat.tokens, error="the model's prediction is not a number"))
                self._leave(seat)
                continue
            piece = seat.wrote(token, log)
            if piece is not None:
                self._tell(seat, piece)
            if seat.reason is not None:
                self._leave(seat)
        self.counters.tokens += len(texts)

    def _say(self, sessions: list[Session], predictions: Tensor) -> None:
        """The answers of sessions after the step that each has read."""
        if not sessions:
            return
        task = self.model.task
        said = task.settled(predictions.double().cpu()).numpy()
        for seat, row, answer in zip(sessions, said, task.shown(said), strict=True):
            if isinstance(task, Answering):
                answer, seat.memo = task.continued(answer, row, seat.memo)
            seat.steps += 1
            self._tell(seat, {"step": seat.steps, "answer": answer})
        self.counters.steps += len(sessions)

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

    def _wanted(self, seats: Sequence[Seat]) -> None:
        assert self._rows is not None
        self._rows.line.extend(seats)

    def _feed(self, session: Session, steps: Sequence[Any]) -> None:
        if session.gone:  # the model failed while nobody listened
            self._told.append((session.tell, Piece("", 0, error="the model failed")))
            return
        queued = session.waits and session.row is None
        session.pending.extend(steps)
        if session.row is None and not queued:
            self._wanted([session])

    def _forget(self, session: Session) -> None:
        assert self._rows is not None
        session.fresh, session.alone, session.used, session.recent = True, None, 0, []
        session.pending.clear()
        session.fill, session.steps, session.memo = [], 0, None
        if session in self._rows.filling:
            self._rows.filling.remove(session)
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
        if self._rows is not None:
            self._rows.leave(seat)

    def _tell(self, seat: Seat, what: Any) -> None:
        if not seat.gone:
            self._told.append((seat.tell, what))

    def _deliver(self) -> None:
        """One wake-up of the event loop for all that a step has brought."""
        told, self._told = self._told, []
        if told and self.loop is not None and not self.loop.is_closed():
            said = threading.Event()
            self.loop.call_soon_threadsafe(self._tell_all, told, said)
            said.wait(LOCKSTEP)
        elif told and self.loop is None:
            for tell, what in told:
                tell(what)

    def _tell_all(self, told: list[tuple[Callable[[Any], None], Any]], said: threading.Event) -> None:
        """On the event loop. `said` is set after the turn in which the readers' tasks have passed it on."""
        assert self.loop is not None
        for tell, what in told:
            tell(what)
        self.loop.call_soon(said.set)

    def _failed(self, error: Exception) -> None:
        """Tells everyone who is being served, and begins anew with empty rows."""
        traceback.print_exception(error, file=sys.stderr)
        self.counters.failures += 1
        held = [] if self._rows is None else [*self._rows.seats, *self._rows.line]
        gone = [seat for seat in held if seat is not None]
        jobs, told = list(self._whole.jobs), self._told
        self._reset()
        self._told = [*told, *((job.tell, None) for job in jobs)]
        with self._word:  # what waits as an order still counts
            self.records -= sum(len(job.inputs) for job in jobs)
            self.texts -= sum(isinstance(seat, Writing) and not seat.over for seat in gone)
        for seat in gone:
            self._tell(seat, Piece("", 0, error="the model failed"))
            seat.gone, seat.row = True, None
            if isinstance(seat, Writing):
                seat.over = True


def _those(kind: type[S], seats: Sequence[Seat], predictions: Tensor) -> tuple[list[S], Tensor]:
    """The seats of one kind and their rows of the predictions."""
    rows = [at for at, seat in enumerate(seats) if isinstance(seat, kind)]
    own = [seat for seat in seats if isinstance(seat, kind)]
    return own, predictions if len(own) == len(seats) else predictions[torch.tensor(rows, dtype=torch.long)]
