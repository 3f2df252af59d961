"""The engine: whoever shares its rows gets what they would get alone, whatever the model."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import ANSWERING, SERIES, STREAMING, endless_writer_of, model_of, raw_of, task_of, writer_of

import unrolled as un
from unrolled.running.sampling import Draw
from unrolled.serving import drawing
from unrolled.serving.engine import Busy, Draining, Engine
from unrolled.serving.limits import Limits
from unrolled.serving.records import Records
from unrolled.serving.seats import Piece, Session, Writing

torch.set_num_threads(1)
PROMPTS = ["", "a", "abc", "hgf edc", "abcdefgh" * 3, "b" * 50]


@dataclass
class Heard:
    """What one asker was told."""

    text: str = ""
    reason: str | None = None
    tokens: int = 0
    error: str = ""
    done: threading.Event = field(default_factory=threading.Event)

    def tell(self, piece: Piece) -> None:
        self.text += piece.text
        self.tokens, self.reason, self.error = piece.tokens, piece.reason, piece.error
        if piece.reason or piece.error:
            self.done.set()


def running(model: Any, **limits: int) -> Engine:
    made = Engine(model, Limits(**limits))
    made.start()
    return made


def ask(engine: Engine, prompt: str, heard: Heard, **options: Any) -> Writing:
    task = engine.model.task
    draw = options.pop("draw", Draw(0.9, None, None, 0))
    context = None if engine.model.fixed_state else task.context
    ids = task.codec.encode(prompt).tolist()
    seat = Writing(heard.tell, task.codec, ids, draw=draw, context=context, **options)
    engine.submit([seat])
    return seat


def offline(model: Any, prompt: str, draw: Draw, length: int, count: int = 1) -> list[str]:
    done = un.generate(
        model, prompt, count=count, length=length, temperature=draw.temperature, top_k=draw.top_k, top_p=draw.top_p,
        seed=draw.seed,
    )  # fmt: skip
    return [text[len(prompt) :] for text in done.texts]


@pytest.mark.parametrize("kind", STREAMING)
def test_each_concurrent_text_is_its_offline_text(kind: str) -> None:
    model = writer_of(kind)
    engine = running(model, streams=8, queue=100)
    asked = []
    for number in range(18):
        draw = Draw((0.7, 1.0, 0.0)[number % 3], (None, 4)[number % 2], (0.9, None)[number % 2], number)
        heard = Heard()
        prompt, length = PROMPTS[number % len(PROMPTS)], 3 + 5 * (number % 8)
        ask(engine, prompt, heard, draw=draw, length=length, whole=bool(number % 2))
        asked.append((prompt, draw, length, heard))
        if number % 5 == 0:
            time.sleep(0.01)
    for prompt, draw, length, heard in asked:
        assert heard.done.wait(30)
        assert heard.error == ""
        assert heard.text == offline(model, prompt, draw, length)[0]
    assert engine.idle and engine.active == 0 and engine.waiting == 0
    engine.close()


def test_the_samples_of_one_request_are_those_of_generate() -> None:
    model = writer_of("gru")
    engine = running(model)
    heard = [Heard() for _ in range(3)]
    for number, one in enumerate(heard):
        ask(engine, "ab", one, draw=Draw(1.0, None, None, 11), length=30, number=number)
    assert all(one.done.wait(20) for one in heard)
    assert [one.text for one in heard] == offline(model, "ab", Draw(1.0, None, None, 11), 30, count=3)
    engine.close()


@pytest.mark.parametrize("whole", [True, False])
def test_a_stop_ends_the_text_before_it(whole: bool) -> None:
    model = writer_of("lstm")
    draw = Draw(1.0, None, None, 5)
    alone = offline(model, "a", draw, 200)[0]
    stop = alone[20:23]
    engine, heard = running(model), Heard()
    ask(engine, "a", heard, draw=draw, length=200, stops=["zzzz", stop], whole=whole)
    assert heard.done.wait(20)
    assert heard.text == alone[: alone.find(stop)] and heard.reason == "stop"
    engine.close()


@pytest.mark.parametrize("kind", STREAMING)
@pytest.mark.parametrize("task", ["classify", "tag"])
def test_sessions_fed_at_their_own_pace_hear_what_a_stream_says(kind: str, task: str) -> None:
    model = model_of(task_of(task, "series"), kind)
    engine = running(model, streams=4)  # fewer rows than sessions: they rest and return
    rng = np.random.default_rng(0)
    told: list[list[Any]] = [[] for _ in range(7)]
    sessions = [Session(one.append) for one in told]
    steps = [[*model.task.steps(SERIES[n % 4]), *model.task.steps(SERIES[(n + 1) % 4])] for n in range(7)]
    at = [0] * 7
    while any(at[n] < len(steps[n]) for n in range(7)):
        n = int(rng.integers(7))
        many = int(rng.integers(1, 4))
        if at[n] < len(steps[n]):
            engine.feed(sessions[n], steps[n][at[n] : at[n] + many])
            at[n] += many
        if rng.random() < 0.5:
            time.sleep(0.001)
    until = time.monotonic() + 20
    while any(len(told[n]) < len(steps[n]) for n in range(7)) and time.monotonic() < until:
        time.sleep(0.01)
    for n in range(7):
        stream = un.Stream(model)
        for place, step in enumerate(steps[n]):
            stream.push(torch.from_numpy(step[None]))
            assert told[n][place]["step"] == place + 1
            close(told[n][place]["answer"], stream.answers()[0])
    engine.close()


def close(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        assert got[key] == (pytest.approx(value, abs=1e-5) if isinstance(value, float) else value)


@pytest.mark.parametrize("task", ANSWERING)
def test_records_are_answered_as_predict_does_while_sessions_go_on(task: str) -> None:
    model = model_of(task_of(task), "gru")
    engine = running(model)
    rows = [{"text": raw_of(model.task, n)} for n in range(9)]
    said: list[Any] = []
    done = threading.Event()
    engine.answer(
        Records([model.task.steps(row["text"]) for row in rows], lambda x: (said.extend(x), done.set()))
    )
    assert done.wait(20)
    own = un.predict(model, rows).rows
    for got, wanted in zip(said, own, strict=True):
        close(got, {key: value for key, value in wanted.items() if key in got})
    assert engine.records == 0
    engine.close()


def test_a_full_line_is_refused_and_whoever_leaves_frees_the_row() -> None:
    model = endless_writer_of("lstm")
    engine = running(model, streams=2, queue=3)
    seats = [ask(engine, "a", Heard(), length=1_000_000) for _ in range(2)]
    _until(lambda: engine.active == 2)
    seats += [ask(engine, "a", Heard(), length=10) for _ in range(3)]
    with pytest.raises(Busy, match="Try again") as busy:
        ask(engine, "a", Heard(), length=10)
    assert 1 <= busy.value.seconds <= 60
    for seat in seats:
        engine.leave(seat)
    _until(lambda: engine.idle)
    assert (engine.active, engine.waiting) == (0, 0)
    heard = Heard()
    ask(engine, "ab", heard, length=5)
    assert heard.done.wait(10)
    engine.draining = True
    with pytest.raises(Draining):
        ask(engine, "ab", Heard(), length=5)
    engine.close()


def test_a_fault_of_one_step_is_told_and_the_engine_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = writer_of("gru")
    engine = running(model)
    broken = Heard()
    with monkeypatch.context() as patch:

        def fails(*_: Any) -> Any:
            raise RuntimeError("no such luck")

        patch.setattr(drawing, "pick_at", fails)
        ask(engine, "a", broken, length=5)
        assert broken.done.wait(10)
    assert broken.error == "the model failed"
    assert "no such luck" in capsys.readouterr().err
    heard = Heard()
    ask(engine, "a", heard, length=5)
    assert heard.done.wait(10) and heard.text == offline(model, "a", Draw(0.9, None, None, 0), 5)[0]
    assert engine.counters.failures == 1
    engine.close()


def test_what_waits_while_a_step_fails_is_still_counted_and_served(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = writer_of("gru")
    engine, broken, heard = Engine(model, Limits()), Heard(), Heard()
    told: list[Any] = []
    session = Session(told.append)

    def fails(*_: Any) -> Any:
        patch.undo()
        ask(engine, "a", heard, length=5)  # comes in while the step runs
        raise RuntimeError("no such luck")

    patch = pytest.MonkeyPatch()
    engine.start()
    engine.feed(session, [1])
    _until(lambda: len(told) == 1)
    patch.setattr(drawing, "pick_at", fails)
    ask(engine, "a", broken, length=5)
    assert broken.done.wait(10) and broken.error
    assert heard.done.wait(10) and heard.text == offline(model, "a", Draw(0.9, None, None, 0), 5)[0]
    _until(lambda: engine.idle)
    assert (engine.texts, engine.records) == (0, 0)
    engine.feed(session, [1])  # its state is lost: it hears so, whenever it comes back
    _until(lambda: len(told) == 3)
    assert [piece.error for piece in told[1:]] == ["the model failed"] * 2
    assert "no such luck" in capsys.readouterr().err
    engine.close()


def test_predictions_that_are_no_numbers_are_told_to_whom_they_concern() -> None:
    model = writer_of("gru")
    with torch.no_grad():
        model.embedder.table.weight[int(model.task.codec.encode("a")[0])] = torch.nan
    engine, sick, well = running(model), Heard(), Heard()
    ask(engine, "a", sick, length=5)
    ask(engine, "b", well, length=1)
    assert sick.done.wait(10) and well.done.wait(10)
    assert "not a number" in sick.error and well.error == "" and well.tokens <= 1
    _until(lambda: engine.active == 0)
    engine.close()


def _until(holds: Any, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_what_looks_back_at_everything_reads_less_at_once() -> None:
    """One record of 65,536 steps would hold a Transformer for half a minute."""
    limits = Limits(steps=50, looked=20)
    for kind, most in (("gru", 50), ("transformer", 20)):
        engine = Engine(writer_of(kind), limits)
        try:
            assert engine.limits.steps == most
        finally:
            engine.close()
