"""The verb translate: one text, a file's lines, lines as they come; n-best lists, alignments, and what is refused."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch

import unrolled as un
from unrolled.cli.main import main
from unrolled.errors import UserError
from unrolled.running.sampling import Draw
from unrolled.training.progress import Talk
from unrolled.training.run import Run
from unrolled.training.translate import Alignment, How, each, opened


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A model of a few steps that writes words turned round, badly."""
    folder, draw = tmp_path_factory.mktemp("translate"), random.Random(0)
    words = sorted({"".join(draw.choices("abcdef", k=draw.randint(2, 6))) for _ in range(300)})
    rows = "".join(f"{word},{word[::-1]}\n" for word in words)
    (folder / "words.csv").write_text(f"source,target\n{rows}")
    keys: dict[str, Any] = {
        "data": str(folder / "words.csv"), "task": "translate", "model": "gru", "model.width": 16, "budget": "30steps",
        "threads": 1, "dtype": "float32", "out": str(folder / "run"),
    }  # fmt: skip
    return un.train(**keys, talk=Talk(quiet=True))


def cli(run: Run, *words: str) -> int:
    return main(["translate", str(run.path), *words])


def test_every_way_in_gives_the_same(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [one.texts[0] for one in un.translate(run, ["abc", "fed", ""]).lines]
    assert wanted[2] == "" and len(set(wanted)) > 1
    assert cli(run, "abc") == 0
    assert capsys.readouterr().out == f"{wanted[0]}\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("abc\nfed\n\n"))
    assert cli(run) == 0
    assert capsys.readouterr().out.split("\n") == [*wanted, ""]
    (tmp_path / "in.txt").write_text("abc\nfed\n\n")
    assert cli(run, f"data={tmp_path / 'in.txt'}", f"out={tmp_path / 'out.txt'}") == 0
    assert (tmp_path / "out.txt").read_text().split("\n") == [*wanted, ""]
    assert [row["target"] for row in un.predict(run, [{"source": "abc"}, {"source": "fed"}]).rows] == wanted[
        :2
    ]
    capsys.readouterr()
    assert cli(run, "abc", "--json") == 0
    assert json.loads(capsys.readouterr().out)["lines"][0]["texts"] == wanted[:1]


def test_lines_are_lines_and_what_is_odd_is_said(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.txt").write_bytes("ab\x0ccd\nef\u2028a\r\n".encode())
    assert cli(run, f"data={tmp_path / 'in.txt'}") == 0
    assert capsys.readouterr().out.count("\n") == 2
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abc\nxyz\n")))
    assert cli(run) == 0
    assert "line 2: 1 sources hold characters that training hadn't" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abc\n\xff\n")))
    assert cli(run) == 2
    assert "not UTF-8" in capsys.readouterr().err
    assert cli(run, "abc", "longest=1", "shortest=1") == 0
    assert "1 texts were closed at their limit" in capsys.readouterr().err
    assert cli(run, "abc", "beam=3", "temperature=1") == 2
    assert len(un.translate(run, "abc", shortest=60).lines) == 1


def test_the_best_of_several_come_with_scores(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = un.translate(run, "abc", nbest=3).lines
    assert len(set(one.texts)) == 3 and one.scores == sorted(one.scores, reverse=True)
    assert cli(run, "abc", "nbest=3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[11:] for line in lines] == one.texts
    drawn = un.translate(run, "abc", nbest=2, draw=None, prefix="f", shortest=3).lines[0]
    assert all(text.startswith("f") for text in drawn.texts)
    assert all("a" not in text for text in un.translate(run, "abc", nbest=3, forbidden=("a",)).lines[0].texts)


def test_no_text_is_empty_unless_it_may_be(run: Run) -> None:
    model = run.model()
    with torch.no_grad():
        model.head.scores.bias[0] += 50  # it would close at once
    steps = [model.task.codec.encode(text) for text in ("abc", "d")]
    assert all(len(best.tokens) == 1 for (best,) in model.task.hypotheses(model, steps))
    assert all(len(best.tokens) == 0 for (best,) in model.task.hypotheses(model, steps, shortest=0))
    assert all(one.texts == [""] for one in un.translate(model, ["abc", "d"], shortest=0).lines)  # type: ignore[arg-type]


def test_where_each_token_looked(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "looked.svg"
    assert cli(run, "abcd", "alignment=true", f"svg={picture}") == 0
    first, names, *lines = capsys.readouterr().out.splitlines()
    assert names.strip() == "abcd" and lines[-1].startswith("(end)") and len(lines) == len(first) + 1
    assert picture.read_text().startswith("<svg")
    found = un.translate(run, "abcd", alignment=True).lines[0].alignment
    assert isinstance(found, Alignment)
    assert all(sum(line) == pytest.approx(1, abs=1e-5) for line in found.weights)
    assert cli(run, "abcd", "svg=looked.png") == 2


def test_what_is_refused_and_what_is_said(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(run, "abc", "nbest=3", "beam=2") == 2
    assert "Give beam=3" in capsys.readouterr().err
    assert cli(run, "abc", "data=x.txt") == 2
    assert "give one of them" in capsys.readouterr().err
    assert cli(run, f"data={tmp_path / 'gone.txt'}") == 2
    assert "there is no such file" in capsys.readouterr().err
    assert cli(run, "abc", f"out={tmp_path / 'gone' / 'x.txt'}") == 2
    assert "there is no folder" in capsys.readouterr().err
    assert cli(run, "xyz abcdefabcdef") == 0
    told = capsys.readouterr().err
    assert "characters that training hadn't" in told and "longer than any of training's" in told
    with pytest.raises(UserError, match="reads a source"):
        un.Stream(run.model())


@pytest.fixture
def traced() -> Iterator[None]:
    """Shapes aren't checked while a graph is traced: its sizes are symbols."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("traced")
def test_an_export_runs_without_the_package(run: Run, tmp_path: Path) -> None:
    """run.py reads the source, writes step by step and closes where the model does: the same texts."""
    pytest.importorskip("onnxruntime")
    words = ["abc", "fedcba", "a", "xyz", "abcdefabcdefabcdef"]
    wanted = [one.texts[0] for one in un.translate(run, words).lines]
    made = un.export(run, out=str(tmp_path / "out"))
    assert {"source.onnx", "step.onnx", "run.py"} <= set(made.files)
    (tmp_path / "in.txt").write_text("\n".join(words))
    for arguments in (words, [str(tmp_path / "in.txt")]):
        command = [sys.executable, "-I", str(tmp_path / "out" / "run.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert [json.loads(line)["target"] for line in done.stdout.splitlines()] == wanted


@pytest.mark.usefixtures("traced")
def test_an_export_with_a_codec_a_side_runs_too(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    rows = "".join(
        f"{w},{' '.join(w.upper())}\n" for w in {f"{a}{b}{c}" for a in "abc" for b in "def" for c in "abcdef"}
    )
    (tmp_path / "words.csv").write_text(f"word,phones\n{rows}")
    keys: dict[str, Any] = {
        "data": str(tmp_path / "words.csv"), "task": "translate", "model": "lstm", "model.width": 16, "threads": 1,
        "dtype": "float32", "budget": "20steps", "out": str(tmp_path / "run"),
    }  # fmt: skip
    run = un.train(**keys, talk=Talk(quiet=True))
    assert run.model().task.answers.kind == "symbols" and run.model().task.codec.kind == "characters"
    wanted = [one.texts[0] for one in un.translate(run, ["ade", "bfc"]).lines]
    un.export(run, out=str(tmp_path / "out"))
    command = [sys.executable, "-I", str(tmp_path / "out" / "run.py"), "ade", "bfc"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [json.loads(line)["phones"] for line in done.stdout.splitlines()] == wanted


def test_lines_from_stdin_are_drawn_as_those_of_a_file(run: Run) -> None:
    how = How(draw=Draw(1.0, None, None, 5))
    model = opened(run, "runs")
    alone, together = (
        [one.texts[0] for one in each(model, ["abc"] * 6, how, at_once)] for at_once in (1, 64)
    )
    assert alone == together and len({*alone}) > 1


def test_the_best_of_several_lines_are_numbered_and_nothing_is_said(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.txt").write_text("abc\nfed\n")
    assert cli(run, f"data={tmp_path / 'in.txt'}", "nbest=2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in lines] == ["    1 ", "    1 ", "    2 ", "    2 "]
    (tmp_path / "none.txt").write_text("")
    assert cli(run, f"data={tmp_path / 'none.txt'}") == 0
    assert "no line came" in capsys.readouterr().err
    assert cli(run, "ABC") == 0
    assert "training had them in lower case" in capsys.readouterr().err
