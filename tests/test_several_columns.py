"""Columns read together, rows gathered to sequences, tags, many labels, thresholds: what they must keep true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.datasets.dealt import deal_rows
from unrolled.datasets.inputs import INPUTS, codec_for, embedder_of, input_codec_from_dict
from unrolled.datasets.items import Items
from unrolled.datasets.labels import Labels, MultiLabels, Tags
from unrolled.datasets.long import long_of
from unrolled.datasets.rows import Rows
from unrolled.datasets.standard import Numbers
from unrolled.datasets.store import Ragged
from unrolled.datasets.together import Field, Together
from unrolled.datasets.understand import Asked, columns, understand
from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.model import answering, build
from unrolled.tasks import Classify, ClassifySeveral, Regress, Tag
from unrolled.training.evaluate import evaluate
from unrolled.training.predict import predict
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.run import Run
from unrolled.training.setup import set_up
from unrolled.training.train import train

TINY: dict[str, Any] = {"budget": "60steps", "batch": 16, "threads": 1, "dtype": "float32", "lr": 0.02}


class Heard(Talk):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str = "") -> None:
        self.lines.append(line)


def put(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# --- codecs


def test_items_are_ids_as_they_stand() -> None:
    codec = Items().fit([["a", "b b", "a"], ["c", None]])
    assert codec.names == ("a", "b b", "c") and codec.size == 5
    assert codec.encode(["b b", "?", None, "a"]).tolist() == [3, 1, 0, 2]
    assert codec.encode("c").tolist() == [4]
    again = input_codec_from_dict(json.loads(json.dumps(codec.to_dict())))
    assert again.encode(["a", "zz"]).tolist() == [2, 1]
    assert set(INPUTS) >= {"items", "together", "words"}


def test_columns_one_after_another_and_side_by_side() -> None:
    rows = [
        {"title": "red car", "text": "a red red car", "age": "30", "land": "FR"},
        {"title": "car", "text": "car car a", "age": "50", "land": "DE"},
    ]
    codec = codec_for(["title", "text", "age", "land"], ["text", "text", "number", "category"]).fit(rows)
    x = codec.encode(rows[0])
    assert x.shape == (6, 3 + 2) and embedder_of(codec)["inputs"] == 2
    title, text, land, age, missing = x.T
    assert (title[:2] > 0).all() and (title[2:] == 0).all() and (text[:2] == 0).all() and (text[2:] > 0).all()
    assert len({*land}) == 1 and (age == -1).all() and (missing == 0).all(), (
        "what holds for a row holds at every step"
    )
    again = input_codec_from_dict(json.loads(json.dumps(codec.to_dict())))
    assert (again.encode(rows[1]) == codec.encode(rows[1])).all()
    events = Together([Field("event", Items(), True), Field("x", INPUTS["values"](), True)], aligned=True)
    row = {"event": ["in", "out"], "x": np.array([[1.0], [np.nan]], np.float32)}
    assert events.fit([row]).encode(row).tolist() == [[2, 0, 0], [3, 0, 1]]
    with pytest.raises(UserError, match="unequal numbers of steps: event 1, x 2"):
        events.encode({**row, "event": ["in"]})


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_a_store_gives_back_its_rows_from_memory_as_from_disk(lengths: list[int], held: int) -> None:
    rows = [np.arange(n * 2, dtype=np.float32).reshape(n, 2) + 100 * i for i, n in enumerate(lengths)]
    stored = Ragged.of(iter(rows), held)
    assert len(stored) == len(rows) and stored.lengths.tolist() == lengths
    assert all((a == b).all() and a.shape == b.shape for a, b in zip(stored, rows, strict=True))
    assert (stored[-1] == rows[-1]).all() and len(stored[::2]) == len(rows[::2])


def test_ids_and_numbers_make_one_vector_under_the_law() -> None:
    torch.manual_seed(0)
    head = {"kind": "labels", "classes": 3}
    spec = {"kind": "mixed", "tables": [5, 7], "inputs": 2}
    model = build(answering("gru", spec, head, width=8)).eval()
    draw = np.random.default_rng(0)
    ids = np.stack([draw.integers(0, 5, (2, 9)), draw.integers(0, 7, (2, 9))], -1)
    x = torch.from_numpy(np.concatenate([ids, draw.normal(size=(2, 9, 2))], -1).astype(np.float32))
    whole, _ = model(x)
    state = model.start(2)
    parts = []
    for piece in (x[:, :4], x[:, 4:4], x[:, 4:]):
        y, state = model(piece, state)
        parts.append(y)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-6)
    short = x.clone()
    short[0, 5:] = float("nan")
    padded, _ = model(short, None, Layout.of_lengths(torch.tensor([5, 9]), 9))
    assert torch.allclose(padded[0, 4], whole[0, 4], atol=1e-6) and padded[1].isfinite().all()
    with pytest.raises(UserError, match="field 1 holds ids from 0 to 9; its table has 7"):
        model(torch.tensor([[[0.0, 9, 0, 0], [0, 0, 0, 0]]]))
    with pytest.raises(UserError, match=r"numbers of shape \(batch, time, 4\)"):
        model(x[..., :3])


# --- rows


LOG = ["case,step,event,amount,plan,label"] + [
    f"{c},{s},{'up' if (c + s) % 3 else 'down'},{s + c / 10},{'AB'[c % 2]},{'yes' if c % 2 else 'no'}"
    for c in range(8)
    for s in (2, 0, 1)
]


def test_a_long_table_is_recognised_and_put_in_order(tmp_path: Path) -> None:
    path = put(tmp_path, "log.csv", LOG)
    long = long_of(Rows(path))
    assert long is not None and (long.id, long.time) == ("case", "step")
    assert (long.values, long.categories, long.constants) == (("amount",), ("event",), ("plan", "label"))
    rows = list(Rows(path, long))
    assert len(rows) == 8 and rows[3]["label"] == "yes" and rows[3]["plan"] == "B"
    assert np.allclose(rows[3]["series"].ravel(), [0.3, 1.3, 2.3]) and len(rows[3]["event"]) == 3
    found = understand(columns(rows), Asked(), "log.csv", ("series", "event"))
    assert found.inputs == ("series", "event") and found.kinds == ("series", "tokens")
    only = long_of(Rows(path), inputs=("event",))
    assert only is not None and only.values == ()
    assert long_of(Rows(put(tmp_path, "wide.csv", ["id,time,label", "1,2,a", "2,3,b"]))) is None
    assert long_of(Rows(put(tmp_path, "no.csv", ["step,x", "1,2", "2,3"])), time="step") is None
    with pytest.raises(UserError, match="Did you mean 'case'"):
        long_of(Rows(path), id="cas")


def test_large_data_are_read_anew_and_give_the_same(tmp_path: Path) -> None:
    path = put(tmp_path, "log.csv", LOG)
    streamed, kept = Rows(path, held=0), Rows(path)
    assert streamed._kept is None and kept._kept is not None
    assert list(streamed) == list(streamed) == list(kept)


def test_a_column_of_paths_becomes_files(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\1" * 800)
    rows = list(Rows(put(tmp_path, "list.csv", ["path,label", "a.wav,x", "a.wav,y"])))
    assert columns(rows)["path"].kind == "sound"
    with pytest.raises(UserError, match=r"list\.csv:3: column 'path': .*b\.wav is no file"):
        list(Rows(put(tmp_path, "list.csv", ["path,label", "a.wav,x", "b.wav,y"])))


def test_the_test_is_what_comes_last_or_who_is_held_out(tmp_path: Path) -> None:
    lines = ["text,when,speaker,label"]
    lines += [f"so it goes {i},2020-01-{30 - i % 30:02d},{'xyz'[i % 3]},{'ab'[i % 2]}" for i in range(90)]
    path = put(tmp_path, "t.csv", lines)

    def dealt(**keys: Any) -> Any:
        return deal_rows(Rows(path), Asked(**keys), "t.csv")

    late = dealt(time="when", group=None)
    days = {part: {row["when"] for row in late.of(part)} for part in ("train", "valid", "test")}
    assert max(days["train"]) < min(days["valid"]) and max(days["valid"]) < min(days["test"])
    held = dealt(held="y")
    assert (
        {row["speaker"] for row in held.of("test")}
        == {"y"}
        == {"x", "y", "z"} - {r["speaker"] for r in held.of("train")}
    )
    free = dealt(group=None)
    assert {row["speaker"] for row in free.of("test")} > {"x"}
    with pytest.raises(UserError, match="Known: x, y, z"):
        dealt(held="w")
    with pytest.raises(UserError, match="say which column names the groups"):
        dealt(held="w", group=None)
    with pytest.raises(UserError, match=r"t\.csv:2: column 'label': 'a' is no time"):
        dealt(time="label", target="label")


def test_what_answers_a_row_is_found_out() -> None:
    def reading(rows: list[dict[str, Any]], **asked: Any) -> Any:
        return understand(columns(rows), Asked(**asked), "t.jsonl")

    tagged = [{"words": ["a"] * n, "name": "x y z and more", "label": ["T"] * n} for n in (1, 2, 3)]
    found = reading(tagged)
    assert (found.task, found.inputs) == ("tag", ("words",)) and found.why[-1][:2] == ("task", "tag")
    many = [{"text": "what a day it was", "label": label} for label in ("a;b", "a", "b", "") * 5]
    assert reading(many).several and reading(many).task == "classify"
    assert not reading([{**row, "label": row["label"][:1]} for row in many]).several
    numbers = [{"text": "what a day it was", "x": str(i), "y": str(-i)} for i in range(9)]
    assert reading(numbers, target="x,y").task == "regress"
    with pytest.raises(UserError, match="task=classify: one column answers, not 2"):
        reading(numbers, target="x,y", task="classify")
    with pytest.raises(UserError, match="label must hold one tag for each step of text"):
        reading(many, task="tag")


# --- whole runs


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A step's tag is whether the step before was b."""
    folder = tmp_path_factory.mktemp("tags")
    draw = np.random.default_rng(0)
    lines = []
    for _ in range(200):
        steps = draw.choice(["a", "b"], draw.integers(1, 9)).tolist()
        lines.append(
            json.dumps(
                {
                    "steps": steps,
                    "tags": ["no" if i == 0 or steps[i - 1] == "a" else "yes" for i in range(len(steps))],
                }
            )
        )
    path = put(folder, "tags.jsonl", lines)
    run = train(data=str(path), target="tags", model="gru", runs=str(folder / "runs"), talk=Heard(), **TINY)
    assert run is not None
    return run, path


def test_steps_are_tagged(tagged: tuple[Run, Path]) -> None:
    run, path = tagged
    assert (
        run.recipe.task == "tag"
        and run.test is not None
        and run.baseline is not None
        and run.naive is not None
    )
    assert run.test["value"] > 0.95 > run.baseline["value"] >= run.naive["value"]
    assert evaluate(run).value == run.test["value"]
    assert evaluate(run, batch=1).value == evaluate(run, batch=512).value
    row = predict(run, str(path)).rows[5]
    assert len(row["tags"].split()) == len(row["given"].split()) and 0 < row["least sure"] <= 1
    early = [r for r in predict(run, str(path), every=True).rows if r["given"] == row["given"]]
    assert [len(r["tags"].split()) for r in early][: early[-1]["step"]] == list(
        range(1, early[-1]["step"] + 1)
    )


def test_tags_must_be_as_many_as_steps(tagged: tuple[Run, Path], tmp_path: Path) -> None:
    run, _ = tagged
    path = put(tmp_path, "short.jsonl", [json.dumps({"steps": ["a", "b"], "tags": ["no"]})])
    with pytest.raises(UserError, match=r"short\.jsonl:1: 1 tags in 'tags' for 2 steps"):
        evaluate(run, data=str(path))
    assert Tags().fit(["no yes", ["no"]]).encode("yes no").tolist() == [1, 0]


def test_an_event_log_is_learnt_and_answered_early(tmp_path: Path) -> None:
    log = LOG[:1] + [
        f"{c},{s},{'bad' if c % 2 and s else 'fine'},{s},{'AB'[c % 3 % 2]},{'yes' if c % 2 else 'no'}"
        for c in range(120)
        for s in range(1 + c % 5)
    ]
    path = put(tmp_path, "log.csv", log)
    run = train(data=str(path), model="gru", runs=str(tmp_path), talk=Heard(), **TINY)
    assert run is not None and run.test is not None and run.test["value"] > 0.75
    rows = predict(run, str(path)).rows
    assert len(rows) == 120 and {"case", "plan", "given", "label"} <= set(rows[0])
    early = predict(run, str(path), every=True).rows
    assert len(early) == len(log) - 1 and early[-1]["p(yes)"] == pytest.approx(rows[-1]["p(yes)"], abs=1e-6)
    assert evaluate(run, data=str(path), batch=7).report.items == 120


def test_any_number_of_labels_holds(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    words = ["red", "hot", "blue", "cold"]
    rows = [[w for w in words if draw.random() < 0.4] for _ in range(400)]
    path = put(
        tmp_path,
        "many.csv",
        ["text,label", *(f"it is {' '.join(r)} here n{i},{';'.join(r)}" for i, r in enumerate(rows))],
    )
    run = train(
        data=str(path),
        model="bag",
        threshold="auto",
        smoothing=0.05,
        runs=str(tmp_path),
        talk=Heard(),
        **TINY,
    )
    assert run is not None and run.test is not None and run.test["value"] > 0.9
    task = run.model("cpu").task
    assert task.kind == "classify_several" and 0 < task.threshold < 1
    assert {row["label"] for row in predict(run, str(path)).rows} > {"red", ""}


def test_a_threshold_moves_what_is_said_and_no_probability(tmp_path: Path) -> None:
    labels = Classify(
        codec=Items(["a"]), answers=_labels(no=9, yes=1), inputs=("x",), targets=("y",), threshold=0.2
    )
    said = np.array([[0.7, 0.3], [0.9, 0.1]])
    assert [row["y"] for row in labels.rows(said)] == ["yes", "no"]
    report, plain = labels.rated(said, np.array([1, 0])), labels.plain().rated(said, np.array([1, 0]))
    assert report.values["accuracy"] == 1.0 and plain.values["accuracy"] == 0.5
    assert report.values["log_loss"] == plain.values["log_loss"]
    balanced = Classify(
        codec=Items(), answers=_labels(no=9, yes=1), inputs=("x",), targets=("y",), balanced=True
    )
    assert balanced.head()["weights"] == pytest.approx([10 / 18, 5.0])


def _labels(**counts: int) -> Any:
    return Labels(counts)


def _made(kind: str, task: str) -> tuple[Any, list[np.ndarray], list[np.ndarray]]:
    """An untrained model with its task, 60 inputs of unequal lengths, and their answers."""
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    inputs = [draw.integers(0, 7, n).astype(np.int32) for n in draw.integers(4, 40, 60)]
    shared: dict[str, Any] = {"codec": Items("abcde"), "inputs": ("x",), "targets": ("y",)}
    tasks: dict[str, Any] = {
        "classify": (
            Classify(answers=_labels(a=3, b=2, c=1), **shared),
            lambda n: np.array(draw.integers(3)),
        ),
        "several": (
            ClassifySeveral(answers=MultiLabels({"a": 1, "b": 1}), **shared),
            lambda n: draw.integers(0, 2, 2),
        ),
        "regress": (Regress(answers=Numbers().fit([1.0, 2.0, 4.0]), **shared), lambda n: draw.normal(size=1)),
        "tag": (Tag(answers=Tags({"a": 1, "b": 1}), **shared), lambda n: draw.integers(0, 2, n)),
    }
    made, answer = tasks[task]
    spec = answering(kind, embedder_of(made.codec), made.head(), width=16, layers=1, stepwise=made.stepwise)
    model = build(spec).eval()
    model.task = made
    return model, inputs, [answer(len(x)) for x in inputs]


@pytest.mark.parametrize("task", ["classify", "several", "regress", "tag"])
@pytest.mark.parametrize("kind", ["lstm", "transformer", "conv", "bigru", "bag"])
def test_no_score_depends_on_the_batch(kind: str, task: str) -> None:
    model, inputs, truth = _made(kind, task)
    found = [model.task.score(model, inputs, truth, batch) for batch in (1, 7, 32, 512)]
    assert len({score.report.items for score in found}) == 1
    for name, value in found[0].report.values.items():
        if value is not None and value == value:
            assert all(score.report.values[name] == pytest.approx(value, rel=1e-6) for score in found), name
    assert all(score.objective == pytest.approx(found[0].objective, rel=1e-6) for score in found)
    alone = model.task.predict(model, inputs, 1)
    together = model.task.predict(model, inputs, 512)
    assert max(np.abs(a - b).max() for a, b in zip(alone, together, strict=True)) <= 1e-5


def test_a_norm_does_not_hide_how_large_a_number_was() -> None:
    """A map without a bias gives a number and its double the same direction, and a norm keeps directions only."""
    torch.manual_seed(0)
    spec = answering("conv", {"kind": "values", "inputs": 1}, {"kind": "numbers", "targets": 1}, width=32)
    embed = build(spec).embedder
    one, two = (embed(torch.full((1, 1, 1), value))[0][0, 0] for value in (1.0, 2.0))
    assert torch.cosine_similarity(one, two, 0).item() < 0.99


def test_weights_are_not_chosen_by_a_handful_of_rows(tmp_path: Path) -> None:
    heard = Heard()
    lines = ["text,label", *(f"{'good' if i % 2 else 'bad'} number n{i},{'ab'[i % 2]}" for i in range(60))]
    path = put(tmp_path, "t.csv", lines)
    run = train(data=str(path), model="gru", runs=str(tmp_path), talk=heard, **TINY)
    assert run is not None and any("too few to choose weights by" in line for line in heard.lines)
    assert any("batch=16" in line and "more steps a pass" in line for line in heard.lines) is False, (
        "batch was asked"
    )
    kept = [row["step"] for row in run.metrics if row.get("best")]
    assert kept[-1] == 60 == run.step, "the last weights are the ones that are kept"


def test_keys_that_do_not_suit_the_task_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "t.csv", ["text,label", *(f"so it goes {i},{'ab'[i % 2]}" for i in range(60))])
    keys = dict(data=str(path), runs=str(tmp_path), talk=Heard(), **TINY)
    with pytest.raises(UserError, match="it doesn't suit what the codec words gives"):
        train(augment="noise", **keys)
    with pytest.raises(UserError, match="unknown augmentation 'nois'"):
        train(augment="nois", **keys)
    run = train(model="bilstm", **{**keys, "budget": "2steps"})
    with pytest.raises(UserError, match="sees a sequence as a whole and has no early answers"):
        predict(run or "", str(path), every=True)


def test_words_start_from_vectors_learned_elsewhere(tmp_path: Path) -> None:
    path = put(tmp_path, "t.csv", ["text,label", *(f"so it goes {i} again,{'ab'[i % 2]}" for i in range(60))])
    vectors = put(
        tmp_path, "glove.txt", ["so 1 0 0 0 0 0 0 0", "goes 0 2 0 0 0 0 0 0", "never 1 1 1 1 1 1 1 1"]
    )
    keys = dict(data=str(path), vectors=str(vectors), input="text", runs=str(tmp_path), **TINY)
    for kind in ("gru", "transformer", "bag"):
        setup = set_up(Recipe.of(model=kind, **keys), {}, Heard())
        table, codec = setup.learner.model.embedder.table.weight, setup.material.task_codec
        so, goes = (table[codec.encode(word)[0]] for word in ("so", "goes"))
        assert table.shape[1] == 8 and goes[1] == 2 * so[0] and so[1:].abs().sum() == 0
        assert any("2 of " in note and "8 numbers each" in note for note in setup.material.notes)
    with pytest.raises(UserError, match="they are for the codec words"):
        train(**{**keys, "codec": "bytes"}, talk=Heard())


def test_shuffled_steps_leave_only_what_order_does_not_say(tmp_path: Path) -> None:
    lines = ["text,label", *(f"{'x y' if i % 2 else 'y x'} z,{'ab'[i % 2]}" for i in range(200))]
    path = put(tmp_path, "t.csv", lines)
    keys = dict(data=str(path), codec="words", model="gru", runs=str(tmp_path), talk=Heard(), **TINY)
    with pytest.raises(UserError, match="leave none for"):
        train(**keys)
    numbered = [lines[0], *(line.replace(" z", f" z q{i} w{i}") for i, line in enumerate(lines[1:]))]
    keys["data"] = str(put(tmp_path, "n.csv", numbered))
    ordered, blind = train(**keys), train(**keys, shuffled=True)
    assert ordered is not None and blind is not None and ordered.test is not None and blind.test is not None
    assert ordered.test["value"] > 0.95 and blind.test["value"] < 0.8
