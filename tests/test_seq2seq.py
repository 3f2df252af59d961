"""Seq2Seq: whatever reads the source, whatever writes the target, training and decoding see the same state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from unrolled.datasets.sampler import Batch
from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.mixer import listen
from unrolled.model import Seq2Seq, build, known_kinds, paired
from unrolled.state import fork, pick, put
from unrolled.training.budget import Plan
from unrolled.training.learner import Learner, Progress, Settings
from unrolled.training.optimizer import adamw
from unrolled.training.tuning import plain

torch.set_num_threads(1)
SCORES = ("dot", "scaled", "general", "additive")
KINDS = known_kinds()
LENGTHS = torch.tensor([6, 3, 1, 5])


def made(
    kind: str, attention: str, reader: str | None = None, vocabulary: int = 9, **options: Any
) -> Seq2Seq:
    torch.manual_seed(0)
    options = {"width": 16} | options
    spec = paired(
        kind, {"kind": "tokens", "vocabulary": vocabulary}, vocabulary, attention=attention, reader=reader, **options
    )  # fmt: skip
    model = build(spec)
    assert isinstance(model, Seq2Seq)
    for parameter in model.parameters():  # what begins at zero hides mistakes
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


def some(rows: int = 4, steps: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randint(1, 9, (rows, steps), generator=torch.Generator().manual_seed(seed))


CASES = [(kind, score, None) for kind in KINDS for score in SCORES]
CASES += [(kind, "none", None) for kind in ("rnn", "lstm", "gru", "mingru")]
CASES += [
    ("gru", "none", "encoder"),
    ("lstm", "none", "gru"),
    ("gru", "recurrent", None),
    ("lstm", "dot", "gru"),
]
CASES += [
    ("transformer", "scaled", "gru"),
    ("gru", "scaled", "encoder"),
    ("lstm", "scaled", "conv"),
]


@pytest.mark.parametrize(("kind", "attention", "reader"), CASES)
def test_training_decoding_and_each_row_alone_agree(kind: str, attention: str, reader: str | None) -> None:
    model, source, target = made(kind, attention, reader), some(), some(4, 5, seed=1)
    layout = Layout.of_lengths(LENGTHS, 6)
    with torch.no_grad():
        whole, _ = model(target, model.condition(source, layout))
        state = model.read_source(source, layout, capacity=8)
        steps = []
        for t in range(5):
            prediction, state = model.read(target[:, t : t + 1], state)
            steps.append(prediction)
        alone = [
            model(target[i : i + 1], model.condition(source[i : i + 1, :n]))[0] for i, n in enumerate(LENGTHS)
        ]
        changed = source.clone()
        changed[:, 0] = changed[:, 0] % 8 + 1
        other, _ = model(target, model.condition(changed, layout))
    torch.testing.assert_close(torch.stack(steps, 1), whole, rtol=0, atol=1e-11)
    torch.testing.assert_close(torch.cat(alone), whole, rtol=0, atol=1e-11)
    assert float((other - whole).abs().amax((1, 2)).min()) > 1e-9, "a target that is deaf to its source"


def test_a_source_whose_core_has_slots_and_vectors_is_read() -> None:
    spec = made("gru", "scaled").spec
    layers = [{"kind": "attention", "width": 16, "heads": 2}, {"kind": "gru", "width": 16}]
    source = {"embedder": spec["source"]["embedder"], "core": {"layers": layers}}
    model = build(spec | {"source": source}).eval()
    with torch.no_grad():
        model.read(
            torch.zeros(4, 1, dtype=torch.long), model.read_source(some(), Layout.of_lengths(LENGTHS, 6))
        )  # type: ignore[operator]


def test_rows_of_sources_of_unequal_lengths_join_a_batch() -> None:
    model = made("gru", "scaled")
    with torch.no_grad():
        few, many = some(2, 3), some(1, 7, seed=2)
        state = put(model.read_source(few), torch.tensor([1]), model.read_source(many))
        said, _ = model.read(torch.zeros(2, 1, dtype=torch.long), state)
        first, _ = model.read(torch.zeros(1, 1, dtype=torch.long), model.read_source(few[:1]))
        second, _ = model.read(torch.zeros(1, 1, dtype=torch.long), model.read_source(many))
    torch.testing.assert_close(said, torch.cat([first, second]), rtol=0, atol=1e-12)


def test_siblings_change_places_and_the_memory_stays() -> None:
    model = made("lstm", "dot")
    state = model.read_source(some(1, 4).expand(3, 4))
    turned = pick(fork(state), torch.tensor([2, 0, 1]), siblings=True)
    assert turned.core[-1].keys.data_ptr() != state.core[-1].keys.data_ptr()  # the fork's
    kept = fork(state)
    assert pick(kept, torch.tensor([2, 0, 1]), siblings=True).core[-1] is kept.core[-1]


def test_a_target_that_could_not_hear_its_source_is_refused() -> None:
    with pytest.raises(UserError, match="would hear nothing of it"):
        made("transformer", "none")
    with pytest.raises(UserError, match="is named by model.reader"):
        made("bilstm", "dot")
    with pytest.raises(UserError, match="bag"):
        made("gru", "dot", "bag")
    with pytest.raises(UserError, match="the context enters a recurrent cell, and transformer has none"):
        made("transformer", "recurrent")
    with pytest.raises(UserError, match="only score='scaled' has several heads"):
        build(_with(made("gru", "dot").spec, heads=2))
    with pytest.raises(UserError, match="score='dot' multiplies a target of 16 by a source of 8"):
        build(_with(made("gru", "dot").spec, source=8))


def _with(spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    layers = spec["core"]["layers"]
    return spec | {"core": spec["core"] | {"layers": [*layers[:-1], layers[-1] | more]}}


def test_a_mixer_that_reads_a_source_says_so() -> None:
    model = made("gru", "recurrent")
    with pytest.raises(UserError, match="reads a source"):
        model(some(), None)
    with pytest.raises(UserError, match="reads a source"):
        model.start(2)


def test_a_probe_hears_where_each_step_looked() -> None:
    model, heard = made("transformer", "scaled"), []
    with torch.no_grad(), listen(lambda name, value: heard.append((name, value))):
        model(some(4, 5), model.condition(some(), Layout.of_lengths(LENGTHS, 6)))
    looks = [
        value for name, value in heard if name == "weights" and value.shape[-1] == 6 and value.shape[-2] == 5
    ]
    assert len(looks) == 4
    for look in looks:
        torch.testing.assert_close(look.sum(-1), torch.ones_like(look[..., 0]))
        assert float(look[1, :, :, 3:].abs().max()) == 0  # its source has 3 steps


def test_one_table_for_both_sides() -> None:
    own, shared = made("gru", "dot"), made("gru", "dot", shared=True, tied=True)
    assert shared.source.embedder is shared.embedder
    assert shared.parameter_count() == own.parameter_count() - 2 * 9 * 16
    assert made("gru", "dot").fixed_state and not made("transformer", "scaled").fixed_state


def test_smoothing_is_for_training_only() -> None:
    plain, smooth = (build(made("gru", "dot", smoothing=s).spec).head for s in (0.0, 0.2))
    logits, target = torch.randn(2, 3, 9), torch.randint(9, (2, 3))
    assert float(plain.loss(logits, target)[0]) != pytest.approx(float(smooth.loss(logits, target)[0]))
    smooth.eval()
    assert float(plain.loss(logits, target)[0]) == pytest.approx(float(smooth.loss(logits, target)[0]))


class Reversals:
    """Batches of sequences to be reversed."""

    carried, notes, batch_size = False, (), 32

    def batch(self, step: int) -> Batch:
        draw = np.random.default_rng(step)
        sizes = draw.integers(1, 7, 32)
        source, y = np.zeros((32, 6), np.int64), np.zeros((32, 7), np.int64)
        for row, n in enumerate(sizes):
            source[row, :n] = draw.integers(1, 9, n)
            y[row, :n] = source[row, :n][::-1]
        x = np.concatenate([np.zeros((32, 1), np.int64), y[:, :-1]], 1)
        lengths = torch.from_numpy(sizes)
        return Batch(
            torch.from_numpy(x), torch.from_numpy(y), None, lengths + 1, torch.from_numpy(source), lengths
        )


@pytest.mark.parametrize(
    ("kind", "attention"), [("gru", "dot"), ("transformer", "scaled"), ("gru", "recurrent")]
)
def test_it_learns_to_reverse(kind: str, attention: str) -> None:
    torch.manual_seed(0)
    model = build(paired(kind, {"kind": "tokens", "vocabulary": 9}, 9, attention=attention, width=32))
    settings = Settings(0, 5e-3, (0.9, 0.98), 0.0, 10, 1.0, 0.0, 2, False)
    learner = Learner(
        model, adamw(plain(model).parts, 5e-3, (0.9, 0.98), 0.0), Reversals(), settings, Progress(Plan())
    )  # type: ignore[arg-type]
    before = learner.compute(learner.next_batch())
    learner.optimizer.zero_grad()
    for _ in range(150):
        learner.update(learner.next_batch())
    after = learner.compute(learner.next_batch())
    assert after.nats / after.targets < 0.5 * before.nats / before.targets
    assert learner.suspects() == []
