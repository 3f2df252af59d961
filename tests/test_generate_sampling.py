"""Sampling: frequencies match, top-k and top-p keep the sets they promise, greedy is the likeliest."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.errors import UserError
from unrolled.running.sampling import BELOW, Draw, Noise, likeliest, pick_at


def drawn(logits: torch.Tensor, draw: Draw, n: int = 40_000) -> torch.Tensor:
    """Relative frequencies of n draws from one row of logits."""
    uniform = torch.rand(n, generator=torch.Generator().manual_seed(draw.seed), dtype=torch.double)
    ids = pick_at(logits.expand(n, -1), draw, uniform)
    return torch.bincount(ids, minlength=logits.shape[-1]) / n


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_match_the_probabilities(temperature: float) -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(1)) * 2
    assert (
        drawn(logits, Draw(temperature=temperature)) - (logits / temperature).softmax(-1)
    ).abs().max() < 0.01


def test_top_k_and_top_p_renormalise() -> None:
    logits = torch.tensor([0.1, 0.4, 0.3, 0.2]).log()
    assert torch.allclose(drawn(logits, Draw(top_k=2)), torch.tensor([0, 4 / 7, 3 / 7, 0]), atol=0.01)
    assert torch.allclose(drawn(logits, Draw(top_p=0.69)), torch.tensor([0, 4 / 7, 3 / 7, 0]), atol=0.01)
    assert torch.allclose(drawn(logits, Draw(top_p=0.71)), torch.tensor([0, 4 / 9, 3 / 9, 2 / 9]), atol=0.01)
    # p counts what the temperature left: at 2 the likeliest alone no longer reaches it
    assert (
        (drawn(logits, Draw(temperature=2.0, top_p=0.35)) > 0).sum()
        == 2
        > (drawn(logits, Draw(top_p=0.35)) > 0).sum()
    )
    # p counts what top_k left: 4/7 of the mass is the first token's
    assert drawn(logits, Draw(top_k=2, top_p=0.5))[1] == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=30),
    st.floats(0.01, 1.0),
    st.integers(1, 40),
)
def test_only_allowed_tokens_are_drawn(values: list[float], p: float, k: int) -> None:
    logits = torch.tensor(values)
    uniform = torch.linspace(0, 1, 257, dtype=torch.double)[:-1]
    probabilities = logits.double().softmax(-1)
    ranked = probabilities.sort(descending=True).values
    # Tokens in the smallest set whose mass reaches p.
    smallest = int((ranked.cumsum(-1) < p + 1e-5).sum()) + 1
    chosen = pick_at(logits.expand(256, -1), Draw(top_p=p), uniform)
    assert probabilities[chosen].min() >= ranked[min(smallest, len(values)) - 1] - 1e-6
    assert len(chosen.unique()) <= smallest
    among = pick_at(logits.expand(256, -1), Draw(top_k=k), uniform)
    assert len(among.unique()) <= k and probabilities[among].min() >= ranked[min(k, len(values)) - 1] - 1e-6


def test_impossible_tokens_are_never_drawn_at_the_edges() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]]).expand(2, -1)
    assert pick_at(logits, Draw(), torch.tensor([0.0, BELOW], dtype=torch.double)).tolist() == [1, 3]


def test_rare_tokens_are_drawn_as_often_as_they_should() -> None:
    logits = torch.cat([torch.zeros(1), torch.full((2000,), -17.0)])  # each of these: 4e-8, together 8e-5
    share = 1 - drawn(logits, Draw(), n=1000)[0]
    uniform = torch.linspace(0, 1, 100_001, dtype=torch.double)[:-1]
    first = logits.softmax(-1)[0]
    chosen = torch.cat([pick_at(logits.expand(1000, -1), Draw(), part) for part in uniform.split(1000)])
    assert share < 0.01 and (chosen > 0).double().mean().item() == pytest.approx(1 - first.item(), rel=0.15)
    assert len(chosen[chosen > 0].unique()) >= 6  # not one and the same of them


def test_greedy_and_likeliest() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]])
    assert pick_at(logits, Draw(temperature=0), torch.zeros(2)).tolist() == [1, 0]
    assert pick_at(logits, Draw(temperature=1e-300), torch.zeros(2)).tolist() == [1, 0]
    best = likeliest(logits[0], 10)
    assert [token for token, _ in best] == [1, 2, 0] and sum(p for _, p in best) == pytest.approx(1)


def test_noise_of_a_row_depends_on_seed_and_row_only() -> None:
    few, many = Noise(2, 7, torch.device("cpu")), Noise(5, 7, torch.device("cpu"))
    for _ in range(600):  # past two refills
        assert torch.equal(few.next(), many.next(torch.tensor([0, 1])))
    assert not torch.equal(Noise(2, 8, torch.device("cpu")).next(), Noise(2, 7, torch.device("cpu")).next())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"temperature": -1.0}, "temperature=-1.0: expected a number from 0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"top_k": 0}, "top_k=0: expected a whole number of at least 1"),
        ({"top_p": 0.0}, "top_p=0.0: expected a share above 0"),
        ({"top_p": 1.5}, "top_p=1.5"),
    ],
)
def test_wrong_values_say_what_is_expected(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Draw(**wrong)  # type: ignore[arg-type]
