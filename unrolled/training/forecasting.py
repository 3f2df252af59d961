"""Series as material: cut by time, framed as windows, scored on rolling origins beside rules without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unrolled.datasets.framing import framed, targets
from unrolled.datasets.rows import data_files, raw_rows
from unrolled.datasets.sampler import Batch
from unrolled.datasets.series_columns import SeriesColumns
from unrolled.datasets.series_table import SeriesSet, read_series
from unrolled.datasets.series_windows import PARTS, Packed, Windows, check_lengths, packed
from unrolled.datasets.stamps import Numbers, Whole
from unrolled.errors import UserError
from unrolled.model import forecasting
from unrolled.tasks.backtest import backtest
from unrolled.tasks.forecast import Forecast, SeriesScales
from unrolled.tasks.measures.forecasts import Tally, naive_scale
from unrolled.tasks.scored import Scored
from unrolled.tasks.simple.forecasts import LAGS, Drift, LagRegression, Naive, Spread
from unrolled.tasks.simple.motion import ConstantTurn, ConstantVelocity
from unrolled.tasks.units import Units
from unrolled.training.corpus import fingerprints, name_of
from unrolled.training.defaults import Chosen
from unrolled.training.framing import Decided, decide, framing_of, moving, patch_of
from unrolled.training.kinds import Reads
from unrolled.training.labelled import units_of, verdict
from unrolled.training.material import Rival
from unrolled.training.recipe import ModelChoice, Recipe

if TYPE_CHECKING:
    from unrolled.model import Model
    from unrolled.training.base import Base

VALIDATED = 2000  # validation windows scored along the way; of more, evenly chosen ones stand for all
CALIBRATED = 8000  # the same of those that set the quantiles right


class WindowFeed:
    """Training windows in an order of chance, each epoch another: a pure function of (seed, step)."""

    carried = False

    def __init__(self, windows: Windows, task: Forecast, batch: int, seed: int) -> None:
        self.windows, self.task, self.seed = windows, task, seed
        self.batch_size = min(batch, len(windows))
        self.notes = (
            [f"{len(windows)} training windows fill no batch of {batch}: training on {self.batch_size}"]
            if self.batch_size < batch
            else []
        )

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass."""
        return len(self.windows) // self.batch_size

    def batch(self, step: int) -> Batch:
        """The batch of a step counted from 0 over all epochs. y: as `framing.targets`."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = _order(self.seed, epoch, len(self.windows))
        series, origin = self.windows.where(order[within * self.batch_size : (within + 1) * self.batch_size])
        data, framing = self.windows.data, self.task.framing
        x = framed(data, framing, series, origin).x
        return Batch(torch.from_numpy(x), torch.from_numpy(targets(data, framing, series, origin)))


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, windows: int) -> Whole:
    return np.random.default_rng([seed, epoch]).permutation(windows)


class Forecasting:
    """Series ready for a model. `asked`: the recipe as it was given."""

    verb: str = "forecast"
    verb_keys: tuple[str, ...] = ()
    reads: Reads = "series"
    unit: str = "windows"
    few: bool = False

    def __init__(self, name: str, found: SeriesSet, asked: Recipe) -> None:
        self.name, self.found, self.asked = name, found, asked
        self.decided: Decided = decide(found, asked)
        self.data: Packed = packed(found, self.decided.shares, moving(found))
        check_lengths(found, self.data, self.decided.lookback, self.decided.horizon)
        self.notes = [*found.notes, *self.decided.notes]
        self.facts: dict[str, Any] = {}
        reasons = (*found.columns.why, *self.decided.why)
        self.chosen = [Chosen(key, value, reason) for key, value, reason in reasons]
        self._windows = {part: self._cut(part) for part in PARTS}
        for part, windows in self._windows.items():
            if not len(windows):
                raise UserError(
                    f"{name}: no window of lookback={self.decided.lookback} and "
                    f"horizon={self.decided.horizon} fits into the "
                    f"{part} part of {self._span(part)}. Give shorter ones, or other shares (split=)."
                )
        constant = [one.called for one, flat in zip(found.series, self._constant(), strict=True) if flat]
        if len(constant) == len(found.series):
            raise UserError(
                f"{found.series[0].origin}: {constant[0]} is constant in all its training steps: there is "
                "nothing to learn. Name "
                "other columns with target="
            )
        if constant:
            self.notes.append(
                f"{len(constant)} series are constant in training, the first is {constant[0]}: they teach nothing"
            )

    def _constant(self) -> list[bool]:
        data, k = self.data, self.found.foretold
        parts = (data.values[a : a + e, :k] for a, e in zip(data.offsets, data.ends[:, 0], strict=False))
        return [bool(len(part)) and bool((part == part[0]).all()) for part in parts]

    def _cut(self, part: str) -> Windows:
        stride = self.asked.stride if part == "test" else 1
        return Windows(self.data, self.decided.lookback, self.decided.horizon, part, stride)

    def _span(self, part: str) -> str:
        at = PARTS.index(part)
        ends = np.column_stack([np.zeros(len(self.data.first), np.int64), self.data.ends, self.data.lengths])
        return f"{int((ends[:, at + 1] - ends[:, at]).max())} steps"

    def examples(self, part: str) -> Windows:
        """The windows of `train`, `valid` or `test`."""
        return self._windows[part]

    @property
    def epoch(self) -> int:
        """Training windows."""
        return len(self._windows["train"])

    @property
    def rows(self) -> int:
        """Training windows."""
        return len(self._windows["train"])

    def amounts(self) -> str:
        many = len(self.found.series)
        cut = [
            self.found.frequency.stamp(int((self.data.first + self.data.ends[:, at]).max()) - 1)
            for at in (0, 1)
        ]
        until = (
            "whole series in each part"
            if moving(self.found)
            else f"training until {cut[0]}, validation until {cut[1]}"
        )
        train, valid, test = (len(self._windows[part]) for part in PARTS)
        return (
            f"{many} series, {self.found.steps:,} steps, {self.found.frequency.words}; {until}; windows of "
            f"{self.decided.lookback} -> "
            f"{self.decided.horizon}: {train:,} to learn from, {valid:,} for validation, {test:,} for the test"
        )

    def spec(self, choice: ModelChoice, base: Base | None = None) -> dict[str, Any]:
        if base is not None:
            raise UserError(f"from={base.source}: not built for task=forecast. Leave it out.")
        options = {k: v for k, v in asdict(choice).items() if k not in ("kind", "patch") and v is not None}
        if wrong := sorted({"pool", "attention", "reader", "tied", "embedding"} & {*options}):
            raise UserError(f"model.{wrong[0]} isn't for a forecast: leave it out.")
        task = self._task_for(choice)
        framing, patch = task.framing, patch_of(choice, self.decided, self.asked)
        return forecasting(
            choice.kind, task.head(), inputs=framing.inputs, lookback=framing.lookback, patch=patch, **options
        )

    def _task_for(self, choice: ModelChoice) -> Forecast:
        framing = framing_of(choice, self.decided, self.asked, self.found)
        return Forecast(
            framing=framing, columns=replace(self.found.columns, why=()), frequency=self.found.frequency,
            codec=SeriesScales.of(self.found, self.data), horizon=self.decided.horizon,
            distribution=self.decided.distribution, way=self.asked.way,
            learnt=None if moving(self.found) else int((self.data.first + self.data.ends[:, 0]).max()) - 1,
        )  # fmt: skip

    def usage(self) -> str:
        return 'print(un.forecast(model, "YOUR_FILE.csv").csv())'

    def begin(self, model: Model) -> None:
        """Nothing: the weights start as they were drawn."""

    def task(self, model: Model, recipe: Recipe) -> Forecast:
        return self._task_for(recipe.model)

    def feed(self, model: Model, recipe: Recipe) -> WindowFeed:
        assert recipe.batch
        return WindowFeed(self._windows["train"], model.task, recipe.batch, recipe.seed)

    def targets(self, batch: Batch) -> int:
        return len(batch.x)

    def feeding(self, model: Model) -> str:
        task: Forecast = model.task
        framing = task.framing
        calendar = f", {len(framing.calendar)} phases of the calendar" if framing.calendar else ""
        return (
            f"{framing.lookback} steps in, {task.horizon} out, {task.distribution}, scaled by "
            f"{framing.scale}, from {framing.base}"
            f"{calendar}"
        )

    def score(self, model: Model, part: str, context: int | None = None) -> Scored:
        task: Forecast = model.task
        tally = self._tally(task.levels)
        if part == "test":
            steps = backtest(model, self._windows["test"], self._windows["valid"])
        else:
            steps = task.each(model, self._windows[part], VALIDATED)
        for series, origin, truth, said in steps:
            tally.add(truth, said.point, said.quantiles, self._scales_of(series), self._where(series, origin))
        report = tally.report()
        lowered = "scaled_mse" if task.distribution == "point" else "crps"
        return Scored(report, report.values[lowered])

    def _tally(self, levels: Sequence[float]) -> Tally:
        return Tally(levels, self.decided.horizon)

    def _where(self, series: Whole, origin: Whole) -> tuple[Whole, Whole]:
        return series, self.data.first[series] + origin

    def _scales_of(self, series: Whole) -> tuple[Numbers, Numbers, Numbers]:
        mase, rmsse = self._naive_scales
        return mase[series], rmsse[series], self.data.scales.deviation[series][:, : self.found.foretold]

    @cached_property
    def _naive_scales(self) -> tuple[Numbers, Numbers]:
        return naive_scales(self.data, self.found.foretold, self.decided.season)

    def units(self, model: Model, context: int | None = None) -> Units:
        return units_of(self.score(model, "test"))

    @cached_property
    def _rivals(self) -> list[tuple[str, Scored]]:
        """Every rule's score on the test part, the best first."""
        season, horizon, k = self.decided.season, self.decided.horizon, self.found.foretold
        lags = min(self.decided.lookback - 1, max(LAGS, 2 * season), len(self._windows["train"]) // 2)
        rules: list[Any] = [Naive(horizon, k), Drift(horizon, k)]
        rules += [Naive(horizon, k, season)] if season > 1 else []
        rules += (
            [ConstantVelocity(horizon, k), ConstantTurn(horizon)] if moving(self.found) and k == 2 else []
        )
        rules += [LagRegression(horizon, k, lags).fit(self._windows["train"])] if lags > 1 else []
        found = [(rule.name, self._scored(rule)) for rule in rules]
        return sorted(found, key=lambda each: each[1].value)

    def _scored(self, rule: Any) -> Scored:
        levels, windows = self._task_for(ModelChoice(kind="nlinear")).levels, self._windows["test"]
        spread, tally = Spread(rule, self._windows["valid"], levels), self._tally(levels)
        for begin in range(0, len(windows), 1024):
            series, origin = windows.where(np.arange(begin, min(begin + 1024, len(windows))))
            index = (self.data.offsets[series] + origin)[:, None] + np.arange(1, windows.horizon + 1)
            k = self.found.foretold
            truth = np.where(self.data.known[index], self.data.values[index], np.nan)[..., :k]
            point, quantiles = spread.foretell(self.data, series, origin)
            tally.add(
                np.swapaxes(truth, 1, 2),
                point,
                quantiles,
                self._scales_of(series),
                self._where(series, origin),
            )
        report = tally.report()
        return Scored(report, report.values["crps"])

    def rivals(self) -> list[Rival]:
        return [Rival(one.to_dict() | {"name": name}, units_of(one)) for name, one in self._rivals]

    def settle(self, model: Model) -> bool:
        """Sets the quantiles right on the validation part."""
        model.task = model.task.calibrated(model, self._windows["valid"], CALIBRATED)
        return True

    def naive(self) -> dict[str, Any]:
        wanted = Naive(1, 1, self.decided.season).name
        return next(one.to_dict() | {"name": name} for name, one in self._rivals if name == wanted)

    def strong(self) -> dict[str, Any]:
        name, best = self._rivals[0]
        return best.to_dict() | {"name": name}

    def words(self, score: dict[str, Any]) -> str:
        low, high = score["interval"]
        values = score["values"]
        return (
            f"{score['unit']} {score['value']:.4f} ({low:.4f} to {high:.4f}), coverage of 80 % "
            f"{values['coverage']:.3f}, scaled CRPS "
            f"{values['crps']:.4f}"
        )

    def verdict(self, test: dict[str, Any], baseline: dict[str, Any]) -> str:
        return verdict(test, baseline)

    def sample(self, model: Model, seed: int) -> str | None:
        return None

    def about(self) -> str:
        return (
            f"foretells {self.found.columns.targets[0] if len(self.found.columns.targets) == 1 else 'series'} "
            f"{self.decided.horizon} steps ahead, trained by Unrolled on `{self.name}` ({len(self.found.series)} series)"
        )


def naive_scales(data: Packed, foretold: int, season: int) -> tuple[Numbers, Numbers]:
    """(S, K) each: the mean absolute and squared error of the seasonal naive method in training. Of a series where it errs
    nowhere, or that training hasn't, the mean of the others.
    """
    found = np.full((len(data.first), foretold, 2), np.nan)
    for at, (begin, end) in enumerate(zip(data.offsets, data.ends[:, 0], strict=False)):
        for k in range(foretold):
            part = slice(begin, begin + end)
            found[at, k] = naive_scale(np.where(data.known[part, k], data.values[part, k], np.nan), season)
    for side in range(2):
        known = np.isfinite(found[..., side])
        found[..., side][~known] = found[..., side][known].mean() if known.any() else 1.0
    return found[..., 0], found[..., 1]


def forecasting_of(recipe: Recipe, path: Path, columns: SeriesColumns) -> Forecasting:
    """Reads a table of series. Raises UserError for keys that are for other tasks."""
    refused = {
        "vectors": recipe.vectors is not None, "shuffled": recipe.shuffled, "weights": recipe.weights != "none",
        "threshold": recipe.threshold is not None, "augment": recipe.augment not in (None, "auto", "none"),
        "codec": recipe.codec != "auto", "held": recipe.held is not None,
    }  # fmt: skip
    if wrong := [key for key, given in refused.items() if given]:
        raise UserError(f"{wrong[0]}: it is for other tasks than forecast. Leave it out.")
    found = read_series(raw_rows(path), columns, recipe.frequency, recipe.data)
    files = data_files(path)
    made = Forecasting(name_of(recipe.data, path), found, recipe)
    made.facts.update(
        data=made.name, files=fingerprints(files), codec={"kind": "series"}, reading=replace(columns, why=()).to_dict(),
        frequency=found.frequency.to_dict(), parts={part: len(made.examples(part)) for part in PARTS},
    )  # fmt: skip
    return made
