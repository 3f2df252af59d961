"""Sound to steps: log-mel bands, mel cepstra, and raw frames. Each is scaled by what training sounds like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.media import MediaFile
from unrolled.datasets.mel import Floats, cosine_basis, mel_filters, power_spectra
from unrolled.datasets.moments import Moments
from unrolled.datasets.scaling import scale_from, scale_of, scale_to
from unrolled.datasets.sound import Sound, resampled, sound_header, sound_of
from unrolled.errors import UserError, positive, unknown

Steps = NDArray[np.float32]
Audio = Sound | MediaFile | Path | str

HIGHEST = 16_000  # Hz: speech and most events lie below 8 kHz; a rate the user names may be higher
FLOOR = 1e-10  # power below which the logarithm stays: digital silence
SCALES = ("slaney", "htk")
SETTINGS = ("rate", "bands", "window", "hop", "scale", "loudness")


class LogMel:
    """(T, bands): the logarithm of the power in mel bands, every 10 ms, each band with mean 0 and deviation 1
    over training.

    `rate` 0 takes the commonest rate of training, up to 16 kHz; sounds of another rate are resampled. Each sound's
    own mean level is taken out, since speakers stand at different distances from different microphones; a stream,
    whose mean isn't known before its end, needs `loudness=True`, which keeps it.
    """

    kind: ClassVar[str] = "log_mel"
    says: ClassVar[str] = "log-mel bands"

    def __init__(
        self,
        *,
        rate: int = 0,
        bands: int = 40,
        window: float = 0.025,
        hop: float = 0.010,
        scale: str = "slaney",
        loudness: bool = False,
    ) -> None:
        positive(self.kind, bands=bands)
        if scale not in SCALES:
            raise unknown("mel scale", scale, SCALES)
        if rate < 0 or not 0 < hop <= window:
            raise UserError(
                f"{self.kind}: rate {rate}, window {window} s, hop {hop} s. Expected 0 < hop <= window, rate in Hz."
            )
        self.rate, self.bands, self.window, self.hop, self.scale = rate, bands, window, hop, scale
        self.loudness = loudness
        self.mean, self.deviation = np.zeros(self.scaled), np.ones(self.scaled)
        self.notes: list[str] = []
        self._filters: tuple[int, Floats] | None = None

    @property
    def width(self) -> int:
        """D: values a step."""
        return self.bands

    @property
    def scaled(self) -> int:
        """Numbers of a frame, each scaled by itself."""
        return self.width

    def fit(self, values: Iterable[Audio]) -> Self:
        """Takes the rate, and each value's mean and deviation, from training sounds. Raises what reading raises."""
        sounds = list(values)
        self.rate, self.notes = _common_rate(sounds, self.rate)
        moments = Moments(self.scaled)
        for sound in sounds:
            moments.add(self.features(sound))
        self.mean, self.deviation = scale_of(moments)
        return self

    def encode(self, value: Audio) -> Steps:
        """(T, width) float32, T at least 1."""
        return ((self.features(value) - self.mean) / self.deviation).astype(np.float32)

    def features(self, value: Audio) -> Floats:
        """(T, width) before scaling: natural logarithms of power."""
        sound = resampled(sound_of(value), self._rated())
        window, hop = round(self.window * sound.rate), max(1, round(self.hop * sound.rate))
        size = 1 << (window - 1).bit_length()
        filters = self._mel(size)
        power = [spectra @ filters.T for spectra in power_spectra(sound.samples, window, hop, size)]
        log_mel = np.log(np.maximum(np.concatenate(power), FLOOR))
        return self._compressed(log_mel if self.loudness else log_mel - log_mel.mean())

    def _compressed(self, log_mel: Floats) -> Floats:
        return log_mel

    def _rated(self) -> int:
        if not self.rate:
            raise ValueError(
                f"{self.kind} has no rate yet. Call fit(training sounds) first, or give rate=8000."
            )
        return self.rate

    def _mel(self, size: int) -> Floats:
        if self._filters is None or self._filters[0] != size:
            self._filters = size, mel_filters(self.rate, size, self.bands, self.scale)
        return self._filters[1]

    def describe(self, encoded: Steps) -> str:
        """The length and what a step holds, in words."""
        steps, each = len(encoded), f"{self.width} {self.says} at {self.rate} Hz"
        return f"{steps * self.hop:.2f} s as {steps} steps of {self.hop * 1000:g} ms, {each}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        settings = {name: getattr(self, name) for name in SETTINGS}
        return {"kind": self.kind, **settings, **scale_to(self.mean, self.deviation)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        names = [name for name in saved if name not in ("kind", "mean", "deviation")]
        codec = cls(**{name: saved[name] for name in names})
        codec.mean, codec.deviation = scale_from(saved, codec.scaled)
        return codec


class Mfcc(LogMel):
    """(T, coefficients): the first cosine coefficients of the log-mel bands (Davis and Mermelstein 1980), each with
    mean 0 and deviation 1 over training.
    """

    kind: ClassVar[str] = "mfcc"
    says: ClassVar[str] = "mel cepstra"

    def __init__(self, *, coefficients: int = 13, **settings: Any) -> None:
        positive(self.kind, coefficients=coefficients)
        self.coefficients = coefficients
        super().__init__(**settings)
        if coefficients > self.bands:
            raise UserError(
                f"mfcc: {coefficients} coefficients of {self.bands} bands. Expected no more than bands."
            )

    @property
    def width(self) -> int:
        """D: values a step."""
        return self.coefficients

    def _compressed(self, log_mel: Floats) -> Floats:
        return log_mel @ cosine_basis(self.coefficients, self.bands).T

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        return super().to_dict() | {"coefficients": self.coefficients}


class Waveform:
    """(T, frame): the samples themselves, `frame` of them a step, with mean 0 and deviation 1 over training.

    `rate` as in LogMel; the last step is filled with silence.
    """

    kind: ClassVar[str] = "waveform"

    def __init__(self, *, frame: int = 80, rate: int = 0) -> None:
        positive(self.kind, frame=frame)
        self.frame, self.rate = frame, rate
        self.mean, self.deviation = np.zeros(1), np.ones(1)
        self.notes: list[str] = []

    @property
    def width(self) -> int:
        """D: samples a step."""
        return self.frame

    def fit(self, values: Iterable[Audio]) -> Self:
        """Takes rate, mean and deviation from training sounds. Raises what reading raises."""
        sounds = list(values)
        self.rate, self.notes = _common_rate(sounds, self.rate)
        moments = Moments(1)
        for sound in sounds:
            moments.add(self._samples(sound)[:, None])
        self.mean, self.deviation = scale_of(moments)
        return self

    def encode(self, value: Audio) -> Steps:
        """(T, frame) float32, T at least 1."""
        scaled = ((self._samples(value) - self.mean) / self.deviation).astype(np.float32)
        steps = np.zeros((max(1, -(-len(scaled) // self.frame)), self.frame), np.float32)
        steps.reshape(-1)[: len(scaled)] = scaled
        return steps

    def _samples(self, value: Audio) -> NDArray[np.float32]:
        if not self.rate:
            raise ValueError("waveform has no rate yet. Call fit(training sounds) first, or give rate=8000.")
        return resampled(sound_of(value), self.rate).samples

    def describe(self, encoded: Steps) -> str:
        """The length and what a step holds, in words."""
        seconds = encoded.size / max(self.rate, 1)
        return f"{seconds:.2f} s as {len(encoded)} steps of {self.frame} samples at {self.rate} Hz"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        return {
            "kind": self.kind,
            "frame": self.frame,
            "rate": self.rate,
            **scale_to(self.mean, self.deviation),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        codec = cls(frame=saved["frame"], rate=saved["rate"])
        codec.mean, codec.deviation = scale_from(saved, 1)
        return codec


def _common_rate(sounds: list[Audio], wanted: int) -> tuple[int, list[str]]:
    """The rate that all sounds are brought to, and how many that changes, in words."""
    if not sounds:
        raise UserError("no sounds to fit on. Expected at least one in the training split.")
    rates = Counter(sound.rate if isinstance(sound, Sound) else sound_header(sound).rate for sound in sounds)
    rate = wanted or min(max(rates, key=lambda hertz: (rates[hertz], hertz)), HIGHEST)
    others = sum(count for hertz, count in rates.items() if hertz != rate)
    return rate, [f"{others:,} of {len(sounds):,} training sounds resampled to {rate:,} Hz"] if others else []
