"""What the page asks for, as plain data: the same for a server that is asked and for a file in which it is recorded."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

from unrolled import __version__
from unrolled.errors import UserError
from unrolled.page import about
from unrolled.page.beside import beside, within
from unrolled.page.curves import COLUMNS, Curve, Curves, smoothed, thinned
from unrolled.page.data import first_rows
from unrolled.page.glass import MOST, Glass
from unrolled.page.index import Index, row
from unrolled.page.life import Resumed, Stops
from unrolled.page.looks import Looks
from unrolled.page.tunes import tunes
from unrolled.training.run import Run

DIGITS = 7  # of a curve's numbers
ABREAST = 400  # points of each curve of a comparison

Axis = Literal["step", "seconds"]


class Studio:
    """The runs of a folder, and what is held of them between two questions. most: steps that the glass box shows."""

    def __init__(self, folder: Path, device: str = "cpu", most: int = MOST) -> None:
        self.index, self.curves, self.resumed = Index(folder), Curves(), Resumed()
        self.glass, self.looks, self.stops = Glass(device, most), Looks(), Stops()

    def runs(self) -> dict[str, Any]:
        """What the list says of each."""
        return {
            "folder": self.index.folder.resolve().name,
            "version": __version__,
            "runs": self.index.rows(),
        }

    def compare(self, names: list[str]) -> dict[str, Any]:
        """Some of them side by side. Raises UserError for fewer than 2 and for many."""
        names = list(dict.fromkeys(names))
        within(len(names))
        runs = [run for run, _ in self.index.some(names)]
        found = beside(runs)
        for run, told in zip(runs, found["runs"], strict=True):
            curve = self.curves.of(run.path)
            told["curves"] = {name: _drawn(curve, name, "step", ABREAST, 1) for name in ("valid", "loss")}
            told["seconds_curve"] = _drawn(curve, "valid", "seconds", ABREAST, 1)
        return found

    def run(self, name: str) -> dict[str, Any]:
        """What its folder tells."""
        found, task = self.index.some([name])[0]
        more = {"looks": self.looks.known(found), "tunes": writes_tunes(found, task)}
        return row(found, task) | about.about(found) | more

    def live(
        self,
        name: str,
        x: Axis = "step",
        width: int = 800,
        window: int = 1,
        low: float | None = None,
        high: float | None = None,
    ) -> dict[str, Any]:
        """Its curves as far as it came, with as many points as the screen shows."""
        found = self.index.find(name)
        curve = self.curves.of(found.path)
        draw = partial(_drawn, curve, x=x, window=window, low=low, high=high)
        small = max(100, width // 3)  # loss and validation have the whole width
        curves = {name: draw(name, width=width if name in ("loss", "valid") else small) for name in COLUMNS}
        return {
            "row": row(found, ""), "curves": curves,
            "speed": _speed(curve, x, small),
            "events": curve.events[-200:], "points": curve.count(), "failed": self.resumed.failed(name),
        }  # fmt: skip

    def samples(self, name: str) -> dict[str, Any]:
        """What it wrote along the way."""
        return {"samples": about.written(self.index.find(name))}

    def tunes(self, name: str) -> dict[str, Any]:
        """The tunes among them, as notes. Raises UserError for a run that writes none."""
        found, task = self.index.some([name])[0]
        if not writes_tunes(found, task):
            raise UserError(f"{name}: it writes no tunes.")
        return tunes(found)

    def data(self, name: str) -> dict[str, Any]:
        """The first rows of its data. Raises UserError where that is gone or no model has been saved yet."""
        found = self.index.find(name)
        return first_rows(found, self.glass.task(found))


def writes_tunes(run: Run, task: str) -> bool:
    """Whether its texts are music in ABC notation."""
    codec = about.facts(run).get("codec")
    return task == "generate" and isinstance(codec, dict) and codec.get("kind") == "abc"


def _drawn(
    curve: Curve,
    name: str,
    x: Axis,
    width: int,
    window: int,
    low: float | None = None,
    high: float | None = None,
) -> dict[str, Any]:
    points = curve.points(name)
    column = 0 if x == "step" else 1
    xs, ys = thinned(points[:, column], smoothed(points[:, 2], window), width, low, high)
    return {"x": _plain(xs), "y": _plain(ys)}


def _speed(curve: Curve, x: Axis, width: int) -> dict[str, Any]:
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
