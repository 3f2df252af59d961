"""Forecasts end to end: framing, linear models against their papers' equations, leakage, runs, the verb, streams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unrolled as un
from unrolled.datasets.framing import Framing, bases, framed, future, targets
from unrolled.datasets.series_table import read_series
from unrolled.datasets.series_windows import Packed, packed
from unrolled.errors import UserError
from unrolled.model import build, forecasters, forecasting
from unrolled.model.patches import SeriesPatchEmbedder, smoothed
from unrolled.running.stream import Stream
from unrolled.tasks import task_from_dict
from unrolled.tasks.backtest import backtest
from unrolled.training.fit import fitted
from unrolled.training.forecasting import Forecasting
from unrolled.training.recipe import Recipe
from unrolled.training.rows import prepare_table

TINY: dict[str, Any] = {
    "horizon": 4, "lookback": 16, "season": 8, "budget": "12steps", "evaluate_every": 6, "dtype": "float32", "device":
    "cpu", "batch": 16,
}  # fmt: skip


def written(
    path: Path, noise: float = 0.1, count: int = 200, names: tuple[str, ...] = ("value",), seed: int = 0
) -> Path:
    """A file of hourly waves."""
    rng = np.random.default_rng(seed)
    lines = ["time," + ",".join(names)]
    for at in range(count):
        values = [
            np.sin(at * np.pi / 4 + k) * (1 + k) + 0.02 * at + noise * rng.normal() for k in range(len(names))
        ]
        lines.append(f"2021-03-{1 + at // 24:02}T{at % 24:02}:00," + ",".join(f"{v:.5f}" for v in values))
    path.write_text("\n".join(lines) + "\n")
    return path


def material(path: Path, **keys: Any) -> tuple[Forecasting, Recipe]:
    recipe = Recipe.of(data=str(path), **{**TINY, "model": "gru", "model.width": 8, **keys})
    made = prepare_table(recipe)
    assert isinstance(made, Forecasting)
    return made, recipe


@pytest.mark.parametrize("scale", ["series", "window", "last"])
@pytest.mark.parametrize("base", ["centre", "last", "season", "line"])
def test_what_was_scaled_comes_back(tmp_path: Path, scale: Any, base: Any) -> None:
    data, _ = material(written(tmp_path / "x.csv"))
    framing = replace(data.task(None, data.asked).framing, scale=scale, base=base, calendar=(), spread=1)  # type: ignore[arg-type]
    series, origin = data.examples("train").where(np.arange(5))
    window, wanted = (
        framed(data.data, framing, series, origin),
        targets(data.data, framing, series, origin)[:, 0],
    )
    back = np.swapaxes(wanted[..., :-1], 1, 2) * window.deviation[:, None] + window.base
    assert np.allclose(back, future(data.data, framing, series, origin), atol=1e-5)
    assert np.allclose(wanted[..., -1], window.deviation / window.level)
    if scale == "window":
        assert np.allclose(window.x.mean(1), 0, atol=1e-5) and np.allclose(window.x.std(1), 1, atol=1e-4)
    if scale == "last":
        assert np.allclose(window.x[:, -1], 0)


def test_the_season_s_base_is_the_value_one_season_before_each_step() -> None:
    raw = np.arange(30.0)[None, :, None]
    found = bases(Framing(10, 13, base="season", season=5), raw, np.zeros((1, 1)))[0, :, 0]
    assert found.tolist() == [25, 26, 27, 28, 29] * 2 + [25, 26, 27]


def test_dlinear_is_two_linear_maps_of_trend_and_remainder() -> None:
    """Zeng et al. 2023, sec. 4: a moving average over 25 steps with repeated ends, one map each for what is left and
    for it.
    """
    head = {"kind": "forecast", "horizon": 7, "distribution": "point"}
    model = build(forecasting("dlinear", head, inputs=1, lookback=40)).eval()
    x = torch.randn(3, 40, 1)
    padded = torch.cat([x[:, :1].repeat(1, 12, 1), x, x[:, -1:].repeat(1, 12, 1)], 1)[..., 0]
    trend = torch.stack([padded[:, at : at + 25].mean(1) for at in range(40)], 1)
    weight, bias = model.head.values.weight, model.head.values.bias
    wanted = (x[..., 0] - trend) @ weight[:, :40].T + trend @ weight[:, 40:].T + bias
    assert torch.allclose(model(x)[0][:, -1], wanted, atol=1e-5)
    assert torch.allclose(smoothed(x[..., 0]), trend, atol=1e-5)


def test_patches_are_counted_back_from_the_last_step() -> None:
    made = SeriesPatchEmbedder(2, 8, size=4, stride=3, map="none")
    x = torch.arange(2 * 11 * 2.0).view(2, 11, 2)
    y, _, _ = made(x)
    assert y.shape == (2, made.tokens(11), 8) and torch.equal(y[:, -1], x[:, -4:].swapaxes(1, 2).flatten(1))
    with pytest.raises(UserError, match=r"model\.patch=1"):
        made.start(1)
    with pytest.raises(UserError, match="4 steps at least"):
        made.accept(x[:, :3])


@pytest.mark.parametrize("kind", forecasters())
def test_every_kind_forecasts(tmp_path: Path, kind: str) -> None:
    keys = {} if kind in ("dlinear", "nlinear") else {"model.width": 8, "model.layers": 1}
    data, recipe = material(
        written(tmp_path / "x.csv"), **{"model.width": None, "model": kind, "budget": "2steps", **keys}
    )
    model = fitted(data, recipe)
    found = data.score(model, "test").report
    assert np.isfinite(list(found.values.values())).all() and len(found.by_horizon["mase"]) == 4
    again = task_from_dict(model.task.to_dict())
    assert again == model.task


WAYS: tuple[dict[str, Any], ...] = (
    {"distribution": "gaussian"}, {"distribution": "student"}, {"distribution": "point"}, {"way": "steps"},
    {"way": "steps", "distribution": "point"}, {"model.patch": 4}, {"scale": "series"},
    {"scale": "series", "base": "last", "model": "transformer"},
)  # fmt: skip


@pytest.mark.parametrize("keys", WAYS)
def test_every_way_forecasts(tmp_path: Path, keys: dict[str, Any]) -> None:
    data, recipe = material(written(tmp_path / "x.csv", count=120), **keys)
    model = fitted(data, recipe)
    for _, _, truth, said in backtest(model, data.examples("test"), data.examples("valid")):
        assert said.quantiles.shape == (*truth.shape, 9) and (np.diff(said.quantiles, axis=-1) >= 0).all()


def test_several_targets_with_what_is_known_beside_them(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", names=("a", "b", "c"))
    data, recipe = material(path, task="forecast", target="a,b", input="c")
    model = fitted(data, recipe)
    _, _, truth, said = next(model.task.each(model, data.examples("test")))
    assert truth.shape[1:] == (2, 4) and said.quantiles.shape[1:] == (2, 4, 9)
    with pytest.raises(UserError, match="way=steps"):
        material(path, task="forecast", target="a", input="c", way="steps")


def noised(data: Forecasting, after: int) -> Packed:
    """The same series with noise in all steps after the first `after`."""
    rng = np.random.default_rng(9)
    values = [one.values.copy() for one in data.found.series]
    for one in values:
        one[after:] = 1e3 * rng.normal(size=one[after:].shape)
    series = tuple(replace(one, values=v) for one, v in zip(data.found.series, values, strict=True))
    return packed(replace(data.found, series=series), data.decided.shares)


def test_nothing_after_a_cut_changes_anything_before_it(tmp_path: Path) -> None:
    """All that follows the cut is replaced by noise: scaler, season, windows, every chosen key, the trained weights, the
    calibration and all forecasts from before it are the same, bit for bit.
    """
    path = written(tmp_path / "x.csv", names=("a", "b"))
    plain, recipe = material(path, horizon=None, lookback=None, season=None)
    end = int(plain.data.ends[0, 1])  # of validation
    lines = path.read_text().splitlines()
    rng = np.random.default_rng(3)
    noise = [
        f"{line.split(',')[0]},{rng.normal() * 1e3:.4f},{rng.normal() * 1e3:.4f}" for line in lines[end + 1 :]
    ]
    path.write_text("\n".join([*lines[: end + 1], *noise]) + "\n")
    other, again = material(path, horizon=None, lookback=None, season=None)
    assert other.decided == plain.decided and [c for c in other.chosen] == [c for c in plain.chosen]
    for one, two in zip(plain.data.scales, other.data.scales, strict=True):
        assert np.array_equal(one, two)
    for one, two in zip(plain._naive_scales, other._naive_scales, strict=True):
        assert np.array_equal(one, two)
    for part in ("train", "valid"):
        where = [data.examples(part).where(np.arange(len(data.examples(part)))) for data in (plain, other)]
        assert np.array_equal(where[0], where[1])
        framing = plain.task(None, recipe).framing  # type: ignore[arg-type]
        assert np.array_equal(
            targets(plain.data, framing, *where[0]), targets(other.data, framing, *where[1])
        )
    models = [fitted(plain, recipe), fitted(other, again)]
    assert models[0].task.to_dict() == models[1].task.to_dict()
    for name, weight in models[0].state_dict().items():
        assert torch.equal(weight, models[1].state_dict()[name]), name
    origin = np.full(2, end - 1)
    said = [
        m.task.foretell(m, d.data, np.arange(2), origin) for m, d in zip(models, (plain, other), strict=True)
    ]
    assert np.array_equal(said[0].quantiles, said[1].quantiles)


def test_a_backtest_s_forecast_knows_nothing_of_what_comes(tmp_path: Path) -> None:
    """Noise after one moment of the test part changes no forecast that was made by then, rolling quantiles included."""
    data, recipe = material(written(tmp_path / "x.csv"))
    model = fitted(data, recipe)
    moment = int(data.data.ends[0, 1]) + 12
    other = data.examples("test").latest(10**6, 0)
    before = data.examples("valid").latest(10**6, 0)
    other.data = before.data = noised(data, moment)
    found: list[dict[int, np.ndarray]] = []
    for windows, valid in ((data.examples("test"), data.examples("valid")), (other, before)):
        steps = backtest(model, windows, valid)
        found.append(
            {int(o): q for _, origin, _, said in steps for o, q in zip(origin, said.quantiles, strict=True)}
        )
    known = [origin for origin in found[0] if origin < moment]
    assert len(known) > 10
    assert all(np.array_equal(found[0][origin], found[1][origin]) for origin in known)
    assert any(not np.array_equal(found[0][o], found[1][o]) for o in found[0] if o > moment + 4)


def test_a_run_and_its_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from unrolled.cli.main import main

    path, runs = written(tmp_path / "waves.csv", names=("a", "b")), tmp_path / "runs"
    keys = {**TINY, "model": "gru", "model.width": 8, "data": str(path), "runs": str(runs)}
    assert main(["train", *(f"{k}={v}" for k, v in keys.items())]) == 0
    run = un.Run.open("@last", runs)
    assert run.test is not None and run.naive is not None and run.naive["name"] == "seasonal naive (8)"
    assert run.recipe.task == "forecast" and run.unit == "MASE" and run.verdict
    assert un.evaluate(run).to_dict()["values"] == pytest.approx(run.test["values"])
    assert (run.path / "report.html").is_file()
    capsys.readouterr()
    out = tmp_path / "next.csv"
    assert (
        main(
            [
                "forecast",
                "@last",
                f"runs={runs}",
                "horizon=3",
                f"out={out}",
                f"svg={tmp_path / 'fan.svg'}",
                "-q",
            ]
        )
        == 0
    )
    lines = out.read_text().splitlines()
    assert lines[0].startswith("series,time,forecast,0.1,0.2") and len(lines) == 1 + 2 * 3
    assert lines[1].startswith("a,2021-03-09T08:00:00,") and lines[4].startswith("b,2021-03-09T08:00:00,")
    assert (tmp_path / "fan.svg").read_text().startswith("<svg")
    assert un.predict(run, str(path)).rows == un.forecast(run, str(path)).rows
    table = [
        {"time": line.split(",")[0], "a": line.split(",")[1], "b": line.split(",")[2]}
        for line in path.read_text().splitlines()[1:]
    ]
    assert un.forecast(run.model(), table).rows == un.forecast(run).rows
    for text, call in (
        ("trained to foretell 4", lambda: un.forecast(run, horizon=5)), ("reads the column 'b'", lambda:
        un.forecast(run, [{"time": 1, "a": 2}])), ("looks back 16", lambda: un.forecast(run, table[:10])),
    ):  # fmt: skip
        with pytest.raises(UserError, match=text):
            call()


def test_a_run_that_was_cut_off_goes_on_exactly(tmp_path: Path) -> None:
    path = written(tmp_path / "waves.csv")
    keys = {**TINY, "model": "gru", "model.width": 8, "data": str(path), "runs": str(tmp_path / "runs")}
    whole = un.train(**keys)
    half = un.train(**{**keys, "budget": "6steps"})
    assert whole is not None and half is not None
    longer = un.train(resume=half.name, budget="+6steps", runs=str(tmp_path / "runs"), device="cpu")
    assert longer is not None and longer.test is not None and whole.step == longer.step == 12


def test_a_stream_foretells_after_each_observation_what_the_whole_series_gives(tmp_path: Path) -> None:
    data, recipe = material(written(tmp_path / "x.csv"), scale="series", base="season", lookback=40)
    model = fitted(data, recipe)
    values = data.found.series[0].values[:40, 0]
    stream = Stream(model)
    stream.push(values[:25])
    sizes = [sum(leaf.numel() for _, leaf in un.state.leaves(stream.state))]
    for value in values[25:]:
        stream.push(value)
        sizes.append(sum(leaf.numel() for _, leaf in un.state.leaves(stream.state)))
    assert len({*sizes}) == 1, "constant memory"
    said = model.task.foretell(model, data.data, np.zeros(1, int), np.full(1, 39))
    answer = stream.answers()[0]
    assert np.allclose(answer["forecast"], said.point[0, 0], atol=1e-4)
    assert np.allclose(
        [answer[f"{level:g}"] for level in model.task.levels], said.quantiles[0, 0].T, atol=1e-4
    )
    other = stream.fork()
    other.push(99.0)
    assert stream.answers()[0] == answer != other.answers()[0]


def test_what_looks_at_whole_windows_says_why_it_doesn_t_stream(tmp_path: Path) -> None:
    data, recipe = material(written(tmp_path / "x.csv"), scale="window")
    with pytest.raises(UserError, match="scale=series"):
        Stream(fitted(data, recipe))


def test_a_series_that_training_had_not_needs_a_few_observations_first(tmp_path: Path) -> None:
    data, recipe = material(written(tmp_path / "x.csv", names=("a", "b")), scale="series")
    stream = Stream(fitted(data, recipe))
    with pytest.raises(UserError, match="at least 8"):
        stream.push(1.0)
    stream.push(np.arange(9.0))
    assert np.isfinite(stream.answers()[0]["forecast"]).all()


def test_many_series_hold_no_windows() -> None:
    """300 series of 500 steps make over 70,000 training windows; what is held is the series alone."""
    rng = np.random.default_rng(0)
    rows = [
        {"origin": f"x:{at}", "id": f"s{at // 500}", "time": at % 500, "value": float(v)}
        for at, v in enumerate(rng.normal(size=150_000))
    ]
    from unrolled.datasets.asked import Asked
    from unrolled.datasets.series_columns import forecasts

    columns = forecasts(rows, Asked())
    assert columns is not None
    found = read_series(rows, columns)
    data = Forecasting("many", found, Recipe.of(data="x", horizon=24, lookback=72, season=24))
    assert len(data.examples("train")) > 70_000
    windows = data.examples("train")
    held = sum(
        each.nbytes
        for each in (windows.begin, windows.until, data.data.values, data.data.known, data.data.offsets)
    )
    assert held < 3_000_000


@pytest.mark.parametrize(
    ("change", "text"),
    [({"horizon": 90, "lookback": 120}, "fewer than lookback"), ({"horizon": 45, "lookback": 60}, "no window of"),
     ({"way": "steps", "distribution": "quantiles"}, "way=steps"), ({"model.patch": 99}, "model.patch=99"),
     ({"model": "dlinear", "model.width": 8}, "no width"), ({"scale": "window", "model": "dlinear", "way": "steps"},
     "way=direct"),
     ({"vectors": "x"}, "vectors"), ({"base": "season", "season": 17}, "base=season")],
)  # fmt: skip
def test_what_can_t_be_says_so(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    path = written(tmp_path / "x.csv")
    with pytest.raises(UserError, match=text):
        data, recipe = material(
            path, **{"model.width": None, **change} if change.get("model") != "dlinear" else change
        )
        fitted(data, recipe)


def test_constant_series_are_refused_alone_and_told_among_others(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", names=("a", "b"))
    lines = [line.rsplit(",", 1)[0] + ",5" for line in path.read_text().splitlines()[1:]]
    path.write_text("\n".join(["time,a,b", *lines]))
    data, _ = material(path)
    assert any("1 series are constant" in note for note in data.notes)
    path.write_text("\n".join(["time,b", *(f"{line.split(',')[0]},5" for line in lines)]))
    with pytest.raises(UserError, match="is constant in all its training steps"):
        material(path)


def test_a_server_answers_with_forecasts(tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    from unrolled.serving.app import guarded
    from unrolled.serving.limits import Limits
    from unrolled.serving.served import Served

    data, recipe = material(written(tmp_path / "x.csv"), scale="series")
    model = fitted(data, recipe)
    values = data.found.series[0].values[:, 0].tolist()
    app = guarded(Served({"waves": model}, Limits()), port=80)
    with TestClient(app, base_url="http://127.0.0.1:80") as client:
        said = client.post(
            "/v1/forecast", json={"model": "waves", "rows": [{"value": values}, {"value": values[:50]}]}
        )
        assert said.status_code == 200, said.text
        rows = said.json()["rows"]
        whole = model.task.foretell(model, data.data, np.zeros(1, int), np.full(1, len(values) - 1))
        assert np.allclose(rows[0]["forecast"], whole.point[0, 0], atol=1e-4) and len(rows[1]["0.9"]) == 4
        short = client.post("/v1/forecast", json={"model": "waves", "rows": [{"value": values[:5]}]})
        assert short.status_code == 422 and "looks back 16" in short.text


def test_an_export_says_that_there_is_none_yet(tmp_path: Path) -> None:
    data, recipe = material(written(tmp_path / "x.csv"), scale="series", budget="2steps")
    with pytest.raises(UserError, match="no exported form"):
        un.export(fitted(data, recipe), out=str(tmp_path / "out"))
