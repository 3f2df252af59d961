"""Generation: one loop for every model, checked against the slow, obvious one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_stream import CODEC, KINDS, small

from unrolled.datasets.abc_tokens import AbcTokens
from unrolled.errors import CheckFailed, NumericalFailure, RunFailed, UserError
from unrolled.model import Model, build, preset
from unrolled.running.generate import Generated, Pieces, generate
from unrolled.running.sampling import Draw, Noise, pick_at
from unrolled.running.writer import Writer
from unrolled.tasks import GenerateText
from unrolled.tasks.tunes import play

TUNE = "X:1\nT:A\nM:4/4\nL:1/8\nK:D\nABcd ABcd|ABcd ABcd|\n\n"
BROKEN = "X:1\nT:A\nM:4/4\nL:1/8\nK:D\nABcd ABcd|ABc|ABcd ABcd|\n\n"


def slow(model: Model, prompt: list[int], length: int, draw: Draw, sample: int) -> tuple[list[int], float]:
    """The obvious loop: everything is read again for each token."""
    noise = Noise(sample + 1, draw.seed, torch.device("cpu"))
    ids, total = [0, *prompt], 0.0
    for _ in range(length):
        with torch.no_grad():
            log_p = model(torch.tensor([ids]))[0][:, -1].log_softmax(-1)
        token = int(pick_at(log_p, draw, noise.next()[sample : sample + 1]))
        total += float(log_p[0, token])
        ids.append(token)
        if token == 0:
            break
    return ids[1 + len(prompt) :], total


def collected(writer: Writer) -> list[list[int]]:
    out: list[list[int]] = [[] for _ in range(writer.count)]
    for written in writer:
        for sample, token in written:
            out[sample].append(token)
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_the_loop_writes_what_the_obvious_one_does(kind: str) -> None:
    model, draw = small(kind, context=None), Draw(temperature=0.9, top_k=20, top_p=0.95, seed=6)
    prompt = CODEC.encode("abc é").tolist()
    writer = Writer(model, prompt, count=5, length=40, draw=draw)
    written = collected(writer)
    for sample in range(5):  # rows end at different times, so rows are left behind on the way
        ids, total = slow(model, prompt, 40, draw, sample)
        assert written[sample] == ids
        assert writer.log_likelihoods[sample] == pytest.approx(total, rel=1e-4)
    assert len({len(ids) for ids in written}) > 2


def test_a_sample_depends_on_seed_and_number_only() -> None:
    model = small("gru")
    few, many = (
        collected(Writer(model, count=count, length=30, draw=Draw(seed=1), ends=())) for count in (2, 6)
    )
    assert few == many[:2] and many[0] != many[1]
    assert few != collected(Writer(model, count=2, length=30, draw=Draw(seed=2), ends=()))
    greedy = collected(Writer(model, count=2, length=9, draw=Draw(temperature=0)))
    assert greedy[0] == greedy[1]


def test_a_model_that_is_trained_between_tokens_is_drawn_from_without_dropout() -> None:
    model = small("gru")
    model.core.dropout = 0.5
    want = collected(Writer(model, length=20, ends=()))
    got = []
    for written in Writer(model, length=20, ends=()):
        got.append(written[0][1])
        model.train()
    assert [got] == want
    assert len(collected(Writer(model, length=5, shortest=3, ends=()))[0]) == 5


def test_ends_shortest_and_finish() -> None:
    model = small("gru")
    with torch.no_grad():
        model.head.scores.bias[0] = 40.0  # always wants to end
    assert collected(Writer(model, count=3, length=9)) == [[0]] * 3
    kept = collected(Writer(model, count=3, length=9, shortest=4))
    assert all(len(ids) == 5 and ids[-1] == 0 and 0 not in ids[:-1] for ids in kept)
    writer, seen = Writer(small("gru"), count=2, length=50, ends=()), [0, 0]
    for step, written in enumerate(writer):
        for sample, _ in written:
            seen[sample] += 1
        if step == 4:
            writer.finish(1)
    assert seen == [50, 5]


def test_a_transformer_writes_past_its_training_length() -> None:
    model = small("transformer", context=16)
    assert [len(ids) for ids in collected(Writer(model, count=3, length=60, ends=()))] == [60] * 3


def test_training_goes_on_after_generating() -> None:
    model = small("gru").train()
    for step, _ in enumerate(Writer(model, length=9, ends=())):
        assert not model.training
        if step == 3:
            break
    del _
    generate(model, "a", length=3)
    assert model.training
    model(torch.zeros(1, 3, dtype=torch.long))[0].sum().backward()


def test_a_model_of_nan_is_said() -> None:
    model = small("gru")
    with torch.no_grad():
        model.head.scores.bias[3] = torch.nan
    with pytest.raises(NumericalFailure, match="NaN"):
        collected(Writer(model))


def test_generate_returns_texts_with_their_prompt_and_streams_them() -> None:
    model, pieces = small("gru"), []
    prompt = "abc Ünïcode 😀 "  # mostly unknown characters
    result = generate(model, prompt, length=50, seed=0, write=pieces.append)
    assert result.texts[0].startswith(prompt) and "".join(pieces) == result.texts[0]
    assert len(pieces) > 5 and result.tokens[0] + result.ended[0] <= 50 and result.tokens_per_second > 0
    again = generate(model, prompt, count=3, length=50, seed=0, write=pieces.append)
    assert again.texts[0] == result.texts[0] and again.report is None


def test_samples_are_ranked_by_all_that_their_likelihood_counts() -> None:
    # 2 tokens and the boundary at 1 nat each beat 2 tokens at 1.2; without the boundary they would lose.
    result = Generated(["a", "b"], [2, 2], [False, True], [-2.4, -3.0], 1.0, 1.0)
    assert result.ranked == [1, 0]


def test_stop_cuts_the_text_and_what_was_streamed() -> None:
    model, pieces = small("gru"), []
    free = generate(model, "a", length=200, seed=2, temperature=1).texts[0]
    stop = free[20:23]
    cut = generate(model, "a", length=200, seed=2, temperature=1, stop=stop, write=pieces.append)
    assert cut.texts[0] == free[: free.index(stop, 1) + len(stop)] == "".join(pieces)
    assert cut.tokens[0] < 200


def test_characters_of_several_tokens_are_written_whole() -> None:
    pieces = Pieces(CODEC)
    assert [p for p in map(pieces.push, CODEC.encode("aé😀b").tolist()) if p] == ["a", "é", "😀", "b"]
    assert pieces.push(13) == "" and pieces.flush() == ""  # half a byte is no text


def test_top_shows_the_next_tokens_and_writes_nothing() -> None:
    model, lines = small("lstm"), []
    result = generate(model, "abc", top=10, write=lines.append)
    probabilities = [p for _, p in result.next]
    assert len(lines) == 10 and "%" in lines[0] and result.texts == ["abc"] and result.tokens == [0]
    assert probabilities == sorted(probabilities, reverse=True) and 0 < sum(probabilities) <= 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"count": 0}, "count=0"),
        ({"length": 0}, "length=0"),
        ({"temperature": -1}, "temperature=-1"),
        ({"top": 0}, "top=0"),
        ({"check": True}, "for tunes"),
        ({"wav": "a.wav"}, "for tunes"),
    ],
)
def test_wrong_values(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        generate(small("gru"), **wrong)  # type: ignore[arg-type]


def parrot(text: str) -> Model:
    """A model that has learnt one text by heart."""
    codec = AbcTokens(minimum=1).fit([text])
    torch.manual_seed(0)
    model = build(preset("gru", codec.size, width=48))
    ids = torch.tensor([[0, *codec.encode(text)]])
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    target = torch.cat([ids[:, 1:], ids[:, :1]], 1)
    for _ in range(120):
        loss, _ = model.head.loss(model(ids)[0], target, None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.task = GenerateText(codec)
    return model


def test_tunes_are_judged_and_checked() -> None:
    model = parrot(TUNE)
    for prompt in ("", "X:1", "X:1\nT:A\nM:4/4\n"):
        result = generate(model, prompt, count=3, temperature=0.1, check=True)
        assert result.texts == [TUNE] * 3 and all(result.ended)
        assert (result.report.count, result.report.parsed, result.report.bars_right) == (3, 3, 3)
    with pytest.raises(CheckFailed, match=r"0 of 2 with every bar.*bar 2"):
        generate(parrot(BROKEN), count=2, temperature=0.1, check=True).require()


def test_the_likeliest_playable_tune_is_heard(tmp_path: Path) -> None:
    wav, midi = tmp_path / "new" / "a.wav", tmp_path / "a.mid"
    result = generate(parrot(TUNE), count=2, temperature=0.1, wav=wav, midi=midi)
    assert result.files == [str(wav), str(midi)] and result.played == result.ranked[0]
    assert wav.read_bytes()[:4] == b"RIFF" and midi.read_bytes()[:4] == b"MThd"
    number, _ = play([BROKEN, TUNE, "X:1\n"], wav=wav)
    assert number == 1 and play(["nothing", BROKEN], midi=midi)[0] == 1
    wav.unlink()
    with pytest.raises(RunFailed, match="none of the 2 tunes can be played"):
        play(["X:1\n", "nothing"], wav=wav)
    assert not list(wav.parent.iterdir())
