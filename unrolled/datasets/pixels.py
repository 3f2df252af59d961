"""Images and videos to steps: rows, single pixels, patches, or one step a frame. Sizes and scales come from training.

Every image of a codec has one size: that of training where all have it, else their median height and width, made
smaller where `largest` asks for it. An image of another size is resized to it (bilinear, widened when shrinking).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.images import frames_of, image_of
from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.moments import Moments
from unrolled.datasets.scaling import scale_from, scale_of, scale_to
from unrolled.errors import UserError, positive

Values = NDArray[np.float64]
Steps = NDArray[np.float32]
Picture = NDArray[Any] | MediaFile | Path | str
Video = NDArray[Any] | Clip | Path | str

LUMA = np.array([0.299, 0.587, 0.114])  # of red, green, blue: ITU-R BT.601
PATCHES = 8  # along an image's longer side where no patch size is given


class Pixels:
    """(H, W * channels): an image read row by row, each channel with mean 0 and deviation 1 over training."""

    kind: ClassVar[str] = "pixels"
    step: ClassVar[str] = "rows"

    def __init__(self, *, largest: int = 64) -> None:
        positive(self.kind, largest=largest)
        self.largest = largest
        self.height, self.width_pixels, self.channels = 0, 0, 1
        self.mean, self.deviation = np.zeros(1), np.ones(1)
        self.notes: list[str] = []

    @property
    def width(self) -> int:
        """D: values a step."""
        return self.width_pixels * self.channels

    def fit(self, values: Iterable[Picture]) -> Self:
        """Takes size, channels and scale from training images. Raises what reading raises."""
        pictures = list(values)
        shapes = [np.shape(self._stack(picture)) for picture in pictures]
        self._take_size(shapes)
        moments = Moments(self.channels)
        for picture in pictures:
            moments.add(self._sized(picture).reshape(-1, self.channels))
        self.mean, self.deviation = scale_of(moments)
        return self

    def encode(self, value: Picture) -> Steps:
        """(T, width) float32."""
        if not self.height:
            raise ValueError(f"{self.kind} has no size yet. Call fit(training images) first.")
        scaled = (self._sized(value) - self.mean) / self.deviation
        return self._steps(np.asarray(scaled, np.float32))

    def resizes(self, value: Picture) -> bool:
        """Whether this value has another size than training's and is resized."""
        return np.shape(self._stack(value))[1:3] != (self.height, self.width_pixels)

    def _stack(self, value: Any) -> NDArray[Any]:
        """(N, H, W, channels) of what a value holds: one image here."""
        return checked(image_of(value), 2)[None]

    def _sized(self, value: Any) -> Values:
        """(N, height, width, channels) in this codec's size and channels, unscaled."""
        stack = in_channels(self._stack(value), self.channels)
        return resized(stack, self.height, self.width_pixels)

    def _steps(self, scaled: Steps) -> Steps:
        rows: Steps = scaled[0]
        return rows.reshape(self.height, self.width)

    def _take_size(self, shapes: list[tuple[int, ...]]) -> None:
        """The size of all, else the median size, and no side above `largest`; what that changes, in the notes."""
        if not shapes:
            raise UserError("no images to fit on. Expected at least one in the training split.")
        sizes = np.array([shape[1:3] for shape in shapes])
        height, width = (int(side) for side in np.median(sizes, 0))
        shrink = min(1.0, self.largest / max(height, width))
        self.height, self.width_pixels = max(1, round(height * shrink)), max(1, round(width * shrink))
        others = int((sizes != (self.height, self.width_pixels)).any(1).sum())
        self.channels = max(shape[3] for shape in shapes)
        grey = sum(shape[3] < self.channels for shape in shapes)
        size = f"{self.height} x {self.width_pixels}"
        self.notes = [f"{others:,} of {len(sizes):,} training images resized to {size}"] if others else []
        if grey:
            self.notes.append(
                f"{grey:,} of {len(sizes):,} training images are grey, read as {self.channels} channels"
            )

    def describe(self, encoded: Steps) -> str:
        """The size and what a step holds, in words."""
        colours = "grey" if self.channels == 1 else f"{self.channels} channels"
        size = f"{self.height} x {self.width_pixels} pixels, {colours}"
        return f"{size}, as {len(encoded)} {self.step} of {self.width} values"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        shape = [self.height, self.width_pixels, self.channels]
        scale = scale_to(self.mean, self.deviation)
        return {"kind": self.kind, "shape": shape, **self._settings(), **scale}

    def _settings(self) -> dict[str, int]:
        return {"largest": self.largest}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""
        names = [name for name in saved if name not in ("kind", "shape", "mean", "deviation")]
        codec = cls(**{name: saved[name] for name in names})
        codec.height, codec.width_pixels, codec.channels = (int(side) for side in saved["shape"])
        codec.mean, codec.deviation = scale_from(saved, codec.channels)
        return codec


class PixelSteps(Pixels):
    """(H * W, channels): an image pixel by pixel in reading order."""

    kind: ClassVar[str] = "pixel_steps"
    step: ClassVar[str] = "pixels"

    def __init__(self, *, largest: int = 32) -> None:
        super().__init__(largest=largest)

    @property
    def width(self) -> int:
        """D: values a step."""
        return self.channels

    def _steps(self, scaled: Steps) -> Steps:
        return scaled.reshape(-1, self.channels)


class Patches(Pixels):
    """(patches, p * p * channels): an image as squares of p pixels in reading order (A. Dosovitskiy et al., "An Image is
    Worth 16x16 Words", ICLR 2021, section 3.1). Squares that reach over the edge are filled with the mean.

    `patch` 0 takes an eighth of the longer side, at least 2.
    """

    kind: ClassVar[str] = "patches"
    step: ClassVar[str] = "patches"

    def __init__(self, *, patch: int = 0, largest: int = 64) -> None:
        if patch:
            positive(self.kind, patch=patch)
        self.patch = patch
        super().__init__(largest=largest)

    @property
    def width(self) -> int:
        """D: values a step."""
        return self.patch * self.patch * self.channels

    def _take_size(self, shapes: list[tuple[int, ...]]) -> None:
        super()._take_size(shapes)
        self.patch = self.patch or max(2, round(max(self.height, self.width_pixels) / PATCHES))

    def _steps(self, scaled: Steps) -> Steps:
        p = self.patch
        down, right = -self.height % p, -self.width_pixels % p
        image = np.pad(scaled[0], ((0, down), (0, right), (0, 0)))
        rows, columns = image.shape[0] // p, image.shape[1] // p
        squares = image.reshape(rows, p, columns, p, self.channels).swapaxes(1, 2)
        return squares.reshape(rows * columns, -1)

    def _settings(self) -> dict[str, int]:
        return {"largest": self.largest, "patch": self.patch}


class FrameVectors(Pixels):
    """(T, H * W * channels): each frame of a video is a step, brought to at most `largest` pixels a side."""

    kind: ClassVar[str] = "frame_vectors"
    step: ClassVar[str] = "frames"

    def __init__(self, *, largest: int = 16) -> None:
        super().__init__(largest=largest)

    @property
    def width(self) -> int:
        """D: values a step."""
        return self.height * self.width_pixels * self.channels

    def _stack(self, value: Any) -> NDArray[Any]:
        return checked(frames_of(value), 3)

    def _steps(self, scaled: Steps) -> Steps:
        return scaled.reshape(len(scaled), self.width)


def resized(stack: NDArray[Any], height: int, width: int) -> Values:
    """(N, H, W, C) -> (N, height, width, C): bilinear weights, widened by the reduction so that every pixel counts."""
    values = stack.astype(np.float64)
    if stack.shape[1] != height:
        values = np.einsum("hH,nHwc->nhwc", _weights(stack.shape[1], height), values, optimize=True)
    if stack.shape[2] != width:
        values = np.einsum("wW,nhWc->nhwc", _weights(stack.shape[2], width), values, optimize=True)
    return values


def _weights(before: int, after: int) -> Values:
    """(after, before): what each old pixel gives to each new one: a triangle around its centre, rows that sum to 1."""
    scale = before / after
    reach = max(scale, 1.0)
    centres = (np.arange(after) + 0.5) * scale - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(before) - centres[:, None]) / reach)
    return np.asarray(weights / weights.sum(1, keepdims=True))


def checked(array: NDArray[Any], sides: int) -> NDArray[Any]:
    """The array with a channel dimension. Raises UserError for other dimensions, no pixels and values not finite."""
    names = "(T, H, W) or (T, H, W, channels)" if sides == 3 else "(H, W) or (H, W, channels)"
    if array.ndim not in (sides, sides + 1) or not array.size:
        raise UserError(f"an array of shape {array.shape}. Expected {names} with at least one pixel.")
    if array.dtype.kind not in "buif" or not np.isfinite(array).all():
        raise UserError(f"{array.dtype} pixels, some not finite numbers. Expected numbers {names}.")
    return array if array.ndim == sides + 1 else array[..., None]


def in_channels(stack: NDArray[Any], channels: int) -> NDArray[Any]:
    """Grey repeated to several channels, or colours weighed to grey."""
    if stack.shape[-1] == channels:
        return stack
    if stack.shape[-1] == 1:
        return np.repeat(stack, channels, -1)
    if (stack.shape[-1], channels) == (3, 1):
        return np.asarray(stack @ LUMA)[..., None]
    raise UserError(
        f"{stack.shape[-1]} channels where training has {channels}. Expected {channels}, or grey."
    )
