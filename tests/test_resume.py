"""Exact resume: a run that is killed again and again ends bit for bit where the uninterrupted one ends.

Run as a program, this file is the driver: it forks children that train and dies with none of them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = 20


def tunes(path: Path, count: int = 40) -> Path:
    """A small file of real tunes."""
    from unrolled.datasets import readers, samples

    records = list(readers.records(samples.resolve("irish")))[:count]
    path.write_text("".join(record["text"] for record in records), encoding="utf-8")
    return path


def loss_curve(run: Path) -> list[dict[str, object]]:
    """metrics.jsonl without the clock."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def final_state(run: Path) -> dict[str, bytes]:
    """The bytes of the last checkpoint's tensors and of the portable model."""
    last = sorted((run / "checkpoints").glob("step-*"))[-1]
    files = [*sorted(last.glob("*.safetensors")), run / "model" / "model.safetensors"]
    return {file.name: file.read_bytes() for file in files}


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_killed_at_random_points_the_loss_curve_is_bit_identical(kind: str, tmp_path: Path) -> None:
    data = tunes(tmp_path / "tunes.abc")
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, kind, str(data), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    kills = json.loads(done.stdout)
    assert len(kills) == (KILLS if kind == "lstm" else 6)
    assert any(place == "event" for place, _ in kills)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert loss_curve(killed) == loss_curve(whole)
    assert len(loss_curve(whole)) > 20
    assert final_state(killed) == final_state(whole)
    assert "weights.safetensors" in final_state(whole)
    assert ("carried.safetensors" in final_state(whole)) == (kind == "lstm")
    assert not list(tmp_path.rglob(".tmp-*")), "what a killed process left is swept"


class Bomb:
    """Kills this very process at its n-th event: a step, a half-written file, an fsync, a rename, half a line."""

    def __init__(self, fuse: int) -> None:
        self.fuse = fuse

    def tick(self) -> None:
        self.fuse -= 1
        if self.fuse == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def plant(self) -> None:
        from unrolled import durable
        from unrolled.training import folder, learner

        update, write, append = learner.Learner.update, durable.write, folder.Metrics.append
        fsync, rename, replace = os.fsync, Path.rename, os.replace

        def ticking_update(self: learner.Learner, batch: learner.Batch) -> None:
            bomb.tick()
            update(self, batch)

        def ticking_write(path: Path, content: bytes) -> None:
            path.write_bytes(content[: len(content) // 2])
            bomb.tick()
            write(path, content)

        def ticking_append(self: folder.Metrics, row: dict[str, object]) -> None:
            append(self, row)
            bomb.tick()
            self._file.write(b'{"step": 3, "lo')
            self._file.flush()
            bomb.tick()
            self.cut(self.bytes)

        def ticking(function: object) -> object:
            def call(*args: object) -> object:
                bomb.tick()
                result = function(*args)  # type: ignore[operator]
                bomb.tick()
                return result

            return call

        bomb = self
        learner.Learner.update = ticking_update  # type: ignore[method-assign]
        durable.write = ticking_write
        folder.Metrics.append = ticking_append  # type: ignore[method-assign,assignment]
        os.fsync = ticking(fsync)  # type: ignore[assignment]
        os.replace = ticking(replace)  # type: ignore[assignment]
        Path.rename = ticking(rename)  # type: ignore[method-assign,assignment]


def train_here(kind: str, data: str, out: Path) -> None:
    """Begins the run, or goes on with it."""
    from unrolled.training import text
    from unrolled.training.progress import Talk
    from unrolled.training.train import train

    text.SAMPLE_TOKENS = 4
    talk = Talk(quiet=True)
    if (out / "checkpoints").is_dir() and any((out / "checkpoints").glob("step-*")):
        train(resume=str(out), talk=talk)
        return
    keys = {"model.width": 16, "model.layers": 2, "model.dropout": 0.2}
    train(
        data=data, model=kind, codec="characters", budget="60steps", batch=4, length=16, ema=0.9, log_every=3,
        evaluate_every=4, seed=7, dtype="float32", device="cpu", threads=1, out=str(out), talk=talk, **keys,
    )  # fmt: skip


def child(kind: str, data: str, out: Path, fuse: int | None) -> int:
    """Trains in a fork, with a bomb if there is a fuse; returns the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if fuse is not None:
            Bomb(fuse).plant()
        train_here(kind, data, out)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def drive(kind: str, data: str, folder: Path) -> None:
    """Trains once undisturbed and once with kills, half of them by the clock; prints where they fell."""
    import shutil

    import torch

    from unrolled.training import train  # noqa: F401 - warm, so that a fork begins at once

    torch.set_num_threads(1)
    chance = random.Random(f"{kind} 3")
    assert os.waitpid(child(kind, data, folder / "whole", None), 0)[1] == 0
    out, kills = folder / "killed", []
    wanted = KILLS if kind == "lstm" else 6
    while len(kills) < wanted:
        by_clock = len(kills) % 2 == 1
        fuse = None if by_clock else int(1.5 ** chance.uniform(0, 14))
        saved = any(out.glob("checkpoints/step-*"))
        pid = child(kind, data, out, fuse)
        if by_clock:
            time.sleep(chance.uniform(0.0, 0.4))
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            kills.append(("clock" if by_clock else "event", fuse))
            if not any(out.glob("checkpoints/step-*")):
                assert not saved, f"the kill took the last checkpoint: {kills[-1]}"
                shutil.rmtree(out, ignore_errors=True)  # nothing durable yet: the user starts again
        elif status == 0:
            raise SystemExit(f"the run ended after {len(kills)} kills; make it longer")
        else:
            raise SystemExit(f"the child failed ({status}) after {kills}")
    assert os.waitpid(child(kind, data, out, None), 0)[1] == 0
    print(json.dumps(kills))


if __name__ == "__main__":
    drive(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
