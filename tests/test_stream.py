"""Stream: the law for whole models, constant memory, forks, and life beyond the trained length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import ANSWERING, SERIES, model_of, raw_of, task_of, writer_of

from unrolled.datasets.characters import Characters
from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.model import Model, build, preset
from unrolled.running.stream import LONGEST, Stream
from unrolled.state import nbytes
from unrolled.tasks import GenerateText

KINDS = ("rnn", "lstm", "gru", "mingru", "conv", "transformer", "window")
CODEC = Characters().fit(["abcdefgh \n"])


def small(kind: str, context: int | None = 32) -> Model:
    torch.manual_seed(0)
    model = build(preset(kind, CODEC.size, width=16, layers=2)).eval()
    model.task = GenerateText(CODEC, context)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_token_by_token_is_the_whole(kind: str) -> None:
    model, ids = small(kind), torch.randint(CODEC.size, (2, 30))
    stream = Stream(model, rows=2)
    with torch.no_grad():
        whole, _ = model(ids)
    for t in range(ids.shape[1]):
        assert torch.allclose(stream.push(ids[:, t : t + 1]), whole[:, t], atol=1e-5)
    assert torch.allclose(Stream(model, rows=2).push(ids), whole[:, -1], atol=1e-5)


@pytest.mark.parametrize("kind", ["gru", "transformer"])
def test_a_fork_and_its_origin_go_on_alone(kind: str) -> None:
    model = small(kind)
    stream = Stream(model)
    stream.push("abc")
    fork = stream.fork()
    fork.push("hhh")
    one, other = stream.push("de"), Stream(model).push("abcde")
    assert torch.allclose(one, other, atol=1e-5)
    assert torch.allclose(fork.push("a"), Stream(model).push("abchhha"), atol=1e-5)
    stream.reset()
    assert torch.allclose(stream.push("ab"), Stream(model).push([0, *CODEC.encode("ab")]), atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "conv", "window"])
def test_memory_is_constant_without_slots(kind: str) -> None:
    stream = Stream(small(kind))
    stream.push("a")
    size = nbytes(stream.state)
    for _ in range(300):
        stream.push(20)
    stream.push([20] * (LONGEST + 5))  # read in two calls
    assert nbytes(stream.state) == size and stream.recent.steps is None


def test_slots_slide_past_the_trained_length() -> None:
    model = small("transformer", context=32)
    stream, ids = Stream(model), torch.randint(CODEC.size, (1, 100))
    sizes = set()
    for t in range(100):
        prediction = stream.push(ids[:, t : t + 1])
        sizes.add(nbytes(stream.state))
        assert stream.used[0] <= 32 and stream.recent.steps is not None and stream.recent.steps.shape[1] == 32
    # the 33rd token slides to the last 16; from there every 17th does
    assert stream.used == [16 + (100 - 33) % 17]
    with torch.no_grad():
        assert torch.allclose(prediction, model(ids[:, 100 - stream.used[0] :])[0][:, -1], atol=1e-5)
    assert max(sizes) <= nbytes(model.start(1, 64))
    assert torch.allclose(Stream(model).push(ids), model(ids[:, -16:])[0][:, -1], atol=1e-5)  # a long prompt


def test_slots_without_a_context_just_grow() -> None:
    model, ids = small("transformer", context=None), torch.randint(CODEC.size, (1, 80))
    stream = Stream(model)
    for t in range(80):
        prediction = stream.push(ids[:, t : t + 1])
    assert torch.allclose(prediction, model(ids)[0][:, -1], atol=1e-5)


def test_slots_begin_small_and_end_at_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    model, generator = small("transformer", context=16), torch.Generator().manual_seed(0)
    pushes = [torch.randint(CODEC.size, (2, 5), generator=generator) for _ in range(9)]
    layouts = [None, *(Layout.of_lengths(torch.tensor([5, n % 6]), 5) for n in range(8))]
    reserved = Stream(model, rows=2)
    monkeypatch.setattr("unrolled.running.stream.FIRST", 3)
    growing = Stream(model, rows=2)
    assert nbytes(growing.state) < nbytes(reserved.state)
    for ids, layout in zip(
        pushes, layouts, strict=True
    ):  # rows slide together at first, then each for itself
        assert torch.allclose(growing.push(ids, layout), reserved.push(ids, layout), atol=1e-5)


def test_training_mode_survives() -> None:
    model = build(preset("gru", CODEC.size, width=16, dropout=0.5)).train()
    one, other = Stream(model).push([1, 2]), Stream(model).push([1, 2])
    assert model.training and torch.equal(one, other)


def test_likeliest_names_tokens_in_words() -> None:
    model = small("gru")
    with torch.no_grad():
        model.head.scores.bias[CODEC.encode("h")] = 50.0
    stream = Stream(model)
    stream.push("ab")
    (first, probability), *_ = stream.likeliest(10)
    assert first == "h" and probability > 0.99 and len(stream.likeliest(10)) == 10


def test_wrong_use_is_said() -> None:
    model = small("gru")
    with pytest.raises(UserError, match="at least 1"):
        Stream(model, rows=0)
    with pytest.raises(UserError, match="not empty"):
        Stream(model).push([])
    with pytest.raises(UserError, match=r"shape \(3, 1\); expected \(1, T\)"):
        Stream(model).push(torch.zeros(3, 1, dtype=torch.long))
    with pytest.raises(UserError, match="push text first"):
        Stream(model).likeliest()
    model.task = None
    with pytest.raises(UserError, match="no codec"):
        Stream(model).push("ab")


def test_a_state_of_other_rows_is_refused() -> None:
    """The fused cells read past the end of a state of fewer rows."""
    for kind in ("lstm", "gru", "transformer"):
        stream = Stream(small(kind), rows=3)
        stream.push([0])
        stream.state = stream.model.start(1, 8)
        with pytest.raises(UserError, match="the state is .*; x has 3 rows"):
            stream.push([1])


def alike(shown: dict[str, Any], other: dict[str, Any]) -> bool:
    """The same words, the same numbers but for rounding."""
    return shown.keys() == other.keys() and all(
        value == other[key]
        if isinstance(value, str)
        else value == pytest.approx(other[key], rel=1e-5, abs=1e-5)
        for key, value in shown.items()
    )


@pytest.mark.parametrize("reads", ["text", "series"])
@pytest.mark.parametrize("kind", ANSWERING)
def test_every_task_streams_what_predict_says(kind: str, reads: str) -> None:
    """Early answers: after each step what `predict` would say had the input ended there."""
    task = task_of(kind, reads)
    for name in ("gru", "transformer"):
        model, raw = model_of(task, name), raw_of(task)
        steps = task.steps(raw)
        whole = task.predict(model, [steps])[0] if task.stepwise else task.predict_every(model, [steps])[0]
        stream = Stream(model)
        for t in range(len(steps)):
            said = stream.push(torch.from_numpy(steps[t : t + 1]))
            assert np.allclose(task.said(said.double().numpy())[0], whole[t], atol=1e-5)
        (shown,) = stream.answers()
        assert alike(shown, task.shown(whole[-1:])[0])
        other = Stream(model)
        other.push(raw)  # what people have
        assert alike(other.answers()[0], shown)


def test_one_reading_of_several_channels_is_a_step() -> None:
    task = task_of("regress", "series")
    model = model_of(task, "lstm")
    stream, whole = Stream(model), Stream(model)
    for reading in SERIES[0]:
        stream.push(reading.tolist())
    whole.push(SERIES[0])
    assert stream.answers()[0] == pytest.approx(whole.answers()[0], rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_rows_that_get_unequally_much_go_on_each_for_itself(data: st.DataObject) -> None:
    """Ragged arrivals, rows that begin anew and contexts that slide: each row is a stream of its own."""
    kind = data.draw(st.sampled_from(KINDS))
    model = writer_of(kind, context=data.draw(st.sampled_from([6, 32])))
    rows = 3
    together, alone = Stream(model, rows), [Stream(model) for _ in range(rows)]
    for _ in range(data.draw(st.integers(1, 12))):
        lengths = data.draw(st.lists(st.integers(0, 4), min_size=rows, max_size=rows))
        if together.prediction is None and 0 in lengths:
            lengths = [max(1, n) for n in lengths]
        if not max(lengths):
            continue
        ids = torch.randint(model.embedder.vocabulary, (rows, max(lengths)))
        layout = Layout.of_lengths(torch.tensor(lengths), max(lengths))
        fresh = [data.draw(st.booleans()) and n > 0 for n in lengths]
        start = layout.start.clone()
        start[:, 0] = torch.tensor(fresh)
        dense = len({*lengths}) == 1 and not any(fresh) and data.draw(st.booleans())
        said = together.push(ids, None if dense else Layout(layout.valid, start))
        for row, n in enumerate(lengths):
            if fresh[row]:
                alone[row].reset()
            if n:
                alone[row].push(ids[row : row + 1, :n])
            assert torch.allclose(said[row], alone[row].prediction[0], atol=1e-4), (kind, row)  # type: ignore[index]


@pytest.mark.parametrize("kind", ["gru", "conv", "transformer"])
def test_rows_join_and_leave(kind: str) -> None:
    model = writer_of(kind)
    together, one = Stream(model, 3), Stream(model)
    together.push([1, 2, 3])
    one.push([4, 5, 6, 7, 8])
    together.put(torch.tensor([1]), one)
    assert together.used == (
        [3, 5, 3] if kind == "transformer" else []
    )  # the boundary isn't written before ids
    lonely = one.push([2])
    said = together.push(torch.tensor([[9], [2], [9]]))
    assert torch.allclose(said[1], lonely[0], atol=1e-5)
    assert torch.allclose(said[0], Stream(model).push([1, 2, 3, 9])[0], atol=1e-5)
    assert torch.allclose(together.pick(torch.tensor([1])).push([3]), one.push([3]), atol=1e-5)
    before = together.prediction
    together.put(torch.tensor([1, 0, 2]), together)  # rows change places
    assert torch.equal(together.prediction, before[[1, 0, 2]])  # type: ignore[index, arg-type]
    with pytest.raises(UserError, match="one model with one context"):
        together.put(torch.tensor([0]), Stream(writer_of(kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_stream_goes_on_exactly_there(kind: str, tmp_path: Path) -> None:
    model = writer_of(kind, context=8)
    stream = Stream(model, 2)
    stream.push(torch.randint(9, (2, 7)))
    stream.save(tmp_path / "s.safetensors")
    other = Stream.load(tmp_path / "s.safetensors", model)
    assert other.answers() == stream.answers()
    for ids in torch.randint(9, (6, 2, 1)):  # past the context
        assert torch.allclose(stream.push(ids), other.push(ids), atol=1e-6)
    with pytest.raises(UserError, match="the state of another model"):
        Stream.load(tmp_path / "s.safetensors", writer_of(kind, context=8, seed=1))
    (tmp_path / "bad").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="can't be read as a stream"):
        Stream.load(tmp_path / "bad", model)
    for header in (None, {"unrolled.stream": "1"}):
        safetensors.torch.save_file({"x": torch.zeros(1)}, tmp_path / "other", header)
        with pytest.raises(UserError, match="not a stream"):
            Stream.load(tmp_path / "other", model)


def test_what_a_stream_cannot_take_is_said_and_changes_nothing() -> None:
    for name in ("transformer", "lstm"):
        model = writer_of(name)
        stream = Stream(model, 2)
        stream.push([1, 2])
        before = stream.fork()
        for wrong, message in (
            (99, "got the id 99"), ([-1], "got the id -1"), (torch.zeros(2, 3), "takes token ids"),
            (torch.zeros(2, 1, 1, dtype=torch.long), "pushed steps of shape"), (2.5, "text or token ids"),
        ):  # fmt: skip
            with pytest.raises(UserError, match=message):
                stream.push(wrong)
        assert torch.equal(stream.push([3]), before.push([3])) and stream.used == before.used
    numbers = Stream(model_of(task_of("regress", "series"), "gru"))
    with pytest.raises(UserError, match="not finite"):
        numbers.push(torch.full((1, 4), torch.nan))
    with pytest.raises(UserError, match="3 channels where training had 2"):
        numbers.push(np.zeros((2, 3)))
    with pytest.raises(UserError, match=r"steps of shape \(2, 4, 1\)|takes floating numbers"):
        numbers.push(torch.zeros(1, 4, 1))


def test_what_sees_a_whole_sequence_cannot_stream() -> None:
    for kind in ("bilstm", "encoder"):
        with pytest.raises(UserError, match="cannot stream: its output at t needs inputs after t"):
            Stream(model_of(task_of("classify"), kind))
