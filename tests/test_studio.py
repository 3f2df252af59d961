"""The studio's server: who gets in, which runs there are, and curves that follow their file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studio_runs import TOKEN, metrics_row, run_at, studio

from unrolled.errors import NumericalFailure, UserError
from unrolled.page.curves import Curve, Curves, smoothed, thinned
from unrolled.page.files import BUILT, FILES
from unrolled.page.glass import Glass
from unrolled.page.index import Index
from unrolled.page.where import where

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "page"


def test_the_built_page_is_that_of_its_source() -> None:
    """`npm run build` in page/ writes the stamp; page/vite.config.ts computes it the same way."""
    files = sorted(
        [path.relative_to(PAGE).as_posix() for path in (PAGE / "src").rglob("*") if path.is_file()]
        + ["index.html", "package-lock.json", "vite.config.ts"]
    )
    found = hashlib.sha256()
    for name in files:
        found.update(f"{name}\0".encode() + (PAGE / name).read_bytes() + b"\0")
    assert (BUILT / "stamp.txt").read_text().strip() == found.hexdigest(), (
        "cd page && npm ci && npm run build"
    )
    for name, _ in FILES.values():
        assert 0 < (BUILT / name).stat().st_size < 300_000
    lock = (PAGE / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock, "npm install --omit-lockfile-registry-resolved"
    assert all(
        ch not in "^~*"
        for v in json.loads((PAGE / "package.json").read_text())["devDependencies"].values()
        for ch in v
    )


def test_the_page_is_free_and_says_nothing_and_all_else_needs_the_token(tmp_path: Path) -> None:
    run_at(tmp_path / "runs" / "secret-run-1")
    with studio(tmp_path / "runs") as (_, client):
        stranger = httpx.Client(base_url=client.base_url, trust_env=False)
        for path in FILES:
            said = stranger.get(path)
            assert said.status_code == 200 and "secret-run" not in said.text
        paths = [
            "/api/runs",
            "/api/run?run=secret-run-1",
            "/api/live?run=secret-run-1",
            "/api/glass?run=secret-run-1",
            "/x",
        ]
        assert {stranger.get(path).status_code for path in paths} == {401}
        posts = [
            "/api/stop",
            "/api/resume",
            "/api/compare",
            "/api/glass/read",
            "/api/glass/next",
            "/api/look",
        ]
        assert {stranger.post(path, json={"run": "secret-run-1"}).status_code for path in posts} == {401}
        assert stranger.get(f"/api/runs?token={TOKEN}").status_code == 401
        assert client.get("/api/runs").json()["runs"][0]["name"] == "secret-run-1"
        host = client.get("/api/runs", headers={"host": "evil.example"})
        origin = client.post("/api/stop", json={"run": "x"}, headers={"origin": "https://evil.example"})
        assert (host.status_code, origin.status_code) == (421, 403)
        for refused in (host, origin):
            said = refused.json()["error"]["message"]
            assert said.endswith("see hosts= of unrolled studio"), "the studio has no origins="
        assert client.get("/api/openapi.json").status_code == 404 and client.get("/docs").status_code == 404
        stranger.close()


def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline(tmp_path: Path) -> None:
    run_at(tmp_path / "runs" / "a-1")
    with studio(tmp_path / "runs") as (_, client):
        for path in ("/", "/app.js", "/api/runs", "/nothing"):
            headers = client.get(path).headers
            policy = {
                part.split()[0]: part.split()[1:] for part in headers["content-security-policy"].split(";")
            }
            assert (
                policy["default-src"] == ["'none'"]
                and policy["script-src"] == ["'self'"] == policy["style-src"]
            )
            assert policy["connect-src"] == ["'self'"] and policy["frame-ancestors"] == ["'none'"]
            assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    page = (BUILT / "index.html").read_text("utf-8")
    assert (
        "<style" not in page
        and page.count("<script") == 1
        and 'src="/app.js"' in page
        and " on" not in page.split("<body")[1]
    )


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "..",
        ".",
        "",
        "/",
        "a-1/../../outside",
        "a-1/checkpoints",
        "%2e%2e/outside",
        "linked",
        "a-1\0",
        "A-1",
        "~",
        "a-1/",
        "./a-1",
        "hidden/.b-1",
        "..\\outside",
        "x" * 400,
    ],
)
def test_a_name_opens_only_what_the_list_shows(tmp_path: Path, name: str) -> None:
    run_at(tmp_path / "outside")
    runs = tmp_path / "runs"
    run_at(runs / "a-1")
    run_at(runs / "hidden" / ".b-1")
    (runs / "linked").symlink_to(tmp_path / "outside")
    with studio(runs) as (_, client):
        assert [row["name"] for row in client.get("/api/runs").json()["runs"]] == ["a-1"]
        asked = [
            client.get(path, params={"run": name})
            for path in ("/api/run", "/api/live", "/api/samples", "/api/glass")
        ]
        asked += [
            client.post(path, json={"run": name}) for path in ("/api/stop", "/api/resume", "/api/glass/read")
        ]
        assert {reply.status_code for reply in asked} == {422}
        assert client.post("/api/compare", json={"runs": ["a-1", name]}).status_code == 422
    absolute = Index(runs)
    with pytest.raises(UserError, match="no run is called"):
        absolute.find(str(runs / "a-1"))


def test_runs_come_and_change_and_go(tmp_path: Path) -> None:
    index = Index(tmp_path)
    assert index.rows() == []
    run_at(tmp_path / "a-1", started="2026-01-02T00:00:00+00:00")
    run_at(tmp_path / "race-1" / "b-1", finished=False, test=None, started="2026-01-01T00:00:00+00:00")
    (tmp_path / "c-1").mkdir()
    (tmp_path / "c-1" / "result.json").write_text("{")
    (tmp_path / os.fsdecode(b"odd-\xff")).mkdir()
    shutil.copytree(tmp_path / "a-1", tmp_path / os.fsdecode(b"odd-\xff"), dirs_exist_ok=True)
    rows = index.rows()
    assert [(row["name"], row["state"]) for row in rows] == [("a-1", "finished"), ("race-1/b-1", "stopped")]
    assert (
        rows[0]["score"] == 2.0
        and rows[0]["baseline"] == {"name": "5-gram", "value": 2.2}
        and rows[0]["task"] == "generate"
    )
    assert rows[1]["step"] == 20 and rows[1]["latest"] == 3 / 20 and rows[1]["score"] is None
    told = json.loads((tmp_path / "a-1" / "result.json").read_text())
    (tmp_path / "a-1" / "result.json").write_text(json.dumps(told | {"step": 41}))
    assert index.rows()[0]["step"] == 41
    shutil.rmtree(tmp_path / "a-1")
    assert [row["name"] for row in index.rows()] == ["race-1/b-1"]


DAMAGED: list[dict[str, Any]] = [
    {"test": [1]}, {"test": {"value": "x"}}, {"test": {}}, {"started": None}, {"plan": 3}, {"plan": {"total": "x"}},
    {"baseline": "x"}, {"step": "x"}, {"finished": "no"}, {"test": {"value": float("nan")}}, {"kind": 3},
    {"valid": {"value": 1, "interval": "ab"}}, {"seconds": 10**400}, {"verdict": None},
]  # fmt: skip


def test_one_damaged_run_is_left_out_and_the_others_are_listed(tmp_path: Path) -> None:
    run_at(tmp_path / "sound-1")
    for number, damage in enumerate(DAMAGED):
        run_at(tmp_path / f"damaged-{number}", **damage)
    run_at(tmp_path / "deep-1")
    (tmp_path / "deep-1" / "result.json").write_text("[" * 100_000)
    live = run_at(tmp_path / "live-1", finished=False, test=None)
    (live / "metrics.jsonl").write_text('{"step": 1, "loss": NaN, "seconds": 1e999}\n')
    with studio(tmp_path) as (_, client):
        rows = client.get("/api/runs").json()["runs"]
        assert {row["name"] for row in rows} == {"sound-1", "live-1"}
        assert client.get("/api/run", params={"run": "damaged-0"}).status_code == 422


def test_runs_are_listed_once_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [run_at(tmp_path / f"a-{number}").name for number in range(3)]
    scans: list[Path] = []
    real = Index._folders
    monkeypatch.setattr(Index, "_folders", lambda self: scans.append(self.folder) or real(self))
    with studio(tmp_path) as (_, client):
        said = client.post("/api/compare", json={"runs": names}).json()
        assert [run["name"] for run in said["runs"]] == names and len(scans) == 1
        assert client.get("/api/run", params={"run": "a-1"}).json()["task"] == "generate" and len(scans) == 2
        many = client.post("/api/compare", json={"runs": [f"x-{number}" for number in range(25)]})
        assert many.status_code == 422 and "expected 2 to 24" in many.text and len(scans) == 2


def test_what_is_no_number_leaves_the_rest_of_a_curve_whole(tmp_path: Path) -> None:
    folder = run_at(tmp_path / "a-1", lines=0)
    rows = [metrics_row(step) for step in (1, 2, 3, 4, 6, 7)]
    rows[1]["loss"], rows[2]["seconds"] = float("nan"), "soon"
    rows[3]["norm"], rows[4]["loss"] = 10**400, "x"
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows) + f'{{"step": 1{"0" * 400}, "loss": 1}}\n'
    )
    with studio(tmp_path) as (_, client):
        said = client.get("/api/live", params={"run": "a-1", "window": 5}).json()["curves"]
        assert said["loss"]["x"] == [1, 3, 4, 7] and len(said["norm"]["x"]) == 5
        assert said["loss"]["y"][-1] == pytest.approx(np.mean([4 / 3, 1, 4 / 7]), rel=1e-5)
        timed = client.get("/api/live", params={"run": "a-1", "x": "seconds"}).json()["curves"]
        assert timed["loss"]["x"] == [0.1, 0.4, 0.7]


def test_the_page_claims_nothing_of_machines() -> None:
    """With host=0.0.0.0 it is read on others."""
    assert "stays on this machine" not in (BUILT / "app.js").read_text("utf-8")


def test_five_hundred_runs_are_listed_at_once(tmp_path: Path) -> None:
    for number in range(500):
        run_at(tmp_path / f"lstm-tunes-{number}", lines=2, finished=number % 2 == 0)
    index = Index(tmp_path)
    begun = time.perf_counter()
    assert len(index.rows()) == 500
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    index.rows()
    assert first < 1.0 and time.perf_counter() - begun < 0.5


def test_a_curve_follows_its_file_and_its_cuts(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    curve = Curve(path)
    curve.update()
    assert curve.count() == 0
    lines = [json.dumps(metrics_row(step)) + "\n" for step in range(1, 31)]
    path.write_text("".join(lines[:10]) + lines[10][:9])
    curve.update()
    assert curve.points("loss")[:, 0].tolist() == [1, 2, 3, 4, 6, 7, 8, 9] and curve.points("valid")[
        :, 0
    ].tolist() == [5, 10]
    with open(path, "a") as file:
        file.write(
            lines[10][9:] + "[1]\n{oops\n\n" + '{"step": 12, "nonfinite": 3}\n{"step": "x"}\n' + lines[12]
        )
    curve.update()
    assert curve.points("loss")[-2:, 0].tolist() == [11, 13] and curve.events == [
        {"step": 12, "what": "not finite"}
    ]
    path.write_text("".join(lines[:6]))  # the run went back
    curve.update()
    assert curve.points("loss")[:, 0].tolist() == [1, 2, 3, 4, 6] and curve.events == []
    path.write_text("".join(line.replace("0.01", "0.02") for line in lines))  # and on, past where it had been
    curve.update()
    assert set(curve.points("lr")[:, 2]) == {0.02} and len(curve.points("lr")) == 24


def test_a_large_file_is_read_in_blocks_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(metrics_row(step)) + "\n" for step in range(1, 400)))
    whole = Curves().of(tmp_path)
    monkeypatch.setattr("unrolled.page.curves.BLOCK", 777)
    parted = Curves().of(tmp_path)
    assert whole.read == parted.read == path.stat().st_size
    for name in ("loss", "valid"):
        np.testing.assert_array_equal(whole.points(name), parted.points(name))


@given(st.integers(0, 2000), st.integers(10, 50), st.integers(0, 2**32 - 1), st.booleans())
def test_thinning_loses_no_peak(count: int, width: int, seed: int, rounded: bool) -> None:
    y = np.random.default_rng(seed).normal(size=count)
    y = y.round() if rounded else y  # with many equal ones
    x = np.arange(count, dtype=np.float64)
    xs, ys = thinned(x, y, width)
    assert len(xs) <= 2 * width + 2 and np.all(np.diff(xs) > 0)
    assert all(y[int(at)] == value for at, value in zip(xs, ys, strict=True))
    if len(y):
        assert ys.min() == y.min() and ys.max() == y.max() and xs[0] == 0 and xs[-1] == len(y) - 1


def test_thinning_takes_the_stretch_that_is_asked_for_and_a_point_on_either_side() -> None:
    x = np.arange(10_000, dtype=np.float64)
    xs, _ = thinned(x, np.where(x == 4321, 9.0, 0.0), 50, 4000, 5000)
    assert xs[0] == 3999 and xs[-1] == 5001 and 4321 in xs
    xs, ys = thinned(np.array([0, 1, np.nan, 3]), np.array([1, np.inf, 2, 3.0]), 10)
    assert xs.tolist() == [0, 3] and ys.tolist() == [1, 3]


def test_smoothing_is_the_mean_of_a_window() -> None:
    y = np.random.default_rng(0).normal(size=200)
    found = smoothed(y, 15)
    wanted = [y[max(0, i - 7) : i + 8].mean() for i in range(200)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert smoothed(y, 1) is y and len(smoothed(np.empty(0), 9)) == 0


def test_a_million_points_are_ready_to_draw_within_a_blink(tmp_path: Path) -> None:
    """150 ms for all the curves of a run that was read before; reading them first is another matter, and is told."""
    folder = run_at(tmp_path / "long-1", lines=1)
    line = '{{"step": {0}, "loss": {1}, "norm": 1.0, "lr": 0.01, "seconds": {0}.5}}\n'
    with open(folder / "metrics.jsonl", "w") as file:
        file.writelines(line.format(step, 1 + (step * 7919 % 1000) / 1000) for step in range(2, 333_340))
    with studio(tmp_path) as (_, client):
        asked = {"run": "long-1", "width": 1200, "window": 15}
        assert client.get("/api/live", params=asked).json()["points"] > 1_000_000
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            said = client.get("/api/live", params=asked).json()
            times.append(time.perf_counter() - begun)
    assert len(said["curves"]["loss"]["x"]) <= 2402 and min(times) < 0.15


def test_it_tells_a_run_from_a_folder_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_at(tmp_path / "runs" / "a-1")
    runs = str(tmp_path / "runs")
    assert where(None, runs) == (tmp_path / "runs", None)
    assert where(runs, "elsewhere") == (tmp_path / "runs", None)
    assert (
        where("a-1", runs)
        == (tmp_path / "runs", "a-1")
        == where("@last", runs)
        == where(f"{runs}/a-1", "elsewhere")
    )
    for run, folder in (("b-1", runs), (None, "nowhere")):
        with pytest.raises(UserError):
            where(run, folder)


def test_the_command_prints_its_address_and_ends_when_told(tmp_path: Path) -> None:
    run_at(tmp_path / "a-1")
    command = [sys.executable, "-m", "unrolled", "studio", str(tmp_path / "a-1"), "port=0"]
    made = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        assert made.stdout is not None
        base, _, rest = made.stdout.readline().strip().partition("/#token=")
        token, _, place = rest.partition("/")
        assert place == "run/a-1" and len(token) >= 32
        until_up: Any = None
        for _ in range(200):
            try:
                until_up = httpx.get(
                    f"{base}/api/runs", headers={"authorization": f"Bearer {token}"}, trust_env=False
                )
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        assert until_up.json()["runs"][0]["name"] == "a-1"
        made.send_signal(2)
        assert made.wait(20) in (0, 130)
    finally:
        made.kill()
        _, errors = made.communicate()
    assert "Traceback" not in errors


def test_an_address_that_others_reach_and_a_short_token_are_refused(tmp_path: Path) -> None:
    from unrolled.page.studio import studio as serve

    with pytest.raises(UserError, match="16 printable"):
        serve(str(tmp_path), token="short", port=0)


def test_a_model_whose_numbers_are_none_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> Any:
        raise NumericalFailure("a-1: the model's prediction isn't a number.")

    run_at(tmp_path / "a-1")
    monkeypatch.setattr(Glass, "read", broken)
    with studio(tmp_path) as (_, client):
        said = client.post("/api/glass/read", json={"run": "a-1", "text": "x"})
    assert said.status_code == 422 and said.json()["error"]["code"] == "not_finite"
    assert said.json()["error"]["message"] == "a-1: the model's prediction isn't a number."
    assert "Traceback" not in capfd.readouterr().err
