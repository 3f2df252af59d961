"""Low-rank adapters: what they change, what they leave as it was, and that merged and unmerged are one."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from unrolled.errors import UserError
from unrolled.model import Model, build, preset
from unrolled.transfer.adapters import Adapters, adaptable, matching

KINDS = ("lstm", "gru", "rnn", "transformer", "mingru", "conv")


def made(kind: str) -> Model:
    torch.manual_seed(0)
    return build(preset(kind, 20, width=16, layers=2)).eval()


def changed(model: Model, pattern: str | None = None, rank: int = 3) -> Adapters:
    adapters = Adapters(model, adaptable(model, pattern), rank, 6.0)
    with torch.no_grad():
        for up in adapters.up:
            up.normal_(std=0.3)
    return adapters


@pytest.mark.parametrize("kind", KINDS)
def test_at_first_nothing_changes(kind: str) -> None:
    model = made(kind)
    x = torch.randint(20, (2, 7))
    assert torch.equal(Adapters(model, adaptable(model)).call(x)[0], model(x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_merged_is_unmerged_and_afterwards_every_bit_is_back(kind: str) -> None:
    model = made(kind)
    x, before = torch.randint(20, (2, 9)), {n: p.clone() for n, p in model.named_parameters()}
    plain = model(x)[0]
    adapters = changed(model)
    beside = adapters.call(x)[0]
    with adapters.merged():
        merged = model(x)[0]
    assert (beside - plain).abs().max() > 1e-3
    torch.testing.assert_close(merged, beside, rtol=0, atol=1e-6)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_the_sum_is_w_plus_scale_by_rank_times_b_a(kind: str) -> None:
    model = made(kind)
    adapters = changed(model)
    for (name, weight), up, down in zip(
        adapters.originals().items(), adapters.up, adapters.down, strict=True
    ):
        torch.testing.assert_close(adapters.adapted()[name], weight + 6.0 / 3 * up @ down)
    x = torch.randint(20, (1, 5))
    by_hand = functional_call(model, adapters.adapted(), (x,))[0]
    torch.testing.assert_close(adapters.call(x)[0], by_hand, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_adapters_and_no_adapted_weight(kind: str) -> None:
    model = made(kind).requires_grad_(False)
    adapters = changed(model)
    adapters.call(torch.randint(20, (2, 6)))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in adapters.parameters())
    assert all(p.grad is None for p in model.parameters())


def test_no_key_is_renamed() -> None:
    model = made("lstm")
    before = list(model.state_dict())
    changed(model).call(torch.randint(20, (1, 3)))
    assert list(model.state_dict()) == before


def test_attention_and_recurrent_matrices_are_adapted_unless_a_pattern_says_others() -> None:
    assert adaptable(made("lstm")) == [
        f"core.layers.{n}.weight_{which}_l0" for n in (0, 1) for which in ("ih", "hh")
    ]
    assert all("widen" not in name for name in adaptable(made("transformer")))
    assert adaptable(made("transformer"), r"layers\.1\.widen") == ["core.layers.1.widen.weight"]


@pytest.mark.parametrize(
    "pattern, said", [("nothing_here", "no matrix of the core"), ("(", "isn't a pattern")]
)
def test_patterns_that_name_nothing_are_refused(pattern: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        adaptable(made("lstm"), pattern)


def test_a_freeze_that_names_nothing_lists_what_there_is() -> None:
    with pytest.raises(UserError, match=r"tune.freeze='layer9'.*embedder\.table\.weight"):
        matching(made("lstm"), "layer9")


def test_a_rank_that_saves_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"tune.rank=16: core\.layers\.0\.weight_ih_l0 is \(64, 16\)"):
        Adapters(made("lstm"), adaptable(made("lstm")), rank=16)
