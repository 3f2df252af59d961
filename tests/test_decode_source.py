"""Decoding what is conditioned on a source: ragged sources in one batch, the same code, and where it looked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.model import Seq2Seq, build, paired, preset
from unrolled.running.alignment import align
from unrolled.running.decode import decode
from unrolled.running.sampling import Draw

PAIRS = [
    ("gru", "dot", None),
    ("lstm", "none", "bilstm"),
    ("lstm", "recurrent", None),
    ("transformer", "scaled", None),
    ("transformer", "scaled", "gru"),
    ("gru", "additive", "transformer"),
]
LENGTHS = [6, 3, 1, 5, 7, 2, 4]


def made(kind: str, attention: str, reader: str | None) -> Seq2Seq:
    torch.manual_seed(1)
    source = {"kind": "tokens", "vocabulary": 9}
    model = build(paired(kind, source, 9, attention=attention, reader=reader, width=16, layers=2))
    assert isinstance(model, Seq2Seq)
    for parameter in model.parameters():  # what begins at zero hides mistakes
        torch.nn.init.normal_(parameter, std=0.4)
    torch.nn.init.constant_(model.head.scores.bias[:1], 0.7)
    return model.double().eval()


def sources() -> tuple[torch.Tensor, Layout]:
    torch.manual_seed(2)
    return torch.randint(1, 9, (len(LENGTHS), max(LENGTHS))), Layout.of_lengths(torch.tensor(LENGTHS))


def nats(model: Seq2Seq, source: torch.Tensor, tokens: Sequence[int]) -> float:
    with torch.no_grad():
        said, _ = model(torch.tensor([[0, *tokens]]), model.condition(source))
    return float(said[0].log_softmax(-1)[range(len(tokens) + 1), [*tokens, 0]].sum())


@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize(("kind", "attention", "reader"), PAIRS)
def test_ragged_sources_are_decoded_as_one_by_one(
    kind: str, attention: str, reader: str | None, beam: int
) -> None:
    model = made(kind, attention, reader)
    raw, layout = sources()
    limits = [2 * length + 4 for length in LENGTHS]
    with torch.no_grad():
        together = decode(
            model, model.read_source(raw, layout), longest=limits, beam=beam, nbest=beam, shortest=3
        )
    assert len({round(row[0].score, 6) for row in together}) == len(LENGTHS), "the source is not heard"
    for number, (row, length) in enumerate(zip(together, LENGTHS, strict=True)):
        alone = raw[number : number + 1, :length]
        with torch.no_grad():
            (mine,) = decode(
                model, model.read_source(alone), longest=limits[number], beam=beam, nbest=beam, shortest=3
            )
        assert [one.tokens for one in row] == [one.tokens for one in mine]
        for one in row:
            assert one.log_likelihood == pytest.approx(nats(model, alone, one.tokens), abs=1e-4)


@pytest.mark.parametrize(("kind", "attention", "reader"), [pair for pair in PAIRS if pair[1] != "none"])
def test_alignment_is_where_each_token_looked(kind: str, attention: str, reader: str | None) -> None:
    model = made(kind, attention, reader)
    raw, layout = sources()
    with torch.no_grad():
        found = decode(
            model, model.read_source(raw, layout), longest=[3, 9, 5, 4, 7, 10, 6], draw=Draw(seed=1)
        )
        tokens = [row[0].tokens for row in found]
        weights = align(model, model.read_source(raw, layout), tokens)
    assert len({len(one) for one in tokens}) > 1
    for number, (one, length, weight) in enumerate(zip(tokens, LENGTHS, weights, strict=True)):
        assert weight.shape == (len(one) + 1, length)
        assert torch.allclose(weight.sum(1), torch.ones(len(one) + 1), atol=1e-5)
        with torch.no_grad():
            (alone,) = align(model, model.read_source(raw[number : number + 1, :length]), [one])
        assert torch.allclose(weight, alone, atol=1e-5)
    assert any(float(weight.std()) > 0.01 for weight in weights)


def test_weights_of_self_attention_are_no_alignment() -> None:
    """Written as long as the source, so that only the mixer tells them apart: they would be triangular."""
    model = made("transformer", "scaled", None)
    with torch.no_grad():
        (weight,) = align(model, model.read_source(torch.tensor([[1, 2, 3, 4]])), [[1, 2, 3]])
    assert weight.shape == (4, 4) and bool((weight.triu(1).sum(1)[:-1] > 0.01).all())


def test_what_looks_at_no_source_has_no_alignment() -> None:
    model = build(preset("lstm", 5, width=8))
    with pytest.raises(UserError, match="no cross-attention"):
        align(model, model.start(1), [[1]])
    paired_model = made("gru", "dot", None)
    with torch.no_grad(), pytest.raises(UserError, match="2 sequences for a state of 1 rows"):
        align(paired_model, paired_model.read_source(torch.tensor([[1]])), [[1], [2]])
