"""The application: the routes, one of them for each task, behind one gate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from unrolled import __version__
from unrolled.serving import completions, faults
from unrolled.serving.completions import ENTERED
from unrolled.serving.engine import Busy
from unrolled.serving.faults import Fault, Refused, invalid
from unrolled.serving.gate import Gate
from unrolled.serving.holding import SHARE
from unrolled.serving.inbox import while_there
from unrolled.serving.openapi import describe
from unrolled.serving.raw import encoded_rows
from unrolled.serving.records import Records
from unrolled.serving.schemas import (
    Completion,
    CompletionBody,
    ModelCard,
    ModelList,
    MusicBody,
    PredictBody,
    Predicted,
    Tune,
)
from unrolled.serving.served import Served
from unrolled.serving.streams import stream
from unrolled.tasks import TASKS

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Fault, "description": "no JSON"},
    401: {"model": Fault, "description": "no valid token"},
    403: {"model": Fault, "description": "another origin"},
    404: {"model": Fault, "description": "no such model"},
    413: {"model": Fault, "description": "the body is too large"},
    421: {"model": Fault, "description": "another host name"},
    422: {"model": Fault, "description": "a field that doesn't fit, named in `param`"},
    429: {"model": Fault, "description": "too much waits; see Retry-After"},
    431: {"model": Fault, "description": "too many headers"},
    500: {"model": Fault, "description": "a fault of the server"},
    501: {"model": Fault, "description": "a package is missing on the server"},
    503: {"model": Fault, "description": "the server is stopping"},
    504: {"model": Fault, "description": "not done in time"},
}
WRITING = ("/v1/completions", "/v1/generate", "/v1/generate/music")
ASKING: dict[int | str, dict[str, Any]] = {status: REFUSALS[status] for status in (401, 403, 421, 431)}


def application(served: Served) -> FastAPI:
    """All routes, without the gate."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        served.begin()
        try:
            yield
        finally:
            await served.end()

    app = FastAPI(
        title="Unrolled", version=__version__, lifespan=life, docs_url=None, redoc_url=None,
        redirect_slashes=False, default_response_class=faults.Reply,
    )  # fmt: skip
    faults.install(app)
    _about(app, served)
    _texts(app, served)
    _rows(app, served)
    app.openapi = lambda: describe(app, served)  # type: ignore[method-assign]

    @app.websocket("/v1/stream")
    async def sessions(socket: WebSocket) -> None:
        await stream(socket, served)

    return app


def _about(app: FastAPI, served: Served) -> None:
    """Which models there are, and how the server is."""

    @app.get("/v1/models", response_model=ModelList, responses=ASKING)
    async def models() -> ModelList:
        """The served models."""
        return ModelList(data=served.cards())

    @app.get("/v1/models/{model}", response_model=ModelCard, responses={**ASKING, 404: REFUSALS[404]})
    async def one(model: str) -> ModelCard:
        """One of them."""
        found = next((card for card in served.cards() if card.id == model), None)
        if found is None:
            raise Refused(404, f"no model is called {model[:80]!r}", "model", "model_not_found")
        return found

    @app.get("/health", response_class=PlainTextResponse, responses=ASKING)
    async def health() -> str:
        """The process lives."""
        return "ok\n"

    @app.get(
        "/ready", response_class=PlainTextResponse, responses={**ASKING, 503: {"description": "stopping"}}
    )
    async def ready() -> Response:
        """It takes requests."""
        return PlainTextResponse("ready\n" if served.ready else "stopping\n", 200 if served.ready else 503)

    @app.get("/metrics", response_class=PlainTextResponse, responses=ASKING)
    async def metrics() -> Response:
        """What is counted, in Prometheus' format."""
        return PlainTextResponse(served.metrics(), media_type="text/plain; version=0.0.4")


def _texts(app: FastAPI, served: Served) -> None:
    """Routes of models that write."""

    async def completion(body: CompletionBody, request: Request) -> Any:
        """Texts that go on from the prompts, as OpenAI's completions; with `stream` as server-sent events."""
        return await completions.complete(body, request, served)

    events: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}
    app.post("/v1/completions", response_model=Completion, responses={**REFUSALS, **events})(completion)
    app.post("/v1/generate", response_model=Completion, responses={**REFUSALS, **events}, name="v1_generate")(
        completion
    )

    @app.post("/v1/generate/music", response_model=Tune, responses=REFUSALS)
    async def music(body: MusicBody, request: Request) -> Tune:
        """A tune in ABC notation, of a model trained on tunes."""
        return await completions.compose(body, request, served)


def _rows(app: FastAPI, served: Served) -> None:
    """/v1/predict, and a route for each task that answers rows."""
    answering = tuple(name for name, task in TASKS.items() if hasattr(task, "predict"))
    for path, kinds in [("predict", answering), *((name, (name,)) for name in answering)]:
        app.post(
            f"/v1/{path}", response_model=Predicted, responses=REFUSALS, name=f"v1_{path}",
            description=f"Answers to rows, of models for {', '.join(kinds)}: those of `unrolled predict`.",
        )(_answering(served, kinds))  # fmt: skip


def _answering(served: Served, kinds: tuple[str, ...]) -> Callable[..., Awaitable[Predicted]]:
    async def predict(body: PredictBody, request: Request) -> Predicted:
        engine = served.engine(body.model, kinds)
        task = engine.model.task
        take = request.scope[SHARE].take
        steps = await asyncio.to_thread(encoded_rows, task, _given(body, task), engine.limits, take)
        read = [at for at, one in enumerate(steps) if len(one)]
        said = await _said(request, served, body.model, [steps[at] for at in read])
        rows: list[dict[str, Any]] = [dict.fromkeys(task.targets, "") for _ in steps]
        for at, answer in zip(read, said, strict=True):
            rows[at] = answer
        return Predicted(model=body.model, task=task.kind, rows=rows)

    return predict


def _given(body: PredictBody, task: Any) -> list[dict[str, Any]]:
    """The rows that were sent, one way or the other."""
    if (body.rows is None) == ("input" not in body.model_fields_set):
        raise invalid("rows", "expected either rows, or input")
    if body.rows is not None:
        return body.rows
    if len(task.inputs) == 1:
        return [{task.inputs[0]: body.input}]
    if not isinstance(body.input, dict):
        raise invalid("input", f"expected an object with the columns {', '.join(task.inputs)}")
    return [body.input]


async def _said(request: Request, served: Served, model: str, inputs: list[Any]) -> list[Any]:
    """The engine's answers to encoded records. Raises Refused where it failed."""
    if not inputs:
        return []
    engine = served.engines[model]
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    records = Records(inputs, lambda said: None if done.done() else done.set_result(said))
    engine.answer(records)
    try:
        said = await while_there(request, lambda: asyncio.shield(done), served.limits.timeout)
    finally:
        if not done.done():
            engine.leave(records)
    if said is None:
        raise Refused(500, "the model failed", code="internal")
    found: list[Any] = said
    return found


class Early:
    """Answers 429 before a body is read, while no model takes texts: refusing must cost next to nothing. Of a crowd that
    comes at once only as many are let in as there is room for: those on their way to the engines count, for a second.
    """

    def __init__(self, app: FastAPI, served: Served) -> None:
        self.app, self.routes = app, app.routes
        self.writers = [e for e in served.engines.values() if e.model.task.kind == "generate"]
        self.entering: set[object] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in WRITING
        if not asks or not self.writers or any(engine.draining for engine in self.writers):
            return await self.app(scope, receive, send)
        if len(self.entering) >= sum(engine.room for engine in self.writers):
            for engine in self.writers:
                engine.counters.refused += 1
            reply = faults.reply(Busy(min(engine.patience for engine in self.writers)))
            return await reply(scope, receive, send)
        entry = object()
        scope[ENTERED] = lambda: self.entering.discard(entry)
        self.entering.add(entry)
        expires = asyncio.get_running_loop().call_later(1, scope[ENTERED])  # a slow body holds nobody else up
        try:
            await self.app(scope, receive, send)
        finally:
            expires.cancel()
            scope[ENTERED]()


class Counted:
    """Counts requests by route and status; outermost, so that refusals at the gate count too."""

    def __init__(self, app: Gate, served: Served) -> None:
        self.app, self.served = app, served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: Any) -> None:
            if message["type"] == "http.response.start":
                found = scope.get("route")  # of what matched no route the path may be anything
                self.served.requests[(getattr(found, "path", "other"), message["status"])] += 1
            await send(message)

        await self.app(scope, receive, counting)


def guarded(
    served: Served, *, port: int, hosts: tuple[str, ...] = (), origins: tuple[str, ...] = (), token: str | None = None
) -> Counted:  # fmt: skip
    """The whole application as a server runs it."""
    gate = Gate(
        Early(application(served), served),
        port=port,
        hosts=hosts,
        origins=origins,
        token=token,
        limits=served.limits,
        holding=served.holding,
    )
    return Counted(gate, served)
