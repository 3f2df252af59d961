"""The application: the page's files, and behind the token what it asks for as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from unrolled import __version__
from unrolled.page import files
from unrolled.page.answers import Axis, Studio
from unrolled.page.glass import Asked
from unrolled.serving import faults
from unrolled.serving.gate import Gate
from unrolled.serving.limits import Limits

BODY = 2_000_000  # bytes of a request
NAME = 300  # characters of a run's name

Name = Annotated[str, Query(max_length=NAME)]


class Named(BaseModel):
    """A request about one run."""

    model_config = ConfigDict(extra="forbid")
    run: str = Field(max_length=NAME)


class Resume(Named):
    """More training; `budget` as +5m."""

    budget: str | None = Field(None, max_length=40)


class Several(BaseModel):
    """A request about several."""

    model_config = ConfigDict(extra="forbid")
    runs: list[Annotated[str, Field(max_length=NAME)]] = Field(max_length=100)


class Look(Named):
    """A request for a diagnosis."""

    what: str = Field(max_length=60)


def application(studio: Studio) -> FastAPI:
    """All routes, without the gate."""
    app = FastAPI(
        title="Unrolled studio", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False, default_response_class=faults.Reply,
    )  # fmt: skip
    faults.install(app)
    for path in files.FILES:
        app.add_api_route(path, _file(path), methods=["GET"])
    _lists(app, studio)
    _one(app, studio)
    _inside(app, studio)
    return app


def _file(path: str) -> Callable[[], Any]:
    async def file() -> Response:
        return await files.file(path)

    return file


def _lists(app: FastAPI, studio: Studio) -> None:
    """All runs, and some side by side."""

    @app.get("/api/runs", response_model=None)
    def runs() -> dict[str, Any]:
        """What the list says of each."""
        return studio.runs()

    @app.post("/api/compare", response_model=None)
    def compare(body: Several) -> dict[str, Any]:
        """Some of them side by side."""
        return studio.compare(body.runs)


def _one(app: FastAPI, studio: Studio) -> None:
    """One run: its settings, its curves, its samples; stop and resume."""

    @app.get("/api/run", response_model=None)
    def run(run: Name) -> dict[str, Any]:
        """What its folder tells."""
        return studio.run(run)

    @app.get("/api/live", response_model=None)
    def live(
        run: Name,
        x: Axis = "step",
        width: Annotated[int, Query(ge=10, le=4000)] = 800,
        window: Annotated[int, Query(ge=1, le=100_001)] = 1,
        low: float | None = None,
        high: float | None = None,
    ) -> dict[str, Any]:
        """Its curves as far as it came, with as many points as the screen shows."""
        return studio.live(run, x, width, window, low, high)

    @app.get("/api/samples", response_model=None)
    def samples(run: Name) -> dict[str, Any]:
        """What it wrote along the way."""
        return studio.samples(run)

    @app.get("/api/tunes", response_model=None)
    def tunes(run: Name) -> dict[str, Any]:
        """The tunes among them."""
        return studio.tunes(run)

    @app.get("/api/data", response_model=None)
    def data(run: Name) -> dict[str, Any]:
        """The first rows of its data."""
        return studio.data(run)

    @app.post("/api/stop", response_model=None)
    def stop_it(body: Named) -> dict[str, Any]:
        """What Ctrl-C does."""
        return {"process": studio.stops.stop(studio.index.find(body.run).path, body.run)}

    @app.post("/api/resume", response_model=None)
    def resume(body: Resume) -> dict[str, Any]:
        """Lets it go on."""
        studio.resumed.resume(studio.index.find(body.run).path, body.run, body.budget)
        return {}


def _inside(app: FastAPI, studio: Studio) -> None:
    """What a model does with a sequence, and what a diagnosis says of it."""

    @app.get("/api/glass", response_model=None)
    def glass(run: Name) -> dict[str, Any]:
        """What the model reads, and its layers."""
        return studio.glass.open(studio.index.find(run))

    @app.get("/api/glass/samples", response_model=None)
    def picks(run: Name) -> dict[str, Any]:
        """Held-out sequences to pick from."""
        return {"samples": studio.glass.samples(studio.index.find(run))}

    @app.post("/api/glass/read", response_model=None)
    def read(body: Asked) -> dict[str, Any]:
        """A sequence read through the model while a probe listens."""
        return studio.glass.read(studio.index.find(body.run), body)

    @app.post("/api/glass/next", response_model=None)
    def following(body: Asked) -> dict[str, Any]:
        """What comes next, under temperature, top-k and top-p."""
        return studio.glass.next(studio.index.find(body.run), body)

    @app.post("/api/look", response_model=None)
    def look(body: Look) -> dict[str, Any]:
        """One diagnosis, as the blocks of a report."""
        return studio.looks.look(studio.index.find(body.run), body.what)


def guarded(studio: Studio, *, port: int, token: str, hosts: tuple[str, ...] = ()) -> files.Sealed:
    """The whole application as a server runs it. The page's own files need no token: they say nothing of any run."""
    gate = Gate(
        application(studio),
        port=port,
        hosts=hosts,
        token=token,
        limits=Limits(body=BODY),
        free=tuple(files.FILES),
        see=("hosts= of unrolled studio", "hosts= of unrolled studio"),
    )
    return files.Sealed(gate)
