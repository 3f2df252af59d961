"""Stream: the law for whole models, constant memory, forks, and life beyond the trained length."""

from __future__ import annotations

import pytest
import torch

from unrolled.datasets.characters import Characters
from unrolled.errors import UserError
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
    assert nbytes(stream.state) == size and not stream._recent


def test_slots_slide_past_the_trained_length() -> None:
    model = small("transformer", context=32)
    stream, ids = Stream(model), torch.randint(CODEC.size, (1, 100))
    sizes = set()
    for t in range(100):
        prediction = stream.push(ids[:, t : t + 1])
        sizes.add(nbytes(stream.state))
        assert stream.used <= 32 and sum(part.shape[1] for part in stream._recent) <= 32
    # the 33rd token slides to the last 16; from there every 17th does
    assert stream.used == 16 + (100 - 33) % 17
    with torch.no_grad():
        assert torch.allclose(prediction, model(ids[:, 100 - stream.used :])[0][:, -1], atol=1e-5)
    assert max(sizes) <= nbytes(model.start(1, 64))
    assert torch.allclose(Stream(model).push(ids), model(ids[:, -16:])[0][:, -1], atol=1e-5)  # a long prompt


def test_slots_without_a_context_just_grow() -> None:
    model, ids = small("transformer", context=None), torch.randint(CODEC.size, (1, 80))
    stream = Stream(model)
    for t in range(80):
        prediction = stream.push(ids[:, t : t + 1])
    assert torch.allclose(prediction, model(ids)[0][:, -1], atol=1e-5)


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
