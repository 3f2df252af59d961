"""The closed table of codecs for sound, images and videos, and which one a column takes unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.pixels import FrameVectors, Patches, Pixels, PixelSteps
from unrolled.datasets.spectra import LogMel, Mfcc, Waveform
from unrolled.datasets.stacked import StackedMel


class MediaCodec(Protocol):
    """Turns one recording, image or video into steps of `width` numbers. Fitted on the training split only."""

    kind: ClassVar[str]
    notes: list[str]  # what `fit` changed about training's values, counted

    @property
    def width(self) -> int:
        """D: values a step."""

    def fit(self, values: Iterable[Any]) -> Self:
        """Learns size or rate and scale from training values (loaded, handles or paths) and returns itself."""

    def encode(self, value: Any) -> NDArray[np.float32]:
        """(T, width), T at least 1."""

    def describe(self, encoded: NDArray[np.float32]) -> str:
        """What the steps are, in a few words."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""


MEDIA_CODECS: dict[str, type[MediaCodec]] = {
    "log_mel": LogMel,
    "mfcc": Mfcc,
    "stacked_mel": StackedMel,
    "waveform": Waveform,
    "pixels": Pixels,
    "pixel_steps": PixelSteps,
    "patches": Patches,
    "frame_vectors": FrameVectors,
}

OF_COLUMN = {  # the first is the default
    "sound": ("log_mel", "mfcc", "stacked_mel", "waveform"),
    "image": ("pixels", "pixel_steps", "patches"),
    "frames": ("frame_vectors",),
}
