"""What other weights are worth in labels: quality against the number of labelled rows, for each thing to start from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.comparison.board import Board
from unrolled.comparison.statistics import student
from unrolled.datasets import samples as shipped
from unrolled.errors import UserError
from unrolled.report import Code, LineChart, Section, Series, Table, page, svg, write
from unrolled.training.base import base_of
from unrolled.training.budget import pretty_seconds
from unrolled.training.corpus import name_of
from unrolled.training.folder import make, make_at, write_json
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.run import Run
from unrolled.training.train import train

SCRATCH = "scratch"
ALL = "all"


@dataclass(frozen=True)
class Point:
    """One start with so many labels: the mean test score over seeds and its 95 % interval, and who made it."""

    start: str
    samples: int
    value: float
    low: float
    high: float
    seconds: float  # of optimizer steps, the mean
    runs: tuple[str, ...]


@dataclass(frozen=True)
class LabelCurve:
    """Quality against labels. `path`: its folder, with report.html, labels.svg and the runs."""

    path: Path
    data: str
    unit: str
    better: str
    points: tuple[Point, ...]
    baseline: dict[str, Any]  # the strongest simple rival, with as many labels as anybody had

    @property
    def most(self) -> int:
        """The largest number of labels."""
        return max(point.samples for point in self.points)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"path": str(self.path)}

    def table(self) -> str:
        """A line a start and number of labels."""
        wide = max(len(point.start) for point in self.points) + 2
        lines = [f"{'start':<{wide}}{'labels':>8}  {self.unit} (95 % interval)"]
        lines += [
            f"{p.start:<{wide}}{p.samples:>8}  {p.value:.4f} ({p.low:.4f} to {p.high:.4f})  {pretty_seconds(p.seconds)}"
            for p in self.points
        ]
        return "\n".join(
            [*lines, f"beside    {self.baseline['name']}, {self.most} labels: {self.baseline['value']:.4f}"]
        )


def label_curve(
    starts: Sequence[str], samples: Sequence[str], seeds: int, board: Board, out: str | None, **keys: Any
) -> LabelCurve:
    """Trains each of `starts` (runs, pretrained names, or "scratch", which is `train`'s own model) on each of `samples`
    rows (numbers or "all"), `seeds` times; keys as in `Recipe`. Raises UserError for what can't be.
    """
    counts = list(dict.fromkeys(_count(each) for each in samples))
    runs = Path(keys.pop("runs", "runs"))
    data, starts = str(keys["data"]), list(dict.fromkeys(starts))
    if len({Path(start).name for start in starts}) < len(starts):
        raise UserError(
            f"from={','.join(starts)}: two of them have one name. Give one of the folders another."
        )
    for start in starts:  # before anything is made
        asked = Recipe.of(**_recipe(start, None, keys, runs, 0))
        if asked.from_ is not None:
            base_of(asked.from_, asked.runs)
    stem = f"labels-{name_of(data, shipped.resolve(data))}"
    path = make_at(Path(out)) if out else make(runs, stem)
    points = []
    for start in starts:
        for count in counts:
            done = [
                _trained(start, count, keys | {"seed": keys.get("seed", 0) + seed}, runs, path)
                for seed in range(seeds)
            ]
            points.append(_point(start, done))
            board.say(f"{start:<20} {points[-1].samples:>6} labels: {points[-1].value:.4f}, {done[0].unit}")
    most = max(points, key=lambda point: point.samples)
    last = Run.at(path / most.runs[0])
    baseline = dict(last.baseline or {})
    curve = LabelCurve(path, data, last.unit, last.better, tuple(points), baseline)
    write_json(path / "labels.json", {k: v for k, v in curve.to_dict().items() if k != "path"})
    told = {"data": data, "from": ",".join(starts), "samples": ",".join(samples), "seeds": seeds}
    _report(curve, shlex.join(["unrolled", "compare", *(f"{k}={v}" for k, v in (told | keys).items())]))
    return curve


def _count(told: str) -> int | None:
    """A number of rows; None for all."""
    if told == ALL:
        return None
    if not str(told).isdigit() or int(told) < 1:
        raise UserError(f"samples={told}: expected whole numbers or all, as in samples=50,200,all.")
    return int(told)


def _recipe(start: str, count: int | None, keys: dict[str, Any], runs: Path, seed: int) -> dict[str, Any]:
    given = {key: value for key, value in keys.items() if value is not None}
    if start != SCRATCH:
        there = runs / start
        given["from_"] = str(there) if (there / "result.json").is_file() else start
    return given | {"samples": count, "seed": seed, "runs": str(runs)}


def _trained(start: str, count: int | None, keys: dict[str, Any], runs: Path, path: Path) -> Run:
    """One run in the curve's folder."""
    recipe = Recipe.of(**_recipe(start, count, keys, runs, keys["seed"]))
    name = f"{Path(start).name}-{count or ALL}-{keys['seed']}"
    run = train(recipe=Recipe(**{**vars(recipe), "out": str(path / name)}), talk=Talk(quiet=True))
    assert run is not None and run.test is not None
    return run


def _point(start: str, done: Sequence[Run]) -> Point:
    """The mean over seeds. Its interval: the seeds' t-interval and the mean of the rows' own, added in quadrature."""
    tests = [run.test or {} for run in done]
    values = np.array([test["value"] for test in tests])
    rows = float(np.mean([(test["interval"][1] - test["interval"][0]) / 2 for test in tests]))
    seeds = len(values)
    chance = student(seeds - 1) * float(values.std(ddof=1)) / sqrt(seeds) if seeds > 1 else 0.0
    half = float(np.hypot(rows, chance))
    value = float(values.mean())
    used = int(_labels(done[0]))
    seconds = float(np.mean([run.seconds for run in done]))
    return Point(start, used, value, value - half, value + half, seconds, tuple(run.name for run in done))


def _labels(run: Run) -> int:
    """Training rows that a run used."""
    return int(json.loads((run.path / "data.json").read_bytes())["parts"]["train"])


def _report(curve: LabelCurve, command: str) -> None:
    starts = list(dict.fromkeys(point.start for point in curve.points))
    series = []
    for start in starts:
        mine = sorted((p for p in curve.points if p.start == start), key=lambda p: p.samples)
        series.append(
            Series(
                start, [float(p.samples) for p in mine], [p.value for p in mine], [p.low for p in mine],
                [p.high for p in mine],
            )
        )  # fmt: skip
    figure = LineChart(
        series, y_label=f"{curve.unit} on the test rows ({curve.better} is better)", x_label="labelled rows to train on",
        title="Quality by the number of labels",
        caption="The same validation and test rows everywhere; bands are 95 % intervals over rows and seeds.",
    )  # fmt: skip
    rows: list[list[str | float | None]] = [
        [p.start, p.samples, f"{p.value:.4f}", f"{p.low:.4f} to {p.high:.4f}", pretty_seconds(p.seconds)]
        for p in curve.points
    ]
    table = Table(
        ["start", "labels", curve.unit, "95 % interval", "training"], rows,
        f"{curve.baseline['name']} with {curve.most} labels: {curve.baseline['value']:.4f}.", title="Every point",
    )  # fmt: skip
    body: list[Section] = [figure, table]
    body.append(Code(command, title="Repeat it"))
    write(curve.path / "labels.svg", svg(figure))
    lead = (
        f"What it is worth on {curve.data} to start from other weights, by how many labelled rows there are."
    )
    write(curve.path / "report.html", page(f"Unrolled · labels · {curve.data}", lead, body))
