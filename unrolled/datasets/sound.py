"""Sound files to samples: WAV, FLAC, OGG and MP3 through soundfile, other rates through soxr (extra `audio`)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.media import MediaFile, checked_head, media_file
from unrolled.errors import MissingExtra, UserError

if TYPE_CHECKING:
    import soundfile

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3")
HEADS = (rb"RIFF....WAVE", rb"RF64....WAVE", rb"fLaC", rb"OggS", rb"ID3", rb"\xff[\xe2-\xff]")
WANTED = "sound: WAV, FLAC, OGG or MP3"
FRAMES = 1 << 25  # samples of one file and channel: 12 minutes at 44,100 Hz, 70 at 8,000
CHANNELS = 64
RATES = (1_000, 768_000)  # samples a second that are read as sound
BLOCK = 1 << 16  # frames decoded at a time, so that channels are averaged before they are held
OPEN_ENDED = 0x7FFFF000  # a WAV written to a pipe declares this length or more: the end is the file's
LOST = 0.05  # of an MP3, whose header only estimates its length


class Sound(NamedTuple):
    """One recording: `samples (n,)` float32, the mean of its channels, about -1 to 1, and `rate` in Hz."""

    samples: NDArray[np.float32]
    rate: int


class SoundHeader(NamedTuple):
    """What a file says of itself before it is decoded."""

    rate: int
    frames: int
    channels: int
    format: str


def read_sound(source: MediaFile | Path | str) -> Sound:
    """The samples of one sound file.

    Raises UserError for what is no whole sound, longer than `FRAMES`, silent of samples or not finite;
    MissingExtra without soundfile.
    """
    file = media_file(source)
    with _opened(file) as (opened, header):
        mono = np.empty(header.frames, np.float32)
        done = 0
        try:
            while done < header.frames:
                block = opened.read(min(BLOCK, header.frames - done), dtype="float32", always_2d=True)
                if not len(block):
                    break
                mono[done : done + len(block)] = block.mean(1)
                done += len(block)
        except RuntimeError as error:
            raise UserError(
                f"{file}: damaged at frame {done:,} of {header.frames:,} ({_reason(error)}). Fetch it again."
            ) from error
    if done < header.frames * (1 - LOST if header.format == "MP3" else 1):
        raise _cut_short(file, header.frames, done, "frames")
    return Sound(_finite(file, mono[:done]), header.rate)


def sound_header(source: MediaFile | Path | str) -> SoundHeader:
    """Rate, length and channels without decoding. Raises what `read_sound` raises at the header."""
    with _opened(media_file(source)) as (_, header):
        return header


def resampled(sound: Sound, rate: int) -> Sound:
    """The same sound at another rate, band-limited (soxr, high quality); itself where the rate is the same.

    Raises MissingExtra without soxr.
    """
    if sound.rate == rate:
        return sound
    try:
        import soxr
    except ImportError:
        raise MissingExtra("soxr", "audio", f"bringing sound from {sound.rate} Hz to {rate} Hz") from None
    samples = np.asarray(soxr.resample(sound.samples, sound.rate, rate), np.float32)
    return Sound(samples, rate)


def sound_of(value: Sound | MediaFile | Path | str) -> Sound:
    """A sound as it is, or the one that a path or handle leads to."""
    return value if isinstance(value, Sound) else read_sound(value)


@contextmanager
def _opened(file: MediaFile) -> Iterator[tuple[soundfile.SoundFile, SoundHeader]]:
    """The decoder of a sound file and its header, checked before a sample is decoded."""
    with file.open() as raw:
        head = checked_head(file, raw, WANTED, HEADS)
        if head[:4] in (b"RIFF", b"RF64"):
            _check_wav(file, raw)
        try:
            import soundfile
        except (ImportError, OSError):  # OSError: the package is there and its libsndfile isn't
            raise MissingExtra("soundfile", "audio", f"reading {file.name}") from None
        try:
            opened = soundfile.SoundFile(raw)
        except RuntimeError as error:
            raise UserError(
                f"{file}: no whole {WANTED[7:]} ({_reason(error)}). Cut short, or damaged: fetch it again."
            ) from error
        with opened:
            header = SoundHeader(opened.samplerate, opened.frames, opened.channels, opened.format)
            _check_header(file, header)
            yield opened, header


def _check_header(file: MediaFile, header: SoundHeader) -> None:
    if header.format not in FORMATS:
        raise UserError(f"{file}: this is {header.format}. Expected {WANTED}.")
    if header.frames < 1:
        raise UserError(f"{file}: a header and no samples (0 frames). Record it again, or leave it out.")
    if not RATES[0] <= header.rate <= RATES[1]:
        raise UserError(
            f"{file}: {header.rate:,} samples a second. Expected {RATES[0]:,} to {RATES[1]:,}: its header is damaged."
        )
    if header.channels > CHANNELS:
        raise UserError(
            f"{file}: {header.channels} channels. Expected at most {CHANNELS}: mix it down first."
        )
    if header.frames > FRAMES:
        raise UserError(
            f"{file}: declares {header.frames:,} frames ({header.frames / header.rate / 60:,.0f} minutes), more than "
            f"{FRAMES:,}. Cut it into shorter files."
        )


def _check_wav(file: MediaFile, raw: IO[bytes]) -> None:
    """Raises UserError where a WAV's header promises more data than there is, or has no channel.

    libsndfile would quietly read the shorter sound. Leaves the file at its start.
    """
    size = raw.seek(0, 2)
    at = 12
    while at + 8 <= size:
        raw.seek(at)
        name, length = struct.unpack("<4sI", raw.read(8))
        if name == b"fmt " and length >= 16 and at + 24 <= size:
            _, channels, rate, _, align, bits = struct.unpack("<HHIIHH", raw.read(16))
            if channels == 0 or rate == 0 or align == 0:
                raise UserError(
                    f"{file}: byte {at + 8}: the header declares {channels} channels at {rate} Hz, {bits} bits. "
                    "Expected at least one channel: record or convert it again."
                )
        if name == b"data":
            if length < OPEN_ENDED and at + 8 + length > size:
                raise _cut_short(file, length, size - at - 8, "bytes of samples")
            break
        at += 8 + length + length % 2
    else:
        raise UserError(
            f"{file}: a WAV header without a data chunk in {size:,} bytes. Cut short: fetch it again."
        )
    raw.seek(0)


def _cut_short(file: MediaFile, promised: int, got: int, unit: str) -> UserError:
    return UserError(
        f"{file}: cut short: the header promises {promised:,} {unit}, the file has {got:,}. Fetch it again."
    )


def _finite(file: MediaFile, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    bad = ~np.isfinite(samples)
    if bad.any():
        first = int(bad.argmax())
        raise UserError(
            f"{file}: frame {first:,} is {samples[first]} ({int(bad.sum()):,} such frames). Expected finite samples: "
            "export it again as 16-bit WAV."
        )
    return samples


def _reason(error: Any) -> str:
    """libsndfile's own words, without the address of a Python object that soundfile puts before them."""
    return str(getattr(error, "error_string", "") or type(error).__name__).rstrip(". ")
