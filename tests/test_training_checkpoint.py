"""Checkpoints: durable, verified, and never the reason that a run is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from unrolled import durable
from unrolled.errors import RunFailed, UserError
from unrolled.model.weights import load_weights, packed, weights_of
from unrolled.training import checkpoint as checkpoints
from unrolled.training.checkpoint import Checkpoint


def example(step: int) -> Checkpoint:
    weights = {"w": torch.full((3, 2), float(step)), "b": torch.arange(4)}
    return Checkpoint(
        step, {"weights": weights, "optimizer": {"0.step": torch.tensor(1.0)}}, {"step": step, "loss": 0.1}
    )


def saved(root: Path, *steps: int) -> list[Path]:
    return [checkpoints.save(root, example(step)) for step in steps]


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved(tmp_path, 500)
    back = checkpoints.load(tmp_path / "step-000500")
    assert back.step == 500 and back.progress == {"step": 500, "loss": 0.1}
    assert torch.equal(back.tensors["weights"]["w"], torch.full((3, 2), 500.0))
    assert back.tensors["weights"]["b"].dtype == torch.int64
    assert (
        sorted(p.suffix for p in (tmp_path / "step-000500").iterdir()) == [".json"] * 2 + [".safetensors"] * 2
    )


@pytest.mark.parametrize(
    "file", ["weights.safetensors", "optimizer.safetensors", "progress.json", "manifest.json"]
)
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_a_corrupt_file_is_named_and_the_checkpoint_before_is_used_aloud(
    file: str, harm: str, tmp_path: Path
) -> None:
    saved(tmp_path, 1, 2)
    path = tmp_path / "step-000002" / file
    content = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    else:
        content[len(content) // 2] ^= 0x10
        path.write_bytes(content if harm == "flip" else content[:-3])
    said: list[str] = []
    found = checkpoints.latest(tmp_path, said.append)
    assert found is not None and found.step == 1
    assert len(said) == 1 and "Falling back" in said[0] and "step-000002" in said[0]
    assert file in said[0] or file == "manifest.json"
    why = {"flip": "SHA-256", "cut": "bytes instead of", "gone": "missing"}[harm]
    assert why in said[0] or file == "manifest.json"


def test_a_corrupt_checkpoint_is_written_anew_when_the_run_comes_by_again(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    (tmp_path / "step-000001" / "progress.json").write_text("{}")
    saved(tmp_path, 1)
    checkpoints.verify(tmp_path / "step-000001")
    assert [p.name for p in tmp_path.iterdir()] == ["step-000001"]


def operations(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The order in which a save makes things durable."""
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def seen_fsync(handle: int) -> None:
        done.append("sync " + Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def seen_rename(self: Path, target: Path) -> Path:
        done.append(f"rename {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "rename", seen_rename)
    saved(root, 7)
    return done


def test_every_file_is_durable_before_the_manifest_and_all_of_it_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = operations(tmp_path, monkeypatch)
    files = {"sync weights.safetensors", "sync optimizer.safetensors", "sync progress.json"}
    temporary = f"sync .tmp-{os.getpid()}-step-000007"
    assert set(done[:3]) == files
    assert done[3:] == ["sync manifest.json", temporary, "rename step-000007", f"sync {tmp_path.name}"]


@pytest.mark.parametrize("fails", range(1, 5))
def test_a_full_disk_is_one_clear_message_and_nothing_half_written(
    fails: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, 1)
    calls = iter(range(1, 100))
    write = durable.write

    def full(path: Path, content: bytes) -> None:
        if next(calls) == fails:
            path.write_bytes(content[:5])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(durable, "write", full)
    with pytest.raises(RunFailed, match=r"step-000002: can't write: no space left .*whole") as caught:
        saved(tmp_path, 2)
    assert caught.value.exit_code == 1
    assert [p.name for p in tmp_path.iterdir()] == ["step-000001"]
    found = checkpoints.latest(tmp_path, lambda line: pytest.fail(line))
    assert found is not None and found.step == 1


def test_a_really_full_device(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():  # pragma: no cover
        return
    with pytest.raises(RunFailed, match="no space left"), durable.disk(tmp_path, ""):
        durable.write(Path("/dev/full"), b"x" * 10)


def test_replacing_a_file_leaves_the_old_one_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    durable.replace(path, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        durable.replace(path, b"new and longer")
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_old_ones_go_but_two_and_the_protected_stay(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 3, 4, 5)
    checkpoints.prune(tmp_path, keep=1, protect={2})
    assert [p.name for p in checkpoints.folders(tmp_path)] == ["step-000002", "step-000004", "step-000005"]
    assert not list(tmp_path.glob(".tmp-*"))


def test_what_a_killed_process_left_is_swept_and_never_loaded(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    shutil.copytree(tmp_path / "step-000001", tmp_path / ".tmp-123-step-000009")
    found = checkpoints.latest(tmp_path, lambda line: pytest.fail(line))
    assert found is not None and found.step == 1
    durable.sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["step-000001"]


def test_where_several_write_what_belongs_to_the_living_stays(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    alive, dead = tmp_path / f".tmp-{os.getpid()}-a", tmp_path / f".tmp-{int(gone.stdout)}-b.json"
    alive.mkdir()
    dead.write_text("{")
    durable.sweep(tmp_path, dead_only=True)
    assert list(tmp_path.iterdir()) == [alive]
    durable.sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_a_later_format_is_not_guessed_at(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    manifest = tmp_path / "step-000001" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(checkpoints.Corrupt, match="format 9"):
        checkpoints.verify(tmp_path / "step-000001")


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.scores = nn.Linear(3, 5)
        self.scores.weight = self.table.weight


def test_tied_weights_are_stored_once_and_come_back_tied() -> None:
    model = Tied()
    kept = {name: value.clone() for name, value in weights_of(model).items()}
    assert list(kept) == ["table.weight", "scores.bias"]
    assert len(packed(weights_of(model))) < 4 * (15 + 5) + 300
    other = Tied()
    load_weights(other, kept, "file")
    assert torch.equal(other.scores.weight, model.table.weight)
    assert other.scores.weight is other.table.weight


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda kept: kept.pop("scores.bias"), r"Missing: \['scores.bias'\]"),
        (lambda kept: kept.update(more=torch.zeros(1)), r"unexpected: \['more'\]"),
        (lambda kept: kept.update({"scores.bias": torch.zeros(9)}), r"another shape: \['scores.bias'\]"),
    ],
)
def test_weights_of_another_model_are_refused(change: Any, said: str) -> None:
    model = Tied()
    kept = weights_of(model)
    change(kept)
    with pytest.raises(UserError, match=said):
        load_weights(model, kept, "model.safetensors")


def test_views_of_one_storage_are_packed_apart() -> None:
    flat = torch.arange(6.0)
    assert packed({"a": flat[:3], "b": flat[3:]})


def test_manifest_lists_every_file_with_its_size(tmp_path: Path) -> None:
    (folder,) = saved(tmp_path, 3)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == {p.name for p in folder.iterdir()} - {"manifest.json"}
    assert all((folder / name).stat().st_size == entry["bytes"] for name, entry in manifest["files"].items())
