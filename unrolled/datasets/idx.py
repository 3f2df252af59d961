"""MNIST's idx files (https://yann.lecun.com/exdb/mnist, "FILE FORMATS"): arrays of bytes behind a short header."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.decoding import open_bytes
from unrolled.datasets.images import PIXELS
from unrolled.datasets.values import Record
from unrolled.errors import UserError

UBYTE = 8  # the type of unsigned bytes
TYPES = {9: "signed bytes", 11: "16-bit numbers", 12: "32-bit numbers", 13: "floats", 14: "doubles"}
LARGEST = 1 << 28  # bytes of one file, unpacked
DIMENSIONS = 3
PIECE = 1 << 20


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an idx file (also `.gz`) of unsigned bytes, with one to three dimensions.

    Raises UserError, naming the byte, for another magic number or type, a size of 0 or beyond `LARGEST`, and for fewer
    or more bytes than the header declares. No more is unpacked than it declares.
    """
    with open_bytes(path) as file:
        try:
            head = file.read(4)
            shape = _shape(path, head, file.read(4 * head[3]) if len(head) == 4 and head[3] <= 8 else b"")
            size, at = prod(shape), 4 + 4 * len(shape)
            data = bytearray()
            while len(data) <= size and (piece := file.read(min(PIECE, size + 1 - len(data)))):
                data += piece
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UserError(
                f"{path}: not a whole gzip file ({error}). Cut short, or not gzip at all: fetch it again."
            ) from error
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if len(data) != size:
        said = f"ends at byte {at + len(data):,}" if len(data) < size else "goes on behind the last one"
        raise UserError(
            f"{path}: declares {' x '.join(map(str, shape))} bytes behind a header of {at}, but {said}. Cut short or "
            "damaged: fetch it again."
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_idx_pair(images: Path, labels: Path) -> Iterator[Record]:
    """`{"image": uint8 (H, W), "label": "0" to "255", "origin": "file:number"}` of an idx file of images and one of their
    labels. Raises UserError as `read_idx`, and for other dimensions or counts that differ.
    """
    pictures, answers = read_idx(images), read_idx(labels)
    if pictures.ndim != 3:
        raise UserError(f"{images}: {pictures.ndim} dimensions. Expected 3: images, rows, columns.")
    if prod(pictures.shape[1:]) > PIXELS:
        raise UserError(
            f"{images}: images of {pictures.shape[1]} x {pictures.shape[2]}, more than {PIXELS:,} pixels."
        )
    if answers.ndim != 1:
        raise UserError(f"{labels}: {answers.ndim} dimensions. Expected 1: a label an image.")
    if len(pictures) != len(answers):
        raise UserError(
            f"{labels}: {len(answers):,} labels, where {images.name} has {len(pictures):,} images. Do they belong together?"
        )
    for number, (picture, answer) in enumerate(zip(pictures, answers.tolist(), strict=True), 1):
        yield {"image": picture, "label": str(answer), "origin": f"{images.name}:{number}"}


def _shape(path: Path, head: bytes, sizes: bytes) -> tuple[int, ...]:
    """The sizes that a header declares."""
    if not head:
        raise UserError(f"{path}: the file is empty (0 bytes). Expected an idx file: fetch it again.")
    if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= DIMENSIONS:
        raise UserError(
            f"{path}: begins with {head.hex(' ')}. Expected an idx file of bytes: 00 00 08, then a number of "
            f"dimensions, 1 to {DIMENSIONS}."
        )
    if head[2] != UBYTE:
        raise UserError(
            f"{path}: byte 2 is 0x{head[2]:02x}, {TYPES.get(head[2], 'no known type')}. Expected 0x08, unsigned bytes."
        )
    if len(sizes) < 4 * head[3]:
        raise UserError(f"{path}: cut short inside its header, at byte {4 + len(sizes)}. Fetch it again.")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if not prod(shape) or prod(shape) > LARGEST:
        raise UserError(
            f"{path}: declares {' x '.join(map(str, shape))} bytes. Expected at least one and at most {LARGEST:,}."
        )
    return shape
