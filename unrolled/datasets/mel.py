"""The arithmetic of spectra: mel scales, mel filters, windowed power spectra and the cosine transform.

The chain is that of S. B. Davis and P. Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word
Recognition in Continuously Spoken Sentences", IEEE Trans. ASSP 28 (1980), section II: window, power spectrum,
triangular mel filters, logarithm, cosine transform.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import UserError

Floats = NDArray[np.float64]

PIECE = 4096  # frames transformed at a time


def hertz_to_mel(hertz: Floats, scale: str = "slaney") -> Floats:
    """Pitch in mel. `htk`: 2595 log10(1 + f/700) (D. O'Shaughnessy, Speech Communication, 1987; the HTK Book,
    eq. 5.13), after S. S. Stevens, J. Volkmann, E. B. Newman, JASA 8 (1937). `slaney`: 3 f / 200 up to 1000 Hz, above
    it 27 steps for each factor of 6.4 (M. Slaney, Auditory Toolbox, Interval TR 1998-010).
    """
    if scale == "htk":
        return 2595 * np.log10(1 + hertz / 700)
    return np.where(
        hertz < 1000, hertz * 3 / 200, 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4)
    )


def mel_to_hertz(mel: Floats, scale: str = "slaney") -> Floats:
    """The inverse of `hertz_to_mel`."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def mel_filters(rate: int, size: int, bands: int, scale: str = "slaney") -> Floats:
    """(bands, size // 2 + 1): triangles whose corners are evenly spaced in mel from 0 to rate / 2.

    `slaney` gives each the area 1 in Hz, `htk` the peak 1. Raises UserError for bands so many that one of them
    holds no bin of the spectrum.
    """
    top = hertz_to_mel(np.array(rate / 2), scale)
    corners = mel_to_hertz(np.linspace(0, top, bands + 2), scale)
    bins = np.linspace(0, rate / 2, size // 2 + 1)
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    filters = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    if not filters.any(1).all():
        raise UserError(
            f"bands = {bands}: too many for {rate} Hz and a window of {size} samples; "
            f"{int((~filters.any(1)).sum())} of them would hold nothing. Expected fewer bands, or a longer window."
        )
    return filters * 2 / (high - low) if scale == "slaney" else filters


def power_spectra(samples: NDArray[Any], window: int, hop: int, size: int) -> Iterator[Floats]:
    """(up to PIECE, size // 2 + 1) at a time: |rfft|^2 of frames of `window` samples, `hop` apart, under a
    periodic Hann window. The end is filled with zeros, so that every sample is in a frame, and there is at
    least one frame.
    """
    count = 1 + max(0, -(-(len(samples) - window) // hop))
    padded = np.zeros((count - 1) * hop + window)
    padded[: len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    for begin in range(0, count, PIECE):
        yield np.abs(np.fft.rfft(frames[begin : begin + PIECE] * hann, size)) ** 2


def cosine_basis(coefficients: int, bands: int) -> Floats:
    """(coefficients, bands): the orthonormal cosine transform of type II (N. Ahmed, T. Natarajan, K. R. Rao, IEEE
    Trans. Computers 23, 1974).
    """
    basis = np.cos(np.pi / bands * (np.arange(bands) + 0.5) * np.arange(coefficients)[:, None])
    basis *= np.sqrt(2 / bands)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis)
