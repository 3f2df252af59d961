"""The product of a step: the fast engine gives what F.linear gives, and keeps away where it isn't meant."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from unrolled.kernels import Affine, affine
from unrolled.mixers import LSTM, recurrent

module = sys.modules["unrolled.kernels.affine"]
pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each product that went to the engine."""
    seen: list[int] = []
    engine = module.ENGINE

    def counting(x: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(x.numel() // x.shape[-1])
        return engine(x, *rest)

    monkeypatch.setattr(module, "ENGINE", counting)
    return seen


@pytest.mark.parametrize("shape", [(1, 512), (3, 1, 512), (2, 3, 512), (64, 512)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_engine_gives_what_the_reference_gives(
    shape: tuple[int, ...], bias: bool, calls: list[int]
) -> None:
    torch.manual_seed(0)
    linear = Affine(512, 600, bias=bias)
    x = torch.randn(shape)
    with torch.inference_mode():
        y = linear(x)
        want = F.linear(x.double(), linear.weight.double(), linear.bias.double() if bias else None)
    assert y.shape == (*shape[:-1], 600)
    assert (y - want).abs().max() <= 1e-6 * want.abs().max()
    assert len(calls) == 1


def test_a_slice_of_a_larger_tensor_and_changed_weights_are_read_as_they_are(calls: list[int]) -> None:
    linear, x = Affine(512, 600), torch.randn(4, 3, 512)
    with torch.inference_mode():
        for _ in range(2):
            y = linear(x[:, 1])
            assert torch.allclose(y, F.linear(x[:, 1], linear.weight, linear.bias), atol=1e-5)
            linear.weight.data.mul_(-2)  # nothing may be kept from the call before
    assert len(calls) == 2


def test_the_engine_keeps_away_where_it_is_not_meant(calls: list[int]) -> None:
    linear, x = Affine(512, 600), torch.randn(2, 512)
    small, many = Affine(512, 511), torch.randn(65, 512)
    linear(x).sum().backward()  # gradients are recorded
    assert linear.weight.grad is not None
    with torch.inference_mode():
        linear(many)
        linear(x[:0])
        small(x)
        Affine(512, 600).double()(x.double())
        with torch.autocast("cpu", torch.bfloat16):
            assert linear(x).dtype == torch.bfloat16
        torch.set_num_threads(1)
        linear(x)
    assert not calls


def test_without_the_engine_the_reference_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    linear, x = nn.Linear(512, 600), torch.randn(2, 512)
    monkeypatch.setattr(module, "ENGINE", None)
    with torch.inference_mode():
        assert torch.equal(affine(x, linear.weight, linear.bias), linear(x))


def test_a_heavy_cell_takes_its_steps_by_the_book(calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "HEAVY", 4 * 256 * 256)
    lstm, x = LSTM(256), torch.randn(3, 5, 256)
    with torch.inference_mode():
        whole, end = lstm(x, lstm.start(3))
        state, steps = lstm.start(3), []
        for t in range(5):
            y, state = lstm(x[:, t : t + 1], state)
            steps.append(y)
    assert torch.allclose(torch.cat(steps, 1), whole, atol=1e-5)
    assert all(torch.allclose(mine, theirs, atol=1e-5) for mine, theirs in zip(state, end, strict=True))
    assert len(calls) == 10  # two a step


def test_a_bias_that_does_not_lie_in_one_piece_is_left_to_the_reference(calls: list[int]) -> None:
    weight, x, bias = torch.randn(600, 512), torch.randn(2, 512), torch.randn(1200)[::2]
    with torch.inference_mode():
        assert torch.equal(affine(x, weight, bias), F.linear(x, weight, bias))
    assert not calls


@pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)  # forward_ad calls it
def test_tangents_pass(calls: list[int]) -> None:
    weight, x = torch.randn(600, 512), torch.randn(2, 512)
    with torch.no_grad(), forward_ad.dual_level():
        dual = affine(forward_ad.make_dual(x, torch.ones_like(x)), weight, None)
        tangent = forward_ad.unpack_dual(dual).tangent
    assert tangent is not None and not calls
    assert torch.allclose(tangent, weight.sum(1).expand(2, -1), atol=1e-3)


def test_a_heavy_step_takes_the_fused_cell_where_nothing_is_gained(
    calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurrent, "HEAVY", 4 * 256 * 256)
    monkeypatch.setattr(LSTM, "cell", lambda *_: pytest.fail("by the book"))
    lstm = LSTM(256)
    lstm(torch.randn(3, 1, 256), lstm.start(3))  # a gradient may be asked for
    with torch.inference_mode():
        lstm(torch.randn(65, 1, 256), lstm.start(65))
        torch.set_num_threads(1)
        lstm(torch.randn(3, 1, 256), lstm.start(3))
    assert not calls
