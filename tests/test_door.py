"""The door of every mixer and model: what doesn't fit is refused in words, and nothing to consume changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from unrolled.errors import UserError, nearest, positive
from unrolled.layout import Layout, admit
from unrolled.mixer import Mixer
from unrolled.mixers import GRU, LSTM, MIXERS, Attention, Bidirectional
from unrolled.model import Core, Model, TokenHead, build, matched_width, preset
from unrolled.state import Slots, leaves, put

ZEROS = torch.zeros(2, 4, dtype=torch.bool)
X = torch.ones(2, 4, 8)


@pytest.fixture(scope="module")
def model() -> Model:
    return build(preset("lstm", 11, width=16))


ALONE = [kind for kind in MIXERS if not MIXERS[kind].conditioned]


@pytest.mark.parametrize("kind", MIXERS)
@pytest.mark.parametrize(
    "x",
    [torch.ones(2, 4, 5), torch.ones(4, 8), torch.ones(2, 4, 8, dtype=torch.long)],
    ids=["width", "rank", "whole numbers"],
)
def test_an_input_that_does_not_fit_is_refused(kind: str, x: object) -> None:
    for mixer in (MIXERS[kind](8), Core([MIXERS[kind](8)])):
        with pytest.raises(UserError, match=r"x is .*; it takes floating numbers \(batch, time, 8\)"):
            mixer(x)


@pytest.mark.parametrize("time", [1, 4])
@pytest.mark.parametrize("kind", [k for k in ALONE if k not in ("bidirectional", "ffn", "norm", "pool")])
def test_a_state_that_does_not_fit_is_refused(kind: str, time: int) -> None:
    """torch.lstm reads past the end of a state of fewer rows."""
    mixer = MIXERS[kind](8)
    other = (MIXERS[kind](8).start(1), LSTM(4).start(2), (mixer.start(2),), (), 3)
    for state in other:
        with pytest.raises(UserError, match="the state is .*; x has 2 rows and start"):
            mixer(X[:, :time], state)
    with pytest.raises(UserError, match=r"the state is \w*; x has"):
        mixer(X[:, :time], {})
    with pytest.raises(UserError, match="Core: the state is"):
        Core([mixer, mixer])(X[:, :time], (mixer.start(2),))
    mixer(X[:, :time], mixer.start(2, 16))


def test_slots_of_every_capacity_fit() -> None:
    mixer = Attention(8).eval()
    for capacity in (4, 5, 100):
        mixer(X, mixer.start(2, capacity))


def test_what_looks_ahead_takes_no_state() -> None:
    for mixer in (Bidirectional(8), Attention(8, causal=False)):
        with pytest.raises(UserError, match="cannot stream"):
            mixer(X, ())


@pytest.mark.parametrize(
    "raw", [torch.ones(2, 4), torch.ones(4, dtype=torch.long), torch.ones(2, 4, dtype=torch.bool)]
)
def test_ids_that_are_none_are_refused(model: Model, raw: object) -> None:
    with pytest.raises(UserError, match="it takes token ids, int64 of shape"):
        model(raw)


@pytest.mark.parametrize("wrong", [11, -1])
def test_an_id_outside_the_vocabulary_is_named(model: Model, wrong: int) -> None:
    with pytest.raises(UserError, match=f"got the id {wrong}; its vocabulary has 11 tokens"):
        model(torch.tensor([[3, wrong, 2]]))
    layout = Layout.of_lengths(torch.tensor([1]), 3)
    model(torch.tensor([[3, wrong, 2]]), None, layout)  # in the padding anything may stand


def test_a_state_of_the_model_that_does_not_fit_is_refused(model: Model) -> None:
    ids = torch.ones(2, 4, dtype=torch.long)
    for state in (model.start(1), model.start(2)._replace(core=())):
        with pytest.raises(UserError, match="the state is"):
            model(ids, state)
    assert model(ids, model.start(2))[0].shape == (2, 4, 11)


def doors(model: Model) -> list[Callable[[object], object]]:
    ids = torch.ones(2, 4, dtype=torch.long)
    lstm, core = LSTM(8), Core([GRU(8)])
    return [
        lambda layout: lstm(X, None, layout),
        lambda layout: core(X, core.start(2), layout),
        lambda layout: model(ids, None, layout),
    ]


def test_a_layout_that_does_not_fit_is_refused_at_every_door(model: Model) -> None:
    left = torch.tensor([[False, False, True, True], [True] * 4])
    for call in doors(model):
        with pytest.raises(UserError, match="row 0 has padding before a token"):
            call(Layout(left, ZEROS))
        with pytest.raises(UserError, match=r"layout.valid is torch.bool of shape \(2, 3\)"):
            call(Layout(~ZEROS[:, :3], ZEROS[:, :3]))


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "mingru", "attention", "conv"])
def test_a_start_in_the_padding_does_nothing(kind: str) -> None:
    mixer = MIXERS[kind](8).eval()
    core, valid = Core([mixer]), Layout.of_lengths(torch.tensor([2, 4]), 4).valid
    start = ZEROS.clone()
    start[0, 3] = True
    for door in (mixer, core):
        _, want = door(X, door.start(2, 9), Layout(valid, ZEROS))
        _, got = door(X, door.start(2, 9), Layout(valid, start))
        for (_, mine), (_, theirs) in zip(leaves(got), leaves(want), strict=True):
            assert torch.equal(mine, theirs)


def test_the_values_of_a_layout_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(~ZEROS, ZEROS)
    sound = layout.checked(2, 4)
    monkeypatch.setattr(torch.Tensor, "any", lambda *_: pytest.fail("read again"))
    assert layout.checked(2, 4) is sound is layout


def test_a_mask_is_no_layout() -> None:
    with pytest.raises(UserError, match="layout is a Tensor; it must be a Layout"):
        admit(~ZEROS, 2, 4)


def test_lengths_that_cannot_be_are_refused() -> None:
    for lengths in ([5, 3], [-1, 2]):
        with pytest.raises(UserError, match=r"they lie in 0 \.\.\. 4"):
            Layout.of_lengths(torch.tensor(lengths), 4)
    assert Layout.of_lengths(torch.zeros(0, dtype=torch.long)).valid.shape == (0, 0)
    assert len({Layout(ZEROS, ZEROS), Layout(ZEROS, ZEROS)}) == 2  # compared as objects, not as tensors


@pytest.mark.parametrize("kind", ALONE)
@pytest.mark.parametrize("shape", [(2, 0, 8), (0, 3, 8), (0, 0, 8)], ids=["no steps", "no rows", "neither"])
def test_nothing_to_consume_changes_nothing(kind: str, shape: tuple[int, int, int]) -> None:
    mixer: Mixer = MIXERS[kind](8)
    mask = torch.zeros(shape[:2], dtype=torch.bool)
    for door in (mixer, Core([mixer])):
        for layout in (None, Layout(mask, mask)):
            y, none = door(torch.ones(shape), None, layout)
            assert y.shape == shape and none is None
            if door.reach.future == 0:
                state = door.start(shape[0], 5)
                y, after = door(torch.ones(shape), state, layout)
                assert y.shape == shape and after is state


def test_a_model_of_nothing(model: Model) -> None:
    for shape in ((2, 0), (0, 3)):
        logits, after = model(torch.ones(shape, dtype=torch.long), model.start(shape[0]))
        assert logits.shape == (*shape, 11) and after is not None


@pytest.mark.parametrize(("mine", "theirs"), [(10, 12), (12, 10), (5, 12), (7, 7)])
def test_slots_of_unequal_capacity_can_be_put_together(mine: int, theirs: int) -> None:
    mixer = Attention(8, heads=2).double().eval()
    x = torch.randn(3, 4, 8).double()
    with torch.no_grad():
        _, state = mixer(x, mixer.start(3, mine))
        _, other = mixer(x[:1] + 1, mixer.start(1, theirs))
        both = put(state, torch.tensor([1]), other)
        assert isinstance(both, Slots) and both.capacity == max(mine, theirs)
        rows = torch.stack([x[0], x[0] + 1, x[2]])
        want, _ = mixer(torch.cat([rows, x[:, :1]], 1), None)
        got, _ = mixer(x[:, :1], both)
    torch.testing.assert_close(got, want[:, 4:])


@pytest.mark.parametrize("size", [0, -1, "8", 8.0, True, None])
def test_what_is_no_size_is_refused(size: object) -> None:
    with pytest.raises(UserError, match="here: kernel is .*; it must be a whole number, at least 1"):
        positive("here", width=3, kernel=size)


def test_the_nearest_word_is_found_among_words_that_come_one_by_one() -> None:
    assert nearest("lstn", (name for name in ["LSTM", "gru"])) == "LSTM"


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        ("lstm", {"width": 0}, "width"),
        ("lstm", {"inputs": -1}, "inputs"),
        ("conv", {"kernel": 0}, "kernel"),
        ("conv", {"dilation": -2}, "dilation"),
        ("window", {"context": 0}, "context"),
        ("ffn", {"hidden": 0}, "hidden"),
        ("positions", {"length": 0}, "length"),
        ("attention", {"heads": 0}, "heads"),
        ("attention", {"kv_heads": 0}, "kv_heads"),
        ("attention", {"window": 0}, "window"),
        ("attention", {"size": 0}, "size"),
    ],
)
def test_a_size_of_nothing_is_refused_by_name(kind: str, options: dict, name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is .*; it must be a whole number, at least 1"):
        MIXERS[kind](**{"width": 8, **options})


def test_a_spec_with_mistakes_is_refused_and_a_good_one_is_copied() -> None:
    spec = preset("lstm", 9, width=8)
    for part, value in (("core", {"layers": ["lstm"]}), ("core", []), ("head", "tokens")):
        with pytest.raises(UserError, match="it must be a table of keys and values"):
            build({**spec, part: value})
    with pytest.raises(UserError, match="make them equal"):
        build({**spec, "head": {"kind": "tokens", "tied": True, "vocabulary": 12}})
    for option in ("width", "layers"):
        with pytest.raises(UserError, match=f"{option} is 0"):
            preset("lstm", 9, **{option: 0})
    with pytest.raises(UserError, match="no feed-forward"):
        preset("lstm", 9, hidden=0)
    model = build(spec)
    spec["core"]["layers"][0]["width"] = 99
    assert model.spec["core"]["layers"][0]["width"] == 8


def test_the_loss_keeps_float64() -> None:
    head = TokenHead(4, 5).double()
    for dtype, want in ((torch.float64, torch.float64), (torch.bfloat16, torch.float32)):
        scores = head(torch.randn(1, 2, 4).double()).to(dtype)
        assert head.loss(scores, torch.zeros(1, 2, dtype=torch.long))[0].dtype == want


@pytest.mark.parametrize(
    ("kind", "options", "macs"),
    [
        ("rnn", {"inputs": 5}, 10 * (8 * 5 + 8 * 8)),
        ("lstm", {"inputs": 5}, 10 * 4 * (8 * 5 + 8 * 8)),
        ("gru", {"inputs": 5}, 10 * 3 * (8 * 5 + 8 * 8)),
        ("mingru", {"inputs": 5}, 10 * 5 * 16),
        ("mingru", {"inputs": 5, "expansion": 2.0}, 10 * (5 * 32 + 16 * 8)),
        ("conv", {"inputs": 5, "kernel": 3}, 10 * 3 * 5 * 8),
        ("conv", {"kernel": 3, "depthwise": True}, 10 * 3 * 8),
        ("window", {"context": 4}, 10 * 4 * 8 * 8),
        ("ffn", {}, 10 * 2 * 8 * 32),
        ("ffn", {"activation": "swiglu", "hidden": 12}, 10 * 3 * 8 * 12),
        # scores and weighted sum: 8 multiply-adds each for every pair of tokens
        ("attention", {"heads": 2}, 10 * 4 * 8 * 8 + 2 * 8 * 55),
        ("attention", {"heads": 2, "kv_heads": 1}, 10 * (8 * 16 + 8 * 8) + 2 * 8 * 55),
        ("attention", {"heads": 2, "window": 3}, 10 * 4 * 8 * 8 + 2 * 8 * 27),
        ("attention", {"heads": 2, "causal": False}, 10 * 4 * 8 * 8 + 2 * 8 * 100),
        ("attention", {"heads": 2, "size": 6}, 10 * (3 * 8 * 12 + 12 * 8) + 2 * 12 * 55),
        ("positions", {}, 0),
        ("norm", {}, 0),
        ("pool", {}, 0),
        ("pool", {"reduce": "attention"}, 10 * 8),
        ("bidirectional", {"of": "gru"}, 10 * 2 * 3 * (4 * 8 + 4 * 4)),
    ],
)
def test_flops_are_counted_as_by_hand(kind: str, options: dict, macs: int) -> None:
    assert MIXERS[kind](8, **options).flops(10) == 2 * macs


@pytest.mark.parametrize(
    ("kind", "options"), [("transformer", {"heads": 3}), ("attention", {}), ("transformer", {}), ("lstm", {})]
)
def test_a_matched_width_is_one_the_kind_takes(kind: str, options: dict) -> None:
    for parameters in (3_000, 60_000):

        def made(width: int) -> Model:
            return build(preset(kind, 50, width=width, layers=1, **options))

        model = made(matched_width(lambda width: made(width).parameter_count(), parameters))
        assert parameters < 50_000 or abs(model.parameter_count() - parameters) < 0.1 * parameters
