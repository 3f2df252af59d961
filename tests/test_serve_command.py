"""`unrolled serve` as a stranger types it: the line it prints works, and it stops when told to."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.sync.client as ws
from serve_runs import serving, until
from tiny_models import writer_of
from tiny_runs import tiny

from unrolled.cli.main import main
from unrolled.serving.example import curl
from unrolled.training.train import train

ROW = {"model.width": 8, "batch": 16, "budget": "3steps", "evaluate_every": 3, "device": "cpu"}


def begin(runs: Path, *words: str, **environment: str) -> tuple[subprocess.Popen[str], list[str]]:
    """A server, and the curl lines it prints, one a run."""
    command = [sys.executable, "-m", "unrolled", "serve", f"runs={runs}", "port=0", *words]
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "NO_PROXY": "*"} | environment
    made = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=here)
    assert made.stdout is not None
    lines = [made.stdout.readline().strip() for _ in range(max(1, sum("=" not in word for word in words)))]
    return made, lines


def shell(line: str, **environment: str) -> Any:
    deadline = time.monotonic() + 20
    while True:
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, check=False,
            env=os.environ | {"NO_PROXY": "*"} | environment,
        )  # fmt: skip
        if done.returncode == 0 or time.monotonic() > deadline:
            return json.loads(done.stdout)
        time.sleep(0.1)


def test_the_printed_line_is_answered_and_sigterm_lets_what_runs_end(place: Path, tmp_path: Path) -> None:
    run = tiny(place, tmp_path)
    token = "a-token-of-the-tests-0123"
    server, lines = begin(tmp_path, run.name, "drain=20", UNROLLED_TOKEN=token)
    try:
        assert re.match(r"curl http://127\.0\.0\.1:\d+/v1/completions -H", lines[0])
        assert token not in lines[0]
        said = shell(lines[0], UNROLLED_TOKEN=token)
        assert said["object"] == "text_completion" and said["choices"][0]["finish_reason"] in (
            "stop",
            "length",
        )
        assert "error" in shell(lines[0], UNROLLED_TOKEN="another-token-0123456789")
        long = lines[0].replace('"max_tokens": 200', '"max_tokens": 4000, "temperature": 90')
        waiting = subprocess.Popen(
            ["bash", "-c", long], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | {"UNROLLED_TOKEN": token, "NO_PROXY": "*"},
        )  # fmt: skip
        time.sleep(0.4)
        server.send_signal(signal.SIGTERM)
        reply = json.loads(waiting.communicate(timeout=30)[0])
        assert reply["choices"][0]["finish_reason"] in ("stop", "length")
        assert server.wait(30) == 143
    finally:
        server.kill()
        _, errors = server.communicate()
    assert "stopping" in errors and "Traceback" not in errors


def test_more_ctrl_cs_end_it_quietly(place: Path, tmp_path: Path) -> None:
    """One after another, until the process is gone: some come while the event loop closes, some while Python ends."""
    run = tiny(place, tmp_path)
    server, lines = begin(tmp_path, run.name, "drain=600")
    try:
        shell(lines[0])
        until(lambda: server.poll() is not None or server.send_signal(signal.SIGINT), 60)
    finally:
        server.kill()
        _, errors = server.communicate()
    assert server.returncode == 130 and "Traceback" not in errors and "Exception" not in errors, errors


@pytest.mark.slow
def test_replicas_behind_haproxy_share_the_work_and_keep_their_sessions(place: Path, tmp_path: Path) -> None:
    if shutil.which("haproxy") is None:
        pytest.skip("needs haproxy")
    run, front = tiny(place, tmp_path), free_port()
    servers = [begin(tmp_path, run.name, f"hosts=localhost:{front},127.0.0.1:{front}") for _ in range(2)]
    ports = [re.search(r":(\d+)/v1", lines[0])[1] for _, lines in servers]  # type: ignore[index]
    text = (Path(__file__).parent.parent / "examples/serving/haproxy.cfg").read_text()
    for old, new in zip(("8000", "8001", "8002"), (str(front), *ports), strict=True):
        text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
    (tmp_path / "haproxy.cfg").write_text(text)
    balancer = subprocess.Popen(["haproxy", "-f", str(tmp_path / "haproxy.cfg")], stderr=subprocess.DEVNULL)

    def metric(name: str) -> list[int]:
        """Of each replica."""
        told = [httpx.get(f"http://127.0.0.1:{p}/metrics", trust_env=False, timeout=20).text for p in ports]
        return [sum(int(n) for n in re.findall(rf"{name}{{.*}} (\d+)", one)) for one in told]

    def session(query: str, steps: int) -> str:
        while True:
            with ws.connect(f"ws://127.0.0.1:{front}/v1/stream?{query}", proxy=None) as one:
                known = json.loads(one.recv(timeout=20))
                if "connected already" in str(
                    known
                ):  # its replica hasn't heard yet that the last one has gone
                    continue
                assert known.get("steps") == steps, known
                one.send(json.dumps({"ids": [1]}))
                assert json.loads(one.recv(timeout=20))["step"] == steps + 1
                return str(known["id"])

    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{front}", trust_env=False, timeout=20) as client:
            until(lambda: client.get("/ready").status_code == 200)
            until(lambda: all(metric("unrolled_requests_total")))
            asked = {"model": run.name, "max_tokens": 5}
            before = metric("unrolled_tokens_total")
            assert all(client.post("/v1/completions", json=asked).status_code == 200 for _ in range(12))
            assert all(b > a for a, b in zip(before, metric("unrolled_tokens_total"), strict=True))
            ids = [session(f"model={run.name}", 0) for _ in range(8)]
            assert all(metric("unrolled_sessions"))
            for id in ids:  # twice in a row: in turns, without a table, they would reach both replicas
                assert [session(f"session={id}", steps) for steps in (1, 2)] == [id, id]
            servers[0][0].send_signal(signal.SIGTERM)
            assert servers[0][0].wait(40) == 143
            assert all(client.post("/v1/completions", json=asked).status_code == 200 for _ in range(6))
    finally:
        for process in (balancer, *(server for server, _ in servers)):
            process.kill()
            process.communicate()


def test_a_container_is_asked_at_the_port_it_was_told(tmp_path: Path) -> None:
    dockerfile = (Path(__file__).parent.parent / "Dockerfile").read_text()
    check = json.loads(re.search("HEALTHCHECK CMD (.*)", dockerfile)[1])  # type: ignore[index]
    assert check[:2] == ["python", "-c"]
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    words, port = tmp_path / "cmdline", free_port()
    settings = tmp_path / "serve.toml"
    settings.write_text(f"port = {port}\n")

    def asked(line: str) -> bool:
        words.write_text("".join(f"{word}\0" for word in line.split()))
        code = check[2].replace("healthy()", f"healthy(__import__('pathlib').Path({str(words)!r}))")
        return (
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, check=False, env=here
            ).returncode
            == 0
        )

    with serving({"tiny": writer_of("gru")}, port=port) as (served, _, _):
        python = "/usr/bin/python /usr/local/bin/unrolled serve @last host=0.0.0.0"
        assert asked(f"{python} port={port}") and asked(f"/sbin/docker-init -- {python} --port {port}")
        assert asked(f"{python} -c {settings}")
        assert not asked(f"{python} port={free_port()}")
        here["UNROLLED_SERVE_PORT"] = str(port)
        assert asked(python)
        served.refuse()
        assert not asked(python)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def test_lines_with_real_records_of_rows(tmp_path: Path) -> None:
    for data in ("sentiment", "digits"):
        run = train(data=data, model="gru", runs=str(tmp_path), task="classify", **ROW)
        assert run is not None
        line = curl(run.name, run.model(), data, "http://127.0.0.1:8000", False)
        words = subprocess.run(
            ["bash", "-c", line.replace("curl", "printf '%s\\n'", 1)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        body = json.loads(words[-1])
        assert body["model"] == run.name and list(body["rows"][0]) == list(run.model().task.inputs)
        from unrolled.serving.limits import Limits
        from unrolled.serving.raw import encoded_rows

        assert len(encoded_rows(run.model().task, body["rows"], Limits(), lambda size: None)[0])


def test_it_refuses_what_it_should(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny(place, tmp_path)
    for words, said in (
        (["host=0.0.0.0"], "there is no token"),
        (["token=short"], "at least 16"),
        (["port=99999"], "can't listen"),
        ([run.name, run.name], "named twice"),
        (["streams=0"], "streams"),
        (["nothing-like-this"], "no run is called"),
    ):
        assert main(["serve", f"runs={tmp_path}", *words]) == 2
        assert said in capsys.readouterr().err


def test_without_the_extra_it_names_it(place: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['fastapi'] = None\n"
        f"from unrolled.cli.main import main; sys.exit(main(['serve', 'runs={tmp_path}']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    assert done.returncode == 4 and 'pip install "unrolled[serve]"' in done.stderr
