"""Transcription from end to end: strings of digits, set-up, texts as the sound comes, what is refused."""

from __future__ import annotations

import csv
import io
import wave
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from heard_models import RATE, fitted, model_of, noise, task_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

import unrolled as un
from unrolled.datasets import samples, sets
from unrolled.datasets.asked import Asked
from unrolled.datasets.dealt import deal_rows
from unrolled.datasets.duplicates import key_of
from unrolled.datasets.inputs import input_codec_from_dict
from unrolled.datasets.named_records import named_records
from unrolled.datasets.rows import Rows
from unrolled.datasets.sound import Sound, read_sound
from unrolled.datasets.spectra import LogMel
from unrolled.datasets.spoken import WORDS
from unrolled.datasets.stacked import StackedMel
from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.running.ctc import prefix_beam_search
from unrolled.running.transcriber import Transcriber
from unrolled.tasks import task_from_dict
from unrolled.tasks.simple import MostFrequent, NearestText
from unrolled.training.recipe import Recipe
from unrolled.training.rows import prepare_rows
from unrolled.training.transcripts import Transcripts

STRINGS = sets.named("spoken_strings")


def records(count: int) -> list[dict[str, Any]]:
    return list(islice(named_records(STRINGS), count))


@pytest.fixture(scope="module")
def codec() -> StackedMel:
    return fitted()


# --- the strings


def test_strings_are_a_function_of_their_seed_and_made_of_their_parts_recordings() -> None:
    rows, again = list(named_records(STRINGS)), records(50)
    assert [row["text"] for row in rows[:50]] == [row["text"] for row in again]
    assert key_of(rows[3]["sound"]) == key_of(again[3]["sound"]) != key_of(rows[4]["sound"])
    clips: dict[str, set[str]] = {}
    for row in rows:
        clips.setdefault(row["split"], set()).update(map(str, row["sound"].clips))
        digits = [WORDS.index(word) for word in row["text"].split()]
        assert 3 <= len(digits) <= 7
        for digit, clip in zip(digits, row["sound"].clips, strict=True):
            assert clip.name.startswith(f"{digit}_{row['speaker']}_")
    assert {part: sum(r["split"] == part for r in rows) for part in clips} == {
        "train": 3000, "valid": 150, "test": 300,
    }  # fmt: skip
    train, valid, test = (clips[part] for part in ("train", "valid", "test"))
    assert not (train & valid or train & test or valid & test)


def test_a_string_is_a_wav_as_long_as_its_digits_with_their_pauses() -> None:
    row = records(1)[0]
    sound = read_sound(row["sound"])
    spoken = sum(len(read_sound(clip).samples) for clip in row["sound"].clips)
    pauses = len(row["sound"].clips) + 1
    assert sound.rate == RATE and 0.03 * pauses < (len(sound.samples) - spoken) / RATE < 0.25 * pauses
    assert float(np.abs(sound.samples[:100]).max()) < 0.01 < float(np.abs(sound.samples).max())


# --- steps


def test_stacked_frames_are_log_mels_side_by_side(codec: StackedMel) -> None:
    plain = LogMel(loudness=True).fit([Sound(noise(1.0, seed), RATE) for seed in range(4)])
    sound = Sound(noise(0.5), RATE)
    frames, steps = plain.encode(sound), codec.encode(sound)
    assert steps.shape == (-(-len(frames) // 3), 120) and steps.dtype == np.float32
    for frame in range(len(frames)):
        assert np.allclose(steps[frame // 3].reshape(40, 3)[:, frame % 3], frames[frame])
    assert np.allclose(steps[-1].reshape(40, 3)[:, -1], frames[-1])  # what is missing is its last frame
    again = input_codec_from_dict(codec.to_dict())
    assert np.array_equal(again.encode(sound), steps)


@given(st.integers(1, 2500), st.lists(st.integers(0, 2500), max_size=5))
@example(360, [])  # it ends with its third frame: nothing is left to come
@example(600, [1])
@settings(max_examples=60, deadline=None)
def test_a_sound_in_pieces_gives_the_steps_of_the_whole(length: int, cuts: list[int]) -> None:
    codec = StackedMel(rate=RATE)
    samples_ = noise(1)[:length]
    followed = codec.follow()
    borders = [0, *sorted(min(cut, length) for cut in cuts), length]
    pieces = [followed.push(samples_[a:b], RATE) for a, b in zip(borders, borders[1:], strict=False)]
    found = np.concatenate([*pieces, followed.end()])
    whole = codec.encode(Sound(samples_, RATE))
    assert found.shape == whole.shape and np.allclose(found, whole, atol=1e-5)


def test_a_sound_in_pieces_needs_its_own_rate_and_its_loudness() -> None:
    with pytest.raises(UserError, match="16000 Hz; this model hears 8000"):
        StackedMel(rate=RATE).follow().push(noise(0.1), 16000)
    with pytest.raises(UserError, match="mean level"):
        StackedMel(rate=RATE, loudness=False).follow()


# --- the task


@pytest.mark.parametrize("kind", ["gru", "lstm", "mingru", "transformer"])
def test_the_text_while_the_sound_comes_ends_as_that_of_the_whole(kind: str, codec: StackedMel) -> None:
    task = task_of(codec)
    model = model_of(task, kind)
    steps = [codec.encode(Sound(noise(length, seed), RATE)) for seed, length in enumerate((1.3, 0.7, 0.9))]
    whole = task.predict(model, steps)
    assert len({*whole}) == 3 and all(whole)
    early = task.predict_every(model, steps)
    for one, text, growing in zip(steps, whole, early, strict=True):
        transcriber = Transcriber(model)
        partial = [transcriber.push(piece)[0] for piece in np.array_split(one, 7)]
        assert partial[-1] == text and all(text.startswith(part) for part in partial)
        assert partial[-1] == growing[-1] and partial == [
            growing[end - 1] for end in np.cumsum([len(p) for p in np.array_split(one, 7)])
        ]
        heard = Transcriber(model)
        samples_ = noise((1.3, 0.7, 0.9)[whole.index(text)], whole.index(text))
        said = [heard.hear(piece, RATE) for piece in np.array_split(samples_, 9)]
        assert heard.finish() == text and text.startswith(said[-1])
        assert heard.texts == [""]


def test_rows_are_heard_together_and_one_may_begin_anew(codec: StackedMel) -> None:
    task = task_of(codec)
    model = model_of(task)
    one, two, three = (codec.encode(Sound(noise(0.9, seed), RATE)) for seed in (5, 6, 7))
    transcriber = Transcriber(model, rows=2)
    transcriber.push(torch.from_numpy(np.stack([one, two])))
    assert transcriber.texts == task.predict(model, [one, two])
    time = len(three)
    valid = torch.ones(2, time, dtype=torch.bool)
    valid[0, 5:] = False
    start = torch.zeros_like(valid)
    start[1, 0] = True
    transcriber.push(torch.from_numpy(np.stack([one, three])), Layout(valid, start))
    assert transcriber.texts == task.predict(model, [np.concatenate([one, one[:5]]), three])


def test_what_a_session_is_told_ends_as_the_text_of_the_whole(codec: StackedMel) -> None:
    task = task_of(codec)
    model = model_of(task)
    steps = codec.encode(Sound(noise(1.1, 3), RATE))
    stream, memo = un.Stream(model), None
    for step in steps:
        said = task.settled(stream.push(torch.from_numpy(step[None])).double()).numpy()
        answer, memo = task.continued(task.shown(said)[0], said[0], memo)
    assert answer["text"] == task.predict(model, [steps])[0] and {"symbol", "p"} < answer.keys()


def test_a_wider_beam_searches(codec: StackedMel) -> None:
    steps = [codec.encode(Sound(noise(0.5, seed), RATE)) for seed in range(3)]
    greedy, wide = task_of(codec), task_of(codec, beam=8)
    model = model_of(greedy)
    with torch.no_grad():
        logs = [model(torch.from_numpy(x)[None])[0][0].double().log_softmax(-1).numpy() for x in steps]
    wanted = [wide.answers.decode(prefix_beam_search(one, 8)[0].symbols) for one in logs]
    assert wide.predict(model, steps) == wanted != greedy.predict(model, steps)


def test_a_task_survives_being_written_down(codec: StackedMel) -> None:
    task = task_of(codec, beam=3)
    again = task_from_dict(task.to_dict())
    assert again.to_dict() == task.to_dict() and again.beam == 3
    with pytest.raises(UserError, match="beam=0"):
        task_of(codec, beam=0).check()


def test_the_score_does_not_depend_on_the_batch(codec: StackedMel) -> None:
    task = task_of(codec)
    model = model_of(task)
    steps = [codec.encode(Sound(noise(0.4 + 0.1 * seed, seed), RATE)) for seed in range(6)]
    truth = [task.answers.encode(text) for text in ("one", "two", "three", "two one", "x", "one")]
    one, many = (task.score(model, steps, truth, batch) for batch in (1, 64))
    assert one.objective == pytest.approx(many.objective, abs=1e-6) and one.report == many.report


def test_simple_rivals() -> None:
    values = [np.full((4, 2), level, np.float32) for level in (0.0, 1.0, 5.0)]
    assert MostFrequent().fit(values, ["b", "a", "a"]).predict(values) == ["a"] * 3
    nearest = NearestText().fit(values, ["low", "mid", "high"])
    assert nearest.predict([np.full((9, 2), 4.0), np.full((2, 2), 0.2)]) == ["high", "low"]


# --- tables


def spoken_table(folder: Path, texts: list[str], seconds: float = 0.6, column: str = "said") -> Path:
    path = folder / "said.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["file", column])
        for number, text in enumerate(texts):
            name = f"clip{number}.wav"
            with wave.open(str(folder / name), "wb") as sound:
                sound.setnchannels(1)
                sound.setsampwidth(2)
                sound.setframerate(RATE)
                sound.writeframes((noise(seconds, number) * 20000).astype("<i2").tobytes())
            out.writerow([name, text])
    return path


def sentences(count: int) -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(WORDS, 3)) + f" {chr(97 + n % 26)}" for n in range(count)]


def test_sound_beside_free_text_is_transcribed(tmp_path: Path) -> None:
    path = spoken_table(tmp_path, sentences(60))
    dealt = deal_rows(Rows(path), Asked(), str(path))
    assert dealt.reading.task == "transcribe" and dealt.reading.targets == ("said",)
    assert dealt.codec == "stacked_mel" and dealt.reading.inputs == ("file",)
    assert {key for key, _, _ in dealt.reading.why} >= {"task", "target", "input"}


def test_what_cannot_be_transcribed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("a,b\n" + "\n".join(f"some words here {n},other words there {n}" for n in range(30)))
    with pytest.raises(UserError, match="reads one column of sound"):
        deal_rows(Rows(path), Asked(task="transcribe", input="a", target="b"), str(path))
    with pytest.raises(UserError, match="smoothing"):
        un.train(data="spoken_strings", smoothing=0.1, budget="1steps", dry_run=True)


def test_sounds_too_short_for_their_text_are_counted(tmp_path: Path) -> None:
    texts = sentences(60)
    texts[4] = "far too many words for so short a sound " * 2
    path = spoken_table(tmp_path, texts, seconds=1.2)
    made = prepare_rows(Recipe.of(data=str(path), split="0.8,0.1,0.1"))
    assert isinstance(made, Transcripts) and made.reads == "speech"
    assert any("1 sounds for" in note and "fewer steps than their text" in note for note in made.notes)
    with pytest.raises(UserError, match="every training sound has fewer steps"):
        prepare_rows(Recipe.of(data=str(spoken_table(tmp_path, sentences(60), seconds=0.05))))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of a few strings, with their parts."""
    folder = tmp_path_factory.mktemp("spoken")
    with (folder / "few.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["sound", "text", "split"])
        for number, row in enumerate(records(60)):
            (folder / f"{number}.wav").write_bytes(row["sound"].open().read())
            part = "train" if number < 40 else "valid" if number < 50 else "test"
            out.writerow([f"{number}.wav", row["text"], part])
    return folder / "few.csv"


@pytest.fixture(scope="module")
def run(few: Path) -> Iterator[un.Run]:
    """One trained for a few steps on them."""
    trained = un.train(
        data=str(few), budget="60steps", evaluate_every=30, model={"kind": "gru", "width": 32, "layers": 1},
        runs=str(few.parent / "runs"), threads=1, talk=un.training.progress.Talk(quiet=True),
    )  # fmt: skip
    assert trained is not None
    yield trained


def test_a_run_learns_answers_and_is_scored(run: un.Run) -> None:
    losses = [line["loss"] for line in run.metrics if "loss" in line]
    assert losses[-1] < 0.8 * losses[0]
    assert run.test is not None and run.baseline is not None and run.naive is not None
    assert run.test["unit"] == "character error rate" and run.test["better"] == "lower"
    assert set(run.test["values"]) == {"cer", "wer", "exact"}
    assert run.naive["name"] == "most frequent answer" and run.naive["value"] > 0
    again = run.evaluate("test")
    assert again.value == pytest.approx(run.test["value"])
    found = un.predict(run, str(Path(run.recipe.data)))
    assert found.count == 60 and {"given", "text"} <= found.rows[0].keys()
    model = run.model()
    row = records(1)[0]
    steps = model.task.steps(row["sound"])
    assert Transcriber(model).push(steps)[0] == model.task.predict(model, [steps])[0]


def test_a_beam_may_be_asked_for_afterwards(run: un.Run, few: Path) -> None:
    greedy, again, wide = (
        [row["text"] for row in un.predict(run, str(few), beam=beam).rows] for beam in (None, 1, 8)
    )
    assert greedy == again and len(wide) == len(greedy)
    model = run.model()
    task = replace(model.task, beam=8)
    inputs = [task.steps(row["sound"]) for row in records(3)]
    assert wide[:3] == task.predict(model, inputs)
    with pytest.raises(UserError, match="beam=0"):
        un.predict(run, str(few), beam=0)


def test_a_sound_is_written_down_by_attention_too(few: Path, tmp_path: Path) -> None:
    """The same table, read by a source and written by a target that looks back at it."""
    keys: dict[str, Any] = {
        "data": str(few), "budget": "60steps", "threads": 1, "dtype": "float32", "out": str(tmp_path / "run"),
        "talk": un.training.progress.Talk(quiet=True),
    }  # fmt: skip
    done = un.train(**keys, model={"kind": "gru", "width": 24, "attention": "dot"})
    losses = [line["loss"] for line in done.metrics if "loss" in line]
    assert losses[-1] < losses[0] and done.recipe.task == "transcribe"
    assert done.test is not None and done.test["unit"] == "character error rate"
    assert done.baseline is not None and done.baseline["value"] > 0
    found = un.predict(done, str(few))
    assert found.count == 60 and all(isinstance(row["text"], str) for row in found.rows)
    assert un.evaluate(done, "test").value == pytest.approx(done.test["value"])
    with pytest.raises(UserError, match="sounds"):
        un.translate(done, "zero one")
    with pytest.raises(UserError, match="joint"):
        un.train(
            **keys | {"out": str(tmp_path / "no")}, joint=True, model={"kind": "gru", "attention": "dot"}
        )


def test_the_named_set_reads_as_it_says() -> None:
    assert samples.resolve("spoken_strings") == STRINGS.path
    head = io.BytesIO(records(1)[0]["sound"].open().read(4)).read()
    assert head == b"RIFF"
