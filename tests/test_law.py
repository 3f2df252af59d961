"""The law over the registry, and a broken mixer for every check: a check that can't fail proves nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unrolled import law
from unrolled.errors import CheckFailed, UserError
from unrolled.layout import Layout, select
from unrolled.mixer import Mixer, Reach
from unrolled.mixers import MIXERS
from unrolled.mixers.scan import doubling_scan, linear_scan, linear_scan_reference
from unrolled.model import PRESETS, Core, build, preset
from unrolled.state import Tail

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
    ],
    "ffn": [{}, {"activation": "swiglu", "hidden": 12}],
    "pool": [{"reduce": how} for how in ("last", "mean", "max", "attention")],
    "bidirectional": [{"of": "gru"}, {"of": "lstm"}, {"of": "rnn"}],
}
CASES = [(kind, options) for kind in MIXERS for options in VARIANTS.get(kind, [{}])]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("kind", "options"), CASES, ids=[f"{kind}-{options}" for kind, options in CASES])
def test_every_registered_mixer_obeys_the_law(kind: str, options: dict, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    report = law.check(MIXERS[kind](8, **options).to(dtype)).require()
    allowed = 1e-12 if dtype == torch.float64 else 1e-5
    assert all(
        f.error <= (allowed * 10 if "gradient" in f.check else allowed) for f in report.findings.values()
    )


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
        return y, None if state is None else y[:, -1].contiguous()


class LeakyPadding(Sum):
    def acts(self, x, layout):
        return (torch.ones_like(x) if layout is None else select(~layout.start, torch.ones_like(x))), x


class ForgetsNothing(Sum):
    def acts(self, x, layout):
        return torch.ones_like(x), x if layout is None else select(layout.valid, x)


class RestartsEachCall(Sum):
    def forward(self, x, state=None, layout=None):
        y, _ = super().forward(x, None if state is None else state * 0, layout)
        return y, None if state is None else y[:, -1].contiguous()


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
        (ForgetsNothing, "packed = one by one"),
        (RestartsEachCall, "random cuts"),
        (LooksAhead, "causality"),
        (Detaches, "gradients across cuts"),
        (WrongStrides, "rules of State"),
        (SharedLeaves, "rules of State"),
        (ReturnsStateUnasked, "no state in, no state out"),
        (ClaimsTooLittle, "declared reach"),
        (ClaimsTooMuch, "declared reach"),
        (StreamsBackwards, "start of what can't stream"),
        (KeepsStateInABuffer, "rules of State"),
        (StaleTail, "100 documents|random cuts"),
    ],
)
def test_a_broken_mixer_is_caught_by_name(broken: type[Mixer], check: str) -> None:
    torch.manual_seed(0)
    law.check(Sum(8).double(), cuts=20).require()
    report = law.check(broken(8).double(), cuts=40)
    failed = [f.check for f in report.findings.values() if not f.held]
    assert any(name.startswith(part) for part in check.split("|") for name in failed), str(report)
    with pytest.raises(CheckFailed, match="BROKEN"):
        report.require()


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
