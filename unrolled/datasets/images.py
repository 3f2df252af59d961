"""Image files to arrays of bytes through Pillow (extra `images`), and a folder of numbered images to a video."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.media import IMAGE, Clip, MediaFile, checked_head, media_file
from unrolled.errors import MissingExtra, UserError

if TYPE_CHECKING:
    from PIL import Image

Bytes8 = NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
HEADS = (
    rb"\x89PNG",
    rb"\xff\xd8\xff",
    rb"GIF8",
    rb"BM",
    rb"RIFF....WEBP",
    rb"II[*+]",
    rb"MM\0[*+]",
    rb"P[1-6]\s",
)
WANTED = "an image: PNG, JPEG, GIF, BMP, WebP, TIFF or PGM/PPM"
PIXELS = 1 << 25  # of one image: 33 million, as 8192 x 4096
VIDEO = 1 << 27  # bytes of one video in memory
GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N")
NUMBER = re.compile(r"(\d+)\D*$")


class ImageHeader(NamedTuple):
    """What a file says of itself before it is decoded; height and width after its EXIF orientation."""

    height: int
    width: int
    channels: int
    format: str


def read_image(source: MediaFile | Path | str) -> Bytes8:
    """(H, W) uint8 of a grey image, (H, W, 3) of any other, turned upright as its EXIF orientation says.

    Transparent parts stand on white, 16-bit grey keeps its upper eight bits. Raises UserError for what is no
    whole image, has several pages or more than `PIXELS`; MissingExtra without Pillow.
    """
    file = media_file(source)
    with _opened(file) as opened:
        from PIL import Image, ImageOps

        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # about damaged metadata, of which only the orientation is read
                upright = ImageOps.exif_transpose(opened)
                if opened.mode.startswith("I;16"):
                    return (np.asarray(upright).astype(np.uint16) >> 8).astype(np.uint8)
                return np.asarray(_plain(upright, Image))
        except Exception as error:  # Pillow's decoders raise whatever they stumble over
            raise _damaged(file, error) from error


def image_header(source: MediaFile | Path | str) -> ImageHeader:
    """Size and channels without decoding. Raises what `read_image` raises at the header."""
    file = media_file(source)
    with _opened(file) as opened:
        try:
            turned = opened.getexif().get(0x0112) in (5, 6, 7, 8)
        except Exception:  # damaged metadata: the image itself may be whole
            turned = False
        width, height = opened.size[::-1] if turned else opened.size
        return ImageHeader(height, width, 1 if opened.mode in GREY else 3, str(opened.format))


def image_of(value: NDArray[Any] | MediaFile | Path | str) -> NDArray[Any]:
    """An image's array as it is, or that of the file that a path or handle leads to."""
    return value if isinstance(value, np.ndarray) else read_image(value)


def read_frames(source: Clip | Path | str) -> Bytes8:
    """(T, H, W) or (T, H, W, 3) uint8: the numbered images of one folder, as a video.

    Raises UserError for an empty folder, names without a number, a number twice, unequal sizes, and for more
    than `VIDEO` bytes.
    """
    clip = source if isinstance(source, Clip) else clip_of(Path(source))
    if not clip.frames:
        raise UserError(f"{clip.name}: no frames. Expected a folder of numbered images.")
    headers = [image_header(file) for file in clip.frames]
    sizes = [header[:2] for header in headers]
    for file, size in zip(clip.frames, sizes, strict=True):
        if size != sizes[0]:
            raise UserError(
                f"{file}: {size[0]} x {size[1]} pixels where {clip.frames[0].name} has {sizes[0][0]} x {sizes[0][1]} "
                "(height x width). Expected frames of one size: bring them to one, or put other pictures elsewhere."
            )
    channels = max(header.channels for header in headers)
    total = len(sizes) * sizes[0][0] * sizes[0][1] * channels
    if total > VIDEO:
        raise UserError(
            f"{clip.name}: {len(sizes):,} frames of {sizes[0][0]} x {sizes[0][1]} take {total / 1e6:,.0f} MB, more than "
            f"{VIDEO / 1e6:.0f}. Make the frames smaller, or cut the video."
        )
    return np.stack([_in_channels(read_image(file), channels) for file in clip.frames])


def frames_of(value: NDArray[Any] | Clip | Path | str) -> NDArray[Any]:
    """A video's array as it is, or that of the folder that a path or handle leads to."""
    return value if isinstance(value, np.ndarray) else read_frames(value)


def clip_of(folder: Path) -> Clip:
    """The handle of one folder's numbered images. Raises UserError for anything that isn't such a folder."""
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise UserError(f"{folder}: {what}. Expected a folder of numbered images, one a frame.")
    try:
        names = sorted(
            p.name for p in folder.iterdir() if p.suffix.lower() in IMAGE and not p.name.startswith(".")
        )
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be read ({error.strerror or error}). Check its permissions."
        ) from error
    return numbered(str(folder), [MediaFile(folder / name) for name in names])


def numbered(name: str, files: Sequence[MediaFile]) -> Clip:
    """The clip of these files in the order of their last numbers. Raises UserError where numbers are missing or
    stand twice.
    """
    by_number: dict[int, MediaFile] = {}
    for file in files:
        found = NUMBER.search(file.name.rpartition(".")[0])
        if not found:
            raise UserError(
                f"{file}: no number in this frame's name. Expected names such as 001.png: number the frames in order."
            )
        number = int(found[1][-18:])
        if number in by_number:
            raise UserError(
                f"{file}: frame {number} is there twice, as {by_number[number].name} too. Leave one of them."
            )
        by_number[number] = file
    return Clip(name, tuple(by_number[number] for number in sorted(by_number)))


def has_gaps(clip: Clip) -> bool:
    """Whether the frames' numbers don't go on in equal steps, as after a lost frame."""
    stems = (file.name.rpartition(".")[0] for file in clip.frames)
    numbers = [int(found[1][-18:]) for found in map(NUMBER.search, stems) if found]
    return len({b - a for a, b in zip(numbers, numbers[1:], strict=False)}) > 1


@contextmanager
def _opened(file: MediaFile) -> Iterator[Image.Image]:
    """An image whose header has been read and checked, and of which nothing is decoded yet."""
    with file.open() as raw:
        checked_head(file, raw, WANTED, HEADS)
        try:
            from PIL import Image
        except ImportError:
            raise MissingExtra("pillow", "images", f"reading {file.name}") from None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the size is checked right below
                opened = Image.open(raw, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise UserError(
                f"{file}: {error} The cap is {PIXELS:,} pixels: make it smaller first."
            ) from error
        except Exception as error:  # Pillow's decoders raise whatever they stumble over
            raise _damaged(file, error) from error
        with opened:
            _check_header(file, opened)
            yield opened


def _check_header(file: MediaFile, opened: Image.Image) -> None:
    width, height = opened.size
    if width < 1 or height < 1:
        raise UserError(
            f"{file}: {height} x {width} pixels. Expected at least one: save it again, or leave it out."
        )
    if width * height > PIXELS:
        raise UserError(
            f"{file}: declares {height:,} x {width:,} pixels (height x width), more than {PIXELS:,} together. Make it "
            "smaller first."
        )
    if opened.mode in ("I", "F"):
        raise UserError(
            f"{file}: 32-bit values a pixel, whose range is unknown. Expected 8 or 16 bits: convert it first."
        )
    if opened.format != "MPO" and getattr(opened, "is_animated", False):  # a phone's JPEG may carry a preview
        raise UserError(
            f"{file}: several pictures in one file. Expected one: save its frames as numbered images in a folder, "
            "which is read as a video."
        )


def _plain(opened: Image.Image, library: Any) -> Image.Image:
    """The same picture as mode L or RGB, transparent parts on white."""
    if "A" in opened.getbands() or "a" in opened.getbands() or "transparency" in opened.info:
        grey = opened.mode in GREY
        clear = opened.convert("RGBA")
        opened = library.new("RGBA", clear.size, "white")
        opened.alpha_composite(clear)
        return opened.convert("L" if grey else "RGB")
    return opened.convert("L" if opened.mode in GREY else "RGB")


def _in_channels(image: Bytes8, channels: int) -> Bytes8:
    return np.repeat(image[:, :, None], channels, 2) if channels > 1 and image.ndim == 2 else image


def _damaged(file: MediaFile, error: Exception) -> UserError:
    reason = re.sub(r" ?<_io[^>]*>", "", str(error)).rstrip(". ") or type(error).__name__
    return UserError(f"{file}: damaged, or cut short ({reason}). Expected {WANTED}: fetch or save it again.")
