"""examples/pipeline.sh: choose, replace the head, fine-tune, evaluate, export, serve, one answered curl."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import unrolled as un
from unrolled.training.progress import Talk

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent


def test_the_pipeline_ends_with_an_answer(tmp_path: Path) -> None:
    base = un.train(
        data="sentiment", model={"kind": "gru", "width": 32}, budget="60steps", threads=1, runs=str(tmp_path / "runs"),
        talk=Talk(quiet=True),
    )  # fmt: skip
    assert base is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "FROM": str(base.path), "KEYS": "threads=1 budget=40steps tune=lora", "PORT": str(port),
        "UNROLLED": f"{sys.executable} -m unrolled", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", str(ROOT / "examples" / "pipeline.sh"), "made"], cwd=tmp_path, env=environment, text=True,
        capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["task"] == "classify"
    assert answer["rows"][0]["label"] in ("positive", "negative")
    assert "before    accuracy" in done.stderr and (tmp_path / "made" / "exported").is_dir()
