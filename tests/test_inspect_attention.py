"""Attention maps and their check: what truly mattered is found, what didn't is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from tests.tiny_models import writer_of
from unrolled.datasets.sampler import Batch
from unrolled.errors import UserError
from unrolled.inspection.agreement import checked, checked_together, deleted, first_row
from unrolled.inspection.attention_maps import attention_maps, rollout
from unrolled.inspection.held_out import Held, said_of
from unrolled.mixers.attention import Attention
from unrolled.model import Model, answering, build, paired, preset


def held_of(model: Model, rows: int = 2, steps: int = 12) -> Held:
    x = torch.randint(1, 9, (rows, steps), generator=torch.Generator().manual_seed(0))
    return Held(model, Batch(x, x))


def test_the_check_is_spearmans_mean_over_steps() -> None:
    draw = np.random.default_rng(0)
    weights, moved = draw.random((9, 7)), draw.random((9, 7)).round(1)
    moved[:3, 2:] = np.nan  # too few to rank
    wanted = np.mean([spearmanr(weights[t], moved[t]).statistic for t in range(3, 9)])
    found = checked(weights, moved, 200)
    assert found.agreement == pytest.approx(wanted) and found.chance is not None and found.chance > 0.01
    same = checked(moved, moved, 200)
    assert same.agreement == pytest.approx(1.0) and same.chance == pytest.approx(1 / 201)
    flat = checked(np.ones((3, 5)), np.ones((3, 5)))
    assert flat.agreement is None and flat.chance is None


@pytest.mark.parametrize("causal", [True, False])
def test_maps_that_have_nothing_to_do_with_it_agree_by_chance(causal: bool) -> None:
    """Rows share their columns, and the best of three is picked: 5 % of 120 draws are to be expected."""
    one, best = 0, 0
    earlier = np.tril(np.ones((32, 32), bool), -1)
    for seed in range(120):
        draw = np.random.default_rng(seed)
        moved = np.exp(draw.normal(size=32) + 0.3 * draw.normal(size=(32, 32)))
        maps = [np.exp(draw.normal(size=32) + 0.3 * draw.normal(size=(32, 32))) for _ in range(3)]
        found = checked_together(maps, np.where(earlier, moved, np.nan) if causal else moved, 99)
        best += min(each.chance or 1.0 for each in found) <= 0.05
        one += (
            checked(maps[0], np.where(earlier, moved, np.nan) if causal else moved, 99).chance or 1
        ) <= 0.05
    assert one <= 12 and best <= 12


def test_rollout_by_hand() -> None:
    first, second = np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert rollout([first, second]).tolist() == [[1.0, 0.0], [0.25, 0.75]]
    rows = rollout([np.random.default_rng(0).dirichlet(np.ones(5), 5) for _ in range(4)])
    assert np.allclose(rows.sum(1), 1)


def test_what_is_taken_out_moves_later_answers_only() -> None:
    held = first_row(held_of(writer_of("transformer")), 8)
    moved = deleted(held)
    assert moved.shape == (8, 8)
    later = np.tril(np.ones((8, 8), bool), -1)
    assert (moved[later] > 0).all() and np.isnan(moved[~later]).all()
    x = held.batch.x
    with torch.no_grad():
        whole = held.model(x)[0][0, 5].softmax(-1)
        less = held.model(torch.cat([x[:, :3], x[:, 4:]], 1))[0][0, 4].softmax(-1)
    assert moved[5, 3] == pytest.approx(float((whole - less).abs().sum() / 2), rel=1e-4)


def planted(sharp: float) -> Model:
    """One head that looks at the tokens 1 ... 4 only, whose vectors alone reach the answer; sharp = 0: looks evenly."""
    torch.manual_seed(1)
    spec = preset("transformer", 9, width=8, layers=1, heads=1)
    spec["core"] = {
        "layers": [{"kind": "attention", "width": 8, "heads": 1, "rotary": False}],
        "norm": None,
        "residual": False,
    }
    model = build(spec).eval()
    layer = model.core.layers[0]
    assert isinstance(layer, Attention)
    with torch.no_grad():
        table = model.embedder.table.weight  # type: ignore[union-attr]
        table.zero_()
        table[:, 0] = 1.0
        for token in range(1, 5):
            table[token, 1] = token
            table[token, 2 + token % 4] = 1.0
        layer.project.weight.zero_()
        layer.project.weight[0, 0] = 1.0  # the query: always the same
        layer.project.weight[8, 1] = sharp  # the key: how much it is one of those tokens
        layer.project.weight[16 + 2 : 24, 2:] = torch.eye(6)  # the value: which of them
        layer.out.weight.copy_(3 * torch.eye(8))
    return model


def test_a_head_that_looks_where_it_matters_is_told_from_one_that_does_not() -> None:
    x = torch.tensor([[1, 6, 7, 3, 8, 5, 6, 2, 5, 8, 4, 7, 6, 5, 3, 8, 6, 7, 1, 5]])
    found = attention_maps(Held(planted(2.0), Batch(x, x)))
    assert found.layers[0].mean.agreement is not None and found.layers[0].mean.agreement > 0.5
    assert found.layers[0].mean.chance == pytest.approx(1 / 501)
    assert "looks where it matters" in found.lead()
    even = attention_maps(Held(planted(0.0), Batch(x, x)))
    assert even.layers[0].mean.agreement is None and "No map tells more" in even.lead()


@pytest.mark.parametrize("kind", ["transformer", "attention"])
def test_every_head_is_drawn(kind: str) -> None:
    found = attention_maps(held_of(writer_of(kind)))
    weights = np.array([layer.weights for layer in found.layers])
    assert weights.shape == (2, 4, 12, 12) and np.allclose(weights.sum(-1), 1, atol=1e-6)
    assert np.array(found.rollout).shape == (12, 12) and len(found.tokens) == 12
    assert len(found.charts()) == 4 and found.text() and found.to_dict()


def test_a_text_of_ones_own() -> None:
    model = writer_of("transformer")
    found = attention_maps(said_of(model, "abcabcab"))
    assert found.tokens[1:] == list("abcabcab")
    with pytest.raises(UserError, match="expected at least one"):
        said_of(model, "")


def test_an_alignment_is_held_against_deleting_the_source() -> None:
    torch.manual_seed(0)
    for kind, attention in (("gru", "scaled"), ("gru", "recurrent"), ("transformer", "scaled")):
        table = {"kind": "tokens", "vocabulary": 9}
        model = build(paired(kind, table, 9, width=8, layers=1, attention=attention)).eval()
        x, source = torch.randint(1, 9, (2, 6)), torch.randint(1, 9, (2, 5))
        found = attention_maps(Held(model, Batch(x, x, source=source, source_lengths=torch.tensor([5, 3]))))
        assert len(found.tokens) == 6 and len(found.sources) == 5 and found.rollout is None
        assert np.array(found.layers[0].weights).shape[1:] == (6, 5)
        assert found.layers[0].mean.agreement is not None and found.blocks()


def test_models_that_answer_once() -> None:
    torch.manual_seed(0)
    for kind in ("encoder", "transformer"):
        table, head = {"kind": "tokens", "vocabulary": 9}, {"kind": "labels", "classes": 3}
        model = build(answering(kind, table, head, width=8, layers=2)).eval()
        x = torch.randint(1, 9, (3, 10))
        found = attention_maps(
            Held(model, Batch(x, torch.tensor([0, 1, 2]), lengths=torch.tensor([10, 4, 2])))
        )
        assert found.layers[0].mean.agreement is not None and len(found.layers) == 2


def test_one_without_attention_is_refused() -> None:
    with pytest.raises(UserError, match="has no attention"):
        attention_maps(held_of(writer_of("lstm")))
