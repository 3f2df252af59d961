"""The task of foretelling what comes next in series: quantiles for each step ahead, in the data's own unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import torch

from unrolled.datasets.framing import Framing, framed, future
from unrolled.datasets.grids import TimedSeries
from unrolled.datasets.series_columns import SeriesColumns
from unrolled.datasets.series_table import SeriesSet
from unrolled.datasets.series_windows import Packed, Scales, Windows, packed
from unrolled.datasets.stamps import Frequency, Numbers, Whole
from unrolled.errors import UserError
from unrolled.model.forecasters import DECILES, ForecastHead
from unrolled.tasks.conformal import shifts
from unrolled.tasks.observed import Observed
from unrolled.tasks.paths import paths
from unrolled.tasks.student import quantile

if TYPE_CHECKING:
    from unrolled.model import Model

BATCH = 256  # windows at once
PATHS = 100  # sampled, where a forecast goes step by step
SEED = 0  # of what is sampled: the same question has the same answer


@dataclass(frozen=True)
class SeriesScales:
    """The codec of series: centre and deviation of each by its name, as its training steps had them."""

    kind: ClassVar[str] = "series"

    centre: dict[str, list[float]] = field(default_factory=dict)
    deviation: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, found: SeriesSet, data: Packed) -> Self:
        """Those of these series."""
        names = [one.name for one in found.series]
        both = (dict(zip(names, each.tolist(), strict=True)) for each in data.scales)
        return cls(*both)

    def fitted(self, found: SeriesSet, data: Packed) -> Packed:
        """New data with the scales that training had; a series that it hadn't keeps its own."""
        own = data.scales
        centre, deviation = own.centre.copy(), own.deviation.copy()
        for at, one in enumerate(found.series):
            if one.name in self.centre:
                centre[at], deviation[at] = self.centre[one.name], self.deviation[one.name]
        return replace(data, fitted=Scales(centre, deviation))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        return {"kind": self.kind, "centre": self.centre, "deviation": self.deviation}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        return cls(dict(saved["centre"]), dict(saved["deviation"]))


class Foretold(NamedTuple):
    """Forecasts of some windows: point (B, K, H), quantiles (B, K, H, Q), both in the data's unit; deviation (B, K) of each
    window, as it was scaled.
    """

    point: Numbers
    quantiles: Numbers
    deviation: Numbers


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """horizon: steps ahead of an answer; way: "direct", all at once, or "steps", one after the other on the state, as
    sampled paths. shifts (H, Q): what calibration adds to the quantiles, in deviations; learnt: the last step in time
    that training saw, None where whole series were held out.
    """

    kind: ClassVar[str] = "forecast"
    stepwise: ClassVar[bool] = False

    framing: Framing
    columns: SeriesColumns
    frequency: Frequency
    codec: SeriesScales
    horizon: int
    distribution: str = "quantiles"
    levels: tuple[float, ...] = DECILES
    way: str = "direct"
    shifts: tuple[tuple[float, ...], ...] | None = None
    learnt: int | None = None

    long: ClassVar[None] = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """What a row that is sent to a server holds: the past of one series, a list a column."""
        return self.columns.read if self.columns.together or len(self.columns.targets) == 1 else ("series",)

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns that are foretold."""
        return self.columns.targets

    @property
    def target(self) -> str:
        """The same, for people."""
        return ", ".join(self.targets)

    @property
    def context(self) -> int:
        """Steps of past that a model without fixed-size state is given."""
        return self.framing.lookback

    def observed(self, name: str | None = None, place: int | None = None) -> Observed:
        """What a stream of one series keeps beside the model's state. Raises UserError for a task that can't stream."""
        return Observed(self, name, place)

    def head(self) -> dict[str, Any]:
        """The spec of its head."""
        return {
            "kind": "forecast", "horizon": self.framing.horizon, "targets": self.framing.foretold,
            "distribution": self.distribution, "levels": list(self.levels), "last": self.framing.spread,
        }  # fmt: skip

    def packed(self, found: SeriesSet) -> Packed:
        """New series as this task reads them. Raises UserError, naming it, for one shorter than the look-back."""
        data = self.codec.fitted(found, packed(found, (1.0, 0.0, 0.0)))
        short = [one for one in found.series if len(one) < self.framing.lookback]
        if short:
            lines = [
                f"{one.origin}: {one.called} has {len(one)} steps; this model looks back {self.framing.lookback}"
                for one in short[:20]
            ]
            raise UserError("\n".join(lines) + "\nGive it more of their past, or leave them out.")
        return data

    def foretell(self, model: Model, data: Packed, series: Whole, origin: Whole) -> Foretold:
        """Forecasts after step `origin` (B,) of these series (B,). The model is in eval mode."""
        window = framed(data, self.framing, series, origin)
        if self.way == "steps":
            point, quantiles = self._sampled(model, data, series, origin)
        else:
            device = next(model.parameters()).device
            x = torch.from_numpy(window.x).to(device)
            with torch.inference_mode():
                y, _ = model.core(*_two(model.embedder(x)))
                assert isinstance(model.head, ForecastHead)
                raw = model.head.parameters_of(model.head(y[:, -1]))
            point, quantiles = self.answer(raw.double().cpu().numpy())
            scale, base = window.deviation[..., None], np.swapaxes(window.base, 1, 2)
            point, quantiles = point * scale + base, quantiles * scale[..., None] + base[..., None]
        if self.shifts is not None:
            moved = quantiles + np.asarray(self.shifts) * window.deviation[..., None, None]
            quantiles = np.sort(moved, -1)
            if self.distribution == "quantiles":
                point = quantiles[..., len(self.levels) // 2]
        return Foretold(point, quantiles, window.deviation)

    def answer(self, raw: Numbers) -> tuple[Numbers, Numbers]:
        """The head's numbers (..., size) -> the point (...) and the quantiles (..., Q), in deviations."""
        if self.distribution == "quantiles":
            return raw[..., len(self.levels) // 2], raw
        mean = raw[..., 0]
        if self.distribution == "point":
            return mean, np.repeat(raw, len(self.levels), -1)
        degrees = raw[..., 2] if self.distribution == "student" else np.full_like(mean, np.inf)
        return mean, np.stack([mean + raw[..., 1] * quantile(level, degrees) for level in self.levels], -1)

    def _sampled(self, model: Model, data: Packed, series: Whole, origin: Whole) -> tuple[Numbers, Numbers]:
        """The mean and the quantiles of sampled paths."""
        drawn = paths(model, data, self.framing, (series, origin), self.horizon, PATHS, SEED)  # (B, P, H, K)
        found = np.quantile(drawn, self.levels, axis=1)  # (Q, B, H, K)
        return np.swapaxes(drawn.mean(1), 1, 2), np.transpose(found, (1, 3, 2, 0))

    def value(self, row: Mapping[str, Any]) -> Any:
        """The pasts in a row, a list a column; None where one is missing."""
        found = [row.get(name) for name in self.inputs]
        return None if any(one is None for one in found) else found

    def encoded(self, row: Mapping[str, Any]) -> Numbers:
        """The past of one series (T, C), NaN where missing. Raises UserError for one that is too short, and for a
        model that reads the calendar, which a list of numbers hasn't.
        """
        if self.framing.calendar:
            raise UserError(
                "this model reads the calendar, and a list of numbers has none. Train with scale=series, or use "
                "unrolled forecast."
            )
        try:
            rows = np.stack([np.asarray(one, np.float64).reshape(-1) for one in self.value(row)], 1)
        except (TypeError, ValueError) as error:
            raise UserError(f"expected lists of numbers, equally long: {error}.") from error
        if len(rows) < self.framing.lookback:
            raise UserError(f"{len(rows)} steps of the past; this model looks back {self.framing.lookback}.")
        return rows

    def predict(self, model: Model, inputs: Sequence[Numbers], batch: int = BATCH) -> list[dict[str, Any]]:
        """What comes after each of these pasts (T, C), scaled as the one series of training or each by itself."""
        names = list(self.codec.centre)
        name, back = names[0] if len(names) == 1 else "", self.framing.lookback
        pasts = tuple(TimedSeries(name, "row", 0, rows[-back:]) for rows in inputs)
        data = self.packed(SeriesSet(self.columns, self.frequency, pasts))
        model.eval()
        said = self.foretell(model, data, np.arange(len(inputs)), data.lengths - 1)
        return [self.named(*one) for one in zip(said.point, said.quantiles, strict=True)]

    def named(self, point: Numbers, quantiles: Numbers) -> dict[str, Any]:
        """point (K, H), quantiles (K, H, Q) -> `forecast` and every level, each a list of the steps ahead; of several
        targets a dict of these by name.
        """
        made = [
            {"forecast": point[at].tolist()}
            | {f"{level:g}": quantiles[at, :, q].tolist() for q, level in enumerate(self.levels)}
            for at in range(len(point))
        ]
        return made[0] if len(made) == 1 else dict(zip(self.targets, made, strict=True))

    def rows(self, said: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Forecasts as they are shown."""
        return said

    def each(
        self, model: Model, windows: Windows, most: int | None = None
    ) -> Iterator[tuple[Whole, Whole, Numbers, Foretold]]:
        """Series, origins, what came (B, K, H) and what was foretold, some windows at a time; most: evenly chosen ones
        stand for all.
        """
        training, count = model.training, len(windows)
        step = -(-count // most) if most else 1
        model.eval()
        try:
            chosen = np.arange(0, count, step)
            for begin in range(0, len(chosen), BATCH):
                series, origin = windows.where(chosen[begin : begin + BATCH])
                truth = future(windows.data, replace(self.framing, horizon=self.horizon), series, origin)
                yield (
                    series,
                    origin,
                    np.swapaxes(truth, 1, 2),
                    self.foretell(model, windows.data, series, origin),
                )
        finally:
            model.train(training)

    def calibrated(self, model: Model, windows: Windows, most: int | None = None) -> Self:
        """This task with its quantiles set right on these windows, which weren't learnt from."""
        plain = replace(self, shifts=None)
        truth, said = list[Numbers](), list[Numbers]()
        for _, _, came, foretold in plain.each(model, windows, most):
            scale = foretold.deviation[..., None]
            truth.append((came / scale).reshape(-1, self.horizon))
            said.append((foretold.quantiles / scale[..., None]).reshape(-1, self.horizon, len(self.levels)))
        by = shifts(np.concatenate(truth), np.concatenate(said), self.levels)
        return replace(self, shifts=tuple(map(tuple, by.tolist())))

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes this task again."""
        return {
            "kind": self.kind, "codec": self.codec.to_dict(), "framing": self.framing.to_dict(),
            "columns": self.columns.to_dict(), "frequency": self.frequency.to_dict(), "horizon": self.horizon,
            "distribution": self.distribution,
            "levels": list(self.levels), "way": self.way, "shifts": self.shifts and [list(row) for row in self.shifts],
            "learnt": self.learnt,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The task that `to_dict` described."""
        return cls(
            framing=Framing.from_dict(data["framing"]), columns=SeriesColumns.from_dict(data["columns"]),
            frequency=Frequency.from_dict(data["frequency"]), codec=SeriesScales.from_dict(data["codec"]),
            horizon=int(data["horizon"]), distribution=data["distribution"], levels=tuple(data["levels"]), way=data["way"],
            shifts=tuple(map(tuple, data["shifts"])) if data.get("shifts") else None,
            learnt=data.get("learnt"),
        )  # fmt: skip


def _two(embedded: tuple[Any, ...]) -> tuple[Any, ...]:
    """What an embedder gives as its core takes it: without a state."""
    return embedded[0], None, embedded[2]
