"""Images and sounds as somebody's weights want them: every size and scale comes with the weights, nothing is fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.images import image_of
from unrolled.datasets.mel import mel_filters
from unrolled.datasets.pixels import Patches, Picture, Steps, Values, checked, in_channels
from unrolled.datasets.sound import resampled, sound_of
from unrolled.datasets.spectra import Audio
from unrolled.errors import MissingExtra, UserError, positive

FILTERS = {
    0: "NEAREST",
    1: "LANCZOS",
    2: "BILINEAR",
    3: "BICUBIC",
    4: "BOX",
    5: "HAMMING",
}  # Pillow's numbers
LARGEST = 4096  # pixels of a side


class PreparedPatches(Patches):
    """(patches + 1, p * p * channels + 1): an image resized, cropped and scaled as its model's preprocessor_config.json
    says, in squares of `patch` pixels, each with a 0 behind its pixels; the last step is a 1 behind zeros: no patch, but
    where the model says what the whole is. With patch=0 a picture is one step, (1, height * width * channels).

    size: (height, width) that it is resized to, one number for its shorter side, or None; crop: (height, width) cut out of
    the middle; resample: Pillow's number of the filter; rescale: what bytes are multiplied by before mean and deviation.
    """

    kind: ClassVar[str] = "prepared_patches"

    def __init__(
        self,
        *,
        patch: int,
        channels: int,
        size: list[int] | int | None,
        crop: list[int] | None,
        resample: int,
        rescale: float,
        mean: list[float],
        deviation: list[float],
    ) -> None:
        super().__init__(patch=patch)
        given = [
            side for sides in (size, crop) for side in (sides if isinstance(sides, list) else [sides]) if side
        ]
        positive(
            self.kind, channels=channels, **{f"side {number}": side for number, side in enumerate(given)}
        )
        whole = crop or (size if isinstance(size, list) else None)
        if whole is None or len(whole) != 2 or max(given) > LARGEST or resample not in FILTERS:
            raise UserError(
                f"{self.kind}: size {size}, crop {crop}, resample {resample}; expected a height and a width, at most "
                f"{LARGEST} pixels, and one of {sorted(FILTERS)}."
            )
        if crop and size and min(np.subtract(size, crop)) < 0:
            raise UserError(f"{self.kind}: crops {crop} out of {size} pixels, which hold less.")
        if {len(mean), len(deviation)} != {channels} or min(deviation) <= 0 or rescale <= 0:
            raise UserError(
                f"{self.kind}: mean {mean}, deviation {deviation}, rescale {rescale}; expected {channels} numbers each, "
                "and nothing that is 0."
            )
        self.size, self.crop, self.resample, self.rescale = size, crop, resample, rescale
        (self.height, self.width_pixels), self.channels = whole, channels
        self.mean, self.deviation = np.array(mean, float), np.array(deviation, float)

    @classmethod
    def told(cls, told: Mapping[str, Any], patch: int, channels: int, source: str) -> Self:
        """As a preprocessor_config.json says it. Raises UserError, naming the file, for what can't be."""
        try:
            if "crop_pct" in told:
                told = _cropped(told)
            size, crop = told.get("size", 224), told.get("crop_size", 224)
            normalised, rescaled = told.get("do_normalize", True), told.get("do_rescale", True)
            return cls(
                patch=patch,
                channels=channels,
                size=_sides(size) if told.get("do_resize", True) else None,
                crop=_both(_sides(crop)) if told.get("do_center_crop", False) else None,
                resample=int(told.get("resample", 2)),
                rescale=float(told.get("rescale_factor", 1 / 255)) if rescaled else 1.0,
                mean=[float(n) for n in told.get("image_mean", [0.5] * channels)]
                if normalised
                else [0.0] * channels,
                deviation=[float(n) for n in told.get("image_std", [0.5] * channels)]
                if normalised
                else [1.0] * channels,
            )
        except (UserError, TypeError, ValueError, KeyError) as error:
            raise UserError(f"{source}: images can't be prepared as it says ({error}).") from error

    @property
    def width(self) -> int:
        """D: values a step."""
        whole = self.height * self.width_pixels * self.channels
        return super().width + 1 if self.patch else whole

    def _steps(self, scaled: Steps) -> Steps:
        if not self.patch:
            return np.asarray(scaled[0].reshape(1, -1), np.float32)
        squares = super()._steps(scaled)
        steps = np.zeros((len(squares) + 1, squares.shape[1] + 1), np.float32)
        steps[:-1, :-1], steps[-1, -1] = squares, 1
        return steps

    @property
    def patches(self) -> int:
        """Patches of an image."""
        p = self.patch or max(self.height, self.width_pixels)
        return -(-self.height // p) * -(-self.width_pixels // p)

    def fit(self, values: Iterable[Picture]) -> Self:
        """Itself: its sizes and scales belong to the weights."""
        return self

    def _sized(self, value: Any) -> Values:
        """(1, height, width, channels), times `rescale`."""
        picture = checked(image_of(value), 2)
        if picture.dtype != np.uint8:
            raise UserError(f"{self.kind}: got {picture.dtype} pixels; expected bytes, 0 to 255.")
        if picture.shape[-1] != self.channels:
            picture = np.asarray(in_channels(picture[None], self.channels)[0]).round().astype(np.uint8)
        height, width = _target(self.size, picture.shape[:2])
        picture = _resized(picture, height, width, FILTERS[self.resample])
        top, left = (height - self.height) // 2, (width - self.width_pixels) // 2
        if min(top, left) < 0:
            raise UserError(
                f"{self.kind}: an image of {height} x {width} pixels; expected at least {self.height} x "
                f"{self.width_pixels}."
            )
        cut = picture[top : top + self.height, left : left + self.width_pixels]
        return np.asarray(cut[None].astype(np.float64) * self.rescale)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        names = ("patch", "channels", "size", "crop", "resample", "rescale")
        scale = {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}
        return {"kind": self.kind, **{name: getattr(self, name) for name in names}, **scale}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        return cls(**{name: value for name, value in saved.items() if name != "kind"})


def _cropped(told: Mapping[str, Any]) -> dict[str, Any]:
    """The same in size and crop: below 384 pixels an image is made larger by 1 / crop_pct first, and cut out of that."""
    sides = _sides(told["size"])
    side = sides if isinstance(sides, int) else sides[0]
    if side >= 384:
        return {**told, "size": side}
    shortest = {"shortest_edge": int(side / float(told["crop_pct"]))}
    return {**told, "size": shortest, "do_center_crop": True, "crop_size": side}


def _sides(told: Any) -> list[int] | int:
    """(height, width), or one number for the shorter side."""
    if isinstance(told, Mapping):
        return (
            int(told["shortest_edge"])
            if "shortest_edge" in told
            else [int(told["height"]), int(told["width"])]
        )
    return [int(told)] * 2


def _both(sides: list[int] | int) -> list[int]:
    return [sides] * 2 if isinstance(sides, int) else sides


def _target(size: list[int] | int | None, shape: tuple[int, ...]) -> tuple[int, int]:
    """What an image of this height and width is resized to."""
    height, width = shape
    if size is None:
        return height, width
    if isinstance(size, list):
        return size[0], size[1]
    if height <= width:
        return size, size * width // height
    return size * height // width, size


def _resized(picture: NDArray[np.uint8], height: int, width: int, how: str) -> NDArray[np.uint8]:
    """(H, W, C) -> (height, width, C) by Pillow, which the weights were trained with."""
    if picture.shape[:2] == (height, width):
        return picture
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("Pillow", "images", "Resizing images") from error
    grey = picture.shape[-1] == 1
    opened = Image.fromarray(picture[..., 0] if grey else picture)
    done = np.asarray(opened.resize((width, height), getattr(Image.Resampling, how)))
    return done[..., None] if grey else done


class PreparedMel:
    """(frames, bands): log-mel bands as Whisper was trained on them (Radford et al. 2022, arXiv:2212.04356, sec. 2.2):
    every sound made `seconds` long, the power of frames of `window` samples around every `hop`-th one, log10, no more than
    8 below the loudest, then (x + 4) / 4.
    """

    kind: ClassVar[str] = "prepared_mel"

    def __init__(
        self, *, rate: int = 16_000, bands: int = 80, window: int = 400, hop: int = 160, seconds: int = 30
    ) -> None:
        positive(self.kind, rate=rate, bands=bands, window=window, hop=hop, seconds=seconds)
        self.rate, self.bands, self.window, self.hop, self.seconds = rate, bands, window, hop, seconds
        self.notes: list[str] = []
        self._filters = mel_filters(rate, window, bands)

    @property
    def width(self) -> int:
        """D: values a step."""
        return self.bands

    def fit(self, values: Iterable[Audio]) -> Self:
        """Itself: its scale belongs to the weights."""
        return self

    def encode(self, value: Audio) -> Steps:
        """(T, bands) float32. Raises UserError for a sound that is longer than the model hears at once."""
        samples = resampled(sound_of(value), self.rate).samples
        length = self.seconds * self.rate
        if len(samples) > length:
            raise UserError(
                f"{self.kind}: a sound of {len(samples) / self.rate:.1f} s; the model hears {self.seconds} s at once. Cut "
                "it."
            )
        whole = np.pad(np.asarray(samples, np.float64), (0, length - len(samples)))
        around = np.pad(whole, self.window // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(around, self.window)[:: self.hop][
            : length // self.hop
        ]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        power = np.abs(np.fft.rfft(frames * hann)) ** 2
        log_mel = np.log10(np.maximum(power @ self._filters.T, 1e-10))
        log_mel = np.maximum(log_mel, log_mel.max() - 8)
        return np.asarray((log_mel + 4) / 4, np.float32)

    def describe(self, encoded: Steps) -> str:
        """The length and what a step holds, in words."""
        return f"{self.seconds} s as {len(encoded)} steps of {self.bands} log-mel bands at {self.rate} Hz"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        names = ("rate", "bands", "window", "hop", "seconds")
        return {"kind": self.kind, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        return cls(**{name: value for name, value in saved.items() if name != "kind"})


PREPARED: dict[str, Any] = {PreparedPatches.kind: PreparedPatches, PreparedMel.kind: PreparedMel}
