"""A window as a network sees it: scaled steps in, scaled future out, and the way back to the data's unit.

Scaling belongs to the data's side, not to the network's: the network stays causal and streams. `scale` says what is
taken from what is read: "series", the training steps' mean and deviation; "window", the look-back's own (reversible
instance normalisation, Kim et al. 2022, without its affine map); "last", the last value (NLinear, Zeng et al. 2023,
sec. 4). `base` says what is taken from what is foretold: "centre", the same; "last", the last value; "season", the
value one season ago; "line", the last value and then the last step again and again, as what moves would go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.series_windows import Packed
from unrolled.datasets.stamps import Numbers, Whole
from unrolled.errors import UserError

FARTHEST = 1e3  # deviations; beyond them a value is pulled in
FLOOR = 0.01  # of a series' deviation: the least that a window is divided by
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Framing:
    """How windows become steps. `channels`: of a series, `foretold`: those of them, the first, that are; `calendar`:
    periods in steps whose phase is told with each step; `gaps`: which values are missing is told too; `spread`: how many of
    the last steps are learnt from, each with a horizon of its own.
    """

    lookback: int
    horizon: int
    channels: int = 1
    foretold: int = 1
    scale: Literal["series", "window", "last"] = "series"
    base: Literal["centre", "last", "season", "line"] = "centre"
    season: int = 1
    calendar: tuple[float, ...] = ()
    gaps: bool = False
    spread: int = 1

    def __post_init__(self) -> None:
        if self.base == "season" and self.season + self.spread - 1 > self.lookback:
            raise UserError(
                f"base=season: a season of {self.season} steps isn't in a look-back of {self.lookback}. Give more lookback="
            )
        if self.base == "line" and self.lookback < self.spread + 1:
            raise UserError("base=line goes on from the last two steps: give more lookback=")
        if self.spread > 1 and self.scale != "series":
            raise UserError(
                f"scale={self.scale} looks at the whole window, so only its last step can be learnt from."
            )

    @property
    def inputs(self) -> int:
        """Numbers a step."""
        return self.channels * (1 + self.gaps) + 2 * len(self.calendar)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"calendar": list(self.calendar)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Framing:
        """What `to_dict` described."""
        return cls(**{**saved, "calendar": tuple(saved["calendar"])})


class Framed(NamedTuple):
    """Windows ready for a network. x (B, L, inputs) float32; base (B, H, K): what is added to an answer that was
    multiplied by deviation (B, K), the window's own; level (B, K): the series' deviation, in whose units errors are
    weighed.
    """

    x: Singles
    base: Numbers
    deviation: Numbers
    level: Numbers


def framed(data: Packed, framing: Framing, series: Whole, origin: Whole) -> Framed:
    """The windows that end with step `origin` (B,) of these series (B,)."""
    at = data.offsets[series] + origin
    index = at[:, None] + np.arange(1 - framing.lookback, 1)  # (B, L)
    raw, known = data.values[index], data.known[index]
    centre, deviation = (each[series] for each in data.scales)
    places = (data.first[series] + origin)[:, None] + np.arange(
        2 - framing.lookback, 2
    )  # of the steps to come
    x, centre, deviation = scaled(framing, raw, known, (centre, deviation), places)
    k = framing.foretold
    return Framed(x, bases(framing, raw, centre), deviation[:, :k], data.scales.deviation[series][:, :k])


def scaled(
    framing: Framing, raw: Numbers, known: NDArray[np.bool_], scales: tuple[Numbers, Numbers], places: Whole
) -> tuple[Singles, Numbers, Numbers]:
    """raw and known (B, T, C), the series' centre and deviation (B, C), places in time of each next step (B, T) -> steps
    (B, T, inputs), and the centre and deviation that were taken, (B, C).
    """
    centre, deviation = scales[0].copy(), scales[1].copy()
    k = framing.foretold
    if framing.scale == "last":
        centre[:, :k] = raw[:, -1, :k]
    elif framing.scale == "window":
        count = np.maximum(known[..., :k].sum(1), 1)
        mean = np.where(known[..., :k], raw[..., :k], 0.0).sum(1) / count
        off = np.where(known[..., :k], raw[..., :k] - mean[:, None], 0.0)
        centre[:, :k] = mean
        deviation[:, :k] = np.maximum(np.sqrt((off**2).sum(1) / count), FLOOR * deviation[:, :k])
    parts = [np.clip((raw - centre[:, None]) / deviation[:, None], -FARTHEST, FARTHEST)]
    if framing.gaps:
        parts.append((~known).astype(np.float64))
    for period in framing.calendar:
        angle = 2 * np.pi * np.mod(places / period, 1.0)[..., None]
        parts += [np.sin(angle), np.cos(angle)]
    return np.concatenate(parts, -1).astype(np.float32), centre, deviation


def bases(framing: Framing, raw: Numbers, centre: Numbers) -> Numbers:
    """(B, H, K) what is taken from the horizon after the last of these steps, raw (B, T, C)."""
    rows, k, horizon = len(raw), framing.foretold, framing.horizon
    if framing.base == "season":
        back = framing.season - np.arange(horizon) % framing.season  # steps before the first to come
        return raw[:, raw.shape[1] - back, :k]
    if framing.base == "line":
        last, step = raw[:, -1, :k], raw[:, -1, :k] - raw[:, -2, :k]
        return np.asarray(last[:, None] + step[:, None] * np.arange(1, horizon + 1)[:, None], np.float64)
    value = raw[:, -1, :k] if framing.base == "last" else centre[:, :k]
    return np.broadcast_to(value[:, None], (rows, horizon, k))


def future(data: Packed, framing: Framing, series: Whole, origin: Whole) -> Numbers:
    """(B, H, K) what came after each window, NaN where it is missing."""
    index = (data.offsets[series] + origin)[:, None] + np.arange(1, framing.horizon + 1)
    k = framing.foretold
    return np.where(data.known[index][..., :k], data.values[index][..., :k], np.nan)


def targets(data: Packed, framing: Framing, series: Whole, origin: Whole) -> Singles:
    """(B, S, K, H + 1) float32: the scaled future after each of the last `spread` steps of the windows, NaN where
    missing, and last the weight of an error: how large the window's deviation is beside the series'.
    """
    found = []
    for back in range(framing.spread - 1, -1, -1):
        here = framed_base(data, framing, series, origin - back)
        after = (future(data, framing, series, origin - back) - here.base) / here.deviation[:, None]
        weight = here.deviation / here.level
        found.append(np.concatenate([np.swapaxes(after, 1, 2), weight[..., None]], -1))
    return np.asarray(np.clip(np.stack(found, 1), -FARTHEST, FARTHEST), np.float32)


def framed_base(data: Packed, framing: Framing, series: Whole, origin: Whole) -> Framed:
    """As `framed`, without the steps that are read where the scale doesn't need them."""
    if framing.scale == "window":
        return framed(data, framing, series, origin)
    centre, deviation = (each[series][:, : framing.foretold] for each in data.scales)
    need = framing.season if framing.base == "season" else 2 if framing.base == "line" else 1
    raw = data.values[(data.offsets[series] + origin)[:, None] + np.arange(1 - need, 1)]
    if framing.scale == "last":
        centre = raw[:, -1, : framing.foretold]
    return Framed(np.zeros(0, np.float32), bases(framing, raw, centre), deviation, deviation)
