"""What sits in a row: a text that is being written, or a session that is fed. Each owns what it has yet to read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unrolled.datasets.spelling import BOUNDARY
from unrolled.running.generate import Pieces
from unrolled.running.sampling import Draw, noise_of
from unrolled.running.stream import LONGEST
from unrolled.state import State

Tell = Callable[[Any], None]  # called on the event loop
Log = tuple[int, float, list[tuple[int, float]]]  # a token, its log-probability, the likeliest with theirs


class Seat:
    """`pending`: steps to read, one a tick. `fill`: steps to read alone before that. `alone`: its state while it has no
    row, or isn't in it yet. `recent`: of a model with a context, the steps that its state holds.
    """

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.pending: deque[Any] = deque()
        self.fill: list[Any] = []
        self.alone: State = None
        self.row: int | None = None
        self.ready = False  # its state stands in its row, or it begins there
        self.fresh = True  # nothing was read yet: the row forgets at the first step
        self.used = 0
        self.recent: list[Any] = []
        self.gone = False
        self.last = 0  # the tick it was last used in

    @property
    def waits(self) -> bool:
        """True when it has something to read."""
        return bool(self.pending or self.fill)


def window(steps: Sequence[Any], context: int | None) -> list[Any]:
    """Those of a prompt's steps that a stream of this context holds once it has read them: see `Stream`."""
    if context is None:
        return list(steps)
    held: list[Any] = []
    for at in range(0, len(steps), LONGEST):
        held += steps[at : at + LONGEST]
        if len(held) > context:
            held = held[-max(1, context // 2) :]
    return held


@dataclass(slots=True)
class Piece:
    """What one tick adds to a text. `reason`: "stop" or "length" with the last one, else None."""

    text: str
    tokens: int
    reason: str | None = None
    logs: Sequence[Log] = ()
    error: str = ""


class Writing(Seat):
    """One continuation: the tokens are those that `un.generate(prompt, seed=seed)` draws as its sample `number`.

    stops: texts that end it; they aren't part of it. whole: told once, when it is done. logs: how many likely tokens
    are told with each token; None: none, and no likelihood.
    """

    def __init__(
        self, tell: Tell, codec: Any, prompt: Sequence[int], *, draw: Draw, length: int, number: int = 0,
        stops: Sequence[str] = (), whole: bool = True, logs: int | None = None, context: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(tell)
        self.draw, self.length, self.stops, self.whole, self.logs = draw, length, stops, whole, logs
        self.key = (draw.temperature, draw.top_k, draw.top_p)
        self.tokens = 0
        self.over, self.asked = False, time.monotonic()
        self.fill = window([BOUNDARY, *prompt], context)
        self._codec = codec
        self._uniform = noise_of(draw.seed, number)
        self._pieces = Pieces(codec)
        self._held = ""  # text that isn't told yet
        self._ids: list[int] = []
        self._logs: list[Log] = []
        self.reason: str | None = None

    def uniform(self) -> float:
        """The number that the next token is drawn by."""
        return next(self._uniform)

    def wrote(self, token: int, log: Log | None = None) -> Piece | None:
        """Takes a token that was drawn; says what it adds, if there is anything to tell now."""
        if token == BOUNDARY:
            self.reason = "stop"
            return self._done()
        self.tokens += 1
        if log is not None:
            self._logs.append(log)
        if self.whole and not self.stops:
            self._ids.append(token)
        else:
            before = len(self._held)
            self._held += self._pieces.push(token)
            if self.stops and self._stopped(before):
                return self._done()
        if self.tokens >= self.length:
            self.reason = "length"
            return self._done()
        self.pending.append(token)
        return None if self.whole else self._part()

    def _stopped(self, before: int) -> bool:
        """True when a stop stands in what is held back, whose last piece begins at `before`."""
        places = (self._held.find(stop, max(0, before - len(stop))) for stop in self.stops)
        found = [at for at in places if at >= 0]
        if found:
            self._held, self.reason = self._held[: min(found)], "stop"
            self._pieces.flush()
        return bool(found)

    def _part(self) -> Piece | None:
        """What can be told: not what might become the beginning of a stop."""
        text, self._held = self._held, ""
        if self.stops and (back := max(_begun(text, stop) for stop in self.stops)):
            text, self._held = text[:-back], text[-back:]
        if not text and not self._logs:
            return None
        logs, self._logs = self._logs, []
        return Piece(text, self.tokens, logs=logs)

    def _done(self) -> Piece:
        if self.whole and not self.stops:
            text = self._codec.decode(self._ids)
        else:
            text = self._held + self._pieces.flush()
        logs, self._logs = self._logs, []
        return Piece(text, self.tokens, self.reason, logs)


def _begun(text: str, stop: str) -> int:
    """Characters at the end of `text` with which `stop` begins."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


class Session(Seat):
    """A stream that a client feeds: after every step pushed it is told the answer. `memo`: what the task remembers of the
    answers before, see `Answering.continued`.
    """

    def __init__(self, tell: Tell) -> None:
        super().__init__(tell)
        self.steps = 0
        self.memo: Any = None
