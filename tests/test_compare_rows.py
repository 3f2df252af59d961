"""A race on rows with answers: the same turns, sizes and intervals as on text, with figures of which more may be better."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unrolled.cli.main import main
from unrolled.comparison import heat
from unrolled.comparison.asked import Asked
from unrolled.comparison.board import Board
from unrolled.comparison.demo import demo
from unrolled.comparison.members import TOLERANCE, Sizes, field_of
from unrolled.comparison.notes import notes_of
from unrolled.comparison.race import compare
from unrolled.comparison.report import comparison_page, lead
from unrolled.comparison.result import Baseline, Comparison, Pair, Row
from unrolled.comparison.words import next_commands, table, verdict_of
from unrolled.errors import UserError
from unrolled.model import answering, build
from unrolled.training import session as sessions
from unrolled.training.defaults import Chosen
from unrolled.training.interrupt import Interrupted
from unrolled.training.labelled import Labelled
from unrolled.training.recipe import ModelChoice, Recipe
from unrolled.training.run import Run

torch.set_num_threads(1)
SIZE = 6000
KEYS: dict[str, Any] = {
    "data": "japanese_vowels",
    "models": "gru,encoder",
    "budget": "20steps",
    "parameters": SIZE,
    "device": "cpu",
    "dtype": "float32",
}


@pytest.fixture(autouse=True)
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "EVALUATIONS", 2)


def raced(runs: Path, **keys: object) -> Comparison:
    return compare(**(KEYS | {"runs": str(runs), "board": Board(quiet=True)} | keys))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comparison]:
    """One whole race of two seeds, with its report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "EVALUATIONS", 2)
        yield raced(tmp_path_factory.mktemp("race") / "runs", seeds=2)


# -- a race of classifiers -------------------------------------------------------------------------------------------


def test_everybody_stands_in_the_table_at_one_size(found: Comparison) -> None:
    assert [row.kind for row in found.rows] == ["gru", "encoder", "bag"]
    assert (found.task, found.measure, found.better, found.documents) == (
        "classify",
        "accuracy",
        "higher",
        370,
    )
    for row in found.rows:
        assert abs(row.parameters - SIZE) <= TOLERANCE * SIZE
        assert len(row.scores) == 2 and row.steps == 20 and not row.failed and row.tokens_per_second
        assert row.mean == pytest.approx(np.mean(row.scores)) and row.best == max(row.scores)
        assert row.low is not None and row.high is not None and 0 <= row.low < row.mean < row.high <= 1
        tests = [Run.at(found.path / name).test or {} for name in row.runs]
        assert row.beside == {"macro F1": pytest.approx(np.mean([t["values"]["macro_f1"] for t in tests]))}
        assert row.epochs == pytest.approx(20 * 16 / 240)
    assert [row.feeding for row in found.rows] == ["in order", "whole rows", "no order"]
    gru, encoder, bag = found.rows
    assert gru.state_bytes and encoder.state_bytes is None and bag.core == 0 < gru.core
    assert [rival.name for rival in found.rivals] == ["summary statistics + linear model", "majority class"]


def test_more_is_better_everywhere(found: Comparison) -> None:
    means = [row.mean or 0.0 for row in found.ranked]
    assert means == sorted(means, reverse=True) and means[0] > means[-1]
    scores = {name: score for row in found.rows for name, score in zip(row.runs, row.scores, strict=True)}
    assert scores[found.best] == max(scores.values()) > min(scores.values())
    runs = found.path.parent
    assert Run.open("@best", runs).path == Run.open("@last", runs).path == found.best_run


def test_differences_are_the_rows_own(found: Comparison) -> None:
    """By hand: who is right on which row, and the mean of the difference over rows and seeds."""

    def right(kind: str) -> np.ndarray:
        hits = []
        for name in found.row(kind).runs:
            run = Run.at(found.path / name)
            model, material = run.model(), _material(run)
            rows = material.examples("test")
            said = model.task.predict(model, rows.inputs).argmax(1)
            hits.append(said == np.array(rows.targets).reshape(-1))
        return np.array(hits)

    first = found.ranked[0]
    assert {pair.better for pair in found.pairs} == {first.kind}
    for pair in found.pairs[:-1]:
        assert pair.difference == pytest.approx(
            (right(first.kind).mean(1) - right(pair.other).mean(1)).mean()
        )
        assert pair.difference >= 0 and pair.low < pair.difference < pair.high
    last = found.pairs[-1]
    assert last.other == found.baseline.name and last.difference < 0, "few steps don't beat a fitted model"
    assert last.difference == pytest.approx((first.mean or 0) - found.baseline.mean)
    assert {pair.better for pair in found.against} == {"gru", "encoder", "bag"}


def _material(run: Run) -> Labelled:
    from unrolled.training.rows import prepare_rows

    return prepare_rows(run.recipe)


def test_the_members_share_split_budget_and_material(
    found: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [Run.at(found.path / name) for row in found.rows for name in row.runs]
    assert len({(run.path / "data.json").read_text() for run in runs}) == 1
    assert {run.step for run in runs} == {20} and sorted(run.recipe.seed for run in runs) == [
        0,
        0,
        0,
        1,
        1,
        1,
    ]
    assert {run.recipe.task for run in runs} == {"classify"}
    made: list[object] = []
    begin = Labelled.__init__

    def counted(self: Labelled, *given: Any) -> None:
        made.append(self)
        begin(self, *given)

    monkeypatch.setattr(Labelled, "__init__", counted)
    raced(tmp_path, budget="1steps", report=False)
    assert len(made) == 1, "the table is read once, whoever races"


def test_the_table_the_notes_and_the_page_say_what_is_measured(found: Comparison) -> None:
    said = table(found).splitlines()
    assert said[0].split()[:7] == ["model", "accuracy", "95", "%", "interval", "macro", "F1"]
    assert (
        "answers/s" in said[0]
        and "reads" in said[0]
        and "tok/s" not in said[0]
        and "bits" not in table(found)
    )
    assert [line.split()[0] for line in said[1:6]] == [
        *(row.kind for row in found.ranked),
        "summary",
        "majority",
    ]
    notes = " ".join(found.notes)
    assert (
        "Held out: 370 rows." in notes and "held-out rows" in notes and "worse in accuracy than the" in notes
    )
    assert (
        "no order: sees the same in any order" in notes and "document" not in notes and "n-gram" not in notes
    )
    page = (found.path / "report.html").read_text()
    for words in (
        "held-out accuracy (more is better)",
        "macro F1",
        "majority class",
        "whole rows",
        "loss (less is better)",
    ):
        assert words in page, words
    assert "bits" not in lead(found) and "comes to accuracy" in lead(found) and "tokens / s" not in page
    assert (found.best_run / "report.html").is_file()
    assert (found.path / "scores.svg").read_text().startswith("<svg")


def test_the_folder_tells_it_again(found: Comparison) -> None:
    assert Comparison.open(found.path) == found
    assert json.loads((found.path / "comparison.json").read_text())["asked"]["task"] == "auto"


def test_a_comparison_without_the_new_keys_is_still_read(found: Comparison) -> None:
    """Those of text alone named the baseline's score by its unit, and asked for no columns."""
    kept = found.to_dict()
    kept["baseline"]["bits_per_character"] = kept["baseline"].pop("mean")
    for key in ("task", "measure", "better", "others"):
        del kept[key]
    again = Comparison.from_dict(kept, found.path)
    assert again.baseline == found.baseline and again.better == "lower" and again.rivals == [found.baseline]
    asked = json.loads((found.path / "comparison.json").read_text())["asked"]
    older = {key: value for key, value in asked.items() if key not in ("task", "input", "target", "group")}
    assert Asked.of(older) == Asked.of(asked)


def test_ctrl_c_saves_and_the_race_goes_on_bit_for_bit(
    found: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heat, "SLICE", 0.0)
    turns = iter(range(100))

    def press(session: object) -> None:
        if next(turns) == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="unrolled compare resume="):
        raced(tmp_path, on_slice=press)
    folder = tmp_path / "compare-japanese_vowels-1"
    again = compare(resume=folder.name, runs=str(tmp_path), report=False, board=Board(quiet=True))
    assert [row.scores[0] for row in again.rows] == [row.scores[0] for row in found.rows]
    assert again.path == folder and len(list(folder.glob("*-japanese_vowels-*"))) == 3, "nobody began anew"


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = [
        "data=digits",
        "models=bigru",
        "budget=2steps",
        "parameters=20k",
        f"runs={tmp_path}",
        "target=label",
    ]
    assert main(["compare", *keys]) == 0
    out, err = capsys.readouterr()
    assert "unrolled predict" in out and "unrolled generate" not in out and "bag" in out
    assert "chosen    task=classify" in err and "accuracy" in err.split("baseline")[1]
    assert (
        "target=label"
        in json.loads((tmp_path / "compare-digits-1" / "comparison.json").read_text())["command"]
    )


# -- a race of estimators --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Series whose mean, times a thousand, is asked for; and a column that could be taken for it."""
    path, draw = tmp_path_factory.mktemp("data") / "prices.csv", np.random.default_rng(0)
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*(f"p{i:02}" for i in range(12)), "price", "label", "shop"])
        for at in range(240):
            series = draw.normal(draw.normal(), 0.3, 12)
            rows.writerow(
                [*series.round(4), round(1000 * series.mean() + 5000, 2), "ab"[at % 2], f"s{at // 12}"]
            )
    return path


def test_errors_are_better_when_fewer_and_the_tables_keys_are_taken(
    prices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = raced(tmp_path, data=str(prices), models="lstm", target="price", group="shop", budget="60steps")
    assert (found.task, found.measure, found.better) == ("regress", "MAE", "lower")
    means = [row.mean or 0.0 for row in found.ranked]
    assert means == sorted(means) and found.row("lstm").beside["RMSE"]
    scores = {row.runs[0]: row.scores[0] for row in found.rows}
    assert scores[found.best] == min(scores.values()) < max(scores.values())
    first, other = found.ranked[:2]
    assert (
        found.pairs[0].difference == pytest.approx((other.mean or 0) - (first.mean or 0))
        and found.decimals < 3
    )
    for row in found.rows:
        recipe = Run.at(found.path / row.runs[0]).recipe
        assert (recipe.target, recipe.group, recipe.input) == ("price", "shop", "series")
    assert "target=price group=shop" in found.command and "in MAE" in " ".join(found.notes)
    # The same table asked for another column: what is best there is no rival of these.
    raced(
        tmp_path,
        data=str(prices),
        models="lstm",
        target="label",
        input="series",
        budget="1steps",
        report=False,
    )
    assert Run.open("@best", tmp_path).unit == "accuracy"
    assert main(["runs", f"runs={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert " MAE" in shown and " accuracy" in shown and "bits" not in shown


# -- who races -------------------------------------------------------------------------------------------------------


class Words:
    """Rows of text of which only the number of words is known."""

    reads, epoch, rows = "tokens", 100, 100

    chosen = [Chosen("task", "classify", "as asked")]

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def spec(self, choice: ModelChoice) -> dict[str, Any]:
        options = {k: v for k, v in vars(choice).items() if k != "kind" and v is not None}
        embedder = {"kind": "tokens", "vocabulary": self.vocabulary}
        return answering(choice.kind, embedder, {"kind": "labels", "classes": 2}, **options)


@pytest.mark.parametrize("vocabulary", [50, 1000])
def test_all_kinds_of_answering_models_come_within_five_percent(vocabulary: int) -> None:
    sizes = Sizes(Words(vocabulary), Recipe())  # type: ignore[arg-type]
    size, _ = sizes.common()
    for kind in field_of(
        ["rnn", "lstm", "gru", "mingru", "transformer", "bilstm", "bigru", "encoder", "conv"], True
    ):
        assert sizes.matched(kind, size).near(size), kind


def test_a_bag_comes_as_near_as_it_can_and_the_others_are_refused() -> None:
    sizes = Sizes(Words(1000), Recipe())  # type: ignore[arg-type]
    bag = sizes.matched("bag", 2500)
    assert bag.parameters in (2006, 3008) and not bag.near(2500)
    with pytest.raises(UserError, match="nearest gru for this data has .*Ask for another size"):
        sizes.matched("gru", 2500)
    encoder = sizes.matched("encoder", 30_000)
    assert "hidden" in encoder.choice and encoder.near(30_000), (
        "what the width leaves, the feed-forward takes"
    )


def test_the_bag_always_races_on_rows() -> None:
    assert field_of(["gru"], answers=True) == ["gru", "bag"] and field_of(["bag", "gru"], True) == [
        "bag",
        "gru",
    ]
    with pytest.raises(UserError, match="at least one beside bag"):
        field_of(["bag"], answers=True)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"models": ["bag"]}, "at least one beside bag"),
        ({"models": ["bilst"]}, "Did you mean 'bilstm'"),
        ({"models": ["auto"]}, "unknown model 'auto'"),
        ({"data": "irish", "models": ["bilstm"]}, "unknown model 'bilstm'"),
        ({"data": "irish", "task": "classify"}, "needs rows with an answer"),
        ({"task": "generate", "models": ["gru"]}, "goes on with text"),
        ({"task": "banana"}, "task: got 'banana'"),
        ({"target": "banana"}, "banana"),
        ({"group": "banana"}, "banana"),
        ({"codec": "banana"}, "codec: got 'banana'"),
        ({"parameters": 10}, "Ask for another size"),
        ({"split": (0.5, 0.5, 0.5)}, "three shares"),
    ],
)
def test_bad_keys_leave_no_folder(tmp_path: Path, keys: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        raced(tmp_path, **keys)
    assert not list(tmp_path.glob("compare-*"))


def test_a_demo_needs_something_to_write(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unrolled compare data=digits"):
        demo(data="digits", runs=str(tmp_path), board=Board(quiet=True))
    assert not list(tmp_path.glob("demo-*"))


# -- words -----------------------------------------------------------------------------------------------------------


def made(**changes: object) -> Comparison:
    """A race that the GRU won clearly over the bag and not over the LSTM."""
    rows = [
        Row(kind, [], 1000, 800, 8, 1, "in order", 32, "all", 1e4, 0.02, 10, 1.0, [score] * 3, score, score - 0.01,
            score + 0.01, None, [], 120.0, "higher", {"macro F1": score})
        for kind, score in (("bag", 0.7), ("gru", 0.9), ("lstm", 0.89))
    ]  # fmt: skip
    pairs = [
        Pair("gru", "bag", 0.2, 0.15, 0.25),
        Pair("gru", "lstm", 0.01, -0.02, 0.04),
        Pair("gru", "TF-IDF", 0.05, 0.01, 0.09),
    ]
    whole = Comparison(
        Path("runs/x"), "x", "x", "words", "2m", 3, 1000, 300, 0, rows, Baseline("TF-IDF", 0.85, None, 0.8, 0.9, {}),
        0, pairs, pairs[2:], task="classify", measure="accuracy", better="higher",
        others=[Baseline("majority class", 0.5, None, 0.4, 0.6)],
    )  # fmt: skip
    return replace(whole, **changes)  # type: ignore[arg-type]


ASKED = Asked("x", ("gru",), "40s", 1, 0, None, "auto", None, "auto", "auto", None)


def test_a_verdict_names_what_is_shown_and_what_is_not() -> None:
    said = verdict_of(made())
    assert said.verdict == (
        "gru is better than bag (by 0.200, 0.150 to 0.250) and TF-IDF (by 0.050, 0.010 to 0.090) in accuracy. "
        "No difference is shown between gru and lstm."
    )
    assert said.winner is None and [row.kind for row in said.ranked] == ["gru", "lstm", "bag"]
    assert "TF-IDF" in comparison_page(said, None) and "majority class" in comparison_page(said, None)


def test_a_glimpse_asks_for_seeds_and_not_for_the_time_that_text_needs() -> None:
    note = notes_of(made(seeds=1, budget="40s"), [], ASKED)[0]
    assert "budget=40s seeds=3" in note and "warming up" not in note
    assert "budget=10m seeds=3" in ASKED.fair().command()


def test_a_bag_of_another_size_says_so() -> None:
    notes = notes_of(made(parameters=1100), [], ASKED)
    assert sum("it has no layers" in note for note in notes) == 3
    assert not any("it has no layers" in note for note in notes_of(made(), [], ASKED))


@pytest.mark.parametrize(
    ("score", "shown"), [(0.9, "0.123"), (2.5, "0.123"), (25.0, "0.12"), (4711.0, "0"), (0.02, "0.1230")]
)
def test_figures_have_the_digits_that_say_something(score: float, shown: str) -> None:
    rows = [replace(row, mean=score) for row in made().rows]
    assert made(rows=rows, baseline=Baseline("x", score, None, 0, 1), others=[]).shown(0.123) == shown


def test_the_next_command_is_one_that_answers() -> None:
    assert (
        next_commands(Path("runs/x"), music=False, answers=True)[0]
        == "unrolled predict runs/x data=YOUR_FILE"
    )


def test_a_score_that_is_no_mean_is_refused_before_anybody_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unrolled.tasks.scored.Scored.units", None)
    with pytest.raises(UserError, match="accuracy isn't a mean over rows"):
        raced(tmp_path)
    assert not list(tmp_path.glob("compare-*"))


def test_a_bag_that_answers_every_step_sees_that_step_alone() -> None:
    torch.manual_seed(0)
    spec = answering(
        "bag", {"kind": "tokens", "vocabulary": 9}, {"kind": "labels", "classes": 3}, stepwise=True, width=8
    )
    model = build(spec).eval()
    a, b = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[8, 7, 3, 5]])
    assert torch.equal(model(a)[0][:, 2], model(b)[0][:, 2]) and not torch.equal(
        model(a)[0][:, 3], model(b)[0][:, 3]
    )
