"""The law over the registry, and a broken mixer for every check: a check that can't fail proves nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unrolled import law
from unrolled.errors import CheckFailed, UserError
from unrolled.layout import Layout, select
from unrolled.mixer import Mixer, Reach
from unrolled.mixers import MIXERS, Bidirectional
from unrolled.mixers.scan import doubling_scan, linear_scan, linear_scan_reference
from unrolled.model import PRESETS, Core, build, preset
from unrolled.state import Source, Tail, last, leaves

VARIANTS: dict[str, list[dict]] = {
    "rnn": [{}, {"nonlinearity": "relu"}, {"inputs": 5}],
    "lstm": [{}, {"inputs": 5}],
    "gru": [{}, {"inputs": 5}],
    "conv": [{}, {"kernel": 3, "dilation": 4, "activation": "relu"}, {"kernel": 1}, {"depthwise": True}],
    "mingru": [{}, {"inputs": 5, "expansion": 1.5}],
    "window": [{"context": 6}],
    "attention": [
        {"heads": 2},
        {"heads": 4, "kv_heads": 2, "bias": True},
        {"heads": 2, "window": 5},
        {"heads": 2, "window": 1},
        {"heads": 2, "causal": False, "rotary": False},
        {"heads": 2, "size": 6, "rotary": 500.0, "bias": "qkv"},
    ],
    "ffn": [{}, {"activation": "swiglu", "hidden": 12}, {"activation": "gelu_tanh", "bias": False}],
    "norm": [{}, {"of": "rms"}],
    "positions": [{}, {"length": 80, "offset": 3}],
    "pool": [{"reduce": how} for how in ("last", "mean", "max", "attention")],
    "bidirectional": [{"of": "gru"}, {"of": "lstm"}, {"of": "rnn"}],
}
VARIANTS |= {
    "cross": [
        {"score": "dot", "merge": "tanh"},
        {"score": "scaled", "heads": 2},
        {"score": "general", "inputs": 5, "source": 8},
        {"score": "additive", "inputs": 5, "source": 8, "merge": "tanh"},
    ],
    "bahdanau": [{"inputs": 5, "source": 8}],
}
CASES = [(kind, options) for kind in MIXERS for options in VARIANTS.get(kind, [{}])]
NOT_WITHOUT = {"with state = without": "without a state it has no source"}


def source_of(mixer: Mixer, dtype: torch.dtype) -> Source | None:
    """For three rows: a whole source, half of one, none at all; garbage in its padding."""
    if not mixer.conditioned:
        return None
    values, valid = torch.randn(3, 5, 8, dtype=dtype), torch.arange(5)[None] < torch.tensor([[5], [2], [0]])
    return Source(values.where(valid[..., None], torch.nan), valid)


def stirred(mixer: Mixer) -> Mixer:
    """Biases that begin at zero hide mistakes."""
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return mixer


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("kind", "options"), CASES, ids=[f"{kind}-{options}" for kind, options in CASES])
def test_every_registered_mixer_obeys_the_law(kind: str, options: dict, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    mixer = stirred(MIXERS[kind](8, **options)).to(dtype)
    report = law.check(mixer, source_of(mixer, dtype)).require()
    allowed = 1e-12 if dtype == torch.float64 else 1e-5
    assert all(
        f.error <= (allowed * 10 if "gradient" in f.check else allowed) for f in report.findings.values()
    )
    assert report.unchecked == (NOT_WITHOUT if mixer.conditioned else {})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_a_mixed_stack_obeys_the_law(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    kinds = [
        ("positions", {}),
        ("lstm", {}),
        ("attention", {"heads": 2}),
        ("ffn", {}),
        ("mingru", {}),
        ("conv", {}),
    ]
    kinds += [("attention", {"heads": 2, "window": 4}), ("gru", {}), ("pool", {"reduce": "attention"})]
    for norm, cuts in (("before", 200), ("after", 20), (None, 20)):
        core = Core(
            [MIXERS[kind](8, **options) for kind, options in kinds], norm=norm, residual=norm is not None
        )
        law.check(core.to(dtype), cuts=cuts).require()


@pytest.mark.parametrize("kind", PRESETS)
def test_every_preset_obeys_the_law(kind: str) -> None:
    torch.manual_seed(0)
    model = build(preset(kind, 11, width=16, layers=2)).double()
    draw = lambda batch, time, generator: torch.randint(0, 11, (batch, time), generator=generator)  # noqa: E731
    law.check(model, inputs=draw, cuts=40).require()


class Sum(Mixer):
    """A correct running sum, to be broken below."""

    def start(self, batch, capacity=0, source=None):
        return self.zeros(batch, self.width)

    def acts(self, x, layout):
        a = torch.ones_like(x)
        if layout is None:
            return a, x
        return torch.where(layout.valid[..., None], select(~layout.start, a), 1.0), select(layout.valid, x)

    def forward(self, x, state=None, layout=None):
        h = self.zeros(len(x), self.width) if state is None else state
        y = linear_scan_reference(*self.acts(x, layout), h)
        return y, None if state is None else last(y)


class LeakyPadding(Sum):
    def acts(self, x, layout):
        return (torch.ones_like(x) if layout is None else select(~layout.start, torch.ones_like(x))), x


class ForgetsNothing(Sum):
    def acts(self, x, layout):
        return torch.ones_like(x), x if layout is None else select(layout.valid, x)


class RestartsEachCall(Sum):
    def forward(self, x, state=None, layout=None):
        y, _ = super().forward(x, None if state is None else state * 0, layout)
        return y, None if state is None else last(y)


class LooksAhead(Sum):
    def forward(self, x, state=None, layout=None):
        y, after = super().forward(x, state, layout)
        return y + 1e-3 * x.roll(-1, 1), after


class Detaches(Sum):
    def forward(self, x, state=None, layout=None):
        return super().forward(x, None if state is None else state.detach(), layout)


class WrongStrides(Sum):
    def forward(self, x, state=None, layout=None):
        y, after = super().forward(x, state, layout)
        return y, None if after is None else after.T.contiguous().T


class SharedLeaves(Sum):
    def start(self, batch, capacity=0, source=None):
        zeros = self.zeros(batch, self.width)
        return (zeros, zeros)

    def forward(self, x, state=None, layout=None):
        y, after = super().forward(x, None if state is None else state[0], layout)
        return y, None if after is None else (after, after.clone())


class DecaysInPadding(Sum):
    """Zeroes its inputs there, and still lets the state fade."""

    def acts(self, x, layout):
        a = torch.full_like(x, 0.9)
        return (a, x) if layout is None else (select(~layout.start, a), select(layout.valid, x))


class ReadsBackwardsThroughPadding(Bidirectional):
    def forward(self, x, state=None, layout=None):
        if layout is not None:
            x = select(layout.valid, x)
            layout = Layout(torch.ones_like(layout.valid), layout.start)
        return super().forward(x, state, layout)


class SmallRestarts(Sum):
    """Wrong in everything, at a scale where an absolute 1e-12 looks like nothing."""

    def forward(self, x, state=None, layout=None):
        y, after = super().forward(x, None if state is None else state * 0, layout)
        return y * 1e-14, None if after is None else after * 1e-14


class KeepsTheCallOfOneRow(Sum):
    """`contiguous` copies nothing where one row is all there is."""

    def forward(self, x, state=None, layout=None):
        y, after = super().forward(x, state, layout)
        return y.clone(), None if after is None else y[:, -1].contiguous()


class SharesWithItsOutput(Sum):
    def forward(self, x, state=None, layout=None):
        y, after = super().forward(x, state, layout)
        return (y, after) if after is None or x.shape[1] == 1 else (y, y[:, -1])


class SharesAfterTheCall(Sum):
    def start(self, batch, capacity=0, source=None):
        return (self.zeros(batch, self.width), self.zeros(batch, self.width))

    def forward(self, x, state=None, layout=None):
        y, after = super().forward(x, None if state is None else state[0], layout)
        return y, None if after is None else (after, after)


class StartsTwiceTheSame(Sum):
    def start(self, batch, capacity=0, source=None):
        known = self.__dict__.setdefault("known", {})
        return known.setdefault(batch, self.zeros(batch, self.width))


class OtherStructure(Sum):
    def forward(self, x, state=None, layout=None):
        y, after = super().forward(x, state[0] if isinstance(state, tuple) else state, layout)
        return y, None if after is None else (after,)

    def check(self, state, batch):
        pass


class CountsInPython(Sum):
    def start(self, batch, capacity=0, source=None):
        return (self.zeros(batch, self.width), 0)

    def forward(self, x, state=None, layout=None):
        y, after = super().forward(x, None if state is None else state[0], layout)
        return y, None if after is None else (after, state[1] + x.shape[1])


class OneStepShort(Sum):
    def forward(self, x, state=None, layout=None):
        y, after = super().forward(x, state, layout)
        return y[:, :-1], after


class ReturnsStateUnasked(Sum):
    def forward(self, x, state=None, layout=None):
        return super().forward(x, self.start(len(x)) if state is None else state, layout)


class ClaimsTooLittle(Sum):
    reach = Reach(past=3)


class ClaimsTooMuch(Mixer):
    reach = Reach(past=4)

    def forward(self, x, state=None, layout=None):
        return x * 2, state


class StreamsBackwards(Mixer):
    reach = Reach(float("inf"), float("inf"))

    def forward(self, x, state=None, layout=None):
        return x, state


class KeepsStateInABuffer(Sum):
    def __init__(self, width):
        super().__init__(width)
        self.register_buffer("memory", torch.zeros(3, width))

    def start(self, batch, capacity=0, source=None):
        return self.memory if batch == 3 else super().start(batch)


class StaleTail(MIXERS["conv"]):
    """Forgets to forget: the tail still holds the document before."""

    def forward(self, x, state=None, layout=None):
        if state is not None:
            state = Tail(state.items, torch.full_like(state.seen, 99))
        return super().forward(x, state, layout)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (LeakyPadding, "padding changes nothing"),
        (DecaysInPadding, "only padding"),
        (ReadsBackwardsThroughPadding, "ragged = alone"),
        (SmallRestarts, "random cuts"),
        (KeepsTheCallOfOneRow, "state: bytes"),
        (SharesWithItsOutput, "state: storage of its own"),
        (SharesAfterTheCall, "state: storage of its own"),
        (StartsTwiceTheSame, "state: storage of its own"),
        (OtherStructure, "state: structure"),
        (CountsInPython, "state: tensors only"),
        (OneStepShort, "random cuts"),
        (ForgetsNothing, "packed = one by one"),
        (RestartsEachCall, "random cuts"),
        (LooksAhead, "causality"),
        (Detaches, "gradients across cuts"),
        (WrongStrides, "state: strides"),
        (SharedLeaves, "state: storage of its own"),
        (ReturnsStateUnasked, "no state in, no state out"),
        (ClaimsTooLittle, "declared reach"),
        (ClaimsTooMuch, "declared reach"),
        (StreamsBackwards, "start of what can't stream"),
        (KeepsStateInABuffer, "state: storage of its own"),
        (StaleTail, "100 documents|random cuts"),
    ],
)
def test_a_broken_mixer_is_caught_by_name(broken: type[Mixer], check: str) -> None:
    torch.manual_seed(0)
    report = law.check(stirred(broken(8)).double(), cuts=40)
    failed = [f.check for f in report.findings.values() if not f.held]
    assert any(name.startswith(part) for part in check.split("|") for name in failed), str(report)
    with pytest.raises(CheckFailed, match="BROKEN"):
        report.require()


@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
def test_the_mixer_that_is_broken_above_was_whole(scale: float) -> None:
    class Scaled(Sum):
        def forward(self, x, state=None, layout=None):
            y, after = super().forward(x * scale, state, layout)
            return y, after

    report = law.check(Scaled(8), cuts=20).require()
    assert "(" not in str(report).partition("holds")[2]  # what holds carries no complaint


class NaNLeaks(Core):
    """A core whose door is open."""

    def forward(self, x, state=None, layout=None):
        if x.shape[1] == 0:
            return super().forward(x, state, layout)
        y, after = self.layers[0](x, None if state is None else state[0], layout)
        return y, None if state is None else (after,)


class Multiplies(Sum):
    """Masks by multiplication: 0 * NaN is NaN."""

    def acts(self, x, layout):
        a, _ = super().acts(x, layout)
        return a, x if layout is None else x * layout.valid[..., None]


def test_nan_in_padding_is_caught_at_a_core() -> None:
    law.check(Core([Multiplies(8)]).double(), cuts=20).require()
    assert not law.check(NaNLeaks([Multiplies(8)]).double(), cuts=20).ok


def test_a_conditioned_mixer_needs_its_source() -> None:
    class Conditioned(Sum):
        conditioned = True

    with pytest.raises(UserError, match="reads a source"):
        law.check(Conditioned(4))


class Looks(Sum):
    """A running sum that adds the mean of its source: the smallest mixer that reads one."""

    conditioned = True

    def start(self, batch, capacity=0, source=None):
        if source is None:
            raise UserError("Looks reads a source.")
        return super().start(batch), select(source.valid, source.values).sum(1)

    def forward(self, x, state=None, layout=None):
        total, seen = state
        y, total = super().forward(x, total, layout)
        return y + seen[:, None], (total, seen.clone())


class LooksAtTheFirstRow(Looks):
    def forward(self, x, state=None, layout=None):
        y, (total, seen) = super().forward(x, state, layout)
        return y - seen[:, None] + seen[:1, None], (total, seen)


def test_a_conditioned_mixer_is_checked_with_its_source() -> None:
    valid = Layout.of_lengths(torch.tensor([5, 2, 4])).valid
    source = Source(torch.randn(3, 5, 4).double(), valid)
    report = law.check(Looks(4).double(), source, cuts=20).require()
    assert list(report.unchecked) == ["with state = without"]
    assert "not checked: without a state it has no source" in str(report)
    assert not law.check(LooksAtTheFirstRow(4).double(), source, cuts=20).ok
    with pytest.raises(UserError, match="the source has 2 rows; it needs 3"):
        law.check(Looks(4), Source(*(leaf[:2] for leaf in source)))


def test_arguments_that_cannot_be_checked_are_refused() -> None:
    with pytest.raises(UserError, match="takes a Mixer, a Core or a Model"):
        law.check(nn.LSTM(4, 4))
    with pytest.raises(UserError, match="cuts is 0"):
        law.check(Sum(4), cuts=0)
    with pytest.raises(UserError, match="at least 2 steps"):
        law.check(Sum(4), time=1)


def test_what_a_mixer_raises_is_a_finding() -> None:
    class Raises(Sum):
        def forward(self, x, state=None, layout=None):
            if layout is not None:
                raise RuntimeError("no layouts here\nand much more")
            return super().forward(x, state, layout)

    report = law.check(Raises(4), cuts=5)
    assert report.findings["random cuts"].where == "raised RuntimeError: no layouts here"
    assert report.findings["state: structure"].held and not report.ok


def test_a_check_leaves_no_trace() -> None:
    core = Core([MIXERS["ffn"](4), Sum(4)])
    core.layers[0].eval()
    with torch.inference_mode():
        law.check(core, cuts=2, time=4).require()
    assert [m.training for m in (core, *core.layers)] == [True, False, True]
    assert not law.check(Detaches(4), cuts=2).ok
    law.check(Sum(4).half(), cuts=2)


@pytest.mark.parametrize("scan", [linear_scan, doubling_scan])
def test_scans_have_second_derivatives(scan) -> None:
    torch.manual_seed(0)
    a, b = (torch.rand(2, 5, 3).double().requires_grad_() for _ in range(2))
    h = torch.randn(2, 3).double().requires_grad_()
    assert torch.autograd.gradgradcheck(scan, (a, b, h))
    penalty = []
    for function in (scan, linear_scan_reference):
        first = torch.autograd.grad(function(a, b, h).square().sum(), (a, b, h), create_graph=True)
        penalty.append(torch.autograd.grad(sum(g.square().sum() for g in first), (a, b, h)))
    for got, want in zip(*penalty, strict=True):
        torch.testing.assert_close(got, want)
    torch.func.grad(lambda x: scan(x, b.detach(), h.detach()).sum())(a.detach())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_are_kept_in_float32_at_least(dtype: torch.dtype) -> None:
    for how in ("mean", "attention"):
        pool = MIXERS["pool"](2, reduce=how).to(dtype).eval()
        y, state = pool(torch.ones(1, 4000, 2, dtype=dtype), pool.start(1))
        assert y.dtype == dtype and state.total.dtype == torch.float32
        torch.testing.assert_close(y, torch.ones_like(y), atol=1e-2, rtol=0)
    mingru = MIXERS["mingru"](4, expansion=2.0).to(dtype)
    y, state = mingru(torch.ones(1, 3, 4, dtype=dtype), mingru.start(1))
    assert y.dtype == dtype and state.dtype == mingru.start(1).dtype == torch.float32


def test_autocast_changes_no_dtype_of_a_state() -> None:
    core = Core([MIXERS[kind](8) for kind in ("ffn", "mingru")] + [MIXERS["pool"](8, reduce="mean")]).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        begin = core.start(1)
        y, end = core(torch.ones(1, 3000, 8), begin)
    assert [leaf.dtype for _, leaf in leaves(end)] == [leaf.dtype for _, leaf in leaves(core.start(1))]
    torch.testing.assert_close(y[0, -1], y[0, 2000], atol=1e-2, rtol=1e-2)


def test_of_equal_values_the_latest_has_the_gradient_with_and_without_a_layout() -> None:
    pool, x = MIXERS["pool"](1, reduce="max"), torch.tensor([[[1.0], [1.0], [0.0]]])
    on = torch.ones(1, 3, dtype=torch.bool)
    for layout in (None, Layout(on, ~on)):
        raw = x.clone().requires_grad_()
        pool(raw, None, layout)[0][:, 2].sum().backward()
        assert raw.grad.flatten().tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("scan", [linear_scan, doubling_scan])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_scans_equal_the_reference_with_gradients(scan, time: int) -> None:
    torch.manual_seed(0)
    a, b, h = torch.rand(3, time, 4).double(), torch.randn(3, time, 4).double(), torch.randn(3, 4).double()
    a[:, ::5] = 0
    results = []
    for function in (scan, linear_scan_reference):
        leaves = [leaf.clone().requires_grad_() for leaf in (a, b, h)]
        y = function(*leaves)
        results.append(
            [y, *torch.autograd.grad((y * torch.linspace(0, 1, y.numel()).view_as(y)).sum(), leaves)]
        )
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_a_mixer_from_a_paper_is_one_class_and_one_line() -> None:
    """The acid test: a new kind joins specs, cores and the law without another change."""
    MIXERS["sum"] = Sum
    try:
        model = build(preset("sum", 9, width=8)).double()
        logits, state = model(torch.zeros(2, 3, dtype=torch.long), model.start(2))
        assert logits.shape == (2, 3, 9) and model.fixed_state
    finally:
        del MIXERS["sum"]


def test_layout_refuses_padding_on_the_left() -> None:
    valid = torch.tensor([[False, True]])
    with pytest.raises(UserError, match="Put padding on the right"):
        Layout(valid, torch.zeros_like(valid)).checked(1, 2)


def test_the_probe_hears_every_gate_and_changes_nothing() -> None:
    from unrolled.mixer import listen

    torch.manual_seed(0)
    for kind, name in (
        ("lstm", "forget"),
        ("gru", "update"),
        ("rnn", "hidden"),
        ("mingru", "update"),
        ("attention", "weights"),
    ):
        mixer = MIXERS[kind](8).double().eval()
        x = torch.randn(2, 6, 8).double()
        want, _ = mixer(x, mixer.start(2, 8))
        heard: dict[str, list[torch.Tensor]] = {}
        with listen(lambda key, value, heard=heard: heard.setdefault(key, []).append(value)):
            got, _ = mixer(x, mixer.start(2, 8))
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
        assert name in heard


def test_modules_without_parameters_have_a_home() -> None:
    assert isinstance(MIXERS["pool"](4, reduce="mean").double().start(2).total, torch.Tensor)
    assert nn.Sequential(MIXERS["pool"](4)).state_dict() == {}
