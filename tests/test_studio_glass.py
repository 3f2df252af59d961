"""The glass box: what the page shows is what the model does, and the odds are those that tokens are drawn by."""

from __future__ import annotations

import base64
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from studio_runs import until
from tiny_models import ANSWERING, SERIES, STREAMING, TEXTS, model_of, task_of, writer_of
from tiny_runs import tiny
from torch import nn

import unrolled as un
from unrolled.errors import NumericalFailure, UserError
from unrolled.inspection.attention_maps import attention_maps
from unrolled.inspection.held_out import said_of
from unrolled.inspection.probe import probe
from unrolled.inspection.states import states
from unrolled.mixers import MIXERS
from unrolled.page.glass import MOST, Asked, Glass, Opened
from unrolled.page.layers import UNITS, heard, layers_of
from unrolled.page.looks import WAITING, Looks, plain
from unrolled.page.odds import following, odds
from unrolled.page.passages import Passage
from unrolled.report import Heatmap, LineChart, Series, Table
from unrolled.running.sampling import BELOW, Draw, pick_at
from unrolled.serving.engine import Busy
from unrolled.training.run import Run

FORMULAS = [
    (
        "cross", "score",
        {
            "scaled": "y = softmax(q·kᵀ/√d) v", "dot": "y = softmax(x·sᵀ) v", "general": "y = softmax(W x·sᵀ) v",
            "additive": "y = softmax(v·tanh(Wx + Us)) v",
        },
    ),
    ("rnn", "nonlinearity", {"tanh": "h′ = tanh(Wx + Uh)", "relu": "h′ = relu(Wx + Uh)"}),
]  # fmt: skip
RUN = Run(Path("nowhere"), "tiny-1", "lstm", "tiny", True, 1, 1.0, 1)


@pytest.fixture
def glass(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A box over any model, without a run's folder."""

    def made(model: Any, samples: list[Passage] | None = None) -> Glass:
        box = Glass()
        opened = Opened((0, 0), model.eval(), samples=samples)
        monkeypatch.setattr(box, "_of", lambda run: opened)
        return box

    return made


def unpacked(packed: dict[str, Any], *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["data"]), "<i2").reshape(shape) * packed["scale"]


@pytest.mark.parametrize("kind", STREAMING)
def test_what_is_shown_of_a_writer_is_what_it_does(glass: Any, kind: str) -> None:
    model = writer_of(kind)
    ids = [int(i) for i in model.task.codec.encode("abc fed\ngab")]
    box = glass(model)
    said = box.read(RUN, Asked(run="x", ids=ids))
    assert (
        said["ids"] == [0, *ids]
        and said["labels"][1:4] == ["a", "b", "c"]
        and said["known"] == said["cut"] == 0
    )
    with torch.no_grad():
        logits = model(torch.tensor([[0, *ids]]))[0][0]
    bits = -logits[:-1].double().log_softmax(-1)[range(len(ids)), ids] / np.log(2)
    np.testing.assert_allclose(said["surprise"][1:], bits.numpy(), atol=2e-3)
    trace = probe(model, torch.tensor([[0, *ids]]))
    shown = {(layer["path"], value["name"]): value for layer in said["layers"] for value in layer["values"]}
    assert shown or any("weights" in layer for layer in said["layers"])
    for (path, name), value in shown.items():
        true = trace.find(path, name).value[0]
        drawn = unpacked(value, value["steps"], value["units"])
        np.testing.assert_allclose(
            drawn, true[:, [i * true.shape[1] // value["units"] for i in range(value["units"])]], atol=1e-4
        )
    for layer in said["layers"]:
        if "weights" in layer:
            packed = layer["weights"]
            weights = unpacked(packed, packed["heads"], packed["steps"], packed["width"])
            np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-2)
            assert np.abs(np.triu(weights, 1)).max() == 0, "nothing looks ahead"


@pytest.mark.parametrize("kind", STREAMING)
def test_a_token_more_is_the_last_column_of_the_whole(glass: Any, kind: str) -> None:
    box = glass(writer_of(kind))
    whole = box.read(RUN, Asked(run="x", ids=[1, 2, 3, 4, 5]))
    last = box.read(RUN, Asked(run="x", ids=[1, 2, 3, 4, 5], known=5))
    assert last["known"] == 5 and last["labels"] == whole["labels"]
    for a, b in zip(whole["layers"], last["layers"], strict=True):
        for x, y in zip(a["values"], b["values"], strict=True):
            assert y["steps"] == 1
            all_steps = unpacked(x, 6, x["units"])
            np.testing.assert_allclose(
                all_steps[5:], unpacked(y, 1, y["units"]), atol=2e-4 * max(1, np.abs(all_steps).max())
            )


def test_the_state_of_a_wide_layer_is_sampled_evenly() -> None:
    model = writer_of("lstm", width=UNITS * 2)
    trace = probe(model, torch.tensor([[0, 1, 2]]))
    told = heard(model, trace, 0)
    shown = unpacked(told[0]["values"][1], 3, UNITS)
    np.testing.assert_allclose(shown, trace.find(told[0]["path"], "forget").value[0, :, ::2], atol=1e-4)
    assert {(value["units"], value["of"]) for value in told[0]["values"]} == {(UNITS, 2 * UNITS)}
    assert [value["name"] for value in told[0]["values"]] == [
        "input",
        "forget",
        "candidate",
        "output",
        "cell",
        "hidden",
    ]
    assert [layer["kind"] for layer in layers_of(model)] == ["lstm", "lstm"]


@pytest.mark.parametrize("task", ANSWERING)
@pytest.mark.parametrize("reads", ["text", "series"])
def test_answers_after_each_step_are_those_of_predict(glass: Any, task: str, reads: str) -> None:
    model = model_of(task_of(task, reads), "gru").eval()
    steps = np.asarray(model.task.steps(TEXTS[1] if reads == "text" else SERIES[1]))
    said = glass(model, [Passage(steps, "one", "so")]).read(RUN, Asked(run="x", sample=0))
    wanted = model.task.said(
        np.stack([model(torch.from_numpy(steps)[None])[0][0].detach().numpy()])[0].astype(np.float64)
    )
    np.testing.assert_allclose(said["answers"], wanted, rtol=2e-3, atol=1e-4)
    assert said["truth"] == "so" and len(said["labels"]) == len(steps)
    assert (said["ids"] is None) == (reads == "series") == ("input" in said)


def test_a_text_is_read_as_a_sample_is(glass: Any) -> None:
    model = model_of(task_of("classify"), "bilstm")
    box = glass(model, [Passage(np.asarray(model.task.steps("a cat sat")), "a cat sat")])
    typed, picked = (
        box.read(RUN, Asked(run="x", text="a cat sat", known=2)),
        box.read(RUN, Asked(run="x", sample=0)),
    )
    assert typed["answers"] == picked["answers"] and typed["labels"] == ["a", "cat", "sat"]
    assert typed["known"] == 0, "what comes after changes what came before"
    assert box.open(RUN)["classes"] == ["bad", "good", "so"]


def test_what_cannot_be_read_is_refused_in_words(glass: Any) -> None:
    box = glass(writer_of("gru"))
    for asked in (Asked(run="x"), Asked(run="x", ids=[99]), Asked(run="x", ids=[-1])):
        with pytest.raises(UserError):
            box.read(RUN, asked)
    series = glass(model_of(task_of("regress", "series"), "gru"), [])
    for asked in (Asked(run="x", text="abc"), Asked(run="x", sample=3)):
        with pytest.raises(UserError):
            series.read(RUN, asked)
    with pytest.raises(UserError, match="draws no tokens"):
        series.next(RUN, Asked(run="x", ids=[1]))
    for wrong in (
        {"ids": [1] * (MOST + 1)},
        {"temperature": -1},
        {"top_p": 0},
        {"top_k": 0},
        {"path": "/etc"},
        {"sample": -1},
    ):
        with pytest.raises(ValueError):
            Asked(run="x", **wrong)


def test_a_long_text_is_cut_aloud(glass: Any) -> None:
    said = glass(writer_of("gru")).read(RUN, Asked(run="x", text="abc" * 200))
    assert len(said["labels"]) == MOST and said["cut"] == 600 + 1 - MOST


def test_a_prediction_that_is_no_number_is_said_to_be_none(glass: Any) -> None:
    model = writer_of("gru")
    with torch.no_grad():
        model.head.scores.bias[3] = float("nan")
    box = glass(model)
    for ask in (box.next, box.read):
        with pytest.raises(NumericalFailure, match="prediction isn't a number"):
            ask(RUN, Asked(run="x", ids=[1]))


def test_a_layer_that_is_no_number_is_named(glass: Any) -> None:
    model = writer_of("gru")
    path = layers_of(model)[-1]["path"]
    with torch.no_grad():
        next(model.get_submodule(path).parameters())[0, 0] = float("nan")
    with pytest.raises(NumericalFailure, match=f"^{path}: the .* of this layer isn't a number"):
        glass(model).read(RUN, Asked(run="x", ids=[1, 2]))


def test_ids_that_leave_no_room_are_refused_and_the_most_are_not(glass: Any) -> None:
    box = glass(writer_of("gru"))
    with pytest.raises(UserError, match="after at most 255"):
        box.next(RUN, Asked(run="x", ids=[1] * MOST))
    assert box.next(RUN, Asked(run="x", ids=[1] * (MOST - 1), uniform=0.5))["tokens"]


@pytest.mark.parametrize(("kind", "option", "values"), FORMULAS)
def test_a_formula_says_how_the_layer_was_built(kind: str, option: str, values: dict[str, str]) -> None:
    for value, formula in values.items():
        part = nn.ModuleDict({"part": MIXERS[kind](8, **{option: value})})
        assert layers_of(part)[0]["equation"] == formula


def test_a_slow_look_keeps_no_run_from_opening_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of a run's looks are said while one is made; of those who ask for more, only a few may wait."""
    begun, go = threading.Event(), threading.Event()
    made: list[str] = []

    def slow(subject: Any) -> Any:
        begun.set()
        assert go.wait(20)
        made.append(subject)
        return Finding()

    class Finding:
        title, notes = "t", ()
        lead = staticmethod(lambda: "")
        blocks = staticmethod(lambda: [])

    monkeypatch.setattr("unrolled.page.looks._stamp", lambda run: (len(run.name), 0))
    monkeypatch.setattr("unrolled.page.looks.available", lambda model: {})
    monkeypatch.setattr("unrolled.page.looks.Subject", lambda run: run.name)
    monkeypatch.setattr("unrolled.page.looks.summary", slow)
    monkeypatch.setattr(Run, "model", lambda run: None)
    looks = Looks()
    with ThreadPoolExecutor(WAITING + 1) as pool:
        asked = [pool.submit(looks.look, RUN, "summary") for _ in range(WAITING + 1)]
        assert begun.wait(20)
        until(lambda: looks._asked == WAITING + 1)
        other = replace(RUN, name="another")
        told = threading.Thread(target=looks.known, args=[other], daemon=True)
        told.start()
        told.join(5)
        opened = not told.is_alive()
        with pytest.raises(Busy):
            looks.look(other, "summary")
        go.set()
        assert opened and all(one.result()["title"] == "t" for one in asked)
    assert made == [RUN.name], "the same one is made once"
    assert looks.look(other, "summary")["title"] == "t" and looks._asked == 0


knobs = st.builds(
    Draw,
    st.sampled_from([0.0, 0.3, 1.0, 1.7]),
    st.sampled_from([None, 1, 3, 50]),
    st.sampled_from([None, 0.2, 0.7, 1.0]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=12, unique=True), knobs)
def test_the_odds_are_those_by_which_tokens_are_drawn(values: list[float], draw: Draw) -> None:
    logits = torch.tensor(values)
    uniform = torch.linspace(0, BELOW, 4001)
    drawn = pick_at(logits.expand(len(uniform), -1), draw, uniform)
    share = odds(logits, draw)
    assert float(share.sum()) == pytest.approx(1)
    counted = torch.bincount(drawn, minlength=len(values)) / len(uniform)
    np.testing.assert_allclose(counted.numpy(), share.numpy(), atol=1e-3)
    told = following(logits, draw, 0.37, str)
    assert told["drawn"] == int(pick_at(logits[None], draw, torch.tensor([0.37]))[0])
    assert told["possible"] == int((share > 0).sum()) and sum(
        one["p"] for one in told["tokens"]
    ) == pytest.approx(1)


def test_a_run_is_opened_with_something_to_look_at(place: Path, tmp_path: Path) -> None:
    run = tiny(place, tmp_path)
    box, looks = Glass(), Looks()
    told = box.open(run)
    assert told["writes"] and told["ids"] and told["prompt"] == "The " and told["layers"][0]["kind"] == "lstm"
    picks = box.samples(run)
    assert picks and all(pick["steps"] for pick in picks)
    said = box.read(run, Asked(run=run.name, sample=0))
    following = box.next(run, Asked(run=run.name, ids=said["ids"][1:4], temperature=0.0, uniform=0.5))
    text = run.model().task.codec.decode(said["ids"][1:4])
    assert following["drawn"] == following["tokens"][0]["id"]
    assert following["tokens"][0]["label"] == un.generate(run.model(), text, top=1).next[0][0]
    names = [look["name"] for look in looks.known(run)]
    assert names[0] == "summary" and "attention" not in names
    assert looks.look(run, "summary")["blocks"][0]["kind"] == "Table"
    with pytest.raises(UserError, match="unknown look"):
        looks.look(run, "attention")
    (place / "tunes.abc").rename(place / "gone.abc")
    try:
        with pytest.raises(UserError, match="tunes.abc"):
            Glass().samples(run)
    finally:
        (place / "gone.abc").rename(place / "tunes.abc")
    (run.path / "model" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no model yet"):
        box.open(run)
    assert looks.known(run) == []


def test_blocks_become_plain_data() -> None:
    nan = float("nan")
    blocks = [
        Table(["a"], [[np.float32(1.5)], [nan]], "c"),
        LineChart([Series("s", {"x": (1, 2)}, [nan, np.int64(2)])], "y"),
        Heatmap(np.eye(2)),
    ]
    told = plain(blocks)
    assert told[0]["rows"] == [[1.5], [None]] and told[0]["kind"] == "Table"
    assert told[1]["series"][0] == {
        "kind": "Series",
        "name": "s",
        "xs": {"x": [1, 2]},
        "ys": [None, 2],
        "low": None,
        "high": None,
    }
    assert told[2]["values"] == [[1.0, 0.0], [0.0, 1.0]]


def test_tunes_are_notes_as_they_are_played_and_the_rest_says_why_not(place: Path, tmp_path: Path) -> None:
    from unrolled.music import parse, synth, unfold
    from unrolled.page.tunes import flute, heard, tunes

    text = "X:1\nT:<b>x</b>\nM:4/4\nL:1/8\nQ:1/4=120\nK:D\nDEFG ABcd|d8|]\n"
    one = heard(text)
    sounds = unfold(parse(text)).sounds
    assert [note[2] for note in one["notes"]] == [s.midi for s in sounds] and one["seconds"] == pytest.approx(
        4.0
    )
    assert one["right"] and not one["problem"] and one["abc"] == text
    wrong = heard("X:1\nM:4/4\nL:1/8\nK:D\nDEF|d8|d8|]\n")
    assert wrong["notes"] and (wrong["right"] or wrong["verdict"])
    assert "no notes" in heard("X:1\nK:D\n")["problem"] and heard("nothing of music")["problem"]
    run = tiny(place, tmp_path, codec="abc")
    (run.path / "samples" / "step-000099.txt").write_text(text)
    found = tunes(run)
    assert found["tunes"][0]["step"] == 99 and found["tunes"][0]["notes"] == one["notes"]
    numbers = flute()
    room = np.frombuffer(base64.b64decode(numbers["room"]["data"]), "<i2") * numbers["room"]["scale"]
    assert np.abs(room - synth.room()).max() <= numbers["room"]["scale"]


@pytest.mark.parametrize("task", ["generate", "classify"])
def test_the_first_rows_are_those_of_the_file_and_their_steps_those_that_are_read(
    task: str, place: Path, tmp_path: Path
) -> None:
    from unrolled.page.data import EACH, first_rows

    more: dict[str, Any] = {"data": str(tmp_path / "tunes.abc")}
    shutil.copy(place / "tunes.abc", tmp_path)
    if task == "classify":
        lines = [f'"<i>{n}</i> good film",{"yes" if n % 2 else "no"}' for n in range(60)]
        (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *lines]))
        more = {"data": str(tmp_path / "reviews.csv"), "task": task, "codec": "words", "length": None}
    run = tiny(place, tmp_path, **more)
    found = run.model().task
    told = first_rows(run, found)
    counts: dict[str, int] = {}
    for row in told["rows"]:
        counts[row["part"]] = counts.get(row["part"], 0) + 1
        values = dict(row["columns"])
        steps = found.codec.encode(values["text"])
        if len(values["text"]) < 400:
            assert (
                row["steps"] == len(steps)
                and row["labels"] == [found.codec.token_text(int(i)) for i in steps][:120]
            )
    assert counts["train"] == EACH and set(counts) == {"train", "valid", "test"}
    file = Path(run.recipe.data)
    file.write_text(file.read_text() + ("x" if task == "generate" else "\nnew,no"))
    with pytest.raises(UserError, match="has changed since"):
        first_rows(run, found)


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
def test_the_glass_box_and_the_looks_say_the_same_of_one_passage(glass: Any, kind: str) -> None:
    """Attention as it is drawn in both; and how long units keep, from the gates that the box draws."""
    model = writer_of(kind)
    text = "abcabcab"
    told = glass(model).read(RUN, Asked(run="tiny-1", ids=[int(i) for i in model.task.codec.encode(text)]))
    held = said_of(model, text)
    if kind == "lstm":
        found = states(held)
        for layer in told["layers"]:
            gates = {value["name"]: unpacked(value, -1, value["units"]) for value in layer["values"]}
            (of,) = [one for one in found.gates if (one.layer, one.name) == (layer["path"], "forget")]
            assert gates["forget"].mean() == pytest.approx(of.mean, abs=1e-4)
            (of_state,) = [one for one in found.states if (one.layer, one.name) == (layer["path"], "cell")]
            norms = np.linalg.norm(gates["cell"], axis=1)
            assert norms == pytest.approx(np.array(of_state.norms), abs=1e-3)
        return
    looks = attention_maps(held)
    assert told["labels"][1:] == looks.tokens[1:] == list(text)
    drawn = {layer["path"]: layer["weights"] for layer in told["layers"] if "weights" in layer}
    for one in looks.layers:
        packed = drawn[one.layer]
        weights = unpacked(packed, packed["heads"], -1, packed["width"])
        assert weights == pytest.approx(np.array(one.weights), abs=1e-4)
