"""Scoring: every held-out token once, given its document before it, whatever the batch; the numbers by the book."""

from __future__ import annotations

import json
import tracemalloc
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_stream import CODEC, KINDS, small

from unrolled.errors import UserError
from unrolled.model import Model
from unrolled.tasks import GenerateText, Score, task_from_dict
from unrolled.tasks.score import nats, spans

RNG = np.random.default_rng(0)


def texts(*lengths: int) -> list[np.ndarray]:
    return [RNG.integers(1, CODEC.size, size=n).astype(np.uint16) for n in lengths]


def by_the_book(model: Model, document: np.ndarray, context: int | None = None) -> list[float]:
    """Each target alone: its inputs are read from as far back as the window it is first seen in begins."""
    full, out = [0, *document.tolist(), 0], []
    for t in range(1, len(full)):
        begin = 0
        if context is not None and t > context:
            half = context // 2
            begin = half * -(-(t - context) // half)  # the first window, sliding by half, to reach t
        with torch.no_grad():
            logits, _ = model(torch.tensor([full[begin:t]]))
        out.append(-float(logits[0, -1].double().log_softmax(-1)[full[t]]))
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_each_document_alone(kind: str) -> None:
    model = small(kind)
    held = texts(5, 40, 0, 17, 90)
    context = 12 if kind == "transformer" else None
    scored = nats(model, held, 12, batch=3)
    for document, values in zip(held, scored, strict=True):
        np.testing.assert_allclose(values, by_the_book(model, document, context), rtol=1e-4)


@pytest.mark.parametrize("kind", ["lstm", "conv", "transformer"])
def test_the_batch_changes_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, held = small(kind), texts(*RNG.integers(0, 120, size=23))
    totals = [sum(n.sum() for n in nats(model, held, 32, batch)) for batch in (1, 2, 7, 64)]
    monkeypatch.setattr("unrolled.tasks.score.STRETCH", 16)
    totals.append(sum(n.sum() for n in nats(model, list(reversed(held)), 32, 5)))
    np.testing.assert_allclose(totals, totals[0], rtol=1e-6)


def test_one_long_document_is_read_in_stretches_with_its_state_carried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, (document,) = small("gru"), texts(3000)
    with torch.no_grad():
        logits, _ = model(torch.tensor(np.concatenate(([0], document)).astype(np.int64))[None])
    target = torch.tensor(np.concatenate((document, [0])).astype(np.int64))
    whole = torch.nn.functional.cross_entropy(logits[0].double(), target, reduction="none").numpy()
    monkeypatch.setattr("unrolled.tasks.score.PREDICTIONS", CODEC.size * 700)  # stretches of 700
    np.testing.assert_allclose(nats(model, [document])[0], whole, rtol=1e-4)


def test_a_long_document_beside_short_ones_takes_memory_for_itself_alone() -> None:
    model, held = small("gru"), texts(30_000, *[5] * 63)
    nats(model, held[1:])
    tracemalloc.start()
    nats(model, held)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 30_000 * 8  # 64 rows to its end would take 64 for the inputs alone


@given(st.lists(st.integers(1, 300), max_size=5), st.integers(1, 40))
def test_spans_score_every_token_once_with_half_a_context_at_least(lengths: list[int], context: int) -> None:
    seen = [[0] * length for length in lengths]
    for document, begin, new, end in spans(lengths, context):
        assert begin <= new < end <= min(lengths[document], begin + context)
        assert begin == 0 or new - begin >= context // 2 - (context == 1)
        for t in range(new, end):
            seen[document][t] += 1
    assert all(count == 1 for counts in seen for count in counts)


def test_a_uniform_model_needs_log2_of_the_vocabulary() -> None:
    model, held = small("gru"), texts(50, 70)
    with torch.no_grad():
        for p in model.head.parameters():
            p.zero_()
    score = GenerateText(CODEC).score(model, held, characters=60, bytes=240)
    assert score.tokens == 122 and score.documents == 2 and score.context == "all before it"
    assert score.bits_per_character == pytest.approx(122 * np.log2(CODEC.size) / 60, rel=1e-6)
    assert score.bits_per_byte == pytest.approx(score.bits_per_character / 4)
    assert score.nats_per_token == pytest.approx(log(CODEC.size), rel=1e-6)
    assert score.interval == pytest.approx((score.bits_per_character,) * 2, rel=1e-6)
    assert score.interval_per_byte[0] == pytest.approx(score.bits_per_byte, rel=1e-6)
    assert json.loads(json.dumps(score.to_dict()))["interval"] == list(score.interval)


def test_the_interval_covers_what_it_says() -> None:
    rng, hits = np.random.default_rng(1), 0
    for trial in range(60):  # documents of mean 2 nats a token, between which the means differ
        held = [rng.gamma(2, size=60) + rng.normal(0, 0.5) for _ in range(40)]
        low, high = Score.of(held, characters=2400, bytes=2400, seed=trial).interval
        hits += low <= 2 / log(2) <= high
    assert 51 <= hits <= 60
    long = Score.of([rng.gamma(2, size=50_400)], 50_400, 50_400)
    width = long.interval[1] - long.interval[0]
    assert 0.5 < width / (2 * 1.96 * np.sqrt(2 / 50_400) / log(2)) < 1.5


def test_slots_need_a_context() -> None:
    with pytest.raises(UserError, match="context=None"):
        nats(small("transformer", None), texts(3))
    score = small("transformer", 16).task.score(small("transformer"), texts(30), 30, 30)
    assert score.context == "up to 16 tokens"


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"batch": -64}, {"context": 0}, {"context": -1}])
def test_nothing_is_scored_with_a_senseless_batch_or_context(wrong: dict[str, int]) -> None:
    for kind in ("gru", "transformer"):
        model = small(kind, 16)
        with pytest.raises(UserError, match=f"{next(iter(wrong))}=.*at least 1"):
            model.task.score(model, texts(30), 30, 30, **wrong)


def test_a_score_of_nothing_is_refused() -> None:
    for nothing in ([], [np.zeros(0)]):
        with pytest.raises(UserError, match="nothing to score"):
            Score.of(nothing, 0, 0)


def test_scoring_leaves_training_mode_and_gradients_alone() -> None:
    model = small("gru").train()
    nats(model, texts(9))
    assert model.training
    model(torch.zeros(1, 3, dtype=torch.long))[0].sum().backward()


def test_a_task_is_remembered_as_plain_data() -> None:
    task = GenerateText(CODEC, 128)
    again = task_from_dict(json.loads(json.dumps(task.to_dict())))
    assert again.context == 128 and not again.music and again.length == 400
    x, y = again.example({"text": "abé"})
    assert x.tolist() == [0, *CODEC.encode("abé")] and y.tolist() == [*x[1:].tolist(), 0]
    with pytest.raises(UserError, match="unknown task 'generat'.*Did you mean 'generate'"):
        task_from_dict({"kind": "generat"})


def test_a_check_asks_for_tunes_that_parse_and_for_bars_that_add_up() -> None:
    from unrolled.errors import CheckFailed
    from unrolled.tasks.tunes import TuneReport

    TuneReport(50, 45, 38).require()
    for parsed, right in ((44, 44), (50, 37)):
        with pytest.raises(CheckFailed, match=r"the check asks for 90 % and 75 %"):
            TuneReport(50, parsed, right).require()
