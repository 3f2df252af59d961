"""Runs that go on: with more budget, in another environment, with another codec, after damage."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import TINY, Heard, tiny

from unrolled.errors import NumericalFailure, UserError
from unrolled.training import checkpoint as checkpoints
from unrolled.training import session, text
from unrolled.training.evaluate import evaluate
from unrolled.training.interrupt import Interrupted
from unrolled.training.portable import save_model
from unrolled.training.progress import Talk
from unrolled.training.run import Run
from unrolled.training.train import train

torch.set_num_threads(1)


def stopped(place: Path, runs: Path, at: int, **changes: Any) -> Run:
    """A run that Ctrl-C ended after step `at`."""

    def press(one: session.Session) -> None:
        if one.learner.progress.step == at:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        tiny(place, runs, on_step=press, **changes)
    return Run.open("@last", runs)


def go_on(runs: Path, talk: Talk | None = None, **changes: Any) -> Run:
    run = train(resume="@last", runs=str(runs), talk=talk or Heard(), **changes)
    assert run is not None
    return run


def killed_at_once(runs: Path, **changes: Any) -> None:
    """Resumes, and dies before the first step as if by `kill -9`: nothing is saved on the way out."""

    class Killed(BaseException):
        pass

    def dies(one: session.Session) -> Iterator[int]:
        raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(session.Session, "steps", dies)
        train(resume="@last", runs=str(runs), talk=Heard(), **changes)


def refit(runs: Path) -> None:
    """As if another version had fitted the characters in another order: every token file and codec made anew."""
    import unrolled.datasets.characters as characters

    fit = characters.Characters.fit

    def backwards(self: Any, values: Any) -> Any:
        fitted = fit(self, values)
        saved = fitted.to_dict()
        (key,) = (k for k, v in saved.items() if k != "kind" and len(v) > 1)
        turned = saved[key][::-1]
        return characters.Characters.from_dict({**saved, key: turned})

    shutil.rmtree(runs / ".tokens")
    from unrolled.training.corpus import prepare

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(characters.Characters, "fit", backwards)
        prepare(str(runs.parent / "tunes.abc"), "characters", None, runs)


# --- the codec


def test_a_run_is_scored_with_its_own_codec_and_not_resumed_with_another(place: Path) -> None:
    runs = place / "refitted"
    run = tiny(place, runs)
    before = evaluate(run).bits_per_character
    refit(runs)
    assert evaluate(run).bits_per_character == pytest.approx(before, abs=1e-9)
    with pytest.raises(UserError, match=r"can't go on: its codec .* begin a new run: unrolled train data="):
        go_on(runs, budget="+4steps")


@pytest.mark.parametrize("harm", ["codec.json", "corpus.json", "train.bin"])
def test_damaged_token_files_are_made_anew_aloud(harm: str, place: Path, tmp_path: Path) -> None:
    from unrolled.datasets.tokens import damage
    from unrolled.training.corpus import prepare

    data, said = str(place / "tunes.abc"), list[str]()
    first = prepare(data, "characters", None, tmp_path, said.append)
    (first.folder / harm).write_bytes(b"{")
    again = prepare(data, "characters", None, tmp_path, said.append)
    assert (
        len(said) == 1 and ", made anew" in said[0] and "damaged" in said[0] and str(first.folder) in said[0]
    )
    assert again.facts == first.facts and again.train.sha256 == first.train.sha256
    assert damage(again.folder) is None


# --- more budget


def test_an_extended_run_ships_the_weights_that_its_score_belongs_to(place: Path) -> None:
    """The finished run's best came during the decay: the longer one goes on from worse weights and says so."""
    runs = place / "longer"
    run = tiny(place, runs, budget="20steps", evaluate_every=2)
    last = checkpoints.latest(run.path / "checkpoints", pytest.fail)
    assert last is not None and last.progress["best_step"] > 16
    killed_at_once(runs, budget="+4steps")
    longer = Run.open("@last", runs)
    assert longer.extends == run.name
    start = checkpoints.latest(longer.path / "checkpoints", pytest.fail)
    assert start is not None and start.step == start.progress["best_step"] == 16
    assert evaluate(longer, "valid").bits_per_character == pytest.approx(start.progress["best"], abs=1e-9)
    assert start.progress["best"] > last.progress["best"]


def test_more_budget_for_an_unfinished_run_outlives_a_kill(place: Path) -> None:
    runs = place / "durable"
    stopped(place, runs, 5)
    killed_at_once(runs, budget="+8steps", keep=5, patience=50, nonfinite="skip", threads=1)
    run = Run.open("@last", runs)
    assert (run.plan or {})["total"] == 20
    kept = run.recipe
    assert (kept.keep, kept.patience, kept.nonfinite, kept.threads) == (5, 50, "skip", 1)
    text = (run.path / "config.toml").read_text()
    assert "The budget is 20 steps" in text
    lines = {line.split(" = ")[0]: line for line in text.splitlines()}
    assert lines["keep"].endswith("# given with resume=") and lines["batch"].endswith("# as asked")
    assert go_on(runs).step == 20


def test_more_budget_inside_the_decay_goes_back_to_before_it(place: Path) -> None:
    runs = place / "decaying"
    stopped(place, runs, 19, budget="20steps", evaluate_every=2, warmup=0)
    killed_at_once(runs, budget="+20steps")
    run = Run.open("@last", runs)
    assert [p.name for p in checkpoints.folders(run.path / "checkpoints")][-1] == "step-000016"
    start = checkpoints.latest(run.path / "checkpoints", pytest.fail)
    assert start is not None
    assert evaluate(run, "valid").bits_per_character == pytest.approx(start.progress["best"], abs=1e-9)
    run = go_on(runs)
    rates = [row["lr"] for row in run.metrics if "lr" in row]
    assert [row["step"] for row in run.metrics if "lr" in row] == list(range(3, 41, 3))
    assert set(rates[: 32 // 3]) == {rates[0]} and rates[-1] < rates[0]
    assert run.step == 40


def test_an_extension_that_fails_leaves_no_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = place / "half"
    run = tiny(place, runs, budget="3steps")
    monkeypatch.setattr(session.Session, "save", lambda self: pytest.fail("the disk broke"))
    with pytest.raises(pytest.fail.Exception, match="the disk broke"):
        go_on(runs, budget="+3steps")
    assert [p.name for p in runs.iterdir() if p.name != ".tokens"] == [run.name]


# --- what a resumed run is given


def test_saying_again_what_the_run_was_given_is_no_change(place: Path) -> None:
    runs = place / "again"
    stopped(place, runs, 5)
    assert go_on(runs, model="lstm", batch=4, **{"model.width": 16}).step == 12
    with pytest.raises(UserError, match=r"model.width can't change along the way"):
        go_on(runs, budget="+4steps", **{"model.width": 17})
    with pytest.raises(UserError, match=r"as in budget=\+10m"):
        go_on(runs, budget="@last")


def test_another_environment_is_said_where_the_curve_may_differ(place: Path) -> None:
    runs, heard = place / "elsewhere", Heard()
    run = stopped(place, runs, 5)
    kept = json.loads((run.path / "env.json").read_text())
    (run.path / "env.json").write_text(json.dumps(kept | {"torch": "2.10.0", "threads": 7, "python": "3.9"}))
    go_on(runs, heard)
    (said,) = (line for line in heard.lines if "bit for bit" in line)
    assert f"another torch {torch.__version__} instead of 2.10.0, threads 1 instead of 7:" in said


def test_resumed_in_the_same_place_nothing_is_said(place: Path) -> None:
    runs, heard = place / "here", Heard()
    stopped(place, runs, 5)
    go_on(runs, heard)
    assert not any("bit for bit" in line for line in heard.lines)


def test_a_device_that_is_not_there_is_said_when_scoring_too(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny(place, tmp_path, budget="2steps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    evaluate(run, device="cuda")
    assert "falling back to the CPU" in capsys.readouterr().err


def test_the_budget_of_another_run_is_written_down_by_its_name(place: Path, tmp_path: Path) -> None:
    first = tiny(place, tmp_path)
    again = tiny(place, tmp_path, budget="@last")
    assert again.recipe.budget == f"@{first.name}" and again.step == 12
    assert f"budget=@{first.name}" in (again.path / "command.txt").read_text()
    shutil.rmtree(first.path)
    assert go_on(tmp_path, budget="+2steps").step == 14


def test_pieces_that_small_data_allows_no_more_are_told(place: Path, tmp_path: Path) -> None:
    heard = Heard()
    train(
        **{**TINY, "batch": 4096, "accumulate": 512, "data": str(place / "tunes.abc"), "runs": str(tmp_path)},
        dry_run=True, talk=heard,
    )  # fmt: skip
    assert any("accumulate=512 becomes 1:" in line for line in heard.lines)


# --- Ctrl-C


def test_ctrl_c_before_the_training_ends_it_at_once_and_leaves_no_folder(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unrolled.training import text as module

    monkeypatch.setattr(module, "naive", lambda corpus: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        tiny(place, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [".tokens"]


def test_ctrl_c_during_the_last_scores_stops_between_two_of_them(place: Path) -> None:
    runs, strong = place / "scoring", text.strong
    with pytest.MonkeyPatch.context() as patch:

        def pressed(corpus: Any) -> dict[str, Any]:
            os.kill(os.getpid(), signal.SIGINT)
            return strong(corpus)

        patch.setattr(text, "strong", pressed)
        with pytest.raises(Interrupted, match="stopped after step 12, saved") as caught:
            tiny(place, runs)
    assert caught.value.exit_code == 130 and not Run.open("@last", runs).finished
    run = go_on(runs)
    assert run.finished and [row["step"] for row in run.metrics if "valid" in row] == [4, 8, 12]


def test_commands_to_copy_are_whole_quoted_and_find_the_run() -> None:
    from unrolled.training.train import command

    assert command("generate", "lstm-irish-1", Path("runs/lstm-irish-1")) == "unrolled generate lstm-irish-1"
    far = Path("/some where") / ("deep/" * 40) / "runs" / "lstm-irish-1"
    said = command("train", "resume=lstm-irish-1", far, "budget=+10m")
    assert said == f"unrolled train resume=lstm-irish-1 'runs={far.parent}' budget=+10m"


# --- what isn't finite


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_score_that_is_not_finite_ends_the_run_and_spares_the_model(
    kind: str, place: Path, tmp_path: Path
) -> None:
    with pytest.raises(NumericalFailure, match="step 2: the score on held-out data isn't finite") as caught:
        tiny(place, tmp_path, model=kind, lr=1e30, warmup=0, clip=0.0, budget="8steps", evaluate_every=2)
    assert caught.value.exit_code == 6
    run = Run.open("@last", tmp_path)
    assert all(torch.isfinite(p).all() and p.abs().max() < 100 for p in run.model().parameters())


# --- damage


def test_a_stray_folder_is_passed_over_aloud(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny(place, tmp_path, budget="2steps")
    capsys.readouterr()
    for name, content in (("stray", "{}"), ("list", "[1]"), ("half", '{"kind":')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(content)
    assert [one.name for one in Run.all(tmp_path)] == [run.name]
    assert Run.open("@last", tmp_path).name == run.name
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 6 and all(
        line.startswith("passed over: ") and "not a run folder" in line for line in said
    )
    with pytest.raises(UserError, match=r"stray.result\.json isn't a run's result"):
        Run.open("stray", tmp_path)


def test_damaged_settings_and_data_are_named(place: Path, tmp_path: Path) -> None:
    run = tiny(place, tmp_path, budget="2steps")
    data, config = run.path / "data.json", run.path / "config.toml"
    data.write_text("[")
    with pytest.raises(UserError, match=r"data\.json: missing or damaged"):
        run.evaluate()
    config.write_text("lr = fast")
    with pytest.raises(UserError, match=r"config\.toml: not TOML"):
        _ = run.recipe


# --- weights that were damaged


def test_a_damaged_portable_model_is_refused_and_no_score_is_no_success(place: Path, tmp_path: Path) -> None:
    run = tiny(place, tmp_path)
    path = run.path / "model" / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])  # one bit of a weight
    with pytest.raises(UserError, match="model.safetensors: damaged: its SHA-256 isn't the one"):
        run.evaluate()
    path.write_bytes(whole)
    model = run.model()
    with torch.no_grad():
        model.head.scores.bias[1] = torch.nan
    save_model(run.path / "model", model, "")  # a sound file of unsound numbers
    with pytest.raises(NumericalFailure, match="its score isn't a number"):
        run.evaluate()
