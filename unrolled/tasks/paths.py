"""Sampled futures, step by step on a model's state: what was drawn is what is read next (Salinas et al. 2020, DeepAR,
arXiv:1704.04110, sec. 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from unrolled.datasets.framing import Framing, bases, scaled
from unrolled.datasets.series_windows import Packed
from unrolled.datasets.stamps import Numbers, Whole
from unrolled.model.forecasters import ForecastHead
from unrolled.state import grow, pick

if TYPE_CHECKING:
    from unrolled.model import Model


def paths(
    model: Model,
    data: Packed,
    framing: Framing,
    where: tuple[Whole, Whole],
    horizon: int,
    count: int,
    seed: int,
) -> Numbers:
    """(B, count, horizon, K) futures of the windows that end with these (series, origins), in the data's unit.

    The look-back is read once; then each step is drawn from what the head says, and read. A head of points draws nothing.
    """
    series, origin = where
    index = (data.offsets[series] + origin)[:, None] + np.arange(1 - framing.lookback, 1)
    raw, known = data.values[index], data.known[index]
    scales = data.scales.centre[series], data.scales.deviation[series]
    place = (data.first[series] + origin)[:, None] + 1
    places = place + np.arange(1 - framing.lookback, 1)
    x, centre, deviation = scaled(framing, raw, known, scales, places)
    device = next(model.parameters()).device
    rng = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        state = model.start(len(series), framing.lookback + horizon)
        said, state = model.read(torch.from_numpy(x).to(device), state)
        rows = torch.arange(len(series), device=device).repeat_interleave(count)
        state, said = pick(state, rows), said[rows]
        each = rows.cpu().numpy()
        need = max(framing.season, 1)
        past, centre, deviation, place = raw[each][:, -need:], centre[each], deviation[each], place[each]
        steps = []
        for ahead in range(horizon):
            drawn = (
                _drawn(model, said, rng).numpy() * deviation + bases(framing, past, centre)[:, 0]
            )  # (B * count, K)
            steps.append(drawn)
            if ahead == horizon - 1:
                break
            past = np.concatenate([past[:, 1:], drawn[:, None]], 1)
            fixed = _fixed(framing)
            read, _, _ = scaled(
                fixed,
                drawn[:, None],
                np.ones((len(each), 1, framing.channels), bool),
                (centre, deviation),
                place + 1,
            )
            place = place + 1
            state = grow(state, framing.lookback + ahead + 1)
            said, state = model.read(torch.from_numpy(read).to(device), state)
    return np.stack(steps, 1).reshape(len(series), count, horizon, framing.foretold)


def _fixed(framing: Framing) -> Framing:
    """The same with the scale that the window began with."""
    return Framing(**{**vars(framing), "scale": "series", "spread": 1})


def _drawn(model: Model, said: Tensor, rng: torch.Generator) -> Tensor:
    """(N, K) float64 one draw of each row's next step, in deviations."""
    head = model.head
    assert isinstance(head, ForecastHead)
    found = head.parameters_of(said)[:, :, 0].double().cpu()
    mean = found[..., 0]
    if head.distribution == "point":
        return mean
    noise = torch.randn(mean.shape, generator=rng, dtype=torch.float64)
    if head.distribution == "gaussian":
        return mean + found[..., 1] * noise
    degrees = found[..., 2]
    # t = z / sqrt(chi2 / v): chi2 of v degrees is twice a Gamma(v / 2), drawn by Marsaglia and Tsang's method in numpy.
    draw = np.random.default_rng(int(torch.randint(2**62, (1,), generator=rng)))
    chi2 = torch.from_numpy(2 * draw.gamma((degrees / 2).numpy()))
    return mean + found[..., 1] * noise / (chi2 / degrees).sqrt()
