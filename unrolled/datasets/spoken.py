"""Strings of spoken digits, joined from recordings of single ones: speech for transcription, as much as is wanted."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.media import MediaFile
from unrolled.datasets.readers import Record
from unrolled.datasets.sound import read_sound

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LENGTHS = (3, 7)  # digits of a string
PAUSES = (0.03, 0.25)  # seconds between digits, before the first and behind the last
GAIN = 6.0  # dB that a string is louder or softer at most
HUM = 1e-4  # deviation of the noise that lies under all, silence included
PEAK = 32767  # of a 16-bit sample


class Take(NamedTuple):
    """One recording of a digit by a speaker."""

    file: MediaFile
    digit: int
    speaker: str


@dataclass(frozen=True)
class Joined(MediaFile):
    """A WAV file that is made when it is opened: recordings one after another. Pauses, gain, noise and how fast each is
    played, up to a share `speed` faster or slower, are drawn from `key`.
    """

    clips: tuple[MediaFile, ...] = ()
    key: tuple[int, ...] = ()
    speed: float = 0.0

    def open(self) -> IO[bytes]:
        """The bytes of a 16-bit WAV file."""
        sounds = [read_clip(clip) for clip in self.clips]
        rate = sounds[0].rate
        draw = np.random.default_rng(self.key)
        silences = (rate * draw.uniform(*PAUSES, len(sounds) + 1)).astype(int)
        gain = 10 ** (draw.uniform(-GAIN, GAIN) / 20)
        pieces: list[NDArray[np.float32]] = [np.zeros(silences[0], np.float32)]
        for sound, silence in zip(sounds, silences[1:], strict=True):
            played = _played(sound.samples, float((1 + self.speed) ** draw.uniform(-1, 1)))
            pieces += [played * np.float32(gain), np.zeros(silence, np.float32)]
        whole = np.concatenate(pieces)
        whole = whole + draw.normal(0, HUM, len(whole)).astype(np.float32)
        written = io.BytesIO()
        with wave.open(written, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes((np.clip(whole, -1, 1) * PEAK).astype("<i2").tobytes())
        return io.BytesIO(written.getvalue())


def _played(samples: NDArray[np.float32], speed: float) -> NDArray[np.float32]:
    """Sound played faster: shorter and higher, samples between its own on straight lines."""
    if speed == 1:
        return samples
    places = np.arange(0, len(samples) - 1, speed)
    return np.asarray(np.interp(places, np.arange(len(samples)), samples), np.float32)


read_clip = lru_cache(maxsize=4096)(read_sound)


def digit_strings(
    takes: Mapping[str, Sequence[Take]], counts: Mapping[str, int], seed: int = 0, speed: float = 0.0
) -> Iterator[Record]:
    """`sound`, its `text` in words, `speaker` and `split`: for each part so many strings of 3 to 7 digits, all said by one
    speaker, made of that part's recordings only. A pure function of (seed, part, number). speed: of training's strings,
    see `Joined`.
    """
    for place, (part, count) in enumerate(counts.items()):
        said: dict[str, dict[int, list[Take]]] = {}
        for take in takes[part]:
            said.setdefault(take.speaker, {}).setdefault(take.digit, []).append(take)
        speakers = sorted(said)
        for number in range(count):
            draw = np.random.default_rng([seed, place, number])
            speaker = speakers[draw.integers(len(speakers))]
            digits = draw.choice(sorted(said[speaker]), draw.integers(LENGTHS[0], LENGTHS[1] + 1))
            chosen = [said[speaker][digit] for digit in digits.tolist()]
            clips = tuple(each[draw.integers(len(each))].file for each in chosen)
            name = f"{part}-{number:05}.wav"
            yield {
                "sound": Joined(Path(name), "", clips, (seed, place, number, 1), speed if part == "train" else 0.0),
                "text": " ".join(WORDS[digit] for digit in digits), "speaker": speaker, "split": part,
                "origin": name,
            }  # fmt: skip
