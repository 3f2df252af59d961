"""From a parsed tune to time, MIDI bytes and sound: measured, as nobody listens in a test."""

from __future__ import annotations

import errno
import io
import json
import os
import time
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from unrolled.errors import RunFailed, UserError
from unrolled.music import AbcError, midi_bytes, parse, piano_roll, unfold, wav_bytes, write_files
from unrolled.music.synth import RATE, RELEASE
from unrolled.music.unfold import default_tempo
from unrolled.tasks.tunes import play

HEAD = "X:1\nT:test\nM:4/4\nL:1/4\nQ:1/4=120\nK:C\n"
REEL = (
    "X:1\nT:Test Reel\nR:reel\nM:C|\nL:1/8\nK:D\n"
    + "|:dAFA DFAd|f2df e2dB|(3ABA GB A2 F>E|D2 d2 z2 D2:|\n" * 4
)


def played(body: str, head: str = HEAD) -> list[tuple[str, float, float]]:
    """Note name by MIDI pitch class, start and length in quarters."""
    names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    return [(names[s.midi % 12], float(s.start), float(s.length)) for s in unfold(parse(head + body)).sounds]


def order(body: str) -> str:
    return "".join(name for name, _, _ in played(body))


def listen(data: bytes) -> NDArray[np.float64]:
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 44_100)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32768


ORDERS = {
    "CDE|": "CDE",
    "CD:|E|": "CDCDE",
    "|:C:|:D:|E": "CCDDE",
    "C|D:|E||F:|": "CDCDEFF",  # a repeat without a beginning goes back to the last border
    "|::C::|D": "CCCD",
    "|:C|1D:|2E|]F": "CDCEF",
    "|:C|[1,3D:|[2E:|F": "CDCECDF",
    "|:C|1-2D:|3E|]": "CDCDCE",
    "|:C|1D:|\n[2E|F|G||A": "CDCEFGA",
    "C:|[2D|]E": "CCDE",
    "|:C D||E F:|G4|": "CDEFCDEFG",  # a double bar does not close what a repeat sign opened
    "|:C||D|:E:|F||G:|": "CDEEFGG",
    "|:C|1D||E:|2F||G|": "CDECFG",
    "|:C|1,3D||E:|2F||G|": "CDECFCDEG",
    "|:C|]D|": "CD",
}


@pytest.mark.parametrize("body", ORDERS)
def test_repeats_and_endings(body: str) -> None:
    assert order(body) == ORDERS[body]


def test_ties_join_and_repeated_notes_do_not() -> None:
    assert played("C2-|C-C D|") == [("C", 0, 4), ("D", 4, 1)]
    assert played("C C|") == [("C", 0, 1), ("C", 1, 1)]
    assert played("[C-E]C|") == [("C", 0, 2), ("E", 0, 1)]
    assert played("C-z C|") == [("C", 0, 1), ("C", 2, 1)]
    between = [("C", 0, 1), ("D", 1, 0.125), ("C", 1.125, 0.875)]  # the grace note comes between
    assert played("C-{D}C|") == between
    assert played("C-D|") == [("C", 0, 1), ("D", 1, 1)]


def test_grace_notes_take_their_time_from_the_note_after() -> None:
    assert played("{D}C E|") == [("D", 0, 0.125), ("C", 0.125, 0.875), ("E", 1, 1)]
    assert played("{DEFG}C/4 E|")[4] == ("C", 0.125, 0.125)  # never more than half of it


def test_staccato_is_shorter_and_accents_are_louder() -> None:
    assert played(".C D|") == [("C", 0, 0.5), ("D", 1, 1)]
    quiet, loud = (unfold(parse(HEAD + f"|!{mark}!C D|")).sounds[0].velocity for mark in ("p", "f"))
    assert quiet < loud
    downbeat, second, between = (unfold(parse(HEAD + "|C/2D/2E|")).sounds[i].velocity for i in (0, 2, 1))
    assert downbeat > second > between


def test_tempo_changes_move_the_clock() -> None:
    sounds = unfold(parse(HEAD + "C C|[Q:1/4=60]C C|")).sounds
    assert [(s.start_seconds, s.seconds) for s in sounds] == [(0, 0.5), (0.5, 0.5), (1, 1), (2, 1)]


@pytest.mark.parametrize(
    ("head", "beat", "rate"),
    [("R:Reel\nM:C|", Fraction(1, 2), 100), ("Z: id:dc-hornpipe-3\nM:C|", Fraction(1, 2), 80),
     ("M:6/8", Fraction(3, 8), 110), ("R:slip jig\nM:9/8", Fraction(3, 8), 116),
     ("T:The Fair Maid\nM:4/4", Fraction(1, 4), 120)],
)  # fmt: skip
def test_a_sensible_tempo_without_q(head: str, beat: Fraction, rate: float) -> None:
    tempo = default_tempo(parse(f"X:1\n{head}\nK:C\n"))
    assert (tempo.beat, tempo.per_minute) == (beat, rate)


def test_midi_is_one_well_formed_track() -> None:
    data = midi_bytes(parse(HEAD + "C8-|C8 ^D|"))
    assert data[:14] == b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0"
    assert data[14:18] == b"MTrk" and int.from_bytes(data[18:22], "big") == len(data) - 22
    assert data.endswith(b"\x00\xff\x2f\x00")
    # Off 7680 ticks later: 60 x 128, a quantity of two bytes.
    on, off = bytes([0x90, 60]), bytes([0xBC, 0x00, 0x80, 60])
    assert data.count(on) == 1 and data.index(on) < data.index(off)


@pytest.mark.parametrize(("tempo", "written"), [("1/4=3", 0xFFFFFF), ("1/4=120", 500_000)])
def test_a_tempo_too_slow_for_midi_is_the_slowest_there_is(tempo: str, written: int) -> None:
    data = midi_bytes(parse(f"X:1\nM:4/4\nL:1/4\nQ:{tempo}\nK:C\nC4|\n"))
    assert b"\xff\x51\x03" + written.to_bytes(3, "big") in data


@pytest.mark.parametrize("name", ["C,", "G", "A", "c", "e'", "c''", "g''"])
def test_a_note_sounds_at_its_pitch(name: str) -> None:
    tune = parse(HEAD + f"{name}4|")
    x = listen(wav_bytes(tune))[:RATE]
    x = x[RATE // 20 :] * np.hanning(x.size - RATE // 20)
    spectrum = np.abs(np.fft.rfft(x, 1 << 18))
    expected = 440 * 2 ** ((unfold(tune).sounds[0].midi - 69) / 12)
    measured = int(spectrum.argmax()) * RATE / (1 << 18)
    assert abs(1200 * np.log2(measured / expected)) < 10  # cents


def test_the_sound_is_loud_enough_never_clipped_and_has_no_clicks() -> None:
    x = listen(wav_bytes(parse(REEL)))
    assert 0.8 < np.abs(x).max() <= 0.9
    assert np.sqrt((x**2).mean()) > 0.05
    assert abs(x.mean()) < 1e-3
    assert np.abs(x[:20]).max() < 0.01 and np.abs(x[-20:]).max() < 1e-3
    # A click is a step, and a step has treble that no partial of these notes has.
    spectrum = np.abs(np.fft.rfft(x, 1 << 21)) ** 2
    treble = spectrum[np.fft.rfftfreq(1 << 21, 1 / RATE) > 10_000].sum()
    assert treble / spectrum.sum() < 1e-8


def test_rests_are_silent_but_for_the_room() -> None:
    x = listen(wav_bytes(parse(HEAD + "A2 z6 A2|")))
    note, rest = x[: RATE // 2], x[RATE * 3 : RATE * 4 - RATE // 10]
    assert np.sqrt((rest**2).mean()) < 0.003 * np.sqrt((note**2).mean())


def test_notes_last_as_long_as_written() -> None:
    x = np.abs(listen(wav_bytes(parse(HEAD + "A4|"))))
    loud = np.flatnonzero(x > 0.4 * x.max())
    assert loud[0] < 0.03 * RATE and abs(loud[-1] / RATE - 2) < RELEASE + 0.02


def test_a_forty_second_tune_is_rendered_quickly_and_always_the_same() -> None:
    tune = parse(REEL)
    assert 36 < unfold(tune).seconds < 44
    wav_bytes(tune)
    began = time.process_time()
    first = wav_bytes(tune)
    assert time.process_time() - began < 1.5
    assert first == wav_bytes(tune)


def test_a_tune_that_would_never_end_or_begin_is_refused() -> None:
    with pytest.raises(UserError, match="would play for .* minutes"):
        unfold(parse(HEAD + "Z99|" * 10))
    with pytest.raises(UserError, match="no notes"):
        wav_bytes(parse(HEAD + "z4|"))


def test_three_files_or_none(tmp_path: Path) -> None:
    files = write_files(REEL, tmp_path / "new", stem="reel")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["reel.abc", "reel.mid", "reel.wav"]
    assert files.abc.read_text() == REEL
    assert files.midi.read_bytes() == midi_bytes(parse(REEL))
    assert files.wav.read_bytes() == wav_bytes(parse(REEL))
    with pytest.raises(AbcError):
        write_files("X:1\nK:C\nC?|", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_full_disk_says_so_and_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write_files(REEL, tmp_path).wav.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailed, match=r"tune\.abc: can't be written \(No space left on device\)"):
        write_files(HEAD + "C4|", tmp_path)
    with pytest.raises(RunFailed, match=r"tune\.wav: can't be written"):
        play([REEL], wav=tmp_path / "tune.wav")
    with pytest.raises(RunFailed, match=r"a\.wav: can't be written"):
        play([REEL], wav=tmp_path / "tune.abc" / "a.wav")  # a file stands where the folder should
    assert len(list(tmp_path.iterdir())) == 3 and (tmp_path / "tune.wav").read_bytes() == before


def test_the_piano_roll_is_plain_numbers() -> None:
    roll = piano_roll(parse(HEAD + "C [EG]2|"))
    assert json.loads(json.dumps(roll)) == [[0.0, 0.5, 60], [0.5, 1.0, 64], [0.5, 1.0, 67]]
