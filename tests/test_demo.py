"""The demo's music, its folder and its last words; the named experiments and the figures they must reach."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import unrolled
from unrolled.cli.main import main
from unrolled.comparison import composing, demo, reproduce, sections
from unrolled.comparison.board import Board
from unrolled.comparison.composing import bar_times, compose, first_bar, roll_of
from unrolled.comparison.report import write_run
from unrolled.comparison.reproduce import Experiment, Figure, Reproduction
from unrolled.comparison.result import Baseline, Comparison, Pair, Row
from unrolled.comparison.words import next_commands
from unrolled.datasets import readers, samples
from unrolled.errors import CheckFailed, UserError
from unrolled.running.generate import Generated
from unrolled.tasks.tunes import tune_report
from unrolled.training import session as sessions
from unrolled.training import text
from unrolled.training.folder import settings_text
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.train import train

RECORDS = [record["text"] for record in readers.records(samples.resolve("irish"))][:60]
GOOD = [text for text in RECORDS if tune_report([text]).bars_right == 1][:6]
HEAD, BODY = GOOD[0].split("\n", 6)[:6], GOOD[0].split("\n", 6)[6]
WRONG = "\n".join([*HEAD, BODY.replace("|", "c8|", 3)])
BROKEN = "no tune at all\n"
SCRAP = "X:1\nT:Scrap\nM:4/4\nL:1/8\nK:G Major\nGABc dedB|G8|\n"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "SAMPLE_TOKENS", 2)
    monkeypatch.setattr(sessions, "EVALUATIONS", 1)


@pytest.fixture(scope="module")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tunes.abc"
    path.write_text("".join(RECORDS[:40]), encoding="utf-8")
    return path


def writes(monkeypatch: pytest.MonkeyPatch, texts: list[str], ended: list[bool] | None = None) -> None:
    """From now on every model writes these, the first the likeliest."""

    def generate(model: object, prompt: str = "", count: int = 1, **_: object) -> Generated:
        chosen = (texts * count)[:count]
        likely = [-1.0 - number for number in range(count)]
        return Generated(
            chosen,
            [10] * count,
            (ended or [True] * count)[:count],
            likely,
            1.0,
            1.0,
            report=tune_report(chosen),
        )

    monkeypatch.setattr(composing, "generate", generate)


# -- the tune ----------------------------------------------------------------------------------------------------------


def test_the_likeliest_tune_whose_bars_add_up_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    writes(monkeypatch, [BROKEN, WRONG, SCRAP, GOOD[1], GOOD[2]])
    tune = compose(SimpleNamespace(), 5)  # type: ignore[arg-type]
    assert tune is not None and tune.number == 4 and tune.all_right and tune.bars >= composing.ENOUGH
    assert tune.abc.strip() == GOOD[1].strip() and tune.likelihood == pytest.approx(-0.4)
    assert tune.said.startswith("4 of 5 parsed, 3 of 5 with every bar of the right length; tune 4:")
    assert tune.said.endswith("of those with 8 bars or more and an end, 150 s or less")


def test_a_scrap_or_a_wrong_bar_is_better_than_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    writes(monkeypatch, [BROKEN, WRONG, SCRAP])
    tune = compose(SimpleNamespace(), 3)  # type: ignore[arg-type]
    assert tune is not None and tune.title == "Scrap" and "none has 8 bars or more and an end" in tune.said
    writes(monkeypatch, [BROKEN, WRONG])
    tune = compose(SimpleNamespace(), 2)  # type: ignore[arg-type]
    assert (
        tune is not None and not tune.all_right and "no tune of 150 s or less has bars that all" in tune.said
    )
    writes(monkeypatch, [BROKEN, "", "X:1\nK:C\n"])
    assert compose(SimpleNamespace(), 3) is None  # type: ignore[arg-type]


def test_a_tune_that_ends_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    writes(monkeypatch, GOOD[:2], ended=[False, True])
    tune = compose(SimpleNamespace(), 2)  # type: ignore[arg-type]
    assert tune is not None and tune.number == 2 and tune.ended


@pytest.mark.parametrize("abc", GOOD)
def test_bar_lines_stand_where_the_notes_do(abc: str) -> None:
    lines, notes = bar_times(abc), roll_of(abc)
    assert lines, "one meter, one tempo"
    end = max(start + length for start, length, _ in notes)
    starts = [start for start, _, _ in notes]
    assert lines == sorted(lines) and lines[0] > 0 and lines[-1] < end
    on_a_note = sum(min(abs(line - start) for start in starts) < 0.01 for line in lines)
    assert on_a_note >= 0.8 * len(lines)


def test_the_first_bar_of_what_is_written() -> None:
    header = "X:1\nT:A|B\nK:G Major\n"
    assert first_bar(header + "B|dBG BAG|dBG") == "dBG BAG"
    assert first_bar(header + "|:dBG|BAG|") == "dBG"
    assert first_bar(header + "dBG BAG") == "" and first_bar(header + "B|z3|d2B|") == "d2B"


def test_a_bar_every_thirty_seconds_from_who_is_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 10.0, 31.0, 40.0, 59.0, 62.0])
    monkeypatch.setattr(demo, "monotonic", lambda: next(clock))
    monkeypatch.setattr(demo, "a_bar", lambda model, seed: "dBG BAG" if seed == 7 else "")
    musician = demo.Musician(Board(), 30.0)
    model = SimpleNamespace(task=SimpleNamespace(music=True))
    for step, kind in ((5, "rnn"), (7, "gru"), (8, "lstm"), (8, "rnn"), (9, "lstm")):
        musician(SimpleNamespace(
            learner=SimpleNamespace(model=model, progress=SimpleNamespace(step=step)),
            recipe=SimpleNamespace(model=SimpleNamespace(kind=kind)),
        ))  # type: ignore[arg-type]  # fmt: skip
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "music     31s gru after 7 steps: | dBG BAG |",
        "music     1m02s lstm after 9 steps: (no bar yet)",
    ]


# -- the demo ----------------------------------------------------------------------------------------------------------


def test_the_demo_leaves_everything_in_one_folder(
    tunes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    writes(monkeypatch, [BROKEN, GOOD[0]])
    keys = [
        f"data={tunes}",
        "models=gru",
        "budget=2steps",
        "parameters=9000",
        "tunes=2",
        f"runs={tmp_path / 'runs'}",
    ]
    assert main(["demo", *keys]) == 0
    out, err = capsys.readouterr()
    folder = tmp_path / "runs" / "demo-tunes-1"
    for name in ("tune.abc", "tune.mid", "tune.wav", "report.html", "comparison.txt", "comparison.json"):
        assert (folder / name).stat().st_size > 0
    assert (folder / "tune.abc").read_text().strip() == GOOD[0].strip()
    assert (folder / "tune.wav").read_bytes()[:4] == b"RIFF"
    assert unrolled.load(folder / "model").task.music, "the trained model is portable"
    assert "1 of 2 parsed" in out and "1 of 2 parsed" in err and "One seed is a glimpse" in out
    header = (folder / "report.html").read_text().split("</header>")[0]
    assert header.count('class="lead"') == header.count('class="play"') == header.count("<audio") == 1
    for line in out[out.index("next\n") :].splitlines()[1:]:
        command = line.split()[1:]
        assert command[0] in ("generate", "evaluate", "train") and str(folder) in line
        if command[0] != "train":
            short = ["length=9", "shortest=9"] if command[0] == "generate" else []
            # Nine tokens of a network that took two steps are no tune: nothing to hear, but the run is found.
            assert main([*(word for word in command if not word.startswith("wav=")), *short]) == 0


def test_the_demo_says_so_when_nothing_can_be_played(
    tunes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    writes(monkeypatch, [BROKEN])
    done = demo.demo(
        "1steps", str(tunes), ["gru"], tunes=2, parameters=9000, runs=str(tmp_path), board=Board(quiet=True)
    )
    assert done.tune is None and not done.files and done.report.is_file()
    assert "give it more time" in capsys.readouterr().err


def test_a_demo_of_prose_has_no_tune(tmp_path: Path) -> None:
    text = tmp_path / "prose.txt"
    text.write_text("It was a dark and stormy night; the rain fell in torrents.\n" * 200)
    done = demo.demo(
        "2steps", str(text), ["gru"], parameters=9000, runs=str(tmp_path / "runs"), board=Board(quiet=True), every=0.0
    )  # fmt: skip
    assert done.tune is None and "networks read prose" in done.report.read_text()


def test_a_runs_own_report(tunes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes(monkeypatch, [GOOD[0]])
    assert (
        main(
            [
                "train",
                f"data={tunes}",
                "model=gru",
                "model.width=8",
                "budget=3steps",
                f"runs={tmp_path}",
                "-q",
            ]
        )
        == 0
    )
    page = (tmp_path / "gru-tunes-1" / "report.html").read_text()
    assert all(
        part in page
        for part in ("How it learned", "Score", "What it writes", "Settings", "Environment", "Repeat it")
    )
    assert 'class="play"' in page and "-gram" in page and "model.width=8" in page


def test_settings_are_read_as_toml_not_as_text(tmp_path: Path) -> None:
    """A value may hold what looks like a comment."""
    recipe = Recipe.of(data="a  # b/c.txt", lr=0.003, betas=(0.9, 0.95), **{"model.width": 8})
    (tmp_path / "config.toml").write_text(
        settings_text(recipe, {"data": "as asked", "model.width": "it's small"}, [])
    )
    found = {key: (value, source) for key, value, source in sections.settings(SimpleNamespace(path=tmp_path))}  # type: ignore[arg-type]
    assert found["data"] == ("a  # b/c.txt", "as asked") and found["model.width"] == ("8", "it's small")
    assert found["lr"] == ("0.003", "default") and found["betas"] == ("[0.9,0.95]", "default")
    assert "warmup" not in found and "runs" not in found


def test_the_report_of_a_run_that_was_stopped(tunes: Path, tmp_path: Path) -> None:
    run = train(
        data=str(tunes),
        model="gru",
        **{"model.width": 8},
        budget="1steps",
        runs=str(tmp_path),
        talk=Talk(quiet=True),
    )
    assert run is not None
    stopped = replace(run, test=None, baseline=None, naive=None)
    assert "stopped at step 1" in write_run(stopped, tunes=0).read_text()


# -- the experiments ---------------------------------------------------------------------------------------------------


def test_experiments_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == [
        "irish",
        "moby-dick",
        "spoken-digits",
        "music",
        "bottleneck",
    ]
    assert main(["reproduce", "irsh"]) == 2
    assert "Did you mean 'irish'" in capsys.readouterr().err


def test_a_figure_not_met_is_exit_code_5_with_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [Figure("speed", "3", "at least 2", True), Figure("score", "1.60", "at most 1.50", False)]
    monkeypatch.setitem(reproduce.EXPERIMENTS, "mine", Experiment("mine", lambda how: (tmp_path, figures)))
    assert main(["reproduce", "mine"]) == 5
    shown, said = capsys.readouterr()
    assert "speed" in shown and "score" in shown and shown.count("NOT MET") == 1
    assert "NOT MET: score 1.60, asked at most 1.50" in said and "speed" not in said
    assert main(["reproduce", "mine", "--json"]) == 5
    document = json.loads(capsys.readouterr().out)
    assert document["met"] is False and len(document["figures"]) == 2
    kept = json.loads((tmp_path / "reproduce.json").read_text())
    assert kept["met"] is False and kept["figures"][1]["ours"] == "1.60"
    assert main(["reproduce", "mine", "quick=true"]) == 0
    assert "mean nothing" in capsys.readouterr().out
    Reproduction("mine", tmp_path, figures[:1]).require()
    with pytest.raises(CheckFailed):
        Reproduction("mine", tmp_path, figures).require()


@pytest.mark.parametrize(
    ("name", "figures"),
    [("irish", 3), ("music", 2), pytest.param("spoken-digits", 3, marks=pytest.mark.slow)],
)
def test_the_shipped_experiments_run(
    name: str, figures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "QUICK", "2steps")
    monkeypatch.setattr(reproduce, "SMALL", 9000)
    writes(monkeypatch, [GOOD[0]])
    done = reproduce.reproduce(name, quick=True, runs=str(tmp_path), board=Board(quiet=True))
    assert isinstance(done, Reproduction) and len(done.figures) == figures and not done.met
    assert (done.path / "report.html").is_file() and "mean nothing" in str(done)


def raced(**changes: object) -> Comparison:
    """A race on a novel that the window network won, the LSTM a little behind the n-gram."""
    rows = [
        Row(kind, [], 1000, 800, 8, 1, "streams", 32, "all", scores=[score] * 3, mean=score, low=score - 0.01,
            high=score + 0.01, bits_per_byte=score / 2)
        for kind, score in (("lstm", 2.2), ("window", 1.4))
    ]  # fmt: skip
    against = [Pair("lstm", "5-gram", -0.2, -0.3, -0.1), Pair("window", "5-gram", 0.6, 0.5, 0.7)]
    whole = Comparison(
        Path("runs/x"), "x", "moby_dick", "bpe", "5m", 1, 1000, 80, 9000, rows, Baseline("5-gram", 2.0, 1.0, 1.9, 2.1),
        18_000, [Pair("window", "lstm", 0.8, 0.7, 0.9), against[1]], against,
    )  # fmt: skip
    return replace(whole, **changes)  # type: ignore[arg-type]


HOW = reproduce.How(False, "runs", None, Board(quiet=True))


def test_the_lstms_claim_is_judged_by_the_lstm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "compare", lambda *_, **__: raced())
    _, (score, gain) = reproduce._moby_dick(HOW)
    assert (score.what, score.ours, score.met) == ("lstm, bits per byte", "1.100", False)
    assert gain.ours == "-0.100 (-0.150 to -0.050)" and not gain.met


def test_a_mean_needs_three_seeds_and_no_rows_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "compare", lambda *_, **__: raced())
    assert [figure.met for figure in reproduce._irish(HOW)[1]][-2:] == [True, True]
    few = [replace(row, scores=row.scores[:2]) for row in raced().rows]
    monkeypatch.setattr(reproduce, "compare", lambda *_, **__: raced(rows=few))
    assert [figure.met for figure in reproduce._irish(HOW)[1]][-2:] == [True, False]
    none = [replace(row, scores=[], mean=None, failed=["NaN"] * 3) for row in raced().rows]
    monkeypatch.setattr(reproduce, "compare", lambda *_, **__: raced(rows=none, against=[]))
    for experiment in (reproduce._irish, reproduce._moby_dick):
        assert {figure.ours for figure in experiment(HOW)[1]} == {"failed"}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"tunes": 0}, "tunes=0"),
        ({"seed": -1}, "seed=-1"),
        ({"threads": 0}, "threads=0"),
        ({"data": "irsh"}, "irsh"),
    ],
)
def test_a_demo_with_a_wrong_key_leaves_no_folder(tmp_path: Path, keys: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        demo.demo(**(keys | {"runs": str(tmp_path / "runs"), "board": Board(quiet=True)}))  # type: ignore[arg-type]
    assert not list(tmp_path.rglob("demo-*"))


def test_the_next_commands_can_be_typed() -> None:
    for command in next_commands(Path("my runs/demo-irish-1/gru-irish-1"), music=True):
        words = shlex.split(command)
        assert words[0] == "unrolled" and any("my runs/demo-irish-1/gru-irish-1" in word for word in words)
        assert not any(word.startswith("runs/") for word in words)


def test_unknown_experiment_is_a_user_error() -> None:
    with pytest.raises(UserError, match="unknown experiment"):
        reproduce.reproduce("nothing")
