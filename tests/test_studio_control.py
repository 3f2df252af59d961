"""Stop and resume from the page: a training ends as Ctrl-C ends it, and no other process is ever signalled."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from studio_runs import run_at, studio, until

from unrolled.errors import UserError
from unrolled.page.life import BUDGET, Resumed, running, stop
from unrolled.training.run import Run

ROOT = Path(__file__).parent.parent
HERE = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def training(place: Path, runs: Path, *words: str) -> subprocess.Popen[str]:
    """`unrolled train` with steps enough to be stopped."""
    keys = [
        "model=lstm",
        "model.width=16",
        "batch=4",
        "length=16",
        "budget=60000steps",
        "evaluate_every=2000",
        "log_every=5",
        "codec=characters",
        "dtype=float32",
        "device=cpu",
        "patience=0",
    ]
    command = [
        sys.executable,
        "-m",
        "unrolled",
        "train",
        f"data={place / 'tunes.abc'}",
        f"runs={runs}",
        *keys,
        *words,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=HERE)


def test_a_training_appears_moves_and_is_stopped_as_by_ctrl_c(place: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    made = training(place, runs)
    try:
        with studio(runs) as (_, client):

            def rows() -> Any:
                return client.get("/api/runs").json()["runs"]

            until(lambda: rows() and rows()[0]["state"] == "running" and rows()[0]["step"] > 0, 60)
            name, step = rows()[0]["name"], rows()[0]["step"]
            begun = time.monotonic()
            until(lambda: rows()[0]["step"] > step, 10)
            assert time.monotonic() - begun < 2
            live = client.get("/api/live", params={"run": name}).json()
            assert (
                live["curves"]["loss"]["x"] and live["row"]["state"] == "running" and live["failed"] is None
            )
            assert client.post("/api/resume", json={"run": name}).status_code == 422, "it trains already"
            assert client.post("/api/stop", json={"run": name}).json() == {"process": made.pid}
            _, said = made.communicate(timeout=60)
            assert made.returncode == 130 and "Traceback" not in said and f"resume={name} runs={runs}" in said
            assert rows()[0]["state"] == "stopped"
            assert client.post("/api/stop", json={"run": name}).status_code == 422
            stopped = rows()[0]["step"]
            assert client.post("/api/resume", json={"run": name}).status_code == 200
            until(lambda: rows()[0]["state"] == "running" and rows()[0]["step"] > stopped, 60)
            process = client.post("/api/stop", json={"run": name}).json()["process"]
            until(lambda: running(runs / name) is None, 60)
            assert process != made.pid and Run.at(runs / name).finished is False
            assert client.get("/api/live", params={"run": name}).json()["failed"] is None
    finally:
        made.kill()
        made.communicate()


def test_what_fails_to_go_on_says_why(tmp_path: Path) -> None:
    run_at(tmp_path / "a-1", finished=False)
    with studio(tmp_path) as (_, client):
        assert client.post("/api/resume", json={"run": "a-1"}).status_code == 200
        said: list[Any] = []

        def failed() -> bool:
            said.append(client.get("/api/live", params={"run": "a-1"}).json()["failed"])
            return said[-1] is not None

        until(failed, 60)
        assert "Traceback" not in said[-1] and said[-1].strip()
        assert client.get("/api/live", params={"run": "a-1"}).json()["failed"] is None, "said once"


@pytest.fixture
def bystander() -> Any:
    """A process that a damaged or forged .lock might name."""
    made = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield made
    made.kill()
    made.wait()


def test_no_other_process_is_signalled(
    tmp_path: Path, bystander: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_at(tmp_path / "a-1", finished=False)
    sent: list[int] = []
    real = os.kill
    monkeypatch.setattr(os, "kill", lambda pid, number: real(pid, 0) if number == 0 else sent.append(pid))
    for text in (
        f"pid {bystander.pid}",
        "pid 1",
        "pid 0",
        "pid -1",
        "pid 99999999",
        "",
        "pid x",
        f"{bystander.pid}",
    ):
        (folder / ".lock").write_text(text)
        assert running(folder) is None, "nobody holds the lock"
        with pytest.raises(UserError, match="nothing trains it"):
            stop(folder, "a-1")
    (folder / ".lock").write_text(f"pid {bystander.pid}")
    with open(folder / ".lock", "rb") as held:  # held, but not by the process that it names
        fcntl.flock(held, fcntl.LOCK_EX)
        assert running(folder) == bystander.pid
        with pytest.raises(UserError, match="nothing trains it"):
            stop(folder, "a-1")
        assert sent == []
        (folder / ".lock").write_text(f"pid {os.getpid()}")
        assert stop(folder, "a-1") == os.getpid() and sent == [os.getpid()]
    (folder / ".lock").unlink()
    assert running(folder) is None


def test_more_budget_is_an_amount_and_nothing_else(tmp_path: Path) -> None:
    folder = run_at(tmp_path / "a-1")
    resumed = Resumed(tmp_path)
    for budget in ("5m", "+5m out=/tmp/x", "+", "@last", "+5m\n", "--debug", "+1e9m", "+5 m", "runs=/"):
        with pytest.raises(UserError, match="expected more of it"):
            resumed.resume(folder, "a-1", budget)
    assert all(BUDGET.fullmatch(good) for good in ("+5m", "+90s", "+2000steps", "+1.5h", "+3Mtok"))
    assert not resumed._begun


def test_a_comparison_is_stopped_as_a_whole(tmp_path: Path) -> None:
    """Its members' locks are all held by the one process that trains them."""
    code = (
        "import signal, sys, time; from pathlib import Path; from unrolled.training.folder import Lock\n"
        "locks = [Lock(Path(p)) for p in sys.argv[1:]]\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(130)); print('ready', flush=True); time.sleep(60)"
    )
    members = [run_at(tmp_path / "race-1" / name, finished=False) for name in ("a-1", "b-1")]
    made = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, members)], stdout=subprocess.PIPE, text=True, env=HERE
    )
    try:
        assert made.stdout is not None and made.stdout.readline() == "ready\n"
        assert {running(member) for member in members} == {made.pid}
        assert stop(members[0], "race-1/a-1") == made.pid and made.wait(20) == 130
        assert {running(member) for member in members} == {None}
    finally:
        made.kill()
        made.communicate()
    assert json.loads((members[0] / "result.json").read_text())["finished"] is False
