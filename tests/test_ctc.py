"""CTC: the loss against enumeration, collapsing in pieces, beam search against all texts there are."""

from __future__ import annotations

from itertools import groupby, product
from math import exp, isfinite, log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.errors import NumericalFailure
from unrolled.layout import Layout
from unrolled.model.ctc import BLANK, CTCHead, steps_needed, text_nats
from unrolled.running.ctc import collapse, likeliest_path, prefix_beam_search


def text_of(path: tuple[int, ...]) -> tuple[int, ...]:
    """The definition: runs to one symbol, then blanks out."""
    return tuple(symbol for symbol, _ in groupby(path) if symbol != BLANK)


def likelihoods(scores: np.ndarray) -> dict[tuple[int, ...], float]:
    """Every text that (T, V) log-probabilities allow, with the sum over all its paths."""
    found: dict[tuple[int, ...], float] = {}
    for path in product(range(scores.shape[1]), repeat=len(scores)):
        text = text_of(path)
        found[text] = found.get(text, 0.0) + exp(sum(scores[t, s] for t, s in enumerate(path)))
    return found


def drawn(seed: int, steps: int, symbols: int, sharp: float = 1.5) -> np.ndarray:
    raw = torch.from_numpy(np.random.default_rng(seed).normal(0, sharp, (steps, symbols)))
    return raw.log_softmax(-1).numpy()


# --- loss


@pytest.mark.parametrize("text", [(1,), (2, 1), (1, 1), (1, 2, 1), ()])
def test_the_loss_is_the_sum_over_all_paths(text: tuple[int, ...]) -> None:
    scores = drawn(3, 5, 3)
    target = torch.tensor([[*text, *[0] * (4 - len(text))]])
    each, fits = text_nats(torch.from_numpy(scores)[None], target)
    assert fits.item() and each.item() == pytest.approx(-log(likelihoods(scores)[text]), abs=1e-9)


def test_total_and_count_are_those_of_the_rows_one_by_one() -> None:
    torch.manual_seed(0)
    head = CTCHead(4, 5)
    y, lengths = torch.randn(3, 9, 4), torch.tensor([9, 6, 4])
    target = torch.tensor([[1, 2, 2, 4], [3, 0, 0, 0], [2, 1, 0, 0]])
    total, count = head.loss(head(y), target, Layout.of_lengths(lengths, 9))
    alone = [
        head.loss(head(y[row : row + 1, : lengths[row]]), target[row : row + 1])[0].item() for row in range(3)
    ]
    assert total.item() == pytest.approx(sum(alone), rel=1e-6) and count.item() == 7


def test_nan_in_padding_leaks_neither_value_nor_gradient() -> None:
    torch.manual_seed(0)
    head, layout = CTCHead(4, 5), Layout.of_lengths(torch.tensor([6, 3]), 6)
    target = torch.tensor([[1, 2, 2], [3, 0, 0]])
    clean = torch.randn(2, 6, 5)
    poisoned = clean.clone()
    poisoned[1, 3:] = float("nan")
    found = []
    for scores in (clean.requires_grad_(), poisoned.requires_grad_()):
        total, _ = head.loss(scores, target, layout)
        total.backward()
        found.append((total.item(), scores.grad))
    assert found[0][0] == found[1][0] and isfinite(found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert not found[1][1][1, 3:].any()


@pytest.mark.parametrize(("text", "needed"), [([1, 2, 3], 3), ([1, 1, 1], 5), ([0, 0, 0], 0), ([2, 2, 0], 3)])
def test_steps_that_a_text_needs(text: list[int], needed: int) -> None:
    assert steps_needed(torch.tensor([text])).tolist() == [needed]


def test_a_text_without_a_path_adds_nothing() -> None:
    head = CTCHead(4, 5)
    scores = torch.randn(2, 4, 5, requires_grad=True)
    target = torch.tensor([[1, 1, 1, 0], [1, 2, 3, 0]])  # the first needs five steps
    total, count = head.loss(scores, target)
    alone, _ = head.loss(scores[1:], target[1:])
    assert total.item() == alone.item() and count.item() == 3
    total.backward()
    assert scores.grad is not None and bool(scores.grad.isfinite().all())
    assert not scores.grad[0].any() and scores.grad[1].any()


def test_half_precision_is_summed_in_float32() -> None:
    scores = torch.randn(2, 8, 5).bfloat16()
    total, _ = CTCHead(4, 5).loss(scores, torch.tensor([[1, 2], [3, 0]]))
    assert total.dtype == torch.float32


# --- collapsing


@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 12), max_size=4))
@settings(max_examples=200, deadline=None)
def test_collapsing_in_pieces_is_collapsing_the_whole(path: list[int], cuts: list[int]) -> None:
    whole = collapse(torch.tensor([path], dtype=torch.long))
    assert tuple(whole.symbols[0]) == text_of(tuple(path))
    last, said = None, []
    borders = sorted({0, len(path), *(cut for cut in cuts if cut < len(path))})
    for begin, end in zip(borders, borders[1:], strict=False):
        part = collapse(torch.tensor([path[begin:end]], dtype=torch.long), last)
        said += part.symbols[0]
        last = part.last
    assert said == whole.symbols[0]


def test_collapsing_ragged_rows_and_a_row_that_begins_anew() -> None:
    path = torch.tensor([[1, 1, 2], [2, 1, 1], [2, 2, 0]])
    layout = Layout.of_lengths(torch.tensor([3, 0, 2]), 3)
    layout.start[2, 0] = True
    found = collapse(path, torch.tensor([1, 2, 2]), layout)
    assert found.symbols == [[2], [], [2]]  # row 0 goes on with its 1; row 2, new, says its 2 again
    assert found.last.tolist() == [2, 2, 2]


# --- beam search


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_a_beam_of_all_prefixes_is_exact(seed: int, steps: int, symbols: int) -> None:
    scores = drawn(seed, steps, symbols)
    truth = likelihoods(scores)
    found = prefix_beam_search(scores, beam=10_000)
    assert {one.symbols for one in found} == set(truth)
    for one in found:
        assert exp(one.log_likelihood) == pytest.approx(truth[one.symbols], rel=1e-9)
    assert truth[found[0].symbols] == pytest.approx(max(truth.values()), rel=1e-9)
    assert [one.log_likelihood for one in found] == sorted((o.log_likelihood for o in found), reverse=True)


@given(st.integers(0, 10**6), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_a_narrow_beam_never_claims_more_than_there_is(seed: int, beam: int) -> None:
    scores = drawn(seed, 5, 3)
    truth = likelihoods(scores)
    found = prefix_beam_search(scores, beam)
    assert 1 <= len(found) <= beam
    assert all(exp(one.log_likelihood) <= truth[one.symbols] * (1 + 1e-9) for one in found)


def test_beam_search_finds_what_the_likeliest_path_hides() -> None:
    """Two steps of blank 0.6, a 0.4: the likeliest path says nothing (0.36), the likeliest text is a (0.64)."""
    scores = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert collapse(torch.from_numpy(scores.argmax(-1))[None]).symbols == [[]]
    best = prefix_beam_search(scores, 4)[0]
    assert best.symbols == (1,) and exp(best.log_likelihood) == pytest.approx(0.64)


def test_symbols_that_cannot_be_are_never_said() -> None:
    with np.errstate(divide="ignore"):
        scores = np.log([[0.5, 0.5, 0.0], [0.2, 0.8, 0.0]])
    found = prefix_beam_search(scores, 8)
    assert {one.symbols for one in found} == {(), (1,)}
    with pytest.raises(ValueError, match="at least 1"):
        prefix_beam_search(scores, 0)


def test_no_number_is_no_silence() -> None:
    scores = torch.randn(2, 4, 3)
    scores[1, 3] = torch.nan
    likeliest_path(scores, Layout.of_lengths(torch.tensor([4, 3]), 4))  # padding may hold anything
    for decoded in (lambda: likeliest_path(scores), lambda: prefix_beam_search(scores[1].double().numpy())):
        with pytest.raises(NumericalFailure, match="not a number"):
            decoded()
