"""The models of one server: their engines, what is said of them, and what is counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unrolled.errors import nearest
from unrolled.serving.engine import Engine
from unrolled.serving.faults import Refused
from unrolled.serving.holding import PARSED, Holding
from unrolled.serving.limits import Limits
from unrolled.serving.metrics import exposition
from unrolled.serving.schemas import ModelCard
from unrolled.serving.sessions import Sessions

if TYPE_CHECKING:
    from unrolled.model import Model


class Served:
    """Models by their names. `begin` starts the engines on the running event loop, `drain` and `end` stop them."""

    def __init__(self, models: Mapping[str, Model], limits: Limits) -> None:
        self.limits, self.created = limits, int(time.time())
        self.engines = {name: Engine(model, limits) for name, model in models.items()}
        self.sessions = Sessions(self.engines, limits)
        self.holding = Holding(max(limits.held, limits.body * PARSED))
        self.requests: Counter[tuple[str, int]] = Counter()
        self.draining = False
        self._sweeping: asyncio.Task[None] | None = None

    def engine(self, name: str, kinds: tuple[str, ...] | None = None) -> Engine:
        """The engine of a model. Raises Refused for an unknown name, and for a task that isn't one of `kinds`."""
        if name not in self.engines:
            guess = nearest(name[:200], self.engines)
            hint = f" Did you mean {guess!r}?" if guess else ""
            raise Refused(
                404,
                f"no model is called {name[:80]!r}.{hint} See /v1/models.",
                "model",
                "model_not_found",
            )
        engine = self.engines[name]
        kind = engine.model.task.kind
        if kinds is not None and kind not in kinds:
            raise Refused(
                422,
                f"{name} is a model for {kind}; this route is for {', '.join(kinds)}",
                "model",
                "wrong_task",
            )
        if self.draining:
            raise Refused(503, "the server is stopping. Try another, or later.", code="draining")
        return engine

    def cards(self) -> list[ModelCard]:
        """What is said of each."""
        return [
            ModelCard(
                id=name,
                created=self.created,
                task=engine.model.task.kind,
                inputs=list(getattr(engine.model.task, "inputs", ("text",))),
                streams=engine.streams,
                parameters=engine.model.parameter_count(),
            )
            for name, engine in self.engines.items()
        ]

    def begin(self) -> None:
        """Starts the engines; what they tell arrives on the loop that runs now."""
        for engine in self.engines.values():
            engine.loop = asyncio.get_running_loop()
            engine.start()
        self._sweeping = asyncio.create_task(self.sessions.sweep())

    def refuse(self) -> None:
        """From now on nothing new is taken."""
        self.draining = True
        for engine in self.engines.values():
            engine.draining = True

    async def drain(self) -> bool:
        """Waits until what runs has ended, for `drain` seconds at most -> whether it has."""
        self.refuse()
        until = time.monotonic() + self.limits.drain
        while not all(engine.idle for engine in self.engines.values()):
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.02)
        return True

    async def end(self) -> None:
        """Stops the engines."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for engine in self.engines.values():
            await asyncio.to_thread(engine.close)

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return not self.draining and all(engine.alive for engine in self.engines.values())

    def metrics(self) -> str:
        """All that is counted, as Prometheus reads it."""
        found: dict[str, tuple[Any, dict[str, int]]] = {}
        for name, engine in self.engines.items():
            gauges = {
                "rows": engine.active, "waiting": engine.waiting, "records_waiting": engine.records,
                "sessions": self.sessions.count(name),
            }  # fmt: skip
            found[name] = (engine.counters, gauges)
        return exposition(found, self.requests)
