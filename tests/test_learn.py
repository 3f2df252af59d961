"""The course: every stop is whole, every line it names exists, every experiment and command runs at toy size."""

from __future__ import annotations

import ast
import errno
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

import unrolled
from unrolled.cli.main import main
from unrolled.datasets.codecs import CODECS
from unrolled.datasets.synthetic import DIRECTIONS
from unrolled.datasets.words import Words
from unrolled.errors import RunFailed, UserError
from unrolled.inspection.by_length import judge
from unrolled.lessons import (
    attention,
    bottleneck,
    bptt,
    embeddings,
    gates,
    images,
    next_word,
    order,
    pairs,
)
from unrolled.lessons import tour as course
from unrolled.lessons.corpora import Corpus, in_header
from unrolled.lessons.places import ROOT, find
from unrolled.lessons.practice import drill
from unrolled.lessons.quiz import ask
from unrolled.lessons.sheets import SHEETS
from unrolled.lessons.stops import FOLDER, ORDER, Card, every, parse, read, sentences
from unrolled.lessons.tour import EXPERIMENTS, Listing, Tour, Visit
from unrolled.model import build, preset
from unrolled.tasks.ngram import joined

TOY = 0.005


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    made = unrolled.learn("all", size=TOY, out=tmp_path_factory.mktemp("learn"))
    assert isinstance(made, Tour)
    return made


def test_every_stop_has_a_file_and_every_file_a_stop() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(ORDER) == set(EXPERIMENTS)


@pytest.mark.parametrize("name", ORDER)
def test_a_stop_is_whole(name: str) -> None:
    stop = read(name)
    assert stop.title.endswith("?") and stop.concept and stop.look_for
    assert len(sentences(stop.why)) == 5
    assert 4 <= len(stop.cards) <= 6 and all(c.question.endswith("?") and c.answer for c in stop.cards)
    assert len(stop.words) == 3 and stop.equations
    text = (FOLDER / f"{name}.md").read_text("utf-8")
    assert text.count("\nQ: ") == len(stop.cards) and text.count("computed by") == len(stop.equations)


def test_no_word_is_explained_twice() -> None:
    words = [word.word.lower() for stop in every() for word in stop.words]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("reference", [e.code for stop in every() for e in stop.equations])
def test_every_line_named_exists(reference: str) -> None:
    place = find(reference)
    line = (ROOT / place.file).read_text("utf-8").splitlines()[place.line - 1]
    last = reference.rpartition(".")[2].partition("#")[0].rpartition(" ")[2]
    assert line.strip() == place.text and re.search(rf"\b{last}\b", place.text)


def test_a_symbol_that_moved_away_is_missed() -> None:
    with pytest.raises(UserError, match=r"no 'sell' in .*Did you mean 'cell'"):
        find("unrolled/mixers/recurrent.py: LSTM.sell")
    for wrong in ("unrolled/none.py: x", "unrolled/state.py"):
        with pytest.raises(UserError, match="no such file"):
            find(wrong)
    assert (
        find("unrolled/mixers/recurrent.py: LSTM.cell.i#2").line
        > find("unrolled/mixers/recurrent.py: LSTM.cell.i").line
    )


def test_a_stop_that_lacks_a_part_is_told() -> None:
    with pytest.raises(UserError, match="x.md: missing Glossary, concept"):
        parse(
            "x",
            (FOLDER / "rnn.md").read_text("utf-8").replace("## Glossary", "##").replace("concept =", "c ="),
        )
    with pytest.raises(UserError, match="TOML"):
        parse("x", "## Why")


def test_all_runs_and_writes_a_page_a_stop(tour: Tour) -> None:
    assert [visit.stop for visit in tour.visits] == list(ORDER)
    for visit in tour.visits:
        stop, page = read(visit.stop), Path(visit.page).read_text("utf-8")
        assert all(np.isfinite(f.value) for f in visit.figures) and visit.seconds > 0
        for place in visit.lines:
            assert str(place) in page
        assert page.count("<details><summary><strong>") == len(stop.cards)
        # An untrained network composes nothing: its page may have no picture.
        assert "<svg" in page or visit.stop == "music" and "<pre" in page
        for part in (
            "Figures of this very run",
            "Break it on purpose",
            "Flashcards",
            "Three words",
            stop.breaking,
        ):
            assert part in page
        assert not re.search(r"""(src|href)=["']?https?:""", page) and page.rstrip().endswith("</html>")


@pytest.mark.parametrize("name", ORDER)
def test_the_command_that_breaks_it_works(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = shlex.split(read(name).breaking)
    assert argv[0] == "unrolled" and main([*argv[1:], f"size={TOY}", f"out={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("figure ") and f"page      {tmp_path / name}-broken.html" in out
    assert "(broken)" in (tmp_path / f"{name}-broken.html").read_text("utf-8")


def test_learning_leaves_threads_and_random_numbers_as_they_were(tmp_path: Path) -> None:
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first = unrolled.learn("unrolled-bptt", broken=True, out=tmp_path)
    again = unrolled.learn("unrolled-bptt", broken=True, out=tmp_path)
    assert isinstance(first, Visit) and isinstance(again, Visit) and first.figures == again.figures
    assert torch.equal(before, torch.random.get_rng_state()) and torch.get_num_threads() == threads


def test_gradients_by_lag_are_those_of_the_formula() -> None:
    """For a tanh RNN the chain of Jacobians, multiplied out by hand, gives the same norms."""
    torch.manual_seed(0)
    model = build(preset("rnn", 5, width=4, embedding=3)).double()
    x, y = torch.randint(5, (1, 6)), torch.randint(5, (1,))
    norms = bptt.by_lag(model, x, y)
    weight = model.core.layers[0].get_parameter("weight_hh_l0").detach()
    hidden = model.core(model.embedder.table(x))[0].detach()[0]
    scores = hidden[-1] @ model.head.scores.weight.T + model.head.scores.bias
    gradient = (
        (scores.softmax(0) - torch.nn.functional.one_hot(y[0], 5)) @ model.head.scores.weight
    ).detach()
    for lag, norm in enumerate(norms):
        assert norm == pytest.approx(float(gradient.norm()), rel=1e-9)
        gradient = weight.T @ ((1 - hidden[5 - lag] ** 2) * gradient)
    assert bptt.by_lag(model, x, y, cut=3)[3:] == [0.0, 0.0, 0.0]


def test_the_forget_gate_held_at_one_is_one() -> None:
    model = build(preset("lstm", 5, width=gates.WIDTH, embedding=3))
    gates.without_forgetting(model)
    heard, _ = gates.read(model, np.array([0, 1, 2, 3, 4, 0]))
    assert (heard["forget"] == 1).all() and heard["cell"].shape == (5, gates.WIDTH)


def test_the_header_of_a_tune_is_told_from_its_melody() -> None:
    assert in_header("X:1\nK:D\nA|:B\n").tolist() == [1.0] * 8 + [0.0] * 5


def test_a_letter_in_a_header_is_no_note() -> None:
    """The gates' means over notes leave out the D of `K:D`, in every tune of the stream."""
    texts = ["K:D\nA|B\n", "T:ab\nc\n"]
    codec = CODECS["characters"]().fit(texts)
    stream = joined([codec.encode(text) for text in texts])
    seen = "".join(codec.token_text(int(i)) if i else "." for i in stream[:-1])
    assert seen == ".K:D\nA|B\n.T:ab\nc\n"
    gate = np.array([[float(c in "ABc")] for c in seen])
    means = gates.by_character(gate, stream, Corpus(codec, [], [], []))
    assert means[gates.NOTE] == 1.0 and means["a bar line"] == 0.0


def test_the_window_sees_as_many_tokens_as_it_says() -> None:
    assert build(next_word.spec("window", 9)).reach.past == next_word.WINDOW - 1


def test_a_drill_ends_on_time_and_passes_over_what_is_no_number() -> None:
    torch.manual_seed(0)
    model = build(preset("rnn", 5, width=4, embedding=3))
    weight = model.embedder.table.weight
    before = weight.detach().clone()
    done = drill(model, lambda step: (weight.sum() * float("nan"), 7), 3, limit=60, lr=0.1)
    assert (done.steps, done.items, done.skipped) == (3, 21, 3) and torch.equal(weight.detach(), before)
    assert drill(model, lambda step: (weight.sum(), 1), 10**9, limit=0.1, lr=0.1, unit="clips").seconds < 5
    assert not torch.equal(weight.detach(), before) and not model.training


def test_topics_are_counted_among_the_nearest_and_dealt_vectors_fall_to_chance() -> None:
    draw = np.random.default_rng(0)
    topics = [f"t{i // 8}" for i in range(64)]
    vectors = np.repeat(np.eye(8), 8, 0) + draw.normal(0, 0.05, (64, 8))
    assert embeddings.same_topic(vectors, topics) == 1.0
    assert embeddings.same_topic(draw.normal(size=(64, 8)), topics) < 0.25
    dealt = embeddings.shuffled(vectors, topics)
    assert dealt.mean() == pytest.approx(7 / 63, abs=0.02) and dealt.max() < 0.5
    listed = [word for of in embeddings.TOPICS.values() for word in of.split()]
    assert len(set(listed)) == len(listed) >= 80


def test_words_of_the_same_gaps_come_together_and_the_gap_is_not_among_what_is_seen() -> None:
    """Pairs of words that stand in the same places: each comes to lie with its twin."""
    assert embeddings.around(torch.arange(20), torch.tensor([9])).tolist() == [[6, 7, 8, 10, 11, 12]]
    draw = np.random.default_rng(0)
    pairs = [("two", "three"), ("red", "blue"), ("cat", "dog"), ("run", "jump")]
    text = " ".join(f"{draw.choice(pairs[at])} a{at} b{at} c{at} " for at in draw.integers(0, 4, 1500))
    codec = Words(1).fit([text])
    model, _ = embeddings.trained(codec, codec.encode(text), 0.08)
    table = embeddings.vectors_of(model)
    ids = {word: int(codec.encode(word)[0]) for pair in pairs for word in pair}
    among = np.array(list(ids.values()))
    for one, other in pairs:
        assert embeddings.neighbours(table, ids[one], among, 1)[0][0] == ids[other]
    counts = np.array([0, 0, 10**6, 10])
    book = np.array([2] * 1000 + [3] * 50)
    kept = embeddings.gaps_of(book, counts)
    assert 0 < (book[kept] == 2).sum() < 100 and (book[kept] == 3).sum() == 50 - embeddings.AROUND
    assert kept.min() >= embeddings.AROUND


def test_a_shuffled_clip_has_the_same_frames_and_only_a_network_with_a_state_sees_the_order() -> None:
    train, test = order.clips(1200, 0), order.clips(200, 1)
    mixed = order.shuffled(train, 0)
    for clip, other in zip(train.inputs[:20], mixed.inputs[:20], strict=True):
        assert not np.array_equal(clip, other)
        assert np.array_equal(np.sort(clip.sum(1)), np.sort(other.sum(1)))
    assert mixed.targets == train.targets and max(map(int, np.stack(test.targets))) == len(DIRECTIONS) - 1
    gru, bag = (order.trained(kind, train, 280, 0)[0] for kind in ("gru", "bag"))
    tested = order.shuffled(test, 1)
    assert order.accuracy(gru, test) > 0.6 > 0.3 > max(order.accuracy(gru, tested), order.accuracy(bag, test))
    assert order.accuracy(bag, test) == order.accuracy(bag, tested)


def test_an_erased_state_knows_the_last_row_only() -> None:
    (x, y), (test, wanted) = images.digits()
    assert (len(y), len(wanted)) == (1437, 360) and x.shape[1:] == (8, 8) and x.max() == 1
    assert len({row.tobytes() for row in [*x, *test]}) == 1797, "no digit stands on both sides"
    model, _ = images.trained(x[:64], y[:64], True, False, 0.01)
    alone = images.read(model, test[:5, 4:5], False)[0][:, 0]
    assert np.allclose(images.read(model, test[:5], True)[0][:, 4], alone, atol=1e-5)
    carried = images.read(model, test[:5], False)[0]
    assert not np.allclose(carried[:, 4], alone, atol=1e-2)
    assert np.allclose(images.read(model, test[:5, :4], False)[0], carried[:, :4], atol=1e-5), "early answers"


def test_what_is_read_back_is_what_ridge_regression_reads() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.metrics import r2_score

    draw = np.random.default_rng(0)
    states, pixels = draw.normal(size=(200, 6)), draw.normal(size=(200, 3))
    pixels[:, :2] += states[:, :2]
    found = images.known(states[:150], pixels[:150], states[150:], pixels[150:])
    said = Ridge(images.RIDGE).fit(states[:150], pixels[:150]).predict(states[150:])
    assert found == pytest.approx(r2_score(pixels[150:], said, multioutput="variance_weighted"))


def test_the_digit_shown_is_the_one_named_late_and_rightly() -> None:
    answers = np.full((4, 8, 10), -1.0, np.float32)
    wanted = np.array([1, 2, 3, 4])
    answers[0, :, 1] = answers[1, 3:, 2] = answers[2, 6:, 3] = answers[3, :7, 4] = 1
    answers[3, 7, 0] = 1
    assert images.telling(answers, wanted) == 2


def test_the_list_imports_no_torch_and_names_every_stop(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(unrolled.learn(), Listing)
    assert main(["learn"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ORDER)
    for file in ("tour", "stops", "sheets", "quiz", "places"):
        tree = ast.parse((ROOT / f"unrolled/lessons/{file}.py").read_text("utf-8"))
        top = {getattr(node, "module", "") for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert not {m for m in top if m.startswith(("torch", "numpy", "unrolled.model", "unrolled.report"))}


def test_all_prints_concept_command_figure_page(tour: Tour, capsys: pytest.CaptureFixture[str]) -> None:
    from unrolled.cli import learn

    lines = learn.show(tour).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")] == ["concept", "command", "figure", "page"]
    assert len(lines) == 1 + len(ORDER) and all(" | unrolled learn " in line for line in lines[1:])
    assert learn.brief(tour).splitlines() == [visit.page for visit in tour.visits]


@pytest.mark.parametrize("kind", list(SHEETS))
def test_sheets_are_printed_or_written(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", kind]) == 0
    printed = capsys.readouterr().out
    assert main(["learn", kind, f"out={tmp_path}", "-q"]) == 0
    file = Path(capsys.readouterr().out.strip())
    assert file.read_text("utf-8").strip() == printed.strip()
    wanted = {
        "cards": [c.question for s in every() for c in s.cards],
        "glossary": [w.word for s in every() for w in s.words],
    }
    assert all(text in printed for text in wanted.get(kind, [s.breaking for s in every()]))


def test_the_quiz_without_a_terminal_prints_the_cards(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "quiz", "gates"]) == 0
    assert capsys.readouterr().out.count("\nQ: ") == len(read("gates").cards)
    assert main(["learn", "quiz", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["cards"]) == sum(len(s.cards) for s in every()) and document["known"] is None


def test_the_quiz_asks_again_what_was_not_known() -> None:
    cards, said = [Card("s", f"q{i}?", f"a{i}") for i in range(3)], []
    answers = iter(["", "y", "", "n", "", "y", "", "y"])
    assert ask(cards, lambda prompt: next(answers), said.append).known == 2
    assert sum("q1?" in line for line in said) == 2 and sum("q0?" in line for line in said) == 1

    def gone(prompt: str) -> str:
        raise EOFError

    assert ask(cards, gone, said.append).known == 0


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["learn", "gatez"], 2, "unknown stop 'gatez'. Did you mean 'gates'?"),
        (["learn", "quiz", "rn"], 2, "Did you mean 'rnn'?"),
        (["learn", "rnn", "size=0"], 2, "size=0.0: expected a number above 0"),
        (["learn", "rnn", "gates"], 2, "unexpected 'gates'"),
        (["learn", "rnn", "siez=1"], 2, "size"),
        (["learn", "rnn", "seed=99999999999999999999"], 2, "from 0 to 2^63 - 1"),
        (["learn", "rnn", "seed=-1"], 2, "seed=-1"),
    ],
)
def test_mistakes_are_told(
    argv: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == code
    assert message in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    with pytest.raises(RunFailed, match="out="):
        unrolled.learn("unrolled-bptt", broken=True, out=tmp_path / "file", say=said.append)
    assert not said, "told before anything is trained"


def test_a_full_disk_leaves_the_older_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "music.wav").write_bytes(b"good")

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unrolled.durable.write", full)
    with pytest.raises(RunFailed, match="No space left"):
        course._beside(tmp_path / "music.html", ".wav", b"new")
    assert (tmp_path / "music.wav").read_bytes() == b"good" and len(list(tmp_path.iterdir())) == 1


def test_the_context_by_hand_is_the_models() -> None:
    """The whole way: scores, weights, context, and the prediction that follows from it."""
    torch.manual_seed(0)
    sides = pairs.days(400)
    model = sides.model(16, "dot").eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    source = np.asarray(sides.test.inputs[0], np.int64)
    looks = attention.watched(model, source, (3, 1, 2))
    assert len(looks) == 4
    with torch.no_grad():
        logits, _ = model(torch.tensor([[0, 3, 1, 2]]), model.condition(torch.from_numpy(source)[None]))
    for look, wanted in zip(looks, logits[0].double().numpy(), strict=True):
        hand = attention.by_hand(look)
        assert np.allclose(hand.weights, look.weights, atol=1e-6) and np.ptp(hand.weights) > 0.05
        assert np.allclose(attention.predicted(model, look, hand.context), wanted, atol=1e-5)
        assert np.allclose(look.query, look.decoder) and look.encoder.shape == (len(source), 16)
    hand = attention.by_hand(looks[1])
    table = attention.spreadsheet(looks[1], hand, [f"c{i}" for i in range(len(source))]).decode().splitlines()
    states = np.array([[float(cell) for cell in line.split(",")[1:]] for line in table[1:-2]])
    decoder, context = (np.array([float(cell) for cell in line.split(",")[1:17]]) for line in table[-2:])
    assert np.allclose(states[:, :16] @ decoder, states[:, 16])
    powers = np.exp(states[:, 16] - states[:, 16].max())
    assert np.allclose(powers / powers.sum(), states[:, 17]) and np.allclose(
        states[:, 17] @ states[:, :16], context
    )


def test_attention_held_uniform_stays_so_while_the_rest_learns() -> None:
    torch.manual_seed(0)
    sides = pairs.days(400)
    model = sides.model(16, "general")
    attention.uniform(model)
    before = model.embedder.table.weight.detach().clone()
    pairs.rehearse(model, sides.train, 3, limit=60)
    assert not torch.equal(before, model.embedder.table.weight)
    source = np.asarray(sides.test.inputs[0], np.int64)
    for look in attention.watched(model, source, (1,)):
        assert np.allclose(look.weights, 1 / len(source), atol=1e-7)
        assert np.allclose(attention.by_hand(look).context, look.encoder.mean(0), atol=1e-6)


def test_the_neck_is_as_wide_for_every_word_and_attention_keeps_more_of_longer_ones() -> None:
    sides = pairs.words(400, 12)
    assert all((a == b[::-1]).all() for a, b in zip(sides.test.inputs, sides.test.targets, strict=True))
    assert not {tuple(row) for row in sides.train.inputs} & {tuple(row) for row in sides.test.inputs}
    without, looking = (sides.model(16, attention) for attention in ("none", "dot"))
    assert bottleneck.first_state(without, 1) == bottleneck.first_state(without, 90) == 4 * 16
    assert bottleneck.first_state(looking, 9) - bottleneck.first_state(looking, 4) == 5 * (2 * 4 * 16 + 1)


def test_a_rehearsal_teaches() -> None:
    torch.manual_seed(0)
    sides = pairs.days(400)
    model = sides.model(24, "dot")
    pairs.rehearse(model, sides.train, 120, limit=60)
    said = judge(model, sides.test)
    assert said.symbols.mean() > 0.4, "the year's first digits at least"
