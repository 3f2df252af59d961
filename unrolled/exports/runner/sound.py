"""A WAV file -> steps, by the graph encode.onnx, which holds the spectra and their scale."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner


class Codec:
    """Sounds at the rate of training, 8 to 32 bits; channels are averaged."""

    reads: tuple[str, ...] = (".wav",)

    def __init__(self, runner: Runner) -> None:
        self.rate: int = runner.told["codec"]["rate"]
        self.graph = runner.session("encode.onnx")

    @staticmethod
    def read(file: Path) -> tuple[NDArray[np.float32], int]:
        """(samples, rate) of a WAV file."""
        with wave.open(str(file)) as opened:
            width, channels = opened.getsampwidth(), opened.getnchannels()
            data = np.frombuffer(opened.readframes(opened.getnframes()), np.uint8).reshape(-1, width)
            rate = opened.getframerate()
        if width == 1:
            samples = (data[:, 0].astype(np.float64) - 128) / 128
        else:
            whole = np.zeros((len(data), 4), np.uint8)
            whole[:, 4 - width :] = data
            samples = whole.view("<i4")[:, 0] / 2**31
        return samples.astype(np.float32).reshape(-1, channels).mean(1, dtype=np.float32), rate

    def encode(self, sound: Any) -> NDArray[np.float32]:
        """(T, D) steps of (samples, rate)."""
        samples, rate = sound if isinstance(sound, tuple) else (sound, self.rate)
        if rate != self.rate:
            raise SystemExit(f"{rate} Hz; this model hears {self.rate} Hz: sox in.wav -r {self.rate} out.wav")
        found: NDArray[np.float32] = self.graph.run(None, {"value": np.asarray(samples, np.float64)})[0]
        return found
