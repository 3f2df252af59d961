"""What librosa makes of two generated sounds: the reference for our own spectra, kept in fixtures/spectra.npz.

Written by, in an environment with librosa 0.11.0 and numpy 2.4.6: `python tests/spectra_oracle.py`
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parent / "fixtures" / "spectra.npz"
CASES = {"slaney": (8_000, 2_000, 13), "htk": (16_000, 3_200, 20)}  # scale -> rate, samples, coefficients


def signal(rate: int, length: int) -> Any:
    """(length,): a rising tone with overtones over a pseudo-random hiss, by arithmetic alone."""
    t = np.arange(length) / rate
    tone = sum(np.sin(2 * np.pi * k * (200 * t + 3000 * t**2)) / k for k in (1, 2, 3))
    hiss = np.modf(np.sin(np.arange(length) * 12.9898) * 43758.5453)[0]
    return 0.2 * tone * np.hanning(length) + 0.01 * hiss


def references() -> dict[str, Any]:
    """librosa's mel power, logarithm and cepstra of both signals, (T, D)."""
    import librosa

    found = {}
    for scale, (rate, length, coefficients) in CASES.items():
        window, hop = rate // 40, rate // 100
        size = 1 << (window - 1).bit_length()
        samples = signal(rate, length)
        count = 1 + -(-(length - window) // hop)
        left = (
            size - window
        ) // 2  # librosa puts a short window in the middle of its frame, ours begins with it
        padded = np.pad(samples, (left, (count - 1) * hop + size - left - length))
        power = librosa.feature.melspectrogram(
            y=padded, sr=rate, n_fft=size, win_length=window, hop_length=hop, center=False, power=2.0,
            n_mels=40, htk=scale == "htk", norm="slaney" if scale == "slaney" else None, dtype=np.float64,
        )  # fmt: skip
        log_mel = np.log(np.maximum(power, 1e-10))
        found[f"{scale}_power"] = power.T
        found[f"{scale}_mfcc"] = librosa.feature.mfcc(S=log_mel, n_mfcc=coefficients).T
    return found


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **references())
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")
