"""Rows with answers: what a table is taken for, how it is split, and whole runs that classify and regress."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_runs import Heard

from unrolled.cli.main import main
from unrolled.datasets import samples
from unrolled.datasets.examples import Bundles, Examples
from unrolled.datasets.parts import deal
from unrolled.datasets.rows import Rows, continues
from unrolled.datasets.store import Ragged
from unrolled.datasets.understand import Asked, columns, understand
from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.model import answering, build
from unrolled.model.heads import LabelHead, NumberHead
from unrolled.tasks.answer import answers, every_answer
from unrolled.training.evaluate import evaluate
from unrolled.training.predict import predict
from unrolled.training.run import Run, load
from unrolled.training.train import train

torch.set_num_threads(1)
TINY = {
    "model.width": 16,
    "batch": 16,
    "budget": "30steps",
    "evaluate_every": 10,
    "dtype": "float32",
    "device": "cpu",
}


# --- what a table is


@pytest.mark.parametrize(
    ("name", "reads", "kind", "task"),
    [
        ("sentiment", "text", "text", "classify"),
        ("digits", "series", "series", "classify"),
        ("japanese_vowels", "series", "series", "classify"),
        ("spoken_digits", "sound", "sound", "classify"),
    ],
)
def test_shipped_tables_are_understood_without_a_key(name: str, reads: str, kind: str, task: str) -> None:
    rows = list(Rows(samples.resolve(name)))
    found = understand(columns(rows), Asked(), name)
    assert (found.inputs, found.kinds, found.task, found.target) == ((reads,), (kind,), task, "label")
    assert all(reason for _, _, reason in found.why)
    if name == "digits":
        assert rows[0]["series"].shape == (8, 8), "a grid is read row by row"


def test_what_is_no_one_reading_is_asked_for_with_commands_to_copy() -> None:
    rows = [{"a": "one two three four", "b": "five six seven eight", "origin": "t.csv:2"} for _ in range(60)]
    found = columns(rows)
    with pytest.raises(
        UserError, match=r"which column is to be foretold\? It has a, b.*\n  unrolled train data=t.csv"
    ):
        understand(found, Asked(), "t.csv")
    with pytest.raises(UserError, match="column .*'c'"):
        understand(found, Asked(target="c"), "t.csv")
    assert understand(found, Asked(target="b"), "t.csv").inputs == ("a",)


def test_text_goes_on_and_tables_answer() -> None:
    assert continues(samples.resolve("irish")) and not continues(samples.resolve("sentiment"))
    with pytest.raises(UserError, match="task=classify needs rows with an answer"):
        train(data="irish", task="classify", budget="1steps")
    with pytest.raises(UserError, match="task=generate goes on with text"):
        train(data="sentiment", task="generate", budget="1steps")
    with pytest.raises(UserError, match="bilstm"):
        train(data="irish", model="bilstm", budget="1steps")  # it would see what it is to foretell


# --- parts


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from("ab")), min_size=60, max_size=200),
    st.integers(0, 9),
)
def test_parts_are_disjoint_whole_and_stratified(rows: list[tuple[int, str]], seed: int) -> None:
    keys, labels = [key for key, _ in rows], [label for _, label in rows]
    assume(len(set(keys)) >= 40)
    parts = deal(keys, labels, seed=seed)
    dealt = [parts.train, parts.valid, parts.test]
    assert sorted(sum(dealt, [])) == list(range(len(rows)))
    owners = [{keys[i] for i in part} for part in dealt]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
    assert parts == deal(keys, labels, seed=seed)
    assert abs(len(parts.test) - 0.1 * len(rows)) <= max(keys.count(k) for k in keys) + 2


def test_groups_and_given_parts_are_kept() -> None:
    groups = [i // 10 for i in range(200)]
    parts = deal(range(200), None, groups=groups)
    assert all(
        len({groups[i] for i in part}) * 10 == len(part) for part in (parts.train, parts.valid, parts.test)
    )
    few = deal(range(120), [i % 10 for i in range(120)], groups=[i // 20 for i in range(120)])
    assert [len(part) for part in (few.train, few.valid, few.test)] == [80, 20, 20], "six speakers"
    given_ = ["train"] * 90 + ["test"] * 10
    parts = deal(range(100), ["x"] * 100, given=given_)
    assert parts.test == list(range(90, 100)) and 8 <= len(parts.valid) <= 11
    with pytest.raises(UserError, match="the column split says 'tset'"):
        deal(range(2), None, given=["train", "tset"])
    with pytest.raises(UserError, match="leave none for"):
        deal(range(2))


def test_batches_hold_every_example_about_once_and_rows_of_like_length() -> None:
    draw = np.random.default_rng(0)
    sizes = draw.integers(1, 60, 203)
    made = Examples(Ragged.of(np.full((n, 2), n, np.float32) for n in sizes), [np.array(n) for n in sizes])
    feed = Bundles(made, 8, seed=1)
    seen, padding, filled = [], 0, 0
    for step in range(feed.steps_per_epoch):
        batch = feed.batch(step)
        lengths = batch.lengths if batch.lengths is not None else torch.full((8,), batch.x.shape[1])
        assert (lengths == batch.y).all() and batch.x.shape[1] == int(lengths.max())
        seen += batch.y.tolist()
        filled += int(lengths.sum())
        padding += batch.x.shape[0] * batch.x.shape[1] - int(lengths.sum())
    assert len(seen) == 200 and padding < 0.15 * filled
    again = Bundles(made, 8, seed=1)
    assert all(torch.equal(again.batch(30).x, feed.batch(30).x) for _ in range(2))
    assert feed.batch(0).y.tolist() != Bundles(made, 8, seed=2).batch(0).y.tolist()


# --- heads


def test_an_answer_is_what_stands_at_the_last_real_step() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([3, 5, 1])
    layout = Layout.of_lengths(lengths, 5)
    scores = torch.randn(3, 5, 4, dtype=torch.double)
    scores[~layout.valid] = float("nan")
    target = torch.tensor([1, 0, 3])
    want = torch.nn.functional.cross_entropy(
        torch.stack([scores[i, n - 1] for i, n in enumerate(lengths)]), target, reduction="sum"
    )
    total, count = LabelHead(2, 4).loss(scores, target, layout)
    assert total.item() == pytest.approx(want.item()) and count == 3
    numbers, wanted = scores[..., :1], torch.zeros(3, 1)
    total, _ = NumberHead(2, 1).loss(numbers, wanted, layout)
    assert total.item() == pytest.approx(
        sum(scores[i, n - 1, 0].item() ** 2 for i, n in enumerate(lengths)) / 2
    )


def test_every_step_may_have_a_label_and_several_may_hold() -> None:
    torch.manual_seed(0)
    layout = Layout.of_lengths(torch.tensor([2, 3]), 3)
    scores = torch.randn(2, 3, 4)
    scores[0, 2] = float("nan")
    target = torch.tensor([[1, 2, 0], [0, 3, 3]])
    total, count = LabelHead(2, 4, stepwise=True).loss(scores, target, layout)
    assert total.isfinite() and count == 5
    several, _ = LabelHead(2, 4, several=True).loss(scores[1:], torch.tensor([[1, 0, 1, 0]]))
    want = torch.nn.functional.binary_cross_entropy_with_logits(
        scores[1, -1], torch.tensor([1.0, 0, 1, 0]), reduction="sum"
    )
    assert several.item() == pytest.approx(want.item())
    weighted, _ = LabelHead(2, 4, weights=[0.0, 1.0, 1.0, 1.0]).loss(scores[1:], torch.tensor([0]))
    assert weighted.item() == 0
    with pytest.raises(UserError, match="each class has one weight"):
        LabelHead(2, 4, weights=[1.0])


KINDS = ["gru", "lstm", "transformer", "conv", "mingru", "bilstm", "encoder", "bag"]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_depend_neither_on_the_batch_nor_on_padding(kind: str) -> None:
    torch.manual_seed(0)
    head = {"kind": "labels", "classes": 3}
    model = build(answering(kind, {"kind": "values", "inputs": 4}, head, width=16, layers=1)).eval()
    draw = np.random.default_rng(0)
    inputs = [draw.normal(size=(n, 4)).astype(np.float32) for n in (5, 1, 17, 9, 17, 2)]
    alone = answers(model, inputs, batch=1)
    for batch in (2, 5, 64):
        assert np.abs(answers(model, inputs, batch) - alone).max() <= 1e-5
    layout = Layout.of_lengths(torch.tensor([5]), 9)
    x = torch.full((1, 9, 4), float("nan"))
    x[0, :5] = torch.from_numpy(inputs[0])
    with torch.inference_mode():
        padded = model(x, None, layout)[0][0, 4]
    assert np.abs(padded.numpy() - alone[0]).max() <= 1e-5
    with pytest.raises(UserError, match="sequence 1 has no step"):
        answers(model, [inputs[0], inputs[0][:0]])


def test_early_answers_are_those_of_the_shorter_sequence() -> None:
    torch.manual_seed(0)
    head = {"kind": "labels", "classes": 3}
    model = build(answering("gru", {"kind": "tokens", "vocabulary": 9}, head, width=16)).eval()
    ids = np.array([3, 1, 4, 1, 5], np.int64)
    steps = every_answer(model, [ids])[0]
    assert np.abs(steps[2] - answers(model, [ids[:3]])[0]).max() <= 1e-6


# --- whole runs


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences whose mood one word decides; a number that is how many words they have; the author's name, of no use."""
    folder = tmp_path_factory.mktemp("rows")
    draw = np.random.default_rng(0)
    filler = ["the", "phone", "case", "battery", "was", "and", "it", "sound"]
    with (folder / "moods.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "words", "author"])
        for number in range(300):
            mood = ("good", "bad")[number % 2]
            words = [*draw.choice(filler, draw.integers(2, 9)), mood, *draw.choice(filler, 2)]
            writer.writerow([" ".join(words), mood + "!", len(words) + number / 1000, f"a{number % 7}"])
    return folder


@pytest.fixture(scope="module")
def classified(rows: Path) -> tuple[Run, list[str]]:
    heard = Heard()
    run = train(
        data=str(rows / "moods.csv"), model="gru", lr=0.02, runs=str(rows / "runs"), talk=heard, **TINY
    )
    assert run is not None
    return run, heard.lines


def test_a_table_is_learned_and_scored_beside_its_rivals(classified: tuple[Run, list[str]]) -> None:
    run, said = classified
    text = "\n".join(said)
    assert run.finished and run.test is not None and run.baseline is not None and run.naive is not None
    assert run.test["value"] > 0.9 > run.naive["value"] and run.baseline["value"] > 0.9
    assert "identical" in text, "rows that stand on both sides are told"
    assert "target=label  (a column is called label)" in text and "columns left out: words, author" in text
    assert f"unrolled predict {run.name}" in text and (run.path / "report.html").exists() is False
    assert json.loads((run.path / "data.json").read_bytes())["reading"]["inputs"] == ["text"]
    task = load(str(run.path / "model")).task
    assert task.kind == "classify" and list(task.answers.names) == ["bad!", "good!"]


def test_evaluate_and_predict_agree_with_the_run(
    classified: tuple[Run, list[str]], rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = classified
    assert run.test is not None
    assert evaluate(run).value == run.test["value"] == evaluate(run, batch=3).value
    everything = evaluate(run, data=str(rows / "moods.csv"))
    assert everything.report.items == 300
    made = predict(run, str(rows / "moods.csv"), out=str(tmp_path / "answers.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert (
        lines == predict(run, str(rows / "moods.csv")).rows
        and made.count == len(lines) == 300
        and not made.rows
    )
    right = sum(row["label"] == row["given"] for row in lines)
    assert right / 300 == pytest.approx(everything.value)
    assert all(row["p(bad!)"] + row["p(good!)"] == pytest.approx(1) for row in lines)
    argv = ["predict", run.name, f"data={rows / 'moods.csv'}", f"runs={rows / 'runs'}", "--json"]
    assert main(argv) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 300


def test_a_loaded_model_answers_rows_from_memory(classified: tuple[Run, list[str]]) -> None:
    run, _ = classified
    model = load(str(run.path / "model"))
    rows = predict(model, [{"text": "it was good"}, {"text": "it was bad"}]).rows
    assert [row["label"] for row in rows] == ["good!", "bad!"]
    card = (run.path / "model" / "README.md").read_text()
    assert "print(un.predict(model, [{'text': ...}]).rows)" in card and "generate" not in card
    assert predict(model, [{"text": "fine"}, {"text": None}]).rows[1]["label"] == ""


def test_what_predict_cannot_answer_is_said(classified: tuple[Run, list[str]], tmp_path: Path) -> None:
    run, _ = classified
    (tmp_path / "other.csv").write_text("words,label\nx,good!\n")
    with pytest.raises(UserError, match="this run reads the column 'text'"):
        predict(run, str(tmp_path / "other.csv"))
    (tmp_path / "empty.csv").write_text("text,label\nfine,good!\n,bad!\n")
    assert [row["label"] != "" for row in predict(run, str(tmp_path / "empty.csv")).rows] == [True, False]
    with pytest.raises(UserError, match="say which rows"):
        predict(run)
    (tmp_path / "new.csv").write_text("text,label\nfine,splendid\n")
    with pytest.raises(UserError, match="splendid"):
        evaluate(run, data=str(tmp_path / "new.csv"))


def test_a_run_that_answers_is_resumed_where_it_stood(rows: Path, tmp_path: Path) -> None:
    keys = dict(data=str(rows / "moods.csv"), model="gru", runs=str(tmp_path), **TINY)
    whole = train(talk=Heard(), **keys)
    assert whole is not None
    again = train(resume=whole.name, runs=str(tmp_path), budget="+10steps", talk=Heard())
    assert again is not None and again.step == 40 and again.test is not None


def test_a_number_is_estimated(rows: Path, tmp_path: Path) -> None:
    keys = dict(data=str(rows / "moods.csv"), target="words", input="text", runs=str(tmp_path), **TINY)
    run = train(talk=Heard(), model="gru", lr=0.02, **{**keys, "model.pool": "last", "budget": "120steps"})
    assert run is not None and run.test is not None and run.naive is not None
    assert run.recipe.task == "regress" and run.test["value"] < 0.6 * run.naive["value"]
    row = predict(run, str(rows / "moods.csv")).rows[0]
    assert abs(row["words"] - float(row["given"])) < 4
