"""A tune as sound: an additive wooden flute with vibrato and a little room, rendered with numpy into 16-bit mono WAV bytes.

Nothing is sampled or downloaded. The same tune gives the same bytes (the room is noise of a fixed seed).
"""

from __future__ import annotations

import io
import wave
from functools import cache

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import UserError
from unrolled.music.tune import Tune
from unrolled.music.unfold import Performance, Sound, unfold

RATE = 44_100  # samples a second
PEAK = 0.89  # of full scale, after which nothing is louder
PARTIALS = (1.0, 0.42, 0.26, 0.09, 0.06, 0.03)  # a wooden flute: strong low partials, soft above
ATTACK, RELEASE = 0.018, 0.06  # seconds
VIBRATO_HZ, VIBRATO_CENTS, VIBRATO_ONSET = 5.2, 9.0, 0.25
ROOM_SECONDS, ROOM_SHARE = 0.9, 0.16
TAIL = 1.1  # seconds of room after the last note

Samples = NDArray[np.float32]


def wav_bytes(tune: Tune) -> bytes:
    """The tune as a mono 16-bit 44.1 kHz WAV file.

    Raises UserError when it has no notes or lasts more than ten minutes.
    """
    samples = render(unfold(tune))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def render(performance: Performance) -> Samples:
    """(samples,) float32 between -PEAK and PEAK, the last one silent."""
    if not performance.sounds:
        raise UserError("the tune has no notes, expected at least one to play.")
    dry = np.zeros(int((performance.seconds + TAIL) * RATE) + 1, dtype=np.float32)
    for sound in performance.sounds:
        start = int(sound.start_seconds * RATE)
        note = _note(sound)[: dry.size - start]
        dry[start : start + note.size] += note
    wet = dry + ROOM_SHARE * _convolve(dry, room())
    fade = np.linspace(1, 0, int(0.3 * RATE), dtype=np.float32)
    wet[-fade.size :] *= fade
    loudest = float(np.abs(wet).max())
    return np.asarray(wet * (PEAK / loudest), dtype=np.float32)


def _note(sound: Sound) -> Samples:
    """One note (samples,), from silence to silence: attack, a body that settles, and a release after its written end."""
    frequency = 440.0 * 2 ** ((sound.midi - 69) / 12)
    t = np.arange(int((sound.seconds + RELEASE) * RATE) + 2, dtype=np.float32) / np.float32(RATE)
    # Radians, so that the pitch moves by VIBRATO_CENTS.
    depth = frequency * (2 ** (VIBRATO_CENTS / 1200) - 1) / VIBRATO_HZ
    onset = np.clip((t - VIBRATO_ONSET) / VIBRATO_ONSET, 0, 1)
    # The phase is reduced to one turn in float64: float32 radians would hiss after a few seconds.
    turns = np.arange(t.size) * (frequency / RATE)
    phase = (2 * np.pi * (turns % 1.0)).astype(np.float32) + depth * onset * np.sin(
        2 * np.pi * VIBRATO_HZ * t
    )
    return _envelope(t, sound) * _partials(phase, frequency)


def _partials(phase: NDArray[np.float32], frequency: float) -> Samples:
    """The sum of PARTIALS[k] sin((k+1) phase) below 16 kHz, as a polynomial in exp(i phase) (Horner's scheme)."""
    turn = np.exp(1j * phase).astype(np.complex64)
    total = np.zeros_like(turn)
    for k in range(len(PARTIALS) - 1, -1, -1):
        share = PARTIALS[k] if frequency * (k + 1) < 16_000 else 0.0
        total = (total + np.complex64(share)) * turn
    return np.asarray(total.imag, dtype=np.float32)


def _envelope(t: Samples, sound: Sound) -> Samples:
    """Loudness over the note: a raised-cosine attack and release (no clicks), a bright start that settles to 70 %."""
    end = np.float32(sound.seconds)
    attack = min(ATTACK, sound.seconds / 2)
    rise = 0.5 - 0.5 * np.cos(np.pi * np.clip(t / attack, 0, 1))
    fall = 0.5 + 0.5 * np.cos(np.pi * np.clip((t - end) / RELEASE, 0, 1))
    body = 0.7 + 0.3 * np.exp(-t / np.float32(0.12))
    return np.asarray((sound.velocity / 127) ** 1.3 * rise * fall * body, dtype=np.float32)


@cache
def room() -> Samples:
    """The room's answer to a clap: decaying noise, darker as it dies, beginning after 12 ms; unit energy."""
    noise = np.random.default_rng(0).standard_normal(int(ROOM_SECONDS * RATE))
    t = np.arange(noise.size) / RATE
    dark = np.convolve(noise, np.hanning(24) / 12, mode="same")
    answer = (noise * np.exp(-t / 0.05) * 0.5 + dark * np.exp(-t / 0.16)) * (t > 0.012)
    return np.asarray(answer / np.sqrt(np.square(answer).sum()), dtype=np.float32)


def _convolve(x: Samples, kernel: Samples, block: int = 1 << 17) -> Samples:
    """x * kernel cut to x's length, by overlap-add of FFT blocks: memory stays small for any length."""
    step = block - kernel.size + 1
    spectrum = np.fft.rfft(kernel, block)
    out = np.zeros(x.size + block, dtype=np.float32)
    for start in range(0, x.size, step):
        out[start : start + block] += np.fft.irfft(
            np.fft.rfft(x[start : start + step], block) * spectrum, block
        )
    return out[: x.size]
