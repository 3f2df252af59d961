"""The studio as one file: it holds what the server would have said, and nothing that comes from a run is markup in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from studio_runs import run_at
from tiny_runs import TINY, tiny

from unrolled.cli.main import main
from unrolled.errors import RunFailed, UserError
from unrolled.page import looks
from unrolled.page.answers import Studio
from unrolled.page.glass import Asked
from unrolled.page.recording import Recording
from unrolled.page.static import LARGEST, STEPS, page, static

HOSTILE = "<img src=x onerror=hacked()><\u2215script>"
HELD = re.compile(r'<script type="application/json" id="recorded">(.*?)</script>', re.DOTALL)


def held(file: Path) -> dict[str, Any]:
    """What a file recorded."""
    found = HELD.search(file.read_text("utf-8"))
    assert found is not None
    return dict(json.loads(found[1]))


def answer(recorded: dict[str, Any], path: str, **asked: Any) -> Any:
    """The answer to a request."""
    for entry in recorded["entries"]:
        if entry["path"] == path and entry["asked"].items() <= asked.items():
            return entry["answer"][asked[entry["by"]]] if "by" in entry else entry["answer"]
    raise AssertionError((path, asked))


@pytest.fixture(scope="module")
def runs(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that writes, and one without a model."""
    found = tmp_path_factory.mktemp("static") / "runs"
    tiny(place, found)
    run_at(found / HOSTILE, kind="</script><!--<script>")
    return found


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks that take a moment."""
    monkeypatch.setattr(
        looks, "available", lambda model: {"gradients": "", "embeddings": "", "units": "not now"}
    )


def test_the_file_answers_as_the_server_does(runs: Path) -> None:
    said: list[str] = []
    file = static(runs, "lstm-tunes-1", say=said.append)
    assert file == runs / "lstm-tunes-1" / "studio.html" and file.stat().st_size < LARGEST
    recorded, studio, name = held(file), Studio(runs, most=STEPS), "lstm-tunes-1"
    run = studio.index.find(name)
    assert [row["name"] for row in answer(recorded, "/api/runs")["runs"]] == [name]
    assert answer(recorded, "/api/run", run=name) == json.loads(json.dumps(studio.run(name)))
    assert answer(recorded, "/api/samples", run=name) == studio.samples(name)
    work = answer(recorded, "/api/run", run=name)["work"]
    assert work["tokens"] == TINY["batch"] * TINY["length"] and work["flops"] > 6 * work["tokens"] * 1000
    live = answer(recorded, "/api/live", run=name, x="seconds", window=5)
    assert live == studio.live(name, "seconds", 300, 5) and live["points"] > 3
    opened = answer(recorded, "/api/glass", run=name)
    reading = answer(recorded, "/api/glass/read", run=name, ids=opened["ids"])
    assert reading == studio.glass.read(run, Asked(run=name, ids=opened["ids"]))
    at = len(reading["ids"]) - 1
    odds = answer(recorded, "/api/glass/next", run=name, ids=reading["ids"][1:], at=at)
    asked = Asked(run=name, ids=reading["ids"][1:], at=at, temperature=opened["temperature"])
    own = studio.glass.next(run, asked)["tokens"]
    assert [token["id"] for token in odds["tokens"]] == [token["id"] for token in own]
    assert all(abs(a["p"] - b["p"]) < 1e-5 for a, b in zip(odds["tokens"], own, strict=True))
    picks = answer(recorded, "/api/glass/samples", run=name)["samples"]
    assert picks and all(
        answer(recorded, "/api/glass/read", run=name, sample=n)["layers"] for n in range(len(picks))
    )
    for look in answer(recorded, "/api/run", run=name)["looks"]:
        assert answer(recorded, "/api/look", run=name, what=look["name"]) == studio.looks.look(
            run, look["name"]
        )
    assert "  gradients" in said


def test_names_are_no_markup_and_the_policy_names_this_very_script(runs: Path) -> None:
    file = static(runs, None)
    text = file.read_text("utf-8")
    assert file == runs / "studio.html"
    assert (
        len(re.findall("<script", text, re.IGNORECASE))
        == 2
        == len(re.findall("</script", text, re.IGNORECASE))
    )
    rest = re.sub('<script type="module">.*', "", text, flags=re.DOTALL)
    assert "<img" not in rest and "<!--" not in text and not re.search(r"(src|href)=\"(?!data:)", rest)
    policy = re.search('Content-Security-Policy" content="([^"]*)"', text)
    script = re.search('<script type="module">(.*)</script>', text, re.DOTALL)
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert policy and script and style
    assert policy[1].startswith("default-src 'none'; ") and "unsafe" not in policy[1]
    for element in (script, style):
        digest = base64.b64encode(hashlib.sha256(element[1].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[1]
    recorded = held(file)
    assert {row["name"] for row in answer(recorded, "/api/runs")["runs"]} == {"lstm-tunes-1", HOSTILE}
    refused = [entry["refused"] for entry in recorded["entries"] if "refused" in entry]
    assert set(refused) == {
        f"{HOSTILE}: there is no model yet (No such file or directory: model.safetensors)."
    }
    assert len(answer(recorded, "/api/compare", runs=[HOSTILE, "lstm-tunes-1"])["runs"]) == 2


def test_what_there_is_no_room_for_is_left_out_and_not_offered(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unrolled.page.recording.ROOM", 90_000)
    monkeypatch.setattr(Recording.__init__, "__defaults__", (90_000, *Recording.__init__.__defaults__[1:]))  # type: ignore[index]
    file = static(runs, "lstm-tunes-1", str(runs / "small.html"))
    recorded = held(file)
    assert file.stat().st_size < 400_000
    offered = {look["name"] for look in answer(recorded, "/api/run", run="lstm-tunes-1")["looks"]}
    assert offered == {
        entry["asked"]["what"] for entry in recorded["entries"] if entry["path"] == "/api/look"
    }
    read = [
        entry["asked"]
        for entry in recorded["entries"]
        if entry["path"] == "/api/glass/read" and "sample" in entry["asked"]
    ]
    assert len(read) == len(answer(recorded, "/api/glass/samples", run="lstm-tunes-1")["samples"])


def test_the_command_says_where_and_refuses_what_it_has_no_use_for(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["studio", "--static", f"runs={runs}", "run=lstm-tunes-1", f"out={tmp_path}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told["path"] == str(tmp_path / "studio.html")
        and told["bytes"] == (tmp_path / "studio.html").stat().st_size
    )
    assert main(["studio", "--static", f"runs={runs}", "port=80"]) == 2
    assert "port: no server is started with --static" in capsys.readouterr().err
    assert main(["studio", f"runs={runs}", "out=x.html"]) == 2
    assert "out=x.html: it is for --static" in capsys.readouterr().err
    assert main(["data", "--static"]) == 2
    with pytest.raises(UserError, match="got 0 runs; one file holds 1 to 24"):
        static(tmp_path, None)
    with pytest.raises(RunFailed, match="can't write"):
        static(runs, "lstm-tunes-1", str(tmp_path / "studio.html" / "below.html"))


def test_a_lone_surrogate_and_a_line_separator_are_kept() -> None:
    text = page({"opens": "#/", "at": "2026-01-01", "entries": [{"path": "\ud800\u2028</script>"}]})
    found = HELD.search(text)
    assert found is not None and json.loads(found[1])["entries"][0]["path"] == "\ud800\u2028</script>"
    text.encode()


def test_the_curves_of_many_long_runs_fit(tmp_path: Path) -> None:
    for number in range(24):
        run_at(tmp_path / f"lstm-<{number}>", lines=3000)
    file = static(tmp_path, None)
    assert 1_000_000 < file.stat().st_size < LARGEST
    recorded = held(file)
    lives = [entry for entry in recorded["entries"] if entry["path"] == "/api/live"]
    assert len(lives) == 24 * 10 and all(len(one["answer"]["curves"]["loss"]["x"]) > 100 for one in lives)
    run_at(tmp_path / "one-more")
    with pytest.raises(UserError, match="got 25 runs; one file holds 1 to 24"):
        static(tmp_path, None)
