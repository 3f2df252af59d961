"""A race is fair: one size, one split, turns, honest intervals, nobody left out, and it goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unrolled.comparison import heat, race, result
from unrolled.comparison.asked import Asked
from unrolled.comparison.board import Board
from unrolled.comparison.members import MODELS, TOLERANCE, Sizes, field_of
from unrolled.comparison.notes import notes_of, unsteady
from unrolled.comparison.race import compare
from unrolled.comparison.report import comparison_page
from unrolled.comparison.result import ENOUGH_SEEDS, Baseline, Comparison, Pair, Row
from unrolled.comparison.speed import pace
from unrolled.comparison.statistics import interval, student
from unrolled.comparison.words import table, verdict_of
from unrolled.datasets import readers, samples
from unrolled.errors import UserError
from unrolled.tasks.units import Units, cut, pieces_of
from unrolled.training import session as sessions
from unrolled.training import text
from unrolled.training.defaults import Chosen
from unrolled.training.interrupt import Interrupted
from unrolled.training.learner import Computed, Learner
from unrolled.training.recipe import Recipe
from unrolled.training.run import Run

KEYS = {"models": "gru,transformer", "budget": "6steps", "parameters": 12_000}


@pytest.fixture(scope="module")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tunes.abc"
    records = list(readers.records(samples.resolve("irish")))[:40]
    path.write_text("".join(record["text"] for record in records), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "SAMPLE_TOKENS", 2)
    monkeypatch.setattr(sessions, "EVALUATIONS", 2)
    monkeypatch.setattr("unrolled.comparison.report.FEW", 1)


def raced(tunes: Path, runs: Path, **keys: object) -> Comparison:
    return compare(str(tunes), **(KEYS | {"runs": str(runs), "board": Board(quiet=True)} | keys))  # type: ignore[arg-type]


def resumed(name: str, runs: Path) -> Comparison:
    return compare(resume=name, runs=str(runs), report=False, board=Board(quiet=True))


@pytest.fixture(scope="module")
def found(tunes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comparison]:
    """One whole race, two seeds, with its report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "SAMPLE_TOKENS", 2)
        patch.setattr(sessions, "EVALUATIONS", 2)
        yield raced(tunes, tmp_path_factory.mktemp("race") / "runs", seeds=2)


def test_everybody_stands_in_the_table_at_one_size(found: Comparison) -> None:
    assert [row.kind for row in found.rows] == ["gru", "transformer", "window"]
    for row in found.rows:
        assert abs(row.parameters - 12_000) <= TOLERANCE * 12_000
        assert len(row.scores) == 2 and row.steps == 6 and not row.failed
        assert row.mean == pytest.approx(np.mean(row.scores), rel=1e-6)
        assert row.best == min(row.scores)
        assert row.low is not None and row.high is not None and row.low < row.mean < row.high
        assert 0 < row.core < row.parameters and row.state_bytes > 0 and row.tokens_per_second
    assert found.row("transformer").feeding == "windows" and found.row("gru").feeding == "streams"
    assert "-gram" in found.baseline.name and found.documents == 4


def test_the_members_share_the_split_and_the_budget(found: Comparison) -> None:
    runs = [Run.at(found.path / name) for row in found.rows for name in row.runs]
    assert len({(run.path / "data.json").read_text() for run in runs}) == 1
    assert {run.step for run in runs} == {6}
    assert sorted(run.recipe.seed for run in runs) == [0, 0, 0, 1, 1, 1]
    assert "matched" in (runs[0].path / "config.toml").read_text()


def test_the_members_are_runs_like_any_other(found: Comparison) -> None:
    runs = found.path.parent
    names = [run.name for run in Run.all(runs)]
    assert len(names) == 6 and f"{found.name}/gru-tunes-1" in names
    assert Run.open(f"{found.name}/gru-tunes-1", runs).kind == "gru"
    assert Run.open("@best", runs).path == found.best_run
    assert (found.best_run / "report.html").is_file()


def test_the_first_placed_is_held_against_everybody(found: Comparison) -> None:
    first = found.ranked[0]
    assert {pair.better for pair in found.pairs} == {first.kind}
    others = {row.kind for row in found.rows} - {first.kind}
    assert {pair.other for pair in found.pairs} == others | {found.baseline.name}
    for pair in found.pairs:
        if pair.other in others:
            assert first.mean is not None
            assert pair.difference == pytest.approx((found.row(pair.other).mean or 0) - first.mean)
    ngram = next(pair for pair in found.pairs if pair.other == found.baseline.name)
    assert ngram.high < 0, "six steps don't beat an n-gram"
    assert not found.verdict and found.notes[0].startswith("2 seeds are a glimpse, no verdict.")
    judged = verdict_of(replace(found, seeds=ENOUGH_SEEDS))
    assert f"{first.kind} is worse than {found.baseline.name}" in judged.verdict and judged.winner is None


def test_every_kind_is_held_against_the_ngram(found: Comparison) -> None:
    assert {pair.better for pair in found.against} == {row.kind for row in found.rows}
    assert {pair.other for pair in found.against} == {found.baseline.name}
    for row in found.rows:
        pair = found.against_baseline(row.kind)
        assert pair is not None and row.mean is not None
        assert pair.difference == pytest.approx(found.baseline.mean - row.mean)
        assert row.seconds == pytest.approx(np.mean([Run.at(found.path / run).seconds for run in row.runs]))
    assert any(f"than the {found.baseline.name}" in note for note in found.notes)


def test_last_is_the_best_run_of_the_race(found: Comparison) -> None:
    runs = found.path.parent
    assert Run.open("@last", runs).path == found.best_run
    assert len({run.started for run in Run.all(runs)}) == 1, "they began together"
    for row in found.rows:
        replace(found, best=row.runs[0]).make_last()
        assert Run.open("@last", runs).path == found.path / row.runs[0]
    found.make_last()


def test_the_folder_tells_the_comparison_again(found: Comparison) -> None:
    again = Comparison.open(found.path)
    assert again == found
    kept = json.loads((found.path / "comparison.json").read_text())
    assert kept["result"]["rows"][0]["best"] == found.rows[0].best and len(kept["entries"]) == 6
    page = (found.path / "report.html").read_text()
    for picture in ("scores.svg", "learning.svg"):
        assert (found.path / picture).read_text().startswith("<svg") and "gru" in (
            found.path / picture
        ).read_text()
    assert all(
        word in page for word in ("gru", "transformer", "window", found.baseline.name, "parameters=12000")
    )
    assert "model.hidden" in page, "what differs between the members"


def test_the_same_command_gives_the_same_table(found: Comparison, tunes: Path, tmp_path: Path) -> None:
    again = raced(tunes, tmp_path, seeds=1, report=False)
    assert [row.scores[0] for row in again.rows] == [row.scores[0] for row in found.rows]
    assert not again.verdict and "One seed is a glimpse" in again.notes[0]


def test_members_take_turns(tunes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heat, "SLICE", 0.0)
    seen: list[tuple[str, int]] = []
    raced(
        tunes, tmp_path, report=False,
        on_slice=lambda session: seen.append((session.recipe.model.kind, session.learner.progress.step)),
    )  # fmt: skip
    for step in (1, 2, 3, 4, 5):
        kinds = [kind for kind, at in seen if at == step]
        assert kinds == ["gru", "transformer", "window"]
    assert [step for _, step in seen] == sorted(step for _, step in seen), "nobody runs ahead"


def test_a_time_budget_gives_everybody_the_same_time(tunes: Path, tmp_path: Path) -> None:
    found = raced(tunes, tmp_path, models=["gru"], budget="1s", report=False)
    for row in found.rows:
        run = Run.at(found.path / row.runs[0])
        assert 0.7 < run.seconds < 1.6 and run.step > 4
        assert len([line for line in run.metrics if "valid" in line]) <= 4, "a short race evaluates seldom"


def test_one_that_diverges_is_kept_as_failed(
    tunes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Learner.compute

    def broken(self: Learner, *batch: torch.Tensor) -> Computed:
        got = compute(self, *batch)  # type: ignore[arg-type]
        return got if self.model.fixed_state else got._replace(nats=float("nan"))

    monkeypatch.setattr(Learner, "compute", broken)
    found = raced(tunes, tmp_path)
    row = found.row("transformer")
    assert row.failed and row.mean is None and not row.scores
    assert found.ranked[-1].kind == "transformer" and "transformer" not in {p.other for p in found.pairs}
    assert "failed" in table(found) and any(
        "transformer" in note and "failed" in note for note in found.notes
    )
    assert found.row("gru").mean is not None


def test_ctrl_c_saves_and_the_race_goes_on_bit_for_bit(
    found: Comparison, tunes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heat, "SLICE", 0.0)
    turns = iter(range(100))

    def press(session: object) -> None:
        if next(turns) == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="unrolled compare resume=") as stopped:
        raced(tunes, tmp_path, on_slice=press)
    assert stopped.value.exit_code == 130
    folder = tmp_path / "compare-tunes-1"
    with pytest.raises(UserError, match="isn't finished"):
        Comparison.open(folder)
    again = resumed(folder.name, tmp_path)
    assert [row.scores[0] for row in again.rows] == [row.scores[0] for row in found.rows]
    assert again.path == folder and len(list(folder.glob("*-tunes-*"))) == 3, "nobody began anew"


def test_a_resumed_race_refuses_changed_data(tmp_path: Path, tunes: Path) -> None:
    copy = tmp_path / "tunes.abc"
    copy.write_text(tunes.read_text())
    found = raced(copy, tmp_path / "runs", models=["gru"], budget="1steps", report=False)
    copy.write_text(tunes.read_text() + tunes.read_text().replace("T:", "T:New "))
    with pytest.raises(UserError, match="data has changed"):
        resumed(found.name, tmp_path / "runs")


def test_a_resumed_race_keeps_its_keys(tunes: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="keeps the keys that it began with, got data, models, budget, parameters"
    ):
        raced(tunes, tmp_path, resume="any")
    with pytest.raises(UserError, match=r"keeps the keys.* parameters, out\. Leave"):
        raced(tunes, tmp_path, resume="any", out=str(tmp_path / "elsewhere"))


def test_ctrl_c_while_scoring_is_heard(tunes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = race.summarise

    def press(*given: object) -> Comparison:
        os.kill(os.getpid(), signal.SIGINT)
        return scored(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(race, "summarise", press)
    with pytest.raises(Interrupted, match="resume='.*a b/compare-tunes-1'") as stopped:
        raced(tunes, tmp_path / "a b", models=["gru"], budget="1steps", report=False)
    assert stopped.value.exit_code == 130
    monkeypatch.undo()
    again = resumed("compare-tunes-1", tmp_path / "a b")
    assert Comparison.open(again.path) == again


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"budget": "auto"}, "one fixed budget"),
        ({"budget": "+5m"}, "one fixed budget"),
        ({"budget": "5 bananas"}, "isn't an amount"),
        ({"seeds": 0}, "at least 1"),
        ({"models": ["gur"]}, "Did you mean 'gru'"),
        ({"models": ["window"]}, "at least one beside"),
        ({"parameters": 10}, "Ask for another size"),
        ({"parameters": 0}, "at least 1"),
        ({"seed": -1}, "seed=-1 must be at least 0"),
        ({"device": "banana"}, "device='banana'"),
        ({"dtype": "banana"}, "dtype: got 'banana'"),
        ({"codec": "banana"}, "codec: got 'banana'"),
        ({"threads": 0}, "threads=0 must be at least 1"),
        ({"split": (0.5, 0.5, 0.5)}, "three shares"),
    ],
)
def test_bad_keys_leave_no_folder(
    tunes: Path, tmp_path: Path, keys: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=said):
        raced(tunes, tmp_path, board=Board(), **keys)
    assert not list(tmp_path.glob("compare-*")) and capsys.readouterr().err == ""


def test_an_unknown_race_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no comparison is called that"):
        resumed("nothing", tmp_path)


def test_missing_data_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        raced(tmp_path / "nowhere.txt", tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*"))


def test_a_run_names_a_budget(found: Comparison) -> None:
    assert race._repeated(f"@{found.best}", str(found.path)) == "6steps"
    assert race._repeated("2m", "nowhere") == "2m"


def test_the_verb(found: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    from unrolled.cli.main import main

    assert main(["compare", f"resume={found.path}", "--json", "-q"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["schema_version"] == 1 and [row["kind"] for row in said["rows"]] == [
        "gru",
        "transformer",
        "window",
    ]
    assert main(["compare", f"resume={found.path}", "budget=5m"]) == 2
    assert "got budget" in capsys.readouterr().err
    assert main(["compare", "bugdet=1m"]) == 2
    assert "did you mean 'budget'" in capsys.readouterr().err


def test_what_is_shown_ends_with_the_best_run_and_commands_for_it(found: Comparison) -> None:
    from unrolled.cli import compare as verb

    lines = verb.show(found).splitlines()
    assert lines[: len(found.rows) + 2] == table(found).splitlines()[: len(found.rows) + 2]
    assert f"best run  {found.best_run}" in lines and lines[-4] == "next"
    assert all(str(found.best_run) in line for line in lines[-3:])


# -- the size --------------------------------------------------------------------------------------------------------


class Tokens(text.Text):
    """Text of which only the number of tokens is known."""

    chosen = [Chosen("task", "generate", "as asked")]  # type: ignore[assignment]

    def __init__(self, vocabulary: int) -> None:
        self.corpus = SimpleNamespace(codec=SimpleNamespace(size=vocabulary))  # type: ignore[assignment]


def of_text(vocabulary: int) -> Sizes:
    """Of models of text whose codec has so many tokens."""
    return Sizes(Tokens(vocabulary), Recipe())


@pytest.mark.parametrize("vocabulary", [90, 213, 8001])
def test_all_kinds_come_within_five_percent(vocabulary: int) -> None:
    sizes = of_text(vocabulary)
    size, reason = sizes.common()
    assert "unrolled train" in reason
    for kind in field_of([*MODELS, "conv"]):
        assert abs(sizes.matched(kind, size).parameters - size) <= TOLERANCE * size


@pytest.mark.parametrize("size", [30_000, 100_000, 400_000])
def test_coarse_steps_are_made_up_for_by_the_feed_forward(size: int) -> None:
    shape = of_text(90).matched("transformer", size)
    assert abs(shape.parameters - size) <= 0.01 * size and shape.choice["width"] % 8 == 0


def test_the_window_always_races() -> None:
    assert field_of(["gru", "gru"]) == ["gru", "window"] and field_of(["window", "gru"]) == ["window", "gru"]


# -- the intervals ---------------------------------------------------------------------------------------------------


def weighed(tokens: np.ndarray) -> Units:
    """Documents of so many tokens, each token a character: nats -> bits per character."""
    return Units(np.zeros_like(tokens), tokens, 1 / np.log(2))


def test_students_quantile() -> None:
    known = {1: 12.706, 2: 4.303, 9: 2.262, 11: 2.201, 30: 2.042, 120: 1.980}
    for freedom, value in known.items():
        assert student(freedom) == pytest.approx(value, abs=1e-3)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """New seeds and new documents two hundred times over: 95 % must cover, and not by being huge."""
    rng = np.random.default_rng(0)
    tokens = np.full(60, 100.0)
    held_out = weighed(tokens)
    truth, covered, widths = 1.2 * held_out.scale, 0, []
    for _ in range(200):
        documents = rng.normal(0, 0.2, 60)
        seeds = rng.normal(0, 0.02, (3, 1))
        nats = tokens * (1.2 + documents + seeds)
        got = interval(nats, held_out)
        covered += got.low <= truth <= got.high
        widths.append(got.high - got.low)
    assert covered >= 188, f"{covered} of 200"
    assert np.mean(widths) < 0.35


def test_documents_count_once_whatever_the_number_of_seeds() -> None:
    """Three seeds on the same documents say nothing new about documents."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(50, 400, 80).astype(float)
    held_out = weighed(tokens)
    one = tokens * (1 + rng.normal(0, 0.3, 80))
    alone, thrice = interval(one[None], held_out), interval(np.repeat(one[None], 3, 0), held_out)
    assert (alone.low, alone.high) == pytest.approx((thrice.low, thrice.high))
    bits = one.sum() / tokens.sum() / np.log(2)
    assert alone.mean == pytest.approx(bits)
    error = 1.96 * np.std(one / tokens) / np.sqrt(80) / np.log(2)
    assert alone.high - alone.mean == pytest.approx(error, rel=0.25)


def test_differences_are_paired() -> None:
    """Hard and easy documents are hard and easy for both: the difference knows more than the scores."""
    rng = np.random.default_rng(2)
    tokens = np.full(80, 200.0)
    held_out = weighed(tokens)
    hard = rng.normal(0, 0.3, 80)
    a, b = (tokens * (1 + hard + gap + rng.normal(0, 0.01, (3, 80))) for gap in (0.0, 0.03))
    apart = interval(b - a, held_out)
    assert apart.low > 0
    assert interval(a, held_out).high > interval(b, held_out).low, "side by side they overlap"


def test_few_long_documents_are_cut_into_blocks() -> None:
    nats, tokens = cut([np.ones(10_500)], pieces_of([10_500]))
    assert len(tokens) == 10 and tokens.sum() == 10_500 and nats.sum() == 10_500
    assert pieces_of([10_500] * 30) == [1] * 30


def test_two_ways_of_reading_are_cut_into_as_many_blocks() -> None:
    """An n-gram over characters has other tokens than a network over notes: their blocks must still pair up."""
    pieces = pieces_of([10_500, 300])
    assert len(cut([np.ones(21_000), np.ones(700)], pieces)[0]) == sum(pieces) == 11


# -- speed and words -------------------------------------------------------------------------------------------------


def test_pace_and_its_change() -> None:
    steady = [(10 * i, float(i)) for i in range(1, 21)]
    assert pace(steady, 100) == (pytest.approx(1000), pytest.approx(0))
    slower = steady + [(200 + 5 * i, 20.0 + i) for i in range(1, 21)]
    speed, spread = pace(slower, 100)
    assert speed == pytest.approx(100 * 290 / 39) and spread is not None and spread > 0.5
    assert pace([(5, 1.0)], 100) == (None, None) and pace([(5, 1.0), (9, 2.0)], 100).spread is None


def made(**changes: object) -> Comparison:
    rows = [
        Row(kind, [f"{kind}-x-1"], 1000, 800, 8, 1, "streams", 32, "all", 1e4, 0.02, 10, 1.0, [score] * 3, score,
            score - 0.01, score + 0.01, score, [], 120.0)
        for kind, score in (("gru", 1.5), ("lstm", 1.6), ("transformer", 1.51))
    ]  # fmt: skip
    pairs = [
        Pair("gru", "lstm", 0.1, 0.05, 0.15),
        Pair("gru", "transformer", 0.01, -0.03, 0.05),
        Pair("gru", "4-gram", 0.5, 0.4, 0.6),
    ]
    whole = Comparison(
        Path("runs/compare-x-1"), "compare-x-1", "x", "abc", "2m", 3, 1000, 80, 9000, rows,
        Baseline("4-gram", 2.0, 2.0, 1.9, 2.1), 9000, pairs, pairs[2:],
    )  # fmt: skip
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_a_verdict_names_what_is_shown_and_what_is_not() -> None:
    said = verdict_of(made()).verdict
    assert said.startswith("gru is better than lstm (by 0.100, 0.050 to 0.150) and 4-gram")
    assert said.endswith("No difference is shown between gru and transformer.")


ASKED = Asked("my data/x.abc", ("gru", "lstm"), "2m", 1, 0, 9000, "auto", None, "auto", "auto", None)


def changed(**of_first: object) -> Comparison:
    first, *rest = made().rows
    return made(rows=[replace(first, **of_first), *rest])  # type: ignore[arg-type]


@pytest.mark.parametrize("seeds", [1, 2])
def test_no_verdict_from_one_or_two_seeds(seeds: int) -> None:
    assert verdict_of(made(seeds=seeds)).verdict == ""
    said = notes_of(made(seeds=seeds), [], ASKED)
    assert "a glimpse, no verdict" in said[0]
    assert any("needs 0.500 (0.400 to 0.600) fewer bits per character than the 4-gram" in s for s in said)


@pytest.mark.parametrize(
    ("of_first", "said"),
    [
        ({"spread": 0.43}, "Speed: changed by up to 43 % (at worst gru"),
        ({"spread": None}, "Speed unknown: gru"),
        ({"seconds": 140.0}, "Time: gru trained for 2m20s."),
        ({"seconds": 100.0}, "Time: gru trained for 1m40s."),
    ],
)
def test_no_verdict_from_unequal_time(of_first: dict[str, object], said: str) -> None:
    shaky = changed(**of_first)
    assert unsteady(shaky) and verdict_of(shaky).verdict == ""
    notes = notes_of(shaky, [], ASKED)
    assert any(note.startswith(said) for note in notes) and any(
        "verdict needs the same time" in n for n in notes
    )
    assert not any("steady within 43" in note for note in notes)
    assert verdict_of(replace(shaky, budget="500steps")).verdict, "steps don't care how fast they are"


def test_a_steady_race_says_so() -> None:
    assert not unsteady(made())
    notes = notes_of(made(), ["near-duplicates: 3"], ASKED)
    assert any("steady within 2 %" in note for note in notes) and "near-duplicates: 3" in notes
    assert not any("verdict" in note or "than the 4-gram" in note for note in notes)
    assert any("each pair at 95 %" in note for note in notes)


def test_a_glimpse_says_what_a_fair_race_needs() -> None:
    """The whole command, as it can be typed."""
    note = notes_of(made(seeds=1, budget="40s"), [], replace(ASKED, budget="40s"))[0]
    wanted = "unrolled compare 'data=my data/x.abc' models=gru,lstm budget=10m seeds=3 parameters=9000"
    assert wanted in note and "after 40s a Transformer is still warming up" in note
    steps = replace(ASKED, budget="2000steps")
    note = notes_of(made(seeds=1, budget="2000steps"), [], steps)[0]
    assert "budget=2000steps seeds=3" in note and "warming up" not in note


def paged(comparison: Comparison) -> str:
    """The page of a race whose run folders there are none of."""
    return comparison_page(replace(comparison, rows=[replace(row, runs=[]) for row in comparison.rows]), None)


def test_the_badge_is_the_winners_alone() -> None:
    def badges(comparison: Comparison) -> list[str]:
        page = paged(comparison)
        return [
            row.split("</bdi>")[0].rpartition(">")[2] for row in page.split("<tr") if 'class="badge"' in row
        ]

    level = verdict_of(made())
    assert level.verdict.endswith("No difference is shown between gru and transformer.")
    assert level.winner is None and badges(level) == []
    ahead = [replace(pair, low=0.005) for pair in made().pairs]
    assert badges(verdict_of(made(pairs=ahead))) == ["gru"] and badges(made(pairs=ahead)) == []
    behind = [*ahead[:2], replace(ahead[2], low=-0.6, high=-0.4)]
    assert badges(verdict_of(made(pairs=behind))) == [], "the n-gram is better"
    lucky = Row(
        "rnn", ["rnn-x-1"], 1000, 800, 8, 1, "streams", 32, "all", mean=1.2, low=1.1, high=1.3, failed=["NaN"]
    )
    assert badges(verdict_of(made(rows=[lucky, *made().rows], pairs=ahead))) == ["gru"], (
        "a failed seed has no place"
    )


def test_bits_per_byte_stand_where_they_say_more() -> None:
    plain, pieces = made(), verdict_of(made(codec="bpe"))
    wide = verdict_of(made(bytes=18_000))
    assert "bits/byte" not in table(plain) and "per byte" not in paged(plain)
    assert "bits/byte" in table(pieces) and "bits per byte" in pieces.verdict
    assert wide.verdict.startswith("gru is better than lstm (by 0.050, 0.025 to 0.075)")
    lines = table(wide).splitlines()
    assert lines[0].split()[:8] == ["model", "bits/char", "95", "%", "interval", "bits/byte", "95", "%"]
    assert lines[1].split()[:5] == ["gru", "1.500", "1.490-1.510", "0.750", "0.745-0.755"]
    assert lines[4].split() == ["4-gram", "2.000", "1.900-2.100", "1.000", "0.950-1.050"]
    page = paged(wide)
    assert "bits per byte" in page and "0.950 – 1.050" in page


def test_the_tables_say_how_long_each_trained() -> None:
    head, first, *_ = table(changed(seconds=131.0)).splitlines()
    at = head.index("time") + len("time")
    assert first[:at].endswith(" 2m11s")
    page = paged(changed(seconds=131.0))
    assert ">seconds<" in page and "131.0" in page


def test_the_table_is_ranked_and_aligned() -> None:
    lines = table(made()).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["gru", "transformer", "lstm", "4-gram"]
    assert lines[0].index("bits/char") + len("bits/char") == lines[1].index("1.500") + 5


def test_a_comparison_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / result.FILE).write_text('{"format": 99}')
    with pytest.raises(UserError, match="format 99"):
        Comparison.open(tmp_path)
    (tmp_path / result.FILE).write_text("{")
    with pytest.raises(UserError, match="no readable"):
        Comparison.open(tmp_path)
