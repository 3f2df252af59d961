"""`forecast`: what a run foretells after the end of series, with quantiles, as CSV or as a fan chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from unrolled import durable
from unrolled.datasets import samples
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import raw_rows
from unrolled.datasets.series_table import SeriesSet, read_series
from unrolled.datasets.series_windows import Packed, Windows
from unrolled.errors import UserError, nearest, unknown
from unrolled.report import LineChart, Series
from unrolled.report import svg as drawn_as_svg
from unrolled.tasks import Forecast
from unrolled.tasks.backtest import RECENT, settled_now
from unrolled.tasks.forecast import Foretold
from unrolled.tasks.measures.forecasts import Tally
from unrolled.tasks.scored import Scored
from unrolled.training.answer_file import SHOWN, as_text
from unrolled.training.device import choose_device
from unrolled.training.forecasting import naive_scales
from unrolled.training.progress import aloud
from unrolled.training.run import Run

if TYPE_CHECKING:
    from unrolled.model import Model

AT_ONCE = 256  # series
SHOWN_PASTS = 2  # look-backs, or horizons, of the past in a picture
LEAST = 20  # windows that came true, from which the quantiles are set right anew


@dataclass(frozen=True)
class Forecasts:
    """`rows`: one for each series and step ahead: its name where there are several, its time, the forecast, and every
    quantile under its level. `notes`: what was repaired in the data.
    """

    rows: list[dict[str, Any]]
    form: str = "csv"
    written: str | None = None  # the file, where one was asked for
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The rows in the form that was asked for."""
        return as_text(self.rows, self.form)

    def csv(self) -> str:
        """The rows as CSV."""
        return as_text(self.rows, "csv")

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"rows": self.rows, "written": self.written, "notes": self.notes, "files": self.files}


def forecast(
    run: Run | Model | str = "@last",
    data: str | Sequence[Mapping[str, Any]] = "",
    *,
    horizon: int | None = None,
    out: str | None = None,
    to: Literal["csv", "jsonl"] | None = None,
    svg: str | None = None,  # noqa: A002 - the key's name
    runs: str = "runs",
    device: str = "auto",
) -> Forecasts:
    """What comes after the end of each series in `data` (a file with the columns that the run was trained on, or rows;
    "": the run's own data). horizon: steps ahead, as many as the run was trained for unless given; out: a file to
    write, .csv or .jsonl; svg: a picture of the first series.

    Raises UserError for a run of another task, more steps ahead than it was trained for, and what `read_series` refuses.
    """
    run = Run.open(run, runs) if isinstance(run, str) else run
    name = run.name if isinstance(run, Run) else "this model"
    model = run.model(str(choose_device(device, aloud))) if isinstance(run, Run) else run
    task = model.task
    if not isinstance(task, Forecast):
        kind = getattr(task, "kind", "no task")
        raise UserError(
            f"{name} was trained for {kind}, not for a forecast: use unrolled "
            f"{'generate' if kind == 'generate' else 'predict'}."
        )
    steps = _steps(task, horizon, name)
    form = _form(out, to, svg)
    if not data and not isinstance(run, Run):
        raise UserError("say which series: data=FILE, with the columns of the training data.")
    own = run.recipe.data if isinstance(run, Run) else ""
    found = series_for(task, data or own)
    packed = task.packed(found)
    model = copy(model)
    model.task = _settled(model, packed, steps)
    rows, drawn = list[dict[str, Any]](), None
    for begin in range(0, len(found.series), AT_ONCE):
        series = np.arange(begin, min(begin + AT_ONCE, len(found.series)))
        said = model.task.foretell(model, packed, series, packed.lengths[series] - 1)
        drawn = drawn or said
        for at, number in enumerate(series):
            rows += _rows(
                model.task, found, int(number), said.point[at, :, :steps], said.quantiles[at, :, :steps]
            )
    notes = list(found.notes)
    files = _picture(svg, found, task, drawn, steps)
    made = Forecasts(rows, form, out, notes, files)
    if out:
        durable.replace(Path(out), made.text().encode())
    return made


def _form(out: str | None, to: str | None, svg: str | None) -> str:
    form = to or (Path(out).suffix.lstrip(".") if out else "csv")
    if form not in SHOWN:
        raise unknown("form (to=)", form, SHOWN)
    for key, file in (("out", out), ("svg", svg)):
        if file and not Path(file).absolute().parent.is_dir():
            raise UserError(f"{key}={file}: there is no folder {Path(file).parent}. Make it first.")
    if svg and not svg.endswith(".svg"):
        raise UserError(f"svg={svg}: the fan chart is written as .svg.")
    return form


def _steps(task: Forecast, horizon: int | None, name: str) -> int:
    if horizon is None:
        return task.horizon
    if not 1 <= horizon <= task.horizon:
        raise UserError(
            f"horizon={horizon}: {name} was trained to foretell {task.horizon} steps ahead. Give at most "
            "that, or train a run with "
            f"horizon={max(horizon, 1)}."
        )
    return horizon


def series_for(task: Forecast, data: str | Sequence[Mapping[str, Any]]) -> SeriesSet:
    """The series of new data as the task reads them. Raises UserError for a column that isn't there."""
    if isinstance(data, str):
        path = samples.resolve(data)
        rows: Any = raw_rows(path)
        first: Record = next(iter(raw_rows(path)))
    else:
        rows = [{"origin": f"row:{number}", **row} for number, row in enumerate(data, 1)]
        if not rows:
            raise UserError("no row to forecast from. Expected the past of a series.")
        first, data = rows[0], "the rows"
    columns = task.columns
    for column in filter(None, (columns.time, columns.id, *columns.read)):
        if column not in first:
            there = [name for name in first if name not in ("origin", "notes")]
            near = nearest(column, there)
            hint = f" Is {near!r} meant? Rename it." if near else ""
            raise UserError(
                f"{data}: this run reads the column {column!r}; there is {', '.join(there)}.{hint}"
            )
    return read_series(rows, columns, task.frequency, data)


def scored_anew(model: Model, data: str) -> Scored:
    """The score on every window of other data, whose own naive errors are the measure."""
    task: Forecast = model.task
    found = series_for(task, data)
    packed = task.packed(found)
    tally = Tally(task.levels, task.horizon)
    mase, rmsse = naive_scales(packed, task.framing.foretold, task.framing.season)
    deviation = packed.scales.deviation[:, : task.framing.foretold]
    for series, origin, truth, said in task.each(
        model, Windows(packed, task.framing.lookback, task.horizon, "train")
    ):
        scales = mase[series], rmsse[series], deviation[series]
        tally.add(truth, said.point, said.quantiles, scales, (series, packed.first[series] + origin))
    report = tally.report()
    return Scored(report, report.values["crps"])


def _settled(model: Model, packed: Packed, steps: int) -> Forecast:
    """The task with its quantiles set right on what came true since training."""
    task: Forecast = model.task
    if task.learnt is None:
        return task
    windows = Windows(packed, task.framing.lookback, task.horizon, "train").latest(RECENT, task.learnt)
    now = int((packed.first + packed.lengths).max()) - 1
    return settled_now(model, windows, now) if len(windows) >= LEAST else task


def _rows(task: Forecast, found: SeriesSet, at: int, point: Any, quantiles: Any) -> list[dict[str, Any]]:
    """The rows of one series: point (K, H), quantiles (K, H, Q)."""
    series, columns = found.series[at], task.columns
    time = columns.time or "step"
    rows = []
    for k in range(len(point)):
        several = len(columns.targets) > 1 and columns.together
        name = "/".join(filter(None, (series.name, columns.targets[k] if several else "")))
        for ahead in range(point.shape[1]):
            row: dict[str, Any] = {"series": name} if name else {}
            row[time] = found.frequency.stamp(series.first + len(series) + ahead)
            row["forecast"] = _plain(point[k, ahead])
            rows.append(
                row | {f"{level:g}": _plain(quantiles[k, ahead, q]) for q, level in enumerate(task.levels)}
            )
    return rows


def _plain(value: float) -> float:
    return float(f"{value:.7g}")


def _picture(
    path: str | None, found: SeriesSet, task: Forecast, said: Foretold | None, steps: int
) -> list[str]:
    if path is None or said is None:
        return []
    durable.replace(Path(path), drawn_as_svg(_fan_of(found, task, said, steps)).encode())
    return [path]


def _fan_of(found: SeriesSet, task: Forecast, said: Foretold, steps: int) -> LineChart:
    one = found.series[0]
    begin = max(0, len(one) - SHOWN_PASTS * max(task.framing.lookback, steps))
    past = (begin, one.values[begin:, 0])
    title = f"What comes next{': ' + one.name if one.name else ''}"
    return fan(past, said.point[0, 0, :steps], said.quantiles[0, 0, :steps], task.levels, title)


def next_fan(run: Run) -> LineChart:
    """The past and the forecast of the first series of a run's own data. Raises UserError where it can't be read."""
    model = run.model()
    task: Forecast = model.task
    found = series_for(task, run.recipe.data)
    found = replace(found, series=found.series[:1])
    packed = task.packed(found)
    model.task = _settled(model, packed, task.horizon)
    said = model.task.foretell(model, packed, np.zeros(1, np.int64), packed.lengths[:1] - 1)
    return _fan_of(found, task, said, task.horizon)


def fan(
    past: tuple[int, Any], point: Any, quantiles: Any, levels: Sequence[float], title: str, truth: Any = None
) -> LineChart:
    """What was, what is foretold, and the bands between the outermost levels and the next ones inside. past: the
    number of its first step, and values; point (H,), quantiles (H, Q).
    """
    begin, values = past
    xs = [float(begin + at) for at in range(len(values) + len(point))]
    was, ahead = xs[: len(values)], xs[len(values) :]
    found = [Series("past", was, [float(v) if v == v else None for v in values])]
    for side in range(min(2, len(levels) // 2)):
        low, high = quantiles[:, side * 2], quantiles[:, len(levels) - 1 - side * 2]
        share = round(100 * (levels[len(levels) - 1 - side * 2] - levels[side * 2]))
        found.append(Series(f"{share} %", ahead, point.tolist(), low.tolist(), high.tolist()))
    if truth is not None:
        found.append(Series("came", ahead, [float(v) if v == v else None for v in truth]))
    return LineChart(
        found,
        "value",
        "step",
        title,
        "The bands hold the future as often as they say, if the past is a guide.",
    )
