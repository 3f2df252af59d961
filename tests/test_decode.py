"""Decoding: equal to trying everything, to one row at a time, to a loop written by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.errors import NumericalFailure, UserError
from unrolled.model import Model, build, preset
from unrolled.running.decode import decode
from unrolled.running.hypotheses import Hypothesis
from unrolled.running.sampling import Draw
from unrolled.state import fork, leaves

KINDS = ("rnn", "lstm", "gru", "mingru", "conv", "transformer")


def model_of(kind: str, vocabulary: int = 4, seed: int = 0, sharp: float = 4.0) -> Model:
    """Random, in float64, with predictions far from uniform."""
    torch.manual_seed(seed)
    model = build(preset(kind, vocabulary, width=8, layers=2)).double().eval()
    with torch.no_grad():
        model.head.scores.weight.mul_(sharp)
        model.head.scores.bias.normal_()
    return model


def nats(model: Model, tokens: Sequence[int]) -> float:
    """Log-likelihood of a closed sequence, in one pass without a state."""
    with torch.no_grad():
        said = model(torch.tensor([[0, *tokens]]))[0][0].log_softmax(-1)
    return float(said[range(len(tokens) + 1), [*tokens, 0]].sum())


def everything(vocabulary: int, longest: int) -> Iterator[tuple[int, ...]]:
    for length in range(longest + 1):
        yield from itertools.product(range(1, vocabulary), repeat=length)


def stands(tokens: tuple[int, ...], part: tuple[int, ...], after: int) -> bool:
    """Whether `part` stands in `tokens` and ends behind the first `after` of them."""
    spots = range(len(tokens) - len(part) + 1)
    return any(tokens[at : at + len(part)] == part and at + len(part) > after for at in spots)


def exhaustive(
    model: Model,
    vocabulary: int,
    longest: int,
    strength: float,
    shortest: int = 0,
    prefix: tuple[int, ...] = (),
    forbidden: tuple[tuple[int, ...], ...] = (),
) -> list[Hypothesis]:
    """All sequences that the rules allow, best first."""
    found = []
    for tokens in everything(vocabulary, longest):
        if tokens[: len(prefix)] != prefix or any(stands(tokens, part, len(prefix)) for part in forbidden):
            continue
        onward = [(*tokens, token) for token in range(1, vocabulary)]
        free = any(not any(stands(one, part, len(one) - 1) for part in forbidden) for one in onward)
        if len(tokens) < shortest and free:
            continue
        said = nats(model, tokens)
        found.append(Hypothesis(tokens, said / ((5 + len(tokens) + 1) / 6) ** strength, said))
    return sorted(found, key=lambda one: -one.score)


def alike(mine: Sequence[Hypothesis], theirs: Sequence[Hypothesis]) -> None:
    assert [one.tokens for one in mine] == [one.tokens for one in theirs]
    for one, other in zip(mine, theirs, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(("rnn", "lstm", "transformer")),
    seed=st.integers(0, 1000),
    vocabulary=st.integers(2, 4),
    longest=st.integers(0, 4),
    strength=st.sampled_from((0.0, 0.6, 1.0, 2.0)),
    nbest=st.integers(1, 12),
)
def test_a_beam_that_holds_all_finds_what_trying_everything_finds(
    kind: str, seed: int, vocabulary: int, longest: int, strength: float, nbest: int
) -> None:
    model = model_of(kind, vocabulary, seed)
    best = exhaustive(model, vocabulary, longest, strength)[:nbest]
    found = decode(model, model.start(2), longest=longest, beam=100, nbest=nbest, length_penalty=strength)
    for row in found:
        alike(row, best)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(("lstm", "conv", "transformer")),
    seed=st.integers(0, 1000),
    shortest=st.integers(0, 4),
    prefix=st.lists(st.integers(1, 3), max_size=3),
    forbidden=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), max_size=5),
)
def test_rules_hold_in_the_search_as_in_trying_everything(
    kind: str, seed: int, shortest: int, prefix: list[int], forbidden: list[list[int]]
) -> None:
    model = model_of(kind, 4, seed)
    banned = tuple(tuple(part) for part in forbidden)
    best = exhaustive(model, 4, 4, 0.6, shortest, tuple(prefix), banned)[:5]
    rules = {"shortest": shortest, "prefix": prefix, "forbidden": forbidden}
    for row in decode(model, model.start(2), longest=4, beam=81, nbest=5, **rules):
        alike(row, best)
    (greedy,) = decode(model, model.start(1), longest=4, **rules)
    assert greedy[0].tokens in {
        one.tokens for one in exhaustive(model, 4, 4, 0.6, shortest, tuple(prefix), banned)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_is_the_loop_one_writes(kind: str) -> None:
    model = model_of(kind, 12, sharp=1.0)
    state, written, token = model.start(1, 40), [], 0
    while len(written) < 30:
        with torch.no_grad():
            said, state = model(torch.tensor([[token]]), state)
        token = int(said[0, -1].argmax())
        if not token:
            break
        written.append(token)
    ((found,),) = decode(model, model.start(1), longest=30)
    assert found.tokens == tuple(written)
    assert found.log_likelihood == pytest.approx(nats(model, written), abs=1e-5)
    cold = decode(model, model.start(1), longest=30, draw=Draw(0.0))
    assert cold == [[found]]


def ragged(rows: int, vocabulary: int) -> tuple[list[list[int]], list[int]]:
    prefixes = [[1 + (row * 7 + at) % (vocabulary - 1) for at in range(row % 5)] for row in range(rows)]
    return prefixes, [5 + row % 11 for row in range(rows)]


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_64_is_one_by_one(kind: str, beam: int) -> None:
    model = model_of(kind, 9, sharp=1.5)
    with torch.no_grad():
        model.head.scores.bias[0] -= 2
    prefixes, limits = ragged(64, 9)
    rules = {"beam": beam, "nbest": beam, "shortest": 2, "forbidden": [3, (1, 2), (4, 4, 5)]}
    together = decode(model, model.start(64), longest=limits, prefix=prefixes, **rules)
    assert len({len(one.tokens) for row in together for one in row}) > 3
    for row, prefix, limit in zip(together, prefixes, limits, strict=True):
        (alone,) = decode(model, model.start(1), longest=limit, prefix=[prefix], **rules)
        alike(row, alone)
        for one in row:
            assert one.tokens[: len(prefix)] == tuple(prefix) and 2 <= len(one.tokens) <= limit
            assert one.log_likelihood == pytest.approx(nats(model, one.tokens), abs=1e-4)
            assert 3 not in one.tokens[len(prefix) :]
            assert not any(stands(one.tokens, part, len(prefix)) for part in ((1, 2), (4, 4, 5)))


def test_long_beams_score_what_they_say() -> None:
    """Slots that only partly move must still hold the whole past."""
    for kind in ("transformer", "window", "lstm"):
        model = model_of(kind, 6, sharp=0.7)
        with torch.no_grad():
            model.head.scores.bias[0] -= 3
        for row in decode(model, model.start(3), longest=[70, 80, 90], beam=6, nbest=6, shortest=40):
            assert len({one.tokens for one in row}) == 6
            assert [one.score for one in row] == sorted((one.score for one in row), reverse=True)
            for one in row:
                assert one.log_likelihood == pytest.approx(nats(model, one.tokens), abs=1e-3)


def test_samples_depend_on_seed_row_and_number_alone() -> None:
    model = model_of("gru", 9, sharp=1.0)
    many = decode(model, model.start(5), longest=30, draw=Draw(seed=3), count=4)
    few = decode(model, model.start(3), longest=30, draw=Draw(seed=3), count=4)
    for row, other in zip(many, few, strict=False):
        alike(row, other)
    one = decode(model, model.start(3), longest=30, draw=Draw(seed=3))
    for (alone,), row in zip(one, few, strict=True):
        assert alone.tokens in {sample.tokens for sample in row}
    assert len({sample.tokens for row in many for sample in row}) > 15
    assert many != decode(model, model.start(5), longest=30, draw=Draw(seed=4), count=4)
    for sample in many[1]:
        assert sample.log_likelihood == pytest.approx(nats(model, sample.tokens), abs=1e-5)


def test_named_rows_draw_the_same_wherever_they_stand() -> None:
    model = model_of("gru", 9, sharp=1.0)
    plain = decode(model, model.start(5), longest=30, draw=Draw(seed=3), count=2)
    named = decode(model, model.start(3), longest=30, draw=Draw(seed=3), count=2, names=[4, 0, 2])
    for row, other in zip((plain[4], plain[0], plain[2]), named, strict=True):
        alike(row, other)


def test_samples_come_as_often_as_the_model_says() -> None:
    model = model_of("rnn", 3, sharp=1.0)
    (samples,) = decode(model, model.start(1), longest=2, draw=Draw(seed=1), count=4000)
    for best in exhaustive(model, 3, 2, 0.0)[:4]:
        if len(best.tokens) < 2:  # longer ones are closed by force
            share = sum(one.tokens == best.tokens for one in samples) / 4000
            assert share == pytest.approx(float(torch.tensor(best.log_likelihood).exp()), abs=0.03)


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_a_state_that_has_read_goes_on_and_a_fork_is_kept(kind: str) -> None:
    model = model_of(kind, 7, sharp=1.0)
    with torch.no_grad():
        _, state = model(torch.tensor([[3, 4], [5, 1]]), model.start(2, 8))
    before = [leaf.clone() for _, leaf in leaves(state)]
    found = decode(model, fork(state), longest=12, beam=3, nbest=2)
    assert all(torch.equal(old, leaf) for old, (_, leaf) in zip(before, leaves(state), strict=True))
    assert decode(model, fork(state), longest=12, beam=3, nbest=2) == found
    with torch.no_grad():
        tokens = found[1][0].tokens
        said = model(torch.tensor([[5, 1, 0, *tokens]]))[0][0, 2:].log_softmax(-1)
    assert found[1][0].log_likelihood == pytest.approx(
        float(said[range(len(tokens) + 1), [*tokens, 0]].sum()), abs=1e-5
    )


def test_prefixes_longer_than_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("transformer", 9, sharp=1.0)
    prefixes = [[1 + at % 8 for at in range(length)] for length in (3, 11, 0, 20)]
    whole = decode(model, model.start(4), longest=25, prefix=prefixes, beam=3)
    monkeypatch.setattr("unrolled.running.continuation.READ_AT_ONCE", 4)
    for row, cut in zip(
        whole, decode(model, model.start(4), longest=25, prefix=prefixes, beam=3), strict=True
    ):
        alike(row, cut)


def test_training_is_left_as_it_was() -> None:
    model = model_of("lstm").train()
    decode(model, model.start(1), longest=3)
    assert model.training


def test_a_beam_wider_than_the_vocabulary_loses_nothing() -> None:
    model = model_of("lstm", 3)
    (row,) = decode(model, model.start(1), longest=1, beam=50, nbest=50)
    assert {one.tokens for one in row} == {(), (1,), (2,)}


def test_no_rows() -> None:
    model = model_of("lstm")
    assert decode(model, model.start(0), longest=3) == decode(model, model.start(0), longest=3, beam=2) == []


@pytest.mark.parametrize("beam", [1, 3])
def test_predictions_that_are_no_numbers_are_a_failure(beam: int) -> None:
    model = model_of("lstm")
    with torch.no_grad():
        model.head.scores.bias[1] = float("nan")
    with pytest.raises(NumericalFailure, match="not a number"):
        decode(model, model.start(2), longest=5, beam=beam)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"beam": 2, "nbest": 3}, "nbest=3, beam=2: a beam holds that many"),
        ({"beam": 0}, "beam is 0"),
        ({"beam": 2, "draw": Draw()}, "Give one of them"),
        ({"count": 2}, "count=2 without draw="),
        ({"length_penalty": -1.0}, "length_penalty=-1.0"),
        ({"shortest": -1}, "shortest=-1"),
        ({"shortest": 9}, "row 0: longest=5 with shortest=9"),
        ({"prefix": [1] * 6}, "a prefix of 6 tokens"),
        ({"prefix": [1, 0]}, "got the id 0"),
        ({"prefix": [[1], [2], [3]]}, "got 3 of them for 2 rows"),
        ({"longest": [4]}, "got 1 numbers for 2 rows"),
        ({"forbidden": [0]}, "forbidden: got 0"),
        ({"forbidden": [(1, 9)]}, "expected tokens 1 ... 3"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(wrong: dict[str, object], words: str) -> None:
    model = model_of("lstm")
    with pytest.raises(UserError, match=words.replace(".", r"\.")):
        decode(model, model.start(2), **{"longest": 5, **wrong})


def test_drawing_from_no_numbers_is_a_failure() -> None:
    """NaN draws the last token for ever, past any limit."""
    model = model_of("lstm")
    with torch.no_grad():
        model.head.scores.bias.fill_(float("nan"))
    with pytest.raises(NumericalFailure, match="not a number"):
        decode(model, model.start(2), longest=4, draw=Draw(1.0, None, None, 1))
