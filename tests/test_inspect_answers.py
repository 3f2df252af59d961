"""Saliency, position, calibration and confusion: figures that are known by hand, and every run that has them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_runs import Heard, tiny

import unrolled
from tests.tiny_models import model_of, task_of, writer_of
from unrolled.cli.main import main
from unrolled.datasets.sampler import Batch
from unrolled.errors import UserError
from unrolled.inspection.by_position import stretches, within
from unrolled.inspection.gradient_flow import gradient_flow
from unrolled.inspection.held_out import Held, said_of
from unrolled.inspection.inspect import LOOKS, available
from unrolled.inspection.mistakes import _text, next_tokens
from unrolled.inspection.saliency import saliency
from unrolled.inspection.subject import Subject
from unrolled.model import build, paired
from unrolled.training.run import Run
from unrolled.training.train import train

torch.set_num_threads(1)


@pytest.mark.parametrize("kind", ["lstm", "gru", "mingru", "conv", "transformer", "encoder", "bag", "bilstm"])
def test_scores_add_up_to_what_the_answer_gained(kind: str) -> None:
    """Completeness (Sundararajan et al. 2017, prop. 1), of a model with logits of ordinary size."""
    model = model_of(task_of("classify"), kind)
    x = torch.randint(1, 9, (2, 7), generator=torch.Generator().manual_seed(1))
    found = saliency(Held(model, Batch(x, torch.zeros(2, dtype=torch.int64))))
    assert found.gap < 0.05 and len(found.scores) == 7 and found.tokens[0]
    assert sum(found.scores) == pytest.approx(found.value - found.base, rel=0.05, abs=1e-4)
    assert found.blocks() and "probability" in found.lead()


@pytest.mark.parametrize("kind", ["classify", "tag", "classify_several"])
def test_the_probability_that_is_explained_is_the_one_the_run_says(kind: str) -> None:
    task = task_of(kind)
    model = model_of(replace(task, temperature=2.5) if kind != "classify_several" else task, "gru")
    x = torch.randint(1, 9, (1, 7), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        said = model(x)[0][0, -1]
    wanted = said.sigmoid() if kind == "classify_several" else (said / 2.5).softmax(-1)
    found = saliency(Held(model, Batch(x, x)))
    assert np.exp(found.value) == pytest.approx(float(wanted.max()), rel=1e-4) and found.gap < 0.05
    assert f"{float(wanted.max()):.2f}" in found.answer


def test_scores_of_a_linear_answer_are_exact() -> None:
    """A bag of numbers with a linear head: a step's score is its share of the sum."""
    model = model_of(task_of("regress", "series"), "bag", width=8)
    model.core.layers[0].reduce = "mean"  # type: ignore[union-attr, assignment]
    x = torch.randn(1, 5, model.embedder.inputs)  # type: ignore[union-attr, arg-type]
    found = saliency(Held(model, Batch(x, torch.zeros(1, 2))))
    with torch.no_grad():
        step = (
            model.head(model.embedder(x, ())[0][0])[:, 0] - model.head(model.embedder(0 * x, ())[0][0])[:, 0]
        )
    assert found.scores == pytest.approx((step / 5).tolist(), abs=1e-5) and found.gap < 1e-4
    assert not found.words and found.tokens[0] == "step 0"


def test_what_a_writer_and_a_translator_say_next() -> None:
    found = saliency(said_of(writer_of("lstm"), "abcab"))
    assert found.tokens[1:] == list("abcab") and found.agreement.agreement is not None
    torch.manual_seed(0)
    table = {"kind": "tokens", "vocabulary": 9}
    model = build(paired("gru", table, 9, width=8, layers=1)).eval()
    model.task = SimpleNamespace(kind="translate", answers=writer_of("rnn").task.codec)
    x, source = torch.randint(1, 9, (1, 4)), torch.randint(1, 9, (1, 5))
    found = saliency(Held(model, Batch(x, x, source=source)))
    assert len(found.scores) == 4 and found.agreement.agreement is None


def test_means_between_edges() -> None:
    found = stretches([np.array([1.0, 2.0, 3.0]), np.array([3.0])], [0, 1, 3])
    assert [(one.begin, one.end, one.value, one.steps) for one in found] == [(0, 1, 2.0, 2), (1, 3, 2.5, 2)]
    assert found[0].low == 1.0 and found[0].high == 3.0


def test_one_document_has_an_interval_too_and_is_cut() -> None:
    """Of blocks of its steps; a single step has none, so it is told apart from nothing."""
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(40):
        first, later = stretches([draw.normal(size=400)], [0, 1, 400])
        assert first.low is None and first.high is None and not first.apart(later)
        inside += (later.low or 0.0) <= 0.0 <= (later.high or 0.0)
    assert 32 <= inside < 40
    ids = np.arange(1000)
    assert [len(each) for each in within([ids], 300)[0]] == [300] and "first 300" in within([ids], 300)[1]
    assert sum(map(len, within([ids[:9]] * 50 + [ids], 300)[0])) <= 300
    assert within([ids], 1000)[1] == ""


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows whose class their last word decides, and a run on them."""
    folder = tmp_path_factory.mktemp("words")
    draw = np.random.default_rng(0)
    with (folder / "w.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(400):
            filler = " ".join(draw.choice(["the", "case", "was", "and", "it"], 6))
            writer.writerow([f"{filler} {('red', 'blue')[number % 2]}", ("warm", "cold")[number % 2]])
    train(
        data=str(folder / "w.csv"), model="gru", lr=0.02, budget="60steps", runs=str(folder / "runs"), batch=16,
        evaluate_every=30, device="cpu", dtype="float32", talk=Heard(), **{"model.width": 16},
    )  # fmt: skip
    return folder


def test_a_classifier_has_every_look_of_its_kind(words: Path) -> None:
    run = Run.open("@last", words / "runs")
    missing = {name for name, why in available(run.model()).items() if why}
    assert missing == {"attention", "units"}
    for name in sorted(set(LOOKS) - missing):
        found = unrolled.inspect(run, name)
        assert found.run == run.name and Path(found.page).is_file() and found.lead()
        assert all(Path(p).is_file() for p in found.pictures)
        assert "svg" in found._repr_html_()
    summed = unrolled.inspect(run)
    assert set(summed.looks) == set(LOOKS) - missing and set(summed.lacks) == missing
    assert "inspect-saliency.html" in {p.name for p in run.path.iterdir()}


def test_the_last_word_decides_and_is_told(words: Path) -> None:
    run = Run.open("@last", words / "runs")
    found = unrolled.inspect(run, "saliency", text="the red case was blue")
    order = np.argsort(np.abs(found.scores))
    assert found.tokens[order[-1]] == "blue" and "cold" in found.answer
    early = unrolled.inspect(run, "position")
    assert early.stretches[-1].value == 1.0 > early.stretches[0].value and early.stretches[-1].begin == 100
    assert "rises" in early.lead()
    sure = unrolled.inspect(run, "calibration")
    assert sure.right == 1.0 and sum(one.count for one in sure.bins) == sure.answers
    who = unrolled.inspect(run, "confusion")
    assert who.mistakes == [] and "No mistake" in who.lead() and "no mistakes" in who.text()
    counts = np.array(who.counts)
    assert counts.trace() == counts.sum() == sure.answers


def test_mistakes_are_counted_and_shown(words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unrolled.inspection import mistakes as file

    said = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    given = file.Answers(said, np.array([0, 0, 1, 1]), ["a", "b", "c", "d"], ["x", "y"], [])
    monkeypatch.setattr(file, "_classes", lambda on: given)
    on = Subject(Run.open("@last", words / "runs"))
    who = file.confusion(on)
    assert who.counts == [[1, 1], [1, 1]] and [m.read for m in who.mistakes] == ["d", "b"]
    sure = file.calibration(on)
    assert sure.right == 0.5 and sure.sure == pytest.approx(0.75) and sure.error == pytest.approx(0.4)


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_a_writer_has_every_look_of_its_kind(place: Path, tmp_path: Path, model: str) -> None:
    more = {"model.layers": 1} if model == "transformer" else {}
    run = tiny(place, tmp_path, model=model, **more)
    has = [name for name, why in available(run.model()).items() if not why]
    assert set(LOOKS) - set(has) == {"confusion", "attention" if model == "lstm" else "states"}
    for name in has:
        takes = LOOKS[name].takes
        found = unrolled.inspect(
            run, name, **{k: v for k, v in {"steps": 24, "rows": 3}.items() if k in takes}
        )
        assert Path(found.page).is_file() and found.text() and json.dumps(found.to_dict(), default=str)
    assert unrolled.inspect(run, "position").stretches[0].begin == 0


def test_what_is_asked_for_is_heeded_or_refused(place: Path, tmp_path: Path, words: Path) -> None:
    run = tiny(
        place, tmp_path, model="transformer", budget="2steps", **{"model.layers": 1, "model.width": 16}
    )
    assert len(unrolled.inspect(run, "attention", steps=24).tokens) == 24
    assert len(unrolled.inspect(run, "saliency", steps=24).tokens) == 24
    assert unrolled.inspect(run, "calibration", steps=24, rows=3).answers == 72
    assert unrolled.inspect(run, "calibration", text="ABcd|").answers == 5
    long = unrolled.inspect(run, "attention", text="ABcd|" * 40)
    assert len(long.tokens) == 64 and not any("asks for more" in note for note in long.notes)
    for what, asked, message in (
        ("attention", {"steps": 100}, "at most 64"),
        ("attention", {"rows": 3}, "no use for rows=; it heeds text=, steps="),
        ("position", {"text": "abc", "rows": 3}, "no use for text=, rows=; it heeds none"),
        ("units", {"steps": 24}, "no use for steps="),
    ):
        with pytest.raises(UserError, match=message):
            unrolled.inspect(run, what, **asked)
    for what in ("calibration", "confusion"):
        with pytest.raises(UserError, match="no use for rows="):
            unrolled.inspect(Run.open("@last", words / "runs"), what, rows=3)


def test_next_tokens_are_judged_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    model = writer_of("gru")
    x = torch.randint(1, 4, (5, 7), generator=torch.Generator().manual_seed(0))
    held = Held(model, Batch(x, x))
    whole, rows, predict = held.predict().softmax(-1).flatten(0, 1), [], Held.predict
    monkeypatch.setattr(Held, "predict", lambda one: rows.append(len(one.batch.x)) or predict(one))
    sure, right, _ = next_tokens(held, 7)
    assert sure == pytest.approx(whole.max(-1).values.numpy(), rel=1e-5) and rows == [1] * 5
    assert right.tolist() == (whole.argmax(-1) == x.flatten()).tolist()


def test_characters_are_shown_as_they_are_written() -> None:
    codec = writer_of("rnn").task.codec
    assert _text(codec, codec.encode("abca"), 0) == "abca"


def test_a_run_without_a_model_says_what_is_there(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny(place, tmp_path)
    (run.path / "model").rename(run.path / "elsewhere")
    found = unrolled.inspect(run)
    assert found.looks == {} and "no model was saved" in found.notes[0] and "metrics.jsonl" in found.notes[0]
    assert main(["inspect", "@last", "gradients", f"runs={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert "no model was saved in this run (it stands at step 12)" in said and "resume=" in said


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["@last", "gradient"], "Did you mean 'gradients'?"),
        (["@last", "gradients", "rows=0"], "rows"),
        (["@last", "memory", "steps=1"], "steps"),
        (["@last", "attention", "split=tests"], "split"),
        (["@last", "confusion"], "it doesn't answer with one class a row. It has: gradients, memory"),
        (["@last", "attention"], "it has no attention"),
        (["@last", "saliency", "txt=abc"], "text"),
    ],
)
def test_mistakes_at_the_verb(
    place: Path, tmp_path: Path, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny(place, tmp_path, budget="2steps")
    assert main(["inspect", *argv, f"runs={tmp_path}"]) == 2
    assert message in capsys.readouterr().err


def test_data_that_is_gone_and_a_text_in_its_place(place: Path, tmp_path: Path) -> None:
    (tmp_path / "t.abc").write_text((place / "tunes.abc").read_text("utf-8"), encoding="utf-8")
    run = tiny(place, tmp_path / "runs", data=str(tmp_path / "t.abc"))
    (tmp_path / "t.abc").unlink()
    with pytest.raises(UserError, match=r"t\.abc"):
        unrolled.inspect(run, "gradients")
    found = unrolled.inspect(run, "gradients", text="X:1\nK:D\nABcd|efga|")
    assert found.rows == 1 and found.steps == 19
    long = unrolled.inspect(run, "states", text="ABcd|" * 100)
    assert long.steps == 128 and "steps= asks for more" in long.notes[0]


def test_the_command_prints_a_summary_one_document_or_the_page(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny(place, tmp_path)
    assert main(["inspect", f"runs={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "core.layers.0" in out and f"next      unrolled inspect {run.name} gradients" in out
    assert main(["inspect", "@last", "memory", f"runs={tmp_path}", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verb"] == "inspect" and document["memory"] >= 0 and document["pictures"]
    assert main(["inspect", "@last", "states", f"runs={tmp_path}", "-q"]) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()


@pytest.mark.parametrize("kind", ["classify", "classify_several", "tag", "regress"])
def test_a_text_of_ones_own_for_every_kind_of_answer(kind: str) -> None:
    held = said_of(model_of(task_of(kind), "gru"), "the cat sat")
    flow = gradient_flow(held)
    assert flow.steps >= 3 and flow.layers[0].norms[0]
    with pytest.raises(UserError, match="reads numbers"):
        said_of(model_of(task_of("regress", "series"), "gru"), "abc")


@pytest.mark.parametrize("kind", ["classify_several", "tag", "regress"])
def test_other_tasks_know_what_they_have(kind: str) -> None:
    model = model_of(task_of(kind), "gru")
    has = {name for name, why in available(model).items() if not why}
    assert has >= {"gradients", "memory", "states", "saliency"} and "confusion" not in has
