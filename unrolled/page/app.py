"""The application: the page's files, and behind the token what it asks for as JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from unrolled import __version__
from unrolled.page import about, files
from unrolled.page.beside import beside, within
from unrolled.page.curves import COLUMNS, Curve, Curves, smoothed, thinned
from unrolled.page.glass import Asked, Glass
from unrolled.page.index import Index, row
from unrolled.page.life import Resumed, Stops
from unrolled.page.looks import Looks
from unrolled.serving import faults
from unrolled.serving.gate import Gate
from unrolled.serving.limits import Limits

BODY = 2_000_000  # bytes of a request
DIGITS = 7  # of a curve's numbers
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


class Studio:
    """What the routes share."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.index, self.curves, self.resumed = Index(folder), Curves(), Resumed()
        self.glass, self.looks, self.stops = Glass(device), Looks(), Stops()


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
        return {
            "folder": studio.index.folder.resolve().name,
            "version": __version__,
            "runs": studio.index.rows(),
        }

    @app.post("/api/compare", response_model=None)
    def compare(body: Several) -> dict[str, Any]:
        """Some of them side by side."""
        names = list(dict.fromkeys(body.runs))
        within(len(names))
        runs = [run for run, _ in studio.index.some(names)]
        found = beside(runs)
        for run, told in zip(runs, found["runs"], strict=True):
            curve = studio.curves.of(run.path)
            told["curves"] = {name: _drawn(curve, name, "step", 400, 1) for name in ("valid", "loss")}
            told["seconds_curve"] = _drawn(curve, "valid", "seconds", 400, 1)
        return found


def _one(app: FastAPI, studio: Studio) -> None:
    """One run: its settings, its curves, its samples; stop and resume."""

    @app.get("/api/run", response_model=None)
    def run(run: Name) -> dict[str, Any]:
        """What its folder tells."""
        found, task = studio.index.some([run])[0]
        return row(found, task) | about.about(found) | {"looks": studio.looks.known(found)}

    @app.get("/api/live", response_model=None)
    def live(
        run: Name,
        x: Literal["step", "seconds"] = "step",
        width: Annotated[int, Query(ge=10, le=4000)] = 800,
        window: Annotated[int, Query(ge=1, le=100_001)] = 1,
        low: float | None = None,
        high: float | None = None,
    ) -> dict[str, Any]:
        """Its curves as far as it came, with as many points as the screen shows."""
        found = studio.index.find(run)
        curve = studio.curves.of(found.path)
        draw = partial(_drawn, curve, x=x, window=window, low=low, high=high)
        small = max(100, width // 3)  # loss and validation have the whole width
        curves = {name: draw(name, width=width if name in ("loss", "valid") else small) for name in COLUMNS}
        return {
            "row": row(found, ""), "curves": curves,
            "speed": _speed(curve, x, small),
            "events": curve.events[-200:], "points": curve.count(), "failed": studio.resumed.failed(run),
        }  # fmt: skip

    @app.get("/api/samples", response_model=None)
    def samples(run: Name) -> dict[str, Any]:
        """What it wrote along the way."""
        return {"samples": about.written(studio.index.find(run))}

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


def _drawn(
    curve: Curve,
    name: str,
    x: str,
    width: int,
    window: int,
    low: float | None = None,
    high: float | None = None,
) -> dict[str, Any]:
    points = curve.points(name)
    column = 0 if x == "step" else 1
    xs, ys = thinned(points[:, column], smoothed(points[:, 2], window), width, low, high)
    return {"x": _plain(xs), "y": _plain(ys)}


def _speed(curve: Curve, x: str, width: int) -> dict[str, Any]:
    """Steps a second between the lines of the log."""
    points = curve.points("loss")
    if len(points) < 3:
        return {"x": [], "y": []}
    with_time = points[points[:, 1] == points[:, 1]]
    steps, seconds = (with_time[1:, i] - with_time[:-1, i] for i in (0, 1))
    forward = (seconds > 0) & (steps > 0)
    xs, ys = thinned(
        with_time[1:, 0 if x == "step" else 1][forward], steps[forward] / seconds[forward], width
    )
    return {"x": _plain(xs), "y": _plain(ys)}


def _plain(values: Any) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]


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
