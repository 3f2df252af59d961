"""Answers in files: in order, in bounded memory, and gone on with after a kill as if nothing had happened."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_models import model_of, task_of

from unrolled.cli.main import main
from unrolled.errors import RunFailed, UserError
from unrolled.model import Model
from unrolled.training import predict as module
from unrolled.training.answer_file import AnswerFile
from unrolled.training.predict import predict

WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "ran", "far", "away"]


def table(path: Path, rows: int, first: int = 0) -> Path:
    lines = [
        f'{first + n},"{" ".join(WORDS[(n * 7 + k) % 10] for k in range(1 + n % 9))}"' for n in range(rows)
    ]
    path.write_text("\n".join(["number,text", *lines]) + "\n")
    return path


@pytest.fixture
def model() -> Model:
    return model_of(task_of("classify"), "gru")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 10)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_broken_off_at_any_block_it_goes_on(
    model: Model,
    form: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, whole = table(tmp_path / "t.csv", 47), tmp_path / f"whole.{form}"
    predict(model, str(data), out=str(whole))
    answered = module._answered
    for blocks in range(5):
        out, left = tmp_path / f"{blocks}.{form}", [blocks]

        def dies(*given: object, left: list[int] = left) -> object:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return answered(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(module, "_answered", dies)
        with pytest.raises(KeyboardInterrupt):
            predict(model, str(data), out=str(out))
        assert not out.exists()
        monkeypatch.setattr(module, "_answered", answered)
        if blocks == 2:  # a block that was cut short by a power cut counts as not written
            with open(tmp_path / f".{out.name}.part", "ab") as part:
                part.write(b"half a li")
        capsys.readouterr()
        assert predict(model, str(data), out=str(out)).count == 47
        assert (f"goes on after {blocks * 10} rows" in capsys.readouterr().err) == (blocks > 0)
        assert out.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_what_the_answers_follow_from_decides_whether_it_goes_on(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other weights, other rows, other keys: begun anew."""
    data, out = table(tmp_path / "t.csv", 30), tmp_path / "out.csv"
    answered = module._answered

    def dies_at_second(m: Model, some: list[dict[str, object]], *rest: object) -> object:
        if int(str(some[0]["number"])) == 10:
            raise KeyboardInterrupt
        return answered(m, some, *rest)  # type: ignore[arg-type]

    for change in ("weights", "rows", "every"):
        table(data, 30)
        monkeypatch.setattr(module, "_answered", dies_at_second)
        with pytest.raises(KeyboardInterrupt):
            predict(model, str(data), out=str(out))
        monkeypatch.setattr(module, "_answered", answered)
        other = model_of(task_of("classify"), "gru", seed=1) if change == "weights" else model
        if change == "rows":
            table(data, 30, first=500)
        predict(other, str(data), out=str(out), every=change == "every")
        expected = predict(other, str(data), every=change == "every")
        assert out.read_text() == expected.text()


def test_a_folder_gets_a_file_for_each_and_keeps_those_that_are_whole(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for shard in range(3):
        table(tmp_path / "in" / f"s{shard}.csv", 12, first=100 * shard)
    out = tmp_path / "out"
    assert predict(model, str(tmp_path / "in" / "*.csv"), out=f"{out}/").count == 36
    assert sorted(p.name for p in out.iterdir()) == [".answered.json", "s0.csv", "s1.csv", "s2.csv"]
    assert out.joinpath("s1.csv").read_text() == predict(model, str(tmp_path / "in" / "s1.csv")).csv()
    times = {p.name: p.stat().st_mtime_ns for p in out.glob("*.csv")}
    table(tmp_path / "in" / "s1.csv", 5)
    capsys.readouterr()
    assert predict(model, str(tmp_path / "in" / "*.csv"), out=str(out)).count == 29
    assert "2 of 3 files were answered before" in capsys.readouterr().err
    changed = {p.name for p in out.glob("*.csv") if p.stat().st_mtime_ns != times[p.name]}
    assert changed == {"s1.csv"}
    with pytest.raises(UserError, match="rows in memory need a file"):
        predict(model, [{"text": "a"}], out=str(out))


def test_answers_never_take_the_place_of_the_data(model: Model, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    data = table(tmp_path / "shards" / "t.csv", 12)
    before = data.read_bytes()
    for given, out in ((data, data), (data, tmp_path / "shards"), (tmp_path / "shards", tmp_path / "shards")):
        with pytest.raises(UserError, match="would take the place of the data"):
            predict(model, str(given), out=str(out))
    assert data.read_bytes() == before and [*data.parent.iterdir()] == [data]


def test_another_form_or_threshold_begins_anew(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out, answered = table(tmp_path / "t.csv", 30), tmp_path / "answers.csv", module._answered
    left = [0]

    def dies(*given: object) -> object:
        left[0] += 1
        if left[0] % 2 == 0:
            raise KeyboardInterrupt
        return answered(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_answered", dies)
    with pytest.raises(KeyboardInterrupt):
        predict(model, str(data), out=str(out))
    with pytest.raises(KeyboardInterrupt):
        predict(model, str(data), out=str(out), to="jsonl")
    monkeypatch.setattr(module, "_answered", answered)
    model.task = replace(model.task, temperature=5.0)
    predict(model, str(data), out=str(out), to="jsonl")
    lines = out.read_text().splitlines()
    predict(model, str(data), out=str(tmp_path / "whole.jsonl"))
    assert lines == (tmp_path / "whole.jsonl").read_text().splitlines()


def test_columns_that_come_late_are_told_in_csv(tmp_path: Path) -> None:
    late = pytest.raises(UserError, match=r"a column that the first 1 rows had not .*out=.*x\.jsonl")
    with late, AnswerFile(tmp_path / "x.csv", "csv") as file:
        file.add([{"a": 1}], 1)
        file.add([{"a": 1, "b": 2}], 1)
    assert not (tmp_path / "x.csv").exists()


def test_a_killed_process_is_gone_on_with(tmp_path: Path) -> None:
    """The real thing: SIGKILL in the middle, then the same command line."""
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "text,label\n" + "".join(f"{WORDS[n % 10]} {WORDS[n % 7]},{'ab'[n % 2]}\n" for n in range(200))
    )
    assert (
        main(
            [
                "train",
                f"data={rows}",
                "model=gru",
                "model.width=8",
                "budget=2steps",
                f"runs={tmp_path}/runs",
                "-q",
            ]
        )
        == 0
    )
    data, out = table(tmp_path / "big.csv", 60_000), tmp_path / "big_out.csv"
    argv = [
        sys.executable,
        "-m",
        "unrolled",
        "predict",
        "@last",
        f"data={data}",
        f"runs={tmp_path}/runs",
        f"out={out}",
    ]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    note = tmp_path / ".big_out.csv.part.json"
    for _ in range(1200):
        if note.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists() and json.loads(note.read_text())["rows"] in (20_000, 40_000)
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "goes on after" in done.stderr
    numbers = [row["number"] for row in csv.DictReader(out.read_text().splitlines())]
    assert numbers == [str(n) for n in range(60_000)]


def test_a_second_writer_of_the_same_answers_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with AnswerFile(out, "csv", {"files": "a"}) as first:
        first.add([{"y": 1}], 1)
        with (
            pytest.raises(RunFailed, match="another predict is writing"),
            AnswerFile(out, "csv", {"files": "a"}),
        ):
            pass
        first.add([{"y": 2}], 1)
    assert out.read_text() == "y\n1\n2\n"
    with AnswerFile(out, "csv") as again:  # what is whole locks nobody out
        again.add([{"y": 3}], 1)
    assert out.read_text() == "y\n3\n" and list(tmp_path.iterdir()) == [out]
