"""What a record of sound, a picture or a video holds: where the file is, not its content. Listing a folder
reads no file; a codec or `load` does.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from unrolled.datasets.archives import member_bytes
from unrolled.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOUND = (".wav", ".flac", ".ogg", ".mp3")
IMAGE = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
KINDS = {"sound": SOUND, "image": IMAGE}  # column -> suffixes
COLUMNS = {suffix: column for column, suffixes in KINDS.items() for suffix in suffixes}
HEAD = 16  # bytes that tell what a file is

MEANING = {  # the first bytes of what people most often hand in by mistake
    rb"RIFF....WAVE|RF64....WAVE": "a WAV sound",
    rb"fLaC": "a FLAC sound",
    rb"OggS": "an OGG sound",
    rb"ID3": "an MP3 sound",
    rb"\x89PNG": "a PNG picture",
    rb"\xff\xd8\xff": "a JPEG picture",
    rb"GIF8": "a GIF picture",
    rb"RIFF....WEBP": "a WebP picture",
    rb"RIFF....AVI |....ftyp|\x1aE\xdf\xa3": "a film (save its frames as numbered images in a folder, or its sound as WAV)",
    rb"MThd": "a MIDI file",
    rb"PK\x03\x04": "a zip archive or an office document",
    rb"\x1f\x8b": "gzip data (unpack it)",
    rb"%PDF-": "a PDF",
    rb"<!DOCTYPE|<html|<\?xml|<svg": "a web page or XML: perhaps a download that failed",
    rb"version https:": "a pointer of Git LFS (fetch the file itself with git lfs pull)",
    rb"\xff\xfe|\xfe\xff": "UTF-16 text",
    rb"\0{16}": "nothing but zeros at its start: a download or copy that failed",
    rb"[\t\n\r -~\x80-\xff]{16}": "text",
}


@dataclass(frozen=True, slots=True)
class MediaFile:
    """One file of sound or one image: a path, or a member of a zip."""

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        """The file's own name, as `3_jackson_10.wav`."""
        return self.member.rpartition("/")[2] if self.member else self.path.name

    def open(self) -> IO[bytes]:
        """The file's bytes, from the start. Raises UserError where the system or the zip refuses."""
        if self.member:
            return io.BytesIO(member_bytes(self.path, self.member))
        if self.path.is_dir():
            raise UserError(
                f"{self.path}: a folder, not a file. If it is a folder of files, give its parent, "
                "or rename it without the suffix."
            )
        if self.path.exists() and not self.path.is_file():
            raise UserError(f"{self.path}: a pipe or a device. Expected a plain file.")
        try:
            return self.path.open("rb")
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot be read ({error.strerror or error}). Check the path, its links and permissions."
            ) from error


@dataclass(frozen=True, slots=True)
class Clip:
    """One video: its frames in order, each an image file."""

    name: str
    frames: tuple[MediaFile, ...]

    def __str__(self) -> str:
        return self.name


def media_file(source: MediaFile | Path | str) -> MediaFile:
    """The handle of a path; a handle stays what it is."""
    return source if isinstance(source, MediaFile) else MediaFile(Path(source))


def checked_head(file: MediaFile, opened: IO[bytes], wanted: str, patterns: Iterable[bytes]) -> bytes:
    """The first bytes, once they are those of one of the wanted formats; the file stands at its start again.

    Raises UserError for an empty file and one of another kind, naming that kind.
    """
    head = opened.read(HEAD)
    opened.seek(0)
    if not head:
        raise UserError(f"{file}: the file is empty (0 bytes). Expected {wanted}: fetch or save it again.")
    if not any(re.match(pattern, head, re.DOTALL) for pattern in patterns):
        raise UserError(f"{file}: this is {_meaning(head)}, whatever its name says. Expected {wanted}.")
    return head


def _meaning(head: bytes) -> str:
    for pattern, meaning in MEANING.items():
        if re.match(pattern, head, re.DOTALL):
            return meaning
    return f"no format that we know (it begins with {head[:4].hex(' ')})"


def suffix_of(name: str) -> str:
    """A file name's suffix, lower case, as `.wav`; pathlib takes ten times as long, which 50,000 names feel."""
    return os.path.splitext(name)[1].lower()


def stem_of(name: str) -> str:
    """A file name without its suffix."""
    return os.path.splitext(name)[0]


def array_column(value: NDArray[Any]) -> str:
    """`image` for bytes (H, W) or (H, W, 1, 3 or 4), `frames` for bytes (T, H, W) or (T, H, W, channels), else `series`:
    numbers that are no bytes may be anything.
    """
    if value.dtype.name != "uint8" or value.ndim < 2:
        return "series"
    colours = value.ndim == 3 and value.shape[2] in (1, 3, 4)
    return "image" if value.ndim == 2 or colours else "frames"


def column_of(name: str) -> str | None:
    """`sound` or `image`, by a file name's suffix; None for any other."""
    return COLUMNS.get(suffix_of(name))
