"""What a forecast's open keys become: horizon, look-back, season, parts; and how a kind of model sees a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrolled.datasets.framing import Framing
from unrolled.datasets.seasons import likeness, season_of
from unrolled.datasets.series_columns import PLACES
from unrolled.datasets.series_table import SeriesSet
from unrolled.datasets.series_windows import packed
from unrolled.errors import UserError
from unrolled.model.forecast_presets import LINEAR
from unrolled.training.recipe import ModelChoice, Recipe

TEST, LEAST_VALID, MOST_VALID = 0.2, 0.1, 0.2  # shares of time
PASTS = 2  # seasons, or horizons, that are looked back
LONG = 96  # steps of a look-back from which a few make one token
PATCHES = {"transformer": 16, "encoder": 16, "conv": 1}
PATCH = 24  # of other kinds
REPEATS = 0.7  # correlation with the past a season ago, from which a forecast departs from there


@dataclass(frozen=True)
class Decided:
    """The keys of a forecast, all decided. `why`: (key, value, reason) of those that nobody set."""

    horizon: int
    lookback: int
    season: int
    shares: tuple[float, float, float]
    distribution: str
    repeats: bool  # so closely that a season ago is a good beginning
    why: tuple[tuple[str, Any, str], ...]
    notes: tuple[str, ...] = ()


def decide(found: SeriesSet, asked: Recipe) -> Decided:
    """From the series' own training steps. Raises UserError for what can't be."""
    why: list[tuple[str, Any, str]] = []
    longest = max(map(len, found.series))
    shares = asked.split or _shares(longest, 0 if moving(found) else asked.horizon or 0)
    season = asked.season
    if season is None:
        season, reason = season_of(packed(found, shares, moving(found)), found.frequency)
        why.append(("season", season, reason))
    horizon = asked.horizon
    if horizon is None:
        horizon = season if season > 1 else max(1, min(24, longest // 20))
        horizon = min(horizon, max(1, longest // 10))
        why.append(
            (
                "horizon",
                horizon,
                "one season" if horizon == season else "a twentieth of the series, 24 at most",
            )
        )
        shares = asked.split or _shares(longest, 0 if moving(found) else horizon)
    if asked.split is None:
        why.append(
            (
                "split",
                shares,
                "whole paths are held out"
                if moving(found)
                else "the last fifth by time is the test; validation holds two horizons where it can",
            )
        )
    lookback = asked.lookback
    if lookback is None:
        lookback = max(PASTS * season, PASTS * horizon, 8)
        room = int(shares[0] * min(len(one) for one in found.series)) - horizon
        lookback = max(2, min(lookback, room // 2 if room // 2 >= season + 1 else max(room - 8, 2)))
        why.append(("lookback", lookback, f"{PASTS} seasons or horizons, as far as training has room"))
    distribution = asked.distribution
    if distribution == "auto":
        distribution = "quantiles" if asked.way == "direct" else "student"
        why.append(
            (
                "distribution",
                distribution,
                "intervals without a belief in a shape" if asked.way == "direct" else "can be drawn from",
            )
        )
    if asked.way == "steps" and distribution == "quantiles":
        raise UserError(
            "way=steps draws each step from a distribution: distribution=gaussian, student, or point for one path."
        )
    if asked.way == "steps" and found.columns.past:
        raise UserError(
            f"way=steps needs what comes of {found.columns.past[0]} too, and nobody knows it. Use way=direct."
        )
    notes: tuple[str, ...] = ()
    if found.columns.time is not None and asked.frequency == "auto":
        notes = (f"{found.frequency.words} steps, from the time stamps in {found.columns.time}",)
    repeats = likeness(packed(found, shares, moving(found)), season) > REPEATS
    return Decided(horizon, lookback, season, shares, distribution, repeats, tuple(why), notes)


def _shares(steps: int, horizon: int) -> tuple[float, float, float]:
    """The parts by time: validation as long as two horizons where that is no more than a fifth."""
    valid = min(max(2 * horizon / max(steps, 1), LEAST_VALID), MOST_VALID)
    return round(1 - TEST - valid, 4), round(valid, 4), TEST


def patch_of(choice: ModelChoice, decided: Decided, asked: Recipe) -> int:
    """Steps that make one token for this kind of model."""
    if choice.patch is not None:
        if choice.patch > 1 and asked.way == "steps":
            raise UserError(
                f"model.patch={choice.patch}: way=steps reads and writes step by step: model.patch=1."
            )
        return choice.patch
    if asked.way == "steps" or asked.scale == "series" or decided.lookback < LONG or choice.kind in LINEAR:
        return 1
    return PATCHES.get(choice.kind, PATCH)


def framing_of(choice: ModelChoice, decided: Decided, asked: Recipe, found: SeriesSet) -> Framing:
    """How a kind of model sees windows of these series."""
    linear, steps = choice.kind in LINEAR, asked.way == "steps"
    if linear and steps:
        raise UserError(f"model={choice.kind} maps the whole look-back at once: way=direct.")
    scale, base = asked.scale, asked.base
    if scale == "auto":
        scale = (
            "series"
            if steps or choice.kind == "dlinear"
            else "last"
            if choice.kind == "nlinear"
            else "window"
        )
    if base == "auto":
        base = (
            "centre"
            if linear or steps
            else "season"
            if decided.repeats and decided.season <= decided.lookback
            else "last"
        )
    patched = patch_of(choice, decided, asked) > 1
    streams = asked.scale == "series" and not steps  # whoever pushes a value knows no calendar
    calendar = () if linear or patched or streams else _calendar(decided, found)
    gaps = not linear and any(bool((one.values != one.values).any()) for one in found.series)
    spread = (
        max(1, min(decided.lookback // 2, decided.lookback - decided.season))
        if scale == "series" and not linear and not patched
        else 1
    )
    return Framing(
        lookback=decided.lookback, horizon=1 if steps else decided.horizon, channels=found.channels,
        foretold=found.foretold, scale=scale, base=base, season=decided.season, calendar=calendar, gaps=gaps, spread=spread,
    )  # fmt: skip


def moving(found: SeriesSet) -> bool:
    """Whether the series are paths, each with a clock of its own: whole ones are held out then."""
    lower = tuple(name.lower() for name in found.columns.targets)
    return (
        found.columns.id is not None
        and len(found.series) >= 10
        and any(lower[: len(place)] == place for place in PLACES)
    )


def _calendar(decided: Decided, found: SeriesSet) -> tuple[float, ...]:
    """The periods whose phase is told: those of the calendar that training holds twice, and the season."""
    train = decided.shares[0] * max(map(len, found.series))
    periods = {
        float(many) for many in (*found.frequency.seasons, decided.season) if many > 1 and 2 * many <= train
    }
    return tuple(sorted(periods))
