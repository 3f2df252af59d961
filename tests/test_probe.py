"""The probe: what it records makes the model's own output, and nothing of it is left when it is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tiny_models import STREAMING, writer_of
from unrolled.errors import UserError
from unrolled.inspection.probe import evenly, probe
from unrolled.inspection.trace import INDEX, TENSORS, Trace
from unrolled.layout import Layout
from unrolled.mixer import Mixer, listen, listening, note
from unrolled.mixers import MIXERS
from unrolled.mixers.convolution import ACTIVATIONS
from unrolled.mixers.feedforward import ACTIVATIONS as POINTWISE
from unrolled.model import Core, build, paired, preset
from unrolled.state import Source

WIDTH, CLOSE = 8, 1e-6


def made(kind: str, **options: Any) -> Mixer:
    torch.manual_seed(3)
    mixer = MIXERS[kind](WIDTH, **options).eval()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return mixer


def inputs(seed: int = 0, rows: int = 3, steps: int = 7) -> Tensor:
    return torch.randn(rows, steps, WIDTH, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=CLOSE, atol=CLOSE)


def before(states: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)


def from_lstm(mixer: Any, heard: dict[str, Tensor], x: Tensor) -> Tensor:
    c = heard["forget"] * before(heard["cell"]) + heard["input"] * heard["candidate"]
    close(c, heard["cell"])
    return heard["output"] * c.tanh()


def from_gru(mixer: Any, heard: dict[str, Tensor], x: Tensor) -> Tensor:
    z = heard["update"]
    return (1 - z) * heard["candidate"] + z * before(heard["hidden"])


def from_mingru(mixer: Any, heard: dict[str, Tensor], x: Tensor) -> Tensor:
    z = heard["update"]
    h = (1 - z) * before(heard["hidden"]) + z * heard["candidate"]
    close(h, heard["hidden"])
    return mixer.out(h)


def from_attention(mixer: Any, heard: dict[str, Tensor], x: Tensor) -> Tensor:
    v = mixer.project(x)[..., -WIDTH:].unflatten(-1, (mixer.heads, -1)).transpose(1, 2)
    return mixer.out((heard["weights"] @ v).transpose(1, 2).flatten(2))


def from_conv(mixer: Any, heard: dict[str, Tensor], x: Tensor) -> Tensor:
    return heard["output"]


def from_ffn(mixer: Any, heard: dict[str, Tensor], x: Tensor) -> Tensor:
    close(heard["hidden"], POINTWISE[mixer.activation](mixer.widen(x)))
    return mixer.narrow(heard["hidden"])


AGAIN = {
    "rnn": lambda mixer, heard, x: heard["hidden"],
    "lstm": from_lstm,
    "gru": from_gru,
    "mingru": from_mingru,
    "conv": from_conv,
    "window": from_conv,
    "attention": from_attention,
    "ffn": from_ffn,
    "pool": lambda mixer, heard, x: heard["pooled"],
    "positions": lambda mixer, heard, x: heard["y"],
    "norm": lambda mixer, heard, x: heard["y"],
}
CONDITIONED = {"cross", "bahdanau"}


@pytest.mark.parametrize("kind", sorted(AGAIN))
def test_what_is_heard_makes_the_mixers_own_output(kind: str) -> None:
    """Equal to the output without a probe, whose engines take other ways."""
    mixer, x = made(kind), inputs()
    with torch.no_grad():
        want, _ = mixer(x)
        trace = probe(mixer, x)
        heard = {one.name: one.value for one in trace.heard}
        close(AGAIN[kind](mixer, heard, x), want)
    close(heard["y"], want)
    close(trace.prediction[0] if isinstance(trace.prediction, tuple) else trace.prediction, want)


def test_every_kind_has_its_row() -> None:
    assert {*AGAIN, *CONDITIONED, "bidirectional"} == set(MIXERS)


@pytest.mark.parametrize("of", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("ragged", [False, True])
def test_both_directions_are_heard_in_the_rows_order(of: str, ragged: bool) -> None:
    mixer, x = made("bidirectional", of=of), inputs()
    layout = Layout.of_lengths(torch.tensor([7, 4, 1]), 7, fresh=True) if ragged else None
    with torch.no_grad():
        want, _ = mixer(x, None, layout)
    trace = probe(mixer, x, layout=layout)
    both = [trace.find(way, "hidden").value for way in ("forwards", "backwards")]
    real = layout.valid if layout is not None else torch.ones(3, 7, dtype=torch.bool)
    close(torch.cat(both, 2)[real], want[real])


@pytest.mark.parametrize("kind", sorted(CONDITIONED))
def test_a_look_at_a_source_is_heard(kind: str) -> None:
    mixer, x = made(kind), inputs()
    source = Source(inputs(1, 3, 5), torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 5]))
    state = mixer.start(3, source=source)
    with torch.no_grad():
        want, _ = mixer(x, state)
        trace = probe(mixer, x, state)
        weights = trace.find(kind, "weights")
        assert weights.axes == ("row", "head", "step", "source") and weights.value.shape == (3, 1, 7, 5)
        look = mixer if kind == "cross" else mixer.attention
        memory = look.start(3, source=source)
        context = (weights.value @ memory.values).transpose(1, 2).flatten(2)
        if kind == "cross":
            close(look.out(context), want)
        else:
            hidden = trace.find("cell", "hidden").value
            close(torch.tanh(look.out(torch.cat([context, hidden], -1))), want)
    assert float(weights.value[1, :, :, 3:].abs().max()) == 0


@pytest.mark.parametrize("kind", STREAMING)
@pytest.mark.parametrize("ragged", [False, True])
def test_a_probed_model_says_what_it_says_unprobed(kind: str, ragged: bool) -> None:
    """And what the top layer gave, passed through the head, is that prediction."""
    model = writer_of(kind)
    x = torch.randint(1, model.task.codec.size, (3, 9), generator=torch.Generator().manual_seed(0))
    layout = Layout.of_lengths(torch.tensor([9, 5, 1]), 9, fresh=True) if ragged else None
    real = layout.valid if layout is not None else torch.ones(3, 9, dtype=torch.bool)
    with torch.no_grad():
        want, _ = model(x, None, layout)
        trace = probe(model, x, layout=layout)
        close(trace.prediction[real], want[real])
        close(model.head(trace.find("core", "y").value)[real], want[real])
    assert trace.tokens[0][0] == model.task.codec.token_text(int(x[0, 0]))
    assert trace.find("embedder", "y").kind == "tokens"


@pytest.mark.parametrize("kind", STREAMING)
def test_step_by_step_it_hears_what_one_call_hears(kind: str) -> None:
    model = writer_of(kind)
    x = torch.randint(1, model.task.codec.size, (2, 6), generator=torch.Generator().manual_seed(0))
    whole, state = probe(model, x), model.start(2, 8)
    for t in range(6):
        step = probe(model, x[:, t : t + 1], state)
        state = step.state
        for one in step.heard:
            other = whole.find(one.layer, one.name).value
            if one.value.ndim == 3:
                close(one.value[:, 0], other[:, t])
            else:  # the last column is this step's own
                seen = min(t + 1, one.value.shape[3])
                close(one.value[:, :, 0, -seen:], other[:, :, t, t + 1 - seen : t + 1])


def test_nothing_of_it_stays() -> None:
    """No hook, no listener, no gradient, the same mode, the same bits: the way without a probe is as it was."""
    model = writer_of("gru")
    model.core.layers[0].train()
    x = torch.randint(1, model.task.codec.size, (2, 6))
    modes = [part.training for part in model.modules()]
    first = model(x)[0]
    probe(model, x, loss=lambda said: said.sum())
    with pytest.raises(UserError):
        probe(model, x, only=["nothing"])
    assert not listening() and torch.equal(first, model(x)[0])
    assert modes == [part.training for part in model.modules()]
    for part in model.modules():
        assert not part._forward_hooks and not part._forward_pre_hooks
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", "mingru"])
def test_a_gradient_goes_through_all_later_steps(kind: str) -> None:
    """dL/dh_t against a difference quotient: the state before the rest of the row, moved a little."""
    torch.manual_seed(0)
    mixer = MIXERS[kind](4, inputs=3).double().eval()
    x = torch.randn(1, 6, 3, dtype=torch.float64)
    mixed = torch.randn(4, dtype=torch.float64)

    def loss(y: Tensor) -> Tensor:
        return (y[:, -1] @ mixed).sum()

    trace = probe(mixer, x, loss=lambda said: loss(said))
    grad = trace.find(kind, "hidden").grad
    assert grad is not None and trace.loss is not None
    with torch.no_grad():
        t = 2
        _, state = mixer(x[:, : t + 1], mixer.start(1))
        for unit in range(4):
            moved = []
            for step in (1e-6, -1e-6):
                leaf = state if isinstance(state, Tensor) else state[0]
                other = leaf.clone()
                other[0, unit] += step
                kept = other if isinstance(state, Tensor) else state._replace(hidden=other)
                moved.append(float(loss(mixer(x[:, t + 1 :], kept)[0])))
            assert abs((moved[0] - moved[1]) / 2e-6 - float(grad[0, t, unit])) < 1e-7


def test_frozen_weights_have_gradients_too() -> None:
    model = writer_of("transformer").requires_grad_(False)
    x = torch.randint(1, model.task.codec.size, (1, 5))
    trace = probe(model, x, loss=lambda said: said[:, -1].logsumexp(-1).sum())
    grad = trace.find("embedder", "y").grad
    assert grad is not None and float(grad.abs().max()) > 0
    weights = trace.find("core.layers.0", "weights").grad
    assert weights is not None and weights.shape == (1, 4, 5, 5)


def test_both_sides_of_a_translator_are_heard() -> None:
    torch.manual_seed(0)
    table = {"kind": "tokens", "vocabulary": 9}
    for shared in (False, True):
        model = build(paired("gru", table, 9, width=8, layers=1, shared=shared)).eval()
        source, target = torch.randint(1, 9, (2, 4)), torch.randint(1, 9, (2, 6))
        layout = Layout.of_lengths(torch.tensor([4, 2]), 4, fresh=True)
        trace = probe(model, target, source=(source, layout), loss=lambda said: said.sum())
        with torch.no_grad():
            close(trace.prediction, model(target, model.condition(source, layout))[0])
        assert trace.find("source.embedder", "y").value.shape == (2, 4, 8)
        assert trace.find("embedder", "y").value.shape == (2, 6, 8)
        assert trace.find("core.layers.1", "weights").value.shape == (2, 1, 6, 4)
        back = trace.find("source.core.layers.0.backwards", "hidden")
        assert back.value.shape == (2, 4, 4) and back.grad is not None
        assert float(back.grad[1, 2:].abs().max()) == 0  # padding was never read


def test_a_trace_is_kept_and_read(tmp_path: Path) -> None:
    model = writer_of("lstm")
    x = torch.randint(1, model.task.codec.size, (2, 5))
    trace = probe(model, x, loss=lambda said: said.sum())
    again = Trace.load(trace.save(tmp_path / "t"))
    assert again.spec == trace.spec and again.tokens == trace.tokens and again.loss == trace.loss
    assert again.layers == trace.layers
    for one, other in zip(trace.heard, again.heard, strict=True):
        assert (one.path, one.kind, one.whole) == (other.path, other.kind, other.whole)
        assert torch.equal(one.value, other.value)
        assert (one.grad is None) == (other.grad is None)
    assert torch.equal(again.inputs, x) and torch.equal(again.prediction, trace.prediction)


def test_a_trace_that_isnt_one_is_refused_in_words(tmp_path: Path) -> None:
    model = writer_of("rnn")
    folder = probe(model, torch.ones(1, 3, dtype=torch.int64)).save(tmp_path)
    index = json.loads((folder / INDEX).read_bytes())
    with pytest.raises(UserError, match="not a trace"):
        Trace.load(tmp_path / "nowhere")
    (folder / INDEX).write_text(json.dumps(index | {"format": 7}))
    with pytest.raises(UserError, match=r"format 7; this version reads format 1. Probe the model once more"):
        Trace.load(folder)
    (folder / INDEX).write_text(json.dumps({k: v for k, v in index.items() if k != "heard"}))
    with pytest.raises(UserError, match="damaged"):
        Trace.load(folder)
    (folder / INDEX).write_text("[1")
    with pytest.raises(UserError, match="not a trace"):
        Trace.load(folder)
    (folder / INDEX).write_text(json.dumps(index))
    data = bytearray((folder / TENSORS).read_bytes())
    data[-1] ^= 1
    (folder / TENSORS).write_bytes(data)
    with pytest.raises(UserError, match="its bytes aren't those"):
        Trace.load(folder)
    (folder / TENSORS).unlink()
    with pytest.raises(UserError, match="can't be read"):
        Trace.load(folder)


@pytest.mark.parametrize("grad", [False, True])
def test_what_is_too_large_is_sampled_and_says_so(grad: bool) -> None:
    model = writer_of("transformer")
    x = torch.randint(1, model.task.codec.size, (4, 6))
    loss = (lambda said: said.sum()) if grad else None
    whole = probe(model, x, loss=loss)
    cut = probe(model, x, loss=loss, most=40)
    for one in cut.heard:
        full = whole.find(one.layer, one.name)
        assert one.value.numel() <= 40 and one.whole == tuple(full.value.shape)
        for given, other in ((one.value, full.value), (one.grad, full.grad)):
            if given is None or other is None:
                continue
            for number, axis in enumerate(one.axes):
                if axis in one.kept:
                    other = other.index_select(number, torch.tensor(one.kept[axis]))
            assert torch.equal(given, other)
    assert any("1 of 4 rows, 6 of 64 units, evenly chosen" in note for note in cut.notes())
    assert any("1 of 4 heads" in note for note in cut.notes()) and whole.notes() == []


def test_only_what_was_asked_for_is_kept() -> None:
    model = writer_of("lstm")
    x = torch.ones(1, 4, dtype=torch.int64)
    assert [one.path for one in probe(model, x, only=["forget"]).heard] == [
        "core.layers.0.forget", "core.layers.1.forget"
    ]  # fmt: skip
    assert probe(model, x, only=["core.layers.1"]).layers == ("core.layers.1",)
    assert len(probe(model, x, only=["core.layers.1.cell", "embedder"]).heard) == 2
    with pytest.raises(UserError, match=r"unknown internal 'forgot'. Did you mean"):
        probe(model, x, only=["hidden", "forgot"])


def test_a_kind_of_ones_own_is_heard() -> None:
    class Odd(Mixer):
        def forward(self, x: Tensor, state: Any = None, layout: Any = None) -> tuple[Tensor, Any]:
            from unrolled.mixer import note

            note("alone", x.mean())
            return x, state

    with pytest.raises(UserError, match=r"note\('alone'\) names \(\)"):
        probe(Core([Odd(WIDTH)]), inputs())
    assert not listening()


def test_other_threads_are_not_heard() -> None:
    from threading import Thread, current_thread, main_thread

    model, other = writer_of("gru"), writer_of("lstm")
    x = torch.ones(1, 4, dtype=torch.int64)

    def meanwhile(said: Tensor) -> Tensor:
        return said.sum()

    class Between(Mixer):
        def forward(self, x: Tensor, state: Any = None, layout: Any = None) -> tuple[Tensor, Any]:
            for each in (model, other) if current_thread() is main_thread() else ():
                thread = Thread(target=lambda each=each: each(torch.ones(1, 9, dtype=torch.int64)))
                thread.start()
                thread.join()
            return x, state

    model.core.layers.append(Between(16))
    model.core.norms.append(torch.nn.Identity())
    trace = probe(model, x, loss=meanwhile)
    assert {one.value.shape[1] for one in trace.heard} == {4}
    assert all(one.kind != "lstm" for one in trace.heard)


def test_wrong_use_is_refused() -> None:
    model = writer_of("rnn")
    x = torch.ones(1, 4, dtype=torch.int64)
    with pytest.raises(UserError, match="only a model that reads a source"):
        probe(model, x, source=x)
    with pytest.raises(UserError, match="it must be one number"):
        probe(model, x, loss=lambda said: said)
    with pytest.raises(UserError, match="most is 0"):
        probe(model, x, most=0)
    with pytest.raises(UserError, match="token ids"):
        probe(model, torch.ones(1, 4))


def test_chosen_evenly() -> None:
    assert evenly(10, 5) == [0, 2, 4, 6, 8] and evenly(7, 3) == [0, 2, 4] and evenly(3, 3) == [0, 1, 2]


def test_convolutions_note_what_they_give() -> None:
    for activation in ACTIVATIONS:
        mixer, x = made("conv", activation=activation, dilation=2), inputs()
        with torch.no_grad():
            close(probe(mixer, x).find("conv", "output").value, mixer(x)[0])


def test_the_presets_are_heard_in_every_layer() -> None:
    for kind in STREAMING:
        model = build(preset(kind, 11, width=8, layers=2)).eval()
        trace = probe(model, torch.randint(0, 11, (1, 5)))
        assert {f"core.layers.{n}" for n in range(len(model.core.layers))} <= set(trace.layers)


def test_one_that_stops_listening_meanwhile_costs_no_other_a_word() -> None:
    """As another thread's probe does that ends while this one is told."""
    heard: list[str] = []
    first = listen(lambda name, value: first.__exit__(None, None, None))
    first.__enter__()
    with listen(lambda name, value: heard.append(name)):
        note("gate", torch.zeros(1))
        note("cell", torch.zeros(1))
    assert heard == ["gate", "cell"] and not listening()
