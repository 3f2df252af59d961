"""Zip files read in memory, member by member. Nothing is ever extracted, so no name in a zip can lead anywhere."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

from unrolled.errors import UserError

DIRECTORY = 8 << 20  # bytes of a zip's table of contents: about 90,000 members
MEMBER = 64 << 20  # bytes of one member, unpacked
RATIO = 400  # unpacked bytes a packed one; sound and pictures reach 100 only where they are empty
SMALL = 1 << 20  # unpacked bytes below which the ratio doesn't matter
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others may ask for gigabytes to unpack a byte
END = b"PK\x05\x06"  # begins the record that closes a zip

Stamp = tuple[int, int]


def members(path: Path) -> tuple[list[str], dict[str, int]]:
    """The names of a zip's files in sorted order, and what was left out: reason -> how many.

    Raises UserError for what is no whole zip, for an encrypted one and for one too large to list.
    """
    infos, left = _opened(path).infolist(), dict[str, int]()
    names: set[str] = set()
    locked = 0
    for info in infos:
        if info.is_dir():
            continue
        reason = _why_not(info, names)
        if reason:
            left[reason] = left.get(reason, 0) + 1
            continue
        names.add(info.filename)
        locked += info.flag_bits & 1
    if locked:
        raise UserError(
            f"{path}: {locked} of {len(infos)} members are encrypted. Unpack it with its password, and give the folder."
        )
    return sorted(names), left


def member_bytes(path: Path, name: str) -> bytes:
    """One member, unpacked. Raises UserError where it is missing, damaged, packed in a rare way or too large."""
    archive = _opened(path)
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise UserError(f"{path}: no member {name!r}. Has the zip been changed?") from None
    where = f"{path}/{name}"
    if info.file_size > MEMBER:
        raise UserError(
            f"{where}: declares {info.file_size / 1e6:,.0f} MB, more than the {MEMBER >> 20} MB a member may have. "
            "Unpack the zip, if you trust it, and cut the file into shorter ones."
        )
    if info.file_size > SMALL and info.file_size > RATIO * info.compress_size:
        raise UserError(
            f"{where}: {info.compress_size:,} bytes that unpack to {info.file_size:,}: a decompression bomb, or "
            "empty data. Unpack the zip, if you trust it, and give the folder."
        )
    if info.compress_type not in METHODS:
        raise UserError(
            f"{where}: packed by method {info.compress_type}. Expected plain zip (stored or deflated): pack it again."
        )
    try:
        with archive.open(info) as file:
            data = file.read(MEMBER)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:
        raise UserError(
            f"{where}: this member is damaged ({error or type(error).__name__}). Fetch the zip again."
        ) from error
    if len(data) != info.file_size:
        raise UserError(
            f"{where}: this member is damaged (declares {info.file_size:,} bytes, has {len(data):,}). Fetch the zip again."
        )
    return data


def _why_not(info: zipfile.ZipInfo, seen: set[str]) -> str | None:
    """Why a member is left out, in words; None when it is a plain file with a plain name."""
    parts = info.filename.split("/")
    if info.filename.startswith("/") or ".." in parts or ":" in parts[0] or "\\" in info.filename:
        return "with a name that leads out of the zip"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "that is a link"
    return "of a name that came before" if info.filename in seen else None


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        stated = path.stat()
        return _cached(path, (stated.st_mtime_ns, stated.st_size), os.getpid())
    except UserError:
        raise
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, struct.error) as error:
        raise UserError(
            f"{path}: not a whole zip file ({error}). Cut short, or not a zip at all: fetch it again."
        ) from error


@lru_cache(maxsize=4)
def _cached(path: Path, stamp: Stamp, process: int) -> zipfile.ZipFile:
    """Reading the table of contents for each member would take a minute on 3,000 of them; a forked process
    must not share its parent's place in the file.
    """
    if stamp[1] == 0:
        raise UserError(f"{path}: the file is empty (0 bytes). Expected a zip: fetch it again.")
    with path.open("rb") as file:
        file.seek(max(0, stamp[1] - 65557))  # the closing record and its longest comment
        tail = file.read()
    at = tail.rfind(END)
    if at >= 0 and len(tail) >= at + 22:
        size = int(struct.unpack_from("<I", tail, at + 12)[0])
        if size > DIRECTORY:
            raise UserError(
                f"{path}: its table of contents has {size:,} bytes, more than {DIRECTORY:,} (about 90,000 members). "
                "Unpack it and give the folder."
            )
    return zipfile.ZipFile(path)
