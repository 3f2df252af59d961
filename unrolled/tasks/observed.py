"""A series as it comes: observations -> the steps that a stream reads, and its latest prediction -> the forecast."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from unrolled.datasets.framing import bases, scaled
from unrolled.datasets.grids import carried
from unrolled.datasets.stamps import Numbers
from unrolled.errors import UserError

if TYPE_CHECKING:
    from unrolled.tasks.forecast import Forecast

FEWEST = 8  # observations, of the first push, from which a scale can be told


class Observed:
    """What a forecast's stream keeps beside the model's state: the scale, fixed by training or by the first push, the last
    season, and where in time it is. All of fixed size.

    name: of the series, as training knew it; place: the number of its first step on the grid of training
    (`Frequency.places`), for models that read the calendar. Raises UserError for a task whose scale moves with the window.
    """

    def __init__(self, task: Forecast, name: str | None = None, place: int | None = None) -> None:
        framing = task.framing
        if framing.scale != "series" or task.way != "direct":
            raise UserError(
                f"this model scales each window anew (scale={framing.scale}), so a step more changes all "
                "that it read. For a "
                "forecast after each step train with scale=series model.patch=1."
                if task.way == "direct"
                else "this model foretells by sampled paths (way=steps): use unrolled forecast."
            )
        self.task, self.place = task, place or 0
        known = task.codec.centre
        name = next(iter(known)) if name is None and len(known) == 1 else name
        self.scales: tuple[Numbers, Numbers] | None = None
        if name is not None and name in known:
            self.scales = np.array([known[name]]), np.array([task.codec.deviation[name]])
        if framing.calendar and place is None and not (name in known and task.learnt is not None):
            raise UserError(
                "this model reads the calendar: say at which step of training's grid the series begins (place=)."
            )
        self.past = np.zeros((0, framing.channels))

    def steps(self, x: Any) -> Tensor:
        """Observations, a number or (T,) or (T, C), None or NaN where missing -> (T, inputs) float32 steps."""
        framing = self.task.framing
        try:
            rows = np.asarray(x, np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"expected numbers, got {x!r:.60}.") from error
        rows = rows.reshape(-1, framing.channels) if rows.ndim < 2 or framing.channels == 1 else rows
        if rows.ndim != 2 or rows.shape[1] != framing.channels or np.isinf(rows).any():
            raise UserError(
                f"observations of shape {np.shape(x)}; expected finite numbers, (T, {framing.channels}), NaN where missing."
            )
        known = np.isfinite(rows)
        filled = carried(np.concatenate([self.past[-1:], rows]))[len(self.past[-1:]) :]
        scales = self._scales(rows, known)
        places = self.place + 1 + np.arange(len(rows))[None]
        self.place += len(rows)
        self.past = np.concatenate([self.past, filled])[-max(framing.season, 1) :]
        return torch.from_numpy(scaled(framing, filled[None], known[None], scales, places)[0][0])

    def _scales(self, rows: Numbers, known: Any) -> tuple[Numbers, Numbers]:
        if self.scales is None:
            if known.all(1).sum() < FEWEST:
                raise UserError(
                    f"{int(known.all(1).sum())} observations of a series that training hadn't: push at "
                    f"least {FEWEST} first, which fix its scale."
                )
            centre, deviation = np.nanmean(rows, 0)[None], np.nanstd(rows, 0)[None]
            self.scales = centre, np.where(deviation > 0, deviation, 1.0)
        return self.scales

    def forecast(self, prediction: Tensor, head: Any) -> dict[str, Any]:
        """What the head said of one row, as `Forecast.named` says it."""
        framing, task = self.task.framing, self.task
        assert self.scales is not None
        point, quantiles = task.answer(head.parameters_of(prediction).double().cpu().numpy())
        k = framing.foretold
        scale = self.scales[1][0, :k]
        base = bases(framing, self._season()[None], self.scales[0])[0].T  # (K, H)
        if task.shifts is not None:
            quantiles = np.sort(quantiles + np.asarray(task.shifts), -1)
            point = quantiles[..., len(task.levels) // 2] if task.distribution == "quantiles" else point
        point = point * scale[:, None] + base
        quantiles = quantiles * scale[:, None, None] + base[..., None]
        return task.named(point, quantiles)

    def _season(self) -> Numbers:
        """The last season; before one is complete, its first value repeated in front."""
        lacks = max(self.task.framing.season, 1) - len(self.past)
        return np.concatenate([np.repeat(self.past[:1], max(lacks, 0), 0), self.past])

    def copy(self) -> Self:
        """An independent one."""
        task, self.task = self.task, None  # type: ignore[assignment]
        try:
            made = deepcopy(self)
        finally:
            self.task = task
        made.task = task
        return made
