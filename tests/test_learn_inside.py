"""The stops that look inside: planted patients get their verdicts, and heads that look everywhere link nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unrolled.lessons import gradients, maps
from unrolled.model import build, preset


def test_every_patient_begins_with_the_trouble_it_stands_for() -> None:
    cases = {p.name: gradients.treated(p, 2) for p in (*gradients.PATIENTS, *gradients.BROKEN)}
    verdicts = {name: case.flow.verdict for name, case in cases.items()}
    assert verdicts["RNN x 0.7"] == verdicts["RNN x 0.7, clipped"] == "vanishing"
    assert verdicts["RNN x 2"] == verdicts["RNN x 2, clipped"] == "exploding"
    assert verdicts["LSTM, forget bias 4"] == verdicts["attention"] == "healthy"
    assert verdicts["LSTM, forget bias -3"] == "vanishing"
    # Clipped or not, the gradient that is met is the same: it is measured before.
    assert cases["RNN x 2"].practice.largest > 10 < cases["RNN x 2, clipped"].practice.largest


def test_questions_are_the_same_for_a_step_and_ask_for_the_first_symbol() -> None:
    x, y = gradients.questions(3)
    again, _ = gradients.questions(3)
    assert torch.equal(x, again) and torch.equal(x[:, 0], y) and x.shape == (gradients.ROWS, gradients.LENGTH)
    assert not torch.equal(x, gradients.questions(4)[0])


def test_the_two_sentences_are_held_out_and_say_what_decides() -> None:
    for sentences, text, word in ((maps.agreements(), maps.CAT, "cat"), (maps.references(), maps.DOG, "dog")):
        kept, out = maps.split(sentences, text)
        assert len(kept) + len(out) == len(sentences) and text not in {" ".join(one.words) for one in kept}
        one = next(one for one in out if " ".join(one.words) == text)
        assert one.words[one.decides] == word
    for one in maps.agreements():
        assert one.words[one.asks + 1] in ("was", "were")
    for one in maps.references():
        assert one.words[one.asks] == ":" and one.words[one.decides] == one.words[-1]


def test_heads_that_look_everywhere_alike_link_nothing() -> None:
    sentences = maps.references()[:200]
    codec = maps.Vocabulary([one.words for one in sentences])
    torch.manual_seed(0)
    for scale, links in ((maps.EVEN, False), (8.0, None)):
        spec = preset("transformer", len(codec.words), width=16, layers=2)
        for layer in spec["core"]["layers"]:
            layer.update({"scale": scale} if layer["kind"] == "attention" else {})
        model = build(spec).eval()
        with torch.no_grad():  # as training does: scores that differ, if only by what is next to nothing
            model.core.layers[0].get_parameter("project.weight").mul_(8)
            model.core.layers[2].get_parameter("project.weight").mul_(8)
        found = maps.linked(model, codec, "reference", sentences)
        assert found.chance < 0.3
        if links is False:
            assert found.p == 1.0 and abs(found.weight - found.chance) < 1e-3
    weights, right = maps.looks(model, codec, sentences)
    assert (
        weights.shape[:3] == (200, 2, 4)
        and np.allclose(weights.sum(-1), 1, atol=1e-5)
        and right.shape == (200,)
    )


def test_a_head_that_links_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted weights: head 2 of layer 1 puts 0.9 on the word that decides."""
    sentences = maps.references()[:100]
    draw = np.random.default_rng(0)
    weights = draw.dirichlet(np.ones(12), (100, 2, 4))
    for row, one in enumerate(sentences):
        weights[row, 1, 2] = 0.01
        weights[row, 1, 2, one.decides + 1] = 0.9
    monkeypatch.setattr(maps, "looks", lambda *_: (weights, np.ones(100, bool)))
    found = maps.linked(None, None, "reference", sentences)  # type: ignore[arg-type]
    assert (found.layer, found.head) == (1, 2) and found.weight > 0.89 and found.p < 0.001
