"""Sampling: frequencies match, top-k and top-p keep the sets they promise, greedy is the likeliest."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.errors import UserError
from unrolled.running.sampling import BLOCK, Draw, Noise, choose, likeliest

CPU = torch.device("cpu")


def gumbel(n: int, vocabulary: int, seed: int = 0) -> torch.Tensor:
    """The noise of n steps of one row, (n, V)."""
    noise = Noise(1, vocabulary, seed, CPU)
    return torch.cat([noise.next().clone() for _ in range(n)])


def drawn(logits: torch.Tensor, draw: Draw, n: int = 40_000) -> torch.Tensor:
    """Relative frequencies of n draws from one row of logits."""
    ids = choose(logits.expand(n, -1), draw, gumbel(n, len(logits), draw.seed))
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
    noise = gumbel(256, len(values))
    probabilities = logits.double().softmax(-1)
    ranked = probabilities.sort(descending=True).values
    # Tokens in the smallest set whose mass reaches p.
    smallest = int((ranked.cumsum(-1) < p + 1e-5).sum()) + 1
    chosen = choose(logits.expand(256, -1), Draw(top_p=p), noise)
    assert probabilities[chosen].min() >= ranked[min(smallest, len(values)) - 1] - 1e-6
    assert len(chosen.unique()) <= smallest
    among = choose(logits.expand(256, -1), Draw(top_k=k), noise)
    assert len(among.unique()) <= k and probabilities[among].min() >= ranked[min(k, len(values)) - 1] - 1e-6


def test_impossible_tokens_are_never_drawn_at_the_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by the least and the greatest number that a generator gives."""
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    edges = torch.tensor([1 - 2**-24, 0.0, 1 - 2**-24, 2**-24, 0.0])
    monkeypatch.setattr(torch, "rand", lambda shape, **_: edges.expand(shape).clone())
    noise = Noise(1, 5, 0, CPU).next()
    assert noise.isfinite().all()
    for draw in (Draw(), Draw(temperature=1e300), Draw(top_k=2)):
        assert choose(logits, draw, noise).tolist() == [3]
    for draw in (Draw(top_p=0.4), Draw(top_k=1)):
        assert choose(logits, draw, noise).item() in (1, 3)


def test_greedy_and_likeliest() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]])
    noise = gumbel(2, 3)
    assert choose(logits, Draw(temperature=0), noise).tolist() == [1, 0]
    assert choose(logits, Draw(temperature=1e-300), noise).tolist() == [1, 0]
    best = likeliest(logits[0], 10)
    assert [token for token, _ in best] == [1, 2, 0] and sum(p for _, p in best) == pytest.approx(1)


def test_noise_of_a_row_depends_on_seed_and_row_only() -> None:
    few, many = Noise(2, 50, 7, CPU), Noise(5, 50, 7, CPU)
    seen = set()
    for _ in range(2 * BLOCK // 50 + 10):  # past two refills
        rows = few.next()
        assert torch.equal(rows, many.next(torch.tensor([0, 1])))
        seen |= {float(rows[0, 0]), float(rows[1, 0])}
    assert len(seen) > 4 * BLOCK // 50  # no row and no block is another's
    assert not torch.equal(Noise(2, 50, 8, CPU).next(), Noise(2, 50, 7, CPU).next())
    assert Noise(1, 2 * BLOCK, 0, CPU).next().shape == (1, 2 * BLOCK)


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
