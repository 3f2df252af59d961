"""Runs that go on: with more budget, in another environment, with another codec, after damage."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from unrolled.errors import NumericalFailure, UserError
from unrolled.training import checkpoint as checkpoints
from unrolled.training import session
from unrolled.training.evaluate import evaluate
from unrolled.training.interrupt import Interrupted
from unrolled.training.progress import Talk
from unrolled.training.run import Run
from unrolled.training.train import train

torch.set_num_threads(1)
TINY: dict[str, Any] = {
    "model": "lstm", "model.width": 16, "batch": 4, "length": 16, "budget": "12steps", "evaluate_every": 4, "log_every": 3,
    "codec": "characters", "dtype": "float32", "device": "cpu",
}  # fmt: skip


class Heard(Talk):
    """Talk that is remembered."""

    def __init__(self) -> None:
        super().__init__(bar=False)
        self.lines: list[str] = []

    def warn(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a small data file, and samples that cost no time."""
    folder = tmp_path_factory.mktemp("continued")
    from unrolled.datasets import readers, samples

    records = list(readers.records(samples.resolve("irish")))[:40]
    (folder / "tunes.abc").write_text("".join(record["text"] for record in records), encoding="utf-8")
    tokens, session.SAMPLE_TOKENS = session.SAMPLE_TOKENS, 4
    yield folder
    session.SAMPLE_TOKENS = tokens


def tiny(place: Path, runs: Path, talk: Talk | None = None, **changes: Any) -> Run:
    keys = {**TINY, "data": str(place / "tunes.abc"), "runs": str(runs), **changes}
    run = train(talk=talk or Heard(), **keys)
    assert run is not None
    return run


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
    with pytest.raises(
        UserError, match=r"can't go on: its characters codec .* begin a new run: unrolled train data="
    ):
        go_on(runs, budget="+4steps")


@pytest.mark.parametrize("harm", ["codec.json", "corpus.json", "train.bin"])
def test_damaged_token_files_are_made_anew_aloud(harm: str, place: Path, tmp_path: Path) -> None:
    from unrolled.training.corpus import prepare

    data, said = str(place / "tunes.abc"), list[str]()
    first = prepare(data, "characters", None, tmp_path, said.append)
    (first.folder / harm).write_bytes(b"{")
    again = prepare(data, "characters", None, tmp_path, said.append)
    assert len(said) == 1 and "damaged, made anew" in said[0] and str(first.folder) in said[0]
    assert again.facts == first.facts and again.train.sha256 == first.train.sha256
    again.train.check()


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
