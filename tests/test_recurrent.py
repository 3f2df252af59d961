"""RNN, LSTM and GRU against torch.nn, which is the oracle: values, gradients, ragged rows, both directions."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.mixers import GRU, LSTM, RNN
from unrolled.mixers.recurrent import recurrent_reference
from unrolled.model import Core, from_torch, to_torch
from unrolled.state import leaves

KINDS = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
LENGTHS = torch.tensor([17, 3, 11, 1, 17])


def close(got: torch.Tensor, want: torch.Tensor, dtype: torch.dtype) -> None:
    """1e-10 in float64, 1e-6 in float32, relative to the largest entry."""
    got, want = got.detach(), want.detach()
    allowed = 1e-10 if dtype == torch.float64 else 1e-6
    assert (got - want).abs().max() <= allowed * max(float(want.abs().max()), 1e-30)


def theirs(module: nn.RNNBase, x: torch.Tensor, lengths: torch.Tensor | None):
    if lengths is None:
        return module(x)
    y, end = module(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0], end


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("ragged", [False, True], ids=["dense", "ragged"])
@pytest.mark.parametrize("both", [False, True], ids=["forwards", "both"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", [*KINDS, "RNN-relu"])
def test_equal_to_torch(kind: str, layers: int, both: bool, ragged: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    name, _, nonlinearity = kind.partition("-")
    options = {"nonlinearity": nonlinearity} if nonlinearity else {}
    module = getattr(nn, name)(6, 8, layers, batch_first=True, bidirectional=both, **options).to(dtype)
    core = from_torch(module)
    x = torch.randn(5, 17, 6, dtype=dtype)
    layout = Layout.of_lengths(LENGTHS, 17) if ragged else None
    weight = torch.randn(5, 17, 8 * (1 + both), dtype=dtype)
    if layout is not None:
        weight = weight * layout.valid[..., None]

    x_theirs, x_ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    want, end = theirs(module, x_theirs, LENGTHS if ragged else None)
    got, state = core(x_ours, None if both else core.start(5), layout)
    if layout is not None:
        got = torch.where(layout.valid[..., None], got, 0.0)
    close(got, want, dtype)
    (want * weight).sum().backward()
    (got * weight).sum().backward()
    close(x_ours.grad, x_theirs.grad, dtype)
    back = to_torch(core)
    for (key, parameter), (_, other) in zip(module.named_parameters(), back.named_parameters(), strict=True):
        assert torch.equal(parameter, other), key
    ours = [p.grad for p in core.parameters() if p.grad is not None]
    for mine, parameter in zip(ours, module.parameters(), strict=True):
        close(mine, parameter.grad, dtype)
    if not both:
        hidden_and_cell = end if name == "LSTM" else (end,)
        flat = [leaf for _, leaf in leaves(state)]
        for number in range(layers):
            for which, leaf in enumerate(hidden_and_cell):  # h and c at each row's last valid step
                close(flat[number * len(hidden_and_cell) + which], leaf[number], dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_a_one_layer_state_dict_loads_as_it_is(kind: str) -> None:
    module = getattr(nn, kind)(6, 8, batch_first=True)
    mixer = KINDS[kind](8, inputs=6)
    mixer.load_state_dict(module.state_dict())
    assert list(mixer.state_dict()) == list(module.state_dict())
    x = torch.randn(2, 5, 6)
    torch.testing.assert_close(mixer(x)[0], module(x)[0])


def test_what_torch_cannot_hold_is_refused() -> None:
    with pytest.raises(UserError, match="proj_size"):
        from_torch(nn.LSTM(4, 4, proj_size=2))
    with pytest.raises(UserError, match="one recurrent kind"):
        to_torch(Core([LSTM(4), GRU(4)]))
    with pytest.raises(UserError, match="one recurrent kind"):
        to_torch(Core([type("Mine", (LSTM,), {})(4)]))
    with pytest.raises(UserError, match="takes a Core, got LSTM"):
        to_torch(LSTM(4))


def test_dropout_is_not_lost_in_silence() -> None:
    module = nn.LSTM(4, 4, 2, dropout=0.5)
    with pytest.raises(UserError, match="got dropout=0.5"):
        from_torch(module)
    module.dropout = 0.0
    from_torch(module)
    for core in (
        Core([LSTM(4)], dropout=0.3),
        Core([LSTM(4)], input_dropout=0.1),
        Core([LSTM(4, weight_drop=0.5)]),
    ):
        with pytest.raises(UserError, match="which torch's module hasn't got"):
            to_torch(core)


@pytest.mark.parametrize("kind", KINDS)
def test_engines_are_told_to_train_whenever_a_gradient_may_be_asked_for(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuDNN has no backward else, in eval mode too."""
    told = []
    name = "rnn_tanh" if kind == "RNN" else kind.lower()
    engine = getattr(torch, name)
    monkeypatch.setattr(torch, name, lambda *given: told.append(given[6]) or engine(*given))
    mixer, x = KINDS[kind](4), torch.randn(2, 3, 4)
    mixer.eval()(x)
    with torch.no_grad():
        mixer.train()(x)
    assert told == [True, False]


def test_initialisation_is_as_documented() -> None:
    torch.manual_seed(0)
    mixer = LSTM(32)
    assert torch.equal(mixer.bias_ih_l0[32:64], torch.ones(32)) and mixer.bias_ih_l0.sum() == 32
    for gate in mixer.weight_hh_l0.chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(32), atol=1e-5, rtol=0)


def test_weight_drop_draws_one_mask_a_call_in_training_only() -> None:
    torch.manual_seed(0)
    mixer, x = LSTM(16, weight_drop=0.5), torch.randn(2, 9, 16)
    assert not torch.equal(mixer(x)[0], mixer(x)[0])
    mixer.eval()
    assert torch.equal(mixer(x)[0], mixer(x)[0])


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_steering_column_that_steers_nothing_is_noticed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """c of a ragged row is torch's c at T unless padding holds it; a start forgets only if a column says so."""
    torch.manual_seed(0)
    mixer = KINDS[kind](8, inputs=6).double()
    x, layout = torch.randn(5, 17, 6).double(), Layout.of_lengths(LENGTHS, 17)
    start = layout.valid & (torch.arange(17) == 2)
    layout = Layout(layout.valid, start)
    want = recurrent_reference(mixer, x, mixer.start(5), layout)
    monkeypatch.setattr("unrolled.mixers.recurrent.SHUT", 0.0)
    y, state = mixer(x, mixer.start(5), layout)
    assert (y - want[0])[layout.valid].abs().max() > 1e-3
    assert kind == "GRU" or (state.cell - want[1][1]).abs().max() > 1e-3


@pytest.mark.parametrize("fresh", [False, True], ids=["going on", "fresh"])
@pytest.mark.parametrize("kind", KINDS)
def test_many_ragged_rows_leave_as_they_end(kind: str, fresh: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 rows of 0 to 70 steps, in several pieces: values, states and all gradients are the reference's."""
    torch.manual_seed(0)
    mixer = KINDS[kind](6, inputs=5).double()
    lengths = torch.randint(0, 71, (40,))
    lengths[:2] = torch.tensor([0, 70])
    layout = Layout.of_lengths(lengths, 70, fresh=fresh)
    data = torch.randn(40, 70, 5, dtype=torch.double)
    data[0] = float("nan")  # a row that is all padding
    begin = mixer.start(40)
    begin = type(begin)(*(torch.randn_like(leaf) for leaf in begin))
    sizes: list[int] = []
    engine = type(mixer).engine

    def counting(self, x, *rest):
        sizes.append(len(x))
        return engine(self, x, *rest)

    monkeypatch.setattr(type(mixer), "engine", counting)
    found = []
    for way in ("mixer", "reference"):
        x = data.clone().requires_grad_()
        state = type(begin)(*(leaf.clone().requires_grad_() for leaf in begin))
        mixer.zero_grad()
        y, end = mixer(x, state, layout) if way == "mixer" else recurrent_reference(mixer, x, state, layout)
        torch.where(layout.valid[..., None], y, 0).sin().sum().backward(retain_graph=True)
        sum(leaf.cos().sum() for leaf in end).backward()
        grads = [x.grad, *(leaf.grad for leaf in state), *(p.grad for p in mixer.parameters())]
        found.append([y[layout.valid], *end, *grads])
    for got, want in zip(*found, strict=True):
        assert got.isfinite().all()
        assert (got - want).abs().max() <= 1e-10 * max(1.0, float(want.detach().abs().max()))
    assert len(sizes) > 2 and sizes == sorted(sizes, reverse=True) and sizes[-1] < sizes[0]


def test_states_keep_their_dtype_under_autocast() -> None:
    mixer, x = LSTM(8), torch.randn(3, 9, 8)
    start = torch.zeros(3, 9, dtype=torch.bool)
    start[1, 4] = True
    for layout in (
        None,
        Layout.of_lengths(torch.tensor([9, 2, 5]), 9),
        Layout(torch.ones_like(start), start),
    ):
        with torch.autocast("cpu", torch.bfloat16):
            _, end = mixer(x, mixer.start(3), layout)
        assert {leaf.dtype for leaf in end} == {torch.float32}
