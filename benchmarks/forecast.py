"""Forecasts: what the models reach on series, beside rules without a network.

`python -m benchmarks.forecast [ROW ...] [seeds=3] [first=0] [threads=1]`. Rows: `samples` (the four shipped series;
also `samples:sunspots`), `ett` (ETTh1 and ETTh2, four horizons; also `ett:ETTh1:96:gru,dlinear`), `exchange` (daily
rates, 96 days), `many` (2,000 series of 1,000 steps), `latency` (one series, a 1-layer LSTM of 64 units), `tracks`
(aircraft, 12 -> 30 steps). `ett` and `exchange` need UNROLLED_DATA, the folder that holds `ett/` and
`exchange_rate.txt.gz`; without it they are left out, aloud. Every line tells the machine's load.
"""

from __future__ import annotations

import gzip
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from os import getloadavg
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import numpy as np
import torch

from unrolled.datasets.framing import future
from unrolled.model import build
from unrolled.running.stream import Stream
from unrolled.tasks.measures.bootstrap import interval
from unrolled.tasks.simple.motion import ConstantTurn, ConstantVelocity, displacement
from unrolled.training.fit import fitted
from unrolled.training.forecasting import Forecasting
from unrolled.training.recipe import Recipe
from unrolled.training.rows import prepare_table

SAMPLES = {"air_passengers": 12, "co2_weekly": 26, "sunspots": 11, "seattle_temps": 48}
CORES = ("rnn", "lstm", "gru", "mingru", "conv", "transformer")
PUBLISHED = {"dlinear": (0.375, 0.405, 0.439, 0.472), "nlinear": (0.374, 0.408, 0.429, 0.440)}  # MSE, ETTh1
HORIZONS = (96, 192, 336, 720)
ETT_KINDS = ("dlinear", "nlinear", "gru", "lstm", "conv", "encoder")
KILOMETRES = np.array([111.2, 111.2 * np.cos(np.radians(46.8))])[
    :, None
]  # a degree of latitude and of longitude there
ROWS_USED = 14_400  # of ETT: twelve months, four and four


def material(recipe: Recipe) -> Forecasting:
    """The data of a recipe."""
    made = prepare_table(recipe)
    assert isinstance(made, Forecasting)
    return made


def trained(data: Forecasting, recipe: Recipe) -> tuple[Any, float]:
    """A model of this data, and the seconds that it took."""
    data.asked = recipe
    begun = perf_counter()
    model = fitted(data, recipe)
    return model, perf_counter() - begun


def load() -> str:
    """How busy the machine is."""
    return f"load {getloadavg()[0]:.1f}"


def samples(seeds: int, first: int, only: str = "") -> None:
    """Every core on every shipped series, or only one: MASE, coverage, and how much less than the seasonal naive
    method's it is.
    """
    print("data            kind          MASE    coverage  CRPS    seasonal naive - it, 95 %     seconds")
    for name, horizon in SAMPLES.items():
        if only not in ("", name):
            continue
        base = Recipe.of(
            data=name,
            horizon=horizon,
            budget="400steps",
            threads=torch.get_num_threads(),
            dtype="float32",
            patience=10,
        )
        data = material(base)
        rival = next(one for said, one in data._rivals if said == data.naive()["name"])
        for said, one in data._rivals:
            report = one.report
            print(
                f"{name:15} {said:26} {report.value:6.3f}  {report.values['coverage']:5.3f}  {report.values['crps']:6.3f}"
            )
        for kind in CORES:
            found = []
            seconds = []
            for seed in range(first, first + seeds):
                recipe = replace(base, model=replace(base.model, kind=kind), seed=seed)
                model, took = trained(data, recipe)
                found.append(data.score(model, "test"))
                seconds.append(took)
            low, high = paired(data, rival, found)
            mean = {
                key: fmean(one.report.values[key] for one in found) for key in ("mase", "coverage", "crps")
            }
            print(
                f"{name:15} {kind:12} {mean['mase']:6.3f}   {mean['coverage']:5.3f}    {mean['crps']:6.3f}   "
                f"{low:6.3f} to {high:6.3f}              {fmean(seconds):6.1f} ({load()})",
                flush=True,
            )


def paired(data: Forecasting, rival: Any, found: list[Any]) -> tuple[float, float]:
    """The 95 % interval of the rival's MASE less the seeds' mean, over the same stretches of time."""
    units = rival.units
    mean = np.mean([one.units.sums for one in found], 0)
    off = units.sums - mean
    made = interval(lambda weights: weights @ off / (weights @ units.weights), len(off))
    return made.low, made.high


def ett(which: list[str], seeds: int, first: int) -> None:
    """MSE and MAE on values standardised by the training rows, look-back 336, no test window left out."""
    root = folder()
    names = [which[0]] if which and which[0] else ["ETTh1", "ETTh2"]
    horizons = [int(which[1])] if len(which) > 1 and which[1] else list(HORIZONS)
    kinds = which[2].split(",") if len(which) > 2 else list(ETT_KINDS)
    print("data   horizon  kind      MSE    MAE    windows  seconds")
    for name in names:
        for horizon in horizons:
            with tempfile.TemporaryDirectory() as scratch:
                cut = Path(scratch) / f"{name}.csv"
                lines = (root / "ett" / f"{name}.csv").read_text().splitlines()[: ROWS_USED + 1]
                cut.write_text("\n".join(lines) + "\n")
                for kind in kinds:
                    _ett_line(name, cut, horizon, kind, range(first, first + seeds))


def _ett_line(name: str, cut: Path, horizon: int, kind: str, seeds: range) -> None:
    linear = kind in ("dlinear", "nlinear")
    shape: dict[str, Any] = (
        {"kind": kind} if linear else {"kind": kind, "patch": 24 if kind != "encoder" else 48, "dropout": 0.2}
    )
    if kind == "conv":
        shape |= {"layers": 3}
    found = []
    for seed in seeds:
        recipe = Recipe.of(
            data=str(cut), split=(0.6, 0.2, 0.2), horizon=horizon, lookback=336, season=24, distribution="point",
            model=shape,
            base="centre", batch=256, lr=3e-4 if linear else 1e-3, budget="1000steps", seed=seed,
            threads=torch.get_num_threads(), dtype="float32",
            patience=10, evaluate_every=50,
        )  # fmt: skip
        data = material(recipe)
        model, took = trained(data, recipe)
        model.task = replace(model.task, shifts=None)
        values = data.score(model, "test").report.values
        found.append((values["scaled_mse"], values["scaled_mae"], took))
    mse, mae, took = (fmean(column) for column in zip(*found, strict=True))
    beside = ""
    if linear and name == "ETTh1":
        beside = f"   published {PUBLISHED[kind][HORIZONS.index(horizon)]:.3f}"
    count = len(data.examples("test"))
    print(
        f"{name:6} {horizon:6}   {kind:9} {mse:.4f} {mae:.4f} {count:8,} {took:7.0f} ({load()}, "
        f"{len(seeds)} seeds){beside}",
        flush=True,
    )


def exchange(seeds: int, first: int) -> None:
    """Eight daily rates, 96 days ahead, 70/10/20 in time: the naive method first."""
    text = gzip.decompress((folder() / "exchange_rate.txt.gz").read_bytes()).decode()
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "exchange_rate.csv"
        columns = [f"rate_{at}" for at in "abcdefgh"]
        file.write_text(",".join(columns) + "\n" + text)
        print("kind                         MSE     MAE    MASE    naive - it, 95 %")
        for place, kind in enumerate(("dlinear", "nlinear", "gru", "lstm", "encoder")):
            found, data = [], None
            for seed in range(first, first + seeds):
                recipe = Recipe.of(
                    data=str(file), task="forecast", split=(0.7, 0.1, 0.2), horizon=96, lookback=336, season=1,
                    distribution="point",
                    model=kind, base="last" if kind not in ("dlinear", "nlinear") else "auto", batch=256, lr=1e-3,
                    budget="500steps", seed=seed, threads=torch.get_num_threads(), dtype="float32", patience=8,
                    evaluate_every=50,
                )  # fmt: skip
                data = material(recipe)
                model, _ = trained(data, recipe)
                model.task = replace(model.task, shifts=None)
                found.append(data.score(model, "test"))
            assert data is not None
            rival = next(one for said, one in data._rivals if said == "naive")
            if not place:
                values = rival.report.values
                print(
                    f"{'naive':26} {values['scaled_mse']:.4f}  {values['scaled_mae']:.4f}  {values['mase']:.3f}"
                )
            low, high = paired(data, rival, found)
            mean = {
                key: fmean(one.report.values[key] for one in found)
                for key in ("scaled_mse", "scaled_mae", "mase")
            }
            print(
                f"{kind:26} {mean['scaled_mse']:.4f}  {mean['scaled_mae']:.4f}  {mean['mase']:.3f}   "
                f"{low:.3f} to {high:.3f}",
                flush=True,
            )


def tracks(seeds: int, first: int) -> None:
    """Aircraft over Switzerland, 12 -> 30 steps of 10 s, whole tracks held out: how far off, in kilometres."""
    data, windows = None, None
    for kind in ("gru", "lstm"):
        found = []
        for seed in range(first, first + seeds):
            recipe = Recipe.of(
                data="flights", horizon=30, lookback=12, model=kind, budget="1500steps", seed=seed, stride=5,
                dtype="float32",
                threads=torch.get_num_threads(), patience=10, batch=64,
            )  # fmt: skip
            data = material(recipe)
            windows = data.examples("test")
            model, _ = trained(data, recipe)
            both = [(truth, said.point) for _, _, truth, said in model.task.each(model, windows)]
            found.append(
                displacement(*(np.concatenate(side) * KILOMETRES for side in zip(*both, strict=True)))
            )
        ade, fde = (fmean(column) for column in zip(*found, strict=True))
        print(f"{kind:18} ADE {ade:6.3f} km  FDE {fde:6.3f} km  ({seeds} seeds, {load()})", flush=True)
    assert data is not None and windows is not None
    series, origin = windows.where(np.arange(len(windows)))
    truth = np.swapaxes(future(data.data, data.task(None, data.asked).framing, series, origin), 1, 2)  # type: ignore[arg-type]
    for rule in (ConstantVelocity(30, 2), ConstantTurn(30)):
        ade, fde = displacement(
            truth * KILOMETRES, np.swapaxes(rule.points(data.data, series, origin), 1, 2) * KILOMETRES
        )
        print(f"{rule.name:18} ADE {ade:6.3f} km  FDE {fde:6.3f} km  ({len(windows):,} windows)")


def many(seeds: int, first: int) -> None:
    """2,000 series of 1,000 steps: one minute's training, and the most memory that the process ever held."""
    rng = np.random.default_rng(first)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "many.csv"
        with file.open("w") as out:
            out.write("id,time,value\n")
            for number in range(2000):
                values = (
                    np.sin(np.arange(1000) * 2 * np.pi / 24 + number) * (1 + number % 7)
                    + rng.normal(size=1000).cumsum() * 0.1
                )
                out.writelines(
                    f"s{number},{step},{value:.4f}\n" for step, value in enumerate(values.tolist())
                )
        recipe = Recipe.of(
            data=str(file), horizon=24, lookback=72, season=24, model="gru", budget="200steps",
            threads=torch.get_num_threads(),
            batch=256, dtype="float32", evaluate_every=100, stride=24,
        )  # fmt: skip
        begun = perf_counter()
        data = material(recipe)
        read = perf_counter() - begun
        model, took = trained(data, recipe)
        score = data.score(model, "test")
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{len(data.examples('train')):,} training windows of {len(data.found.series):,} series; read "
            f"in {read:.0f} s, trained in {took:.0f} "
            f"s; MASE {score.value:.3f}, seasonal naive {data.naive()['value']:.3f}; {held:.2f} GiB at most ({load()})"
        )


def latency(seeds: int, first: int) -> None:
    """Milliseconds of one forecast of one series, warm: the whole look-back read anew, and one more step on a stream."""
    recipe = Recipe.of(
        data="seattle_temps", horizon=48, lookback=336, model={"kind": "lstm", "width": 64, "patch": 1},
        scale="series", budget="2steps",
        dtype="float32", threads=torch.get_num_threads(),
    )  # fmt: skip
    data = material(recipe)
    model = build(data.spec(recipe.model)).eval()
    model.task = data.task(model, recipe)
    series, origin = data.examples("test").where(np.arange(1))
    whole = fastest(lambda: model.task.foretell(model, data.data, series, origin))
    stream = Stream(model)
    stream.push(data.found.series[0].values[:336])
    step = fastest(lambda: (stream.push(50.0), stream.answers()))
    print(
        f"one forecast, look-back 336: {1000 * whole:.2f} ms; after one more step of a stream: "
        f"{1000 * step:.2f} ms ({load()})"
    )


def fastest(call: Callable[[], object], times: int = 50) -> float:
    """The median seconds of a call, warm."""
    found = []
    for _ in range(times):
        begun = perf_counter()
        call()
        found.append(perf_counter() - begun)
    return float(np.median(found))


def folder() -> Path:
    """Where the public sets are. Raises SystemExit without them."""
    root = os.environ.get("UNROLLED_DATA")
    if root is None or not Path(root).is_dir():
        raise SystemExit("left out: UNROLLED_DATA names no folder with ett/ and exchange_rate.txt.gz")
    return Path(root)


def main(words: list[str] | None = None) -> None:
    """Prints the rows that were asked for."""
    words = sys.argv[1:] if words is None else words
    keys = dict(word.split("=", 1) for word in words if "=" in word)
    rows = [word for word in words if "=" not in word] or [
        "samples",
        "ett",
        "exchange",
        "tracks",
        "many",
        "latency",
    ]
    torch.set_num_threads(int(keys.get("threads", 1)))
    seeds, first = int(keys.get("seeds", 3)), int(keys.get("first", 0))
    table: dict[str, Callable[[int, int], None]] = {
        "samples": samples,
        "exchange": exchange,
        "tracks": tracks,
        "many": many,
        "latency": latency,
    }
    for row in rows:
        name, *which = row.split(":")
        if name == "ett":
            ett(which, seeds, first)
        elif name in table:
            samples(seeds, first, *which) if name == "samples" else table[name](seeds, first)
        else:
            raise SystemExit(f"unknown row {row!r}; there are samples, ett, exchange, tracks, many, latency")


if __name__ == "__main__":
    main()
