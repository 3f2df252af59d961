"""What forecasts are scored by: errors beside the naive method's, pinball loss, CRPS, calibrated quantiles, blocks of
time.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scoringrules
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unrolled.errors import UserError
from unrolled.model.forecasters import DECILES, ForecastHead, student_nats
from unrolled.tasks.conformal import rolling, shifted, shifts
from unrolled.tasks.measures.forecasts import Tally, blocks, naive_scale, pinball
from unrolled.tasks.student import quantile

finite = st.floats(-50, 50, allow_subnormal=False)


def report(
    truth: np.ndarray, point: np.ndarray, quantiles: np.ndarray, scale: float = 1.0
) -> dict[str, float]:
    """Values of forecasts (N, H)."""
    tally = Tally(DECILES, truth.shape[1])
    one = np.full((len(truth), 1), scale)
    tally.add(
        truth[:, None],
        point[:, None],
        quantiles[:, None],
        (one, one**2, one),
        (np.zeros(len(truth), int), np.arange(len(truth))),
    )
    return tally.report().values


def test_measures_by_hand() -> None:
    """MASE, RMSSE, sMAPE as their papers define them, on two windows of two steps."""
    truth, point = np.array([[1.0, 3.0], [2.0, 2.0]]), np.array([[2.0, 3.0], [0.0, 4.0]])
    said = report(truth, point, np.repeat(point[..., None], 9, -1), scale=2.0)
    assert said["mae"] == pytest.approx((1 + 0 + 2 + 2) / 4)
    assert said["mase"] == pytest.approx(said["mae"] / 2)
    assert said["mse"] == pytest.approx(9 / 4) and said["rmsse"] == pytest.approx(math.sqrt(9 / 4 / 4))
    assert said["smape"] == pytest.approx(100 * (2 * 1 / 3 + 0 + 2 * 2 / 2 + 2 * 2 / 6) / 4)
    assert said["coverage"] == pytest.approx(1 / 4) and said["width"] == 0


def test_the_naive_scale_is_the_seasonal_naive_s_error() -> None:
    values = np.array([1.0, 2, 4, 3, 5, 9])
    assert naive_scale(values, 2) == pytest.approx((np.mean([3, 1, 1, 6]), np.mean([9, 1, 1, 36])))
    assert naive_scale(np.array([1.0, 2, 1, 2, 1, 2]), 2) == pytest.approx((1, 1)), (
        "where it errs nowhere, the naive method's"
    )
    assert math.isnan(naive_scale(np.ones(5), 2)[0])


@given(arrays(np.float64, (4, 9), elements=finite), arrays(np.float64, 4, elements=finite))
def test_pinball_and_crps_are_scoringrules(raw: np.ndarray, truth: np.ndarray) -> None:
    quantiles = np.sort(raw, 1)
    mine = pinball(truth, quantiles, DECILES)
    for at, level in enumerate(DECILES):
        assert np.allclose(mine[:, at], scoringrules.quantile_score(truth, quantiles[:, at], level))
    wanted = scoringrules.crps_quantile(truth, quantiles, np.array(DECILES))
    assert report(truth[:, None], quantiles[:, None, 4], quantiles[:, None])["crps"] == pytest.approx(
        float(np.mean(wanted))
    )


def test_what_isn_t_known_adds_nothing() -> None:
    rng = np.random.default_rng(0)
    truth, point = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    quantiles = np.sort(rng.normal(size=(6, 4, 9)), -1)
    truth[2] = np.nan
    there = np.arange(6) != 2
    assert report(truth, point, quantiles) == report(truth[there], point[there], quantiles[there])
    with pytest.raises(UserError, match="nothing to score"):
        report(truth[2:3], point[2:3], quantiles[2:3])


def test_intervals_draw_series_where_there_are_many_else_stretches_of_time() -> None:
    series, places = np.repeat(np.arange(30), 5), np.tile(np.arange(5), 30)
    assert blocks(series, places, 3)[0] is series
    groups, says = blocks(np.repeat(np.arange(2), 60), np.tile(np.arange(60), 2), 7)
    assert (
        np.array_equal(groups[:60], groups[60:])
        and len(np.unique(groups)) == math.ceil(60 / 7)
        and "too narrow" not in says
    )
    assert "too narrow" in blocks(np.zeros(12, int), np.arange(12), 7)[1]


@pytest.mark.parametrize("degrees", [2.0, 2.5, 5.0, 30.0, 1e6])
@pytest.mark.parametrize("level", [0.1, 0.3, 0.5, 0.9])
def test_student_s_quantiles_are_scipy_s(degrees: float, level: float) -> None:
    from scipy.stats import t

    assert quantile(level, np.array([degrees]))[0] == pytest.approx(t.ppf(level, degrees), abs=2e-3)


def test_the_likelihoods_are_torch_s() -> None:
    y, mean, scale, degrees = (torch.tensor(v, dtype=torch.float64) for v in (1.7, 0.2, 0.6, 3.3))
    wanted = -torch.distributions.StudentT(degrees, mean, scale).log_prob(y)
    assert student_nats(y, mean, scale, degrees) == pytest.approx(wanted.item())
    head = ForecastHead(3, 2, distribution="gaussian").double()
    raw = torch.randn(1, 1, 4, dtype=torch.float64)
    found = head.parameters_of(raw)[0, 0]
    target = torch.tensor([[[[0.3, math.nan, 1.0]]]], dtype=torch.float64)
    lost, count = head.loss(raw, target)
    normal = (
        -torch.distributions.Normal(found[0, 0, 0], found[0, 0, 1]).log_prob(torch.tensor(0.3))
        - math.log(2 * math.pi) / 2
    )
    assert count == 1 and lost.item() == pytest.approx(normal.item())


@given(arrays(np.float32, (3, 36), elements=st.floats(-20, 20, width=32)))
def test_quantiles_never_cross(raw: np.ndarray) -> None:
    head = ForecastHead(2, 2, targets=2, levels=DECILES)
    found = head.parameters_of(torch.from_numpy(raw))
    assert found.shape == (3, 2, 2, 9) and bool((found.diff(dim=-1) >= 0).all())


def test_the_pinball_loss_is_least_at_the_quantiles() -> None:
    """A head without inputs learns the deciles of its targets."""
    rng = np.random.default_rng(1)
    values = torch.from_numpy(rng.gamma(2.0, size=4000)).float()
    head = ForecastHead(1, 1)
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    target = torch.stack([values, torch.ones_like(values)], -1)[:, None, None]
    for _ in range(400):
        optimizer.zero_grad()
        said = head(torch.zeros(1, 1, 1)).expand(len(values), 1, -1)
        lost, count = head.loss(said, target)
        (lost / count).backward()
        optimizer.step()
    found = head.parameters_of(head(torch.zeros(1, 1)))[0, 0, 0].detach().numpy()
    assert np.allclose(found, np.quantile(values.numpy(), DECILES), atol=0.08)


def test_calibrated_quantiles_hold_what_they_promise() -> None:
    """Forecasts that are far too sure, and biased, are set right on windows that they weren't made from."""
    rng = np.random.default_rng(2)
    truth = rng.normal(1.0, 2.0, size=(3000, 5))
    sure = np.broadcast_to(np.linspace(-0.1, 0.1, 9), (3000, 5, 9))
    by = shifts(truth[:1500], sure[:1500], DECILES)
    said = shifted(sure[1500:], by)
    for at, level in enumerate(DECILES):
        assert (truth[1500:] <= said[..., at]).mean() == pytest.approx(level, abs=0.02)


@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 40))
def test_rolling_shifts_see_nothing_that_isn_t_known_yet(count: int, horizon: int, now: int) -> None:
    rng = np.random.default_rng(count)
    off, places = rng.normal(size=(count, horizon, 9)), np.arange(count)
    changed = off.copy()
    for ahead in range(1, horizon + 1):
        changed[places + ahead > now, ahead - 1] = 1e6
    assert np.array_equal(rolling(off, places, now, DECILES), rolling(changed, places, now, DECILES))


def test_paths_go_straight_on_or_turn_on_and_are_measured() -> None:
    from unrolled.datasets.series_columns import SeriesColumns
    from unrolled.datasets.series_table import read_series
    from unrolled.datasets.series_windows import packed
    from unrolled.tasks.simple.motion import ConstantTurn, ConstantVelocity, displacement

    angle = np.arange(40) * 0.1
    rows = [{"origin": f"x:{at}", "time": at, "x": np.cos(a), "y": np.sin(a)} for at, a in enumerate(angle)]
    data = packed(read_series(rows, SeriesColumns("time", None, ("x", "y"), (), True)))
    here = np.zeros(1, np.int64), np.full(1, 20)
    truth = np.stack([np.cos(angle[21:26]), np.sin(angle[21:26])])[None]
    circle = np.swapaxes(ConstantTurn(5).points(data, *here), 1, 2)
    assert np.allclose(circle, truth), "a circle is a constant turn"
    line = ConstantVelocity(5, 2).points(data, *here)[0]
    step = data.values[20] - data.values[19]
    assert np.allclose(line, data.values[20] + step * np.arange(1, 6)[:, None])
    assert displacement(np.zeros((1, 2, 2)), np.array([[[3.0, 0], [4, 1]]])) == pytest.approx((3.0, 1.0))
