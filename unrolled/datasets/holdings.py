"""Where the files of a public set are on this machine, and whether they are the ones that are meant.

Looked at in this order: the folder that `UNROLLED_DATA` names (as FOLDER/SET/FILE or FOLDER/FILE), the cache
(`UNROLLED_CACHE`, else `$XDG_CACHE_HOME/unrolled`, else `~/.cache/unrolled`) and a Python package that ships them.
Every file is known by its SHA-256.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from unrolled.datasets.archives import member_bytes, members
from unrolled.datasets.sets import DataSet, SetFile
from unrolled.errors import UserError

DATA = "UNROLLED_DATA"
CACHE = "UNROLLED_CACHE"
PIECE = 1 << 20
UNPACKED = 1 << 28  # bytes of one gzip file
SOUNDS = ".wav"


def cache_folder() -> Path:
    """Where fetched sets are kept, a folder each. It need not be there yet."""
    if chosen := os.environ.get(CACHE):
        return Path(chosen).expanduser() / "sets"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "unrolled" / "sets"


def places(wanted: DataSet) -> dict[str, list[Path]]:
    """What to call a place -> the folders that it stands for. Raises UserError where `UNROLLED_DATA` names no folder."""
    found: dict[str, list[Path]] = {}
    if given := os.environ.get(DATA):
        folder = Path(given).expanduser()
        if not folder.is_dir():
            raise UserError(
                f"{DATA}={given}: no such folder. Expected one that holds sets, or leave it unset."
            )
        found[DATA] = [folder / wanted.folder, folder]
    found["cache"] = [cache_folder() / wanted.folder]
    if wanted.package and (package := _package(wanted.package)):
        found[wanted.package] = [package / "datasets" / "data" / wanted.folder]
    return found


def here(wanted: DataSet) -> str:
    """The place that has files of all its names, unchecked: `UNROLLED_DATA`, `cache` or a package; empty for none."""
    for place, folders in places(wanted).items():
        if all(any((folder / file.name).is_file() for folder in folders) for file in wanted.files):
            return place
    return ""


def located(wanted: DataSet) -> dict[str, Path]:
    """File name -> its path, every file checked. Raises UserError where one is missing or another than is meant."""
    other: list[str] = []
    found: dict[str, Path] = {}
    for file in wanted.files:
        for path in _candidates(wanted, file):
            if is_meant(path, file):
                found[file.name] = path
                break
            other.append(
                f"{path}: not the file that is meant (its SHA-256 is another). Expected {_said(file)}."
            )
    if len(found) == len(wanted.files):
        return found
    missing = [file.name for file in wanted.files if file.name not in found]
    raise UserError("\n".join([*other, _absent(wanted, missing)]))


def is_meant(path: Path, file: SetFile) -> bool:
    """Whether the file at this path is the one, or packs the same. Raises UserError where it can't be read."""
    try:
        stated = path.stat()
        digest = _digest(path, stated.st_size, stated.st_mtime_ns)
        if digest == file.sha256:
            return True
        return bool(file.inner) and _inner(path, stated.st_size, stated.st_mtime_ns) == file.inner
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _candidates(wanted: DataSet, file: SetFile) -> Iterable[Path]:
    paths = (folder / file.name for folders in places(wanted).values() for folder in folders)
    return (path for path in paths if path.is_file())


def _package(name: str) -> Path | None:
    """The folder of an installed package, which is not imported."""
    spec = find_spec(name)
    inside = spec.submodule_search_locations if spec else None
    return Path(next(iter(inside))) if inside else None


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file's bytes; size and time of change make it anew for a file that has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=256)
def _inner(path: Path, size: int, changed: int) -> str:
    """SHA-256 of what the file packs; empty for what can't be unpacked."""
    if path.suffix.lower() == ".gz":
        return _unpacked(path)
    try:
        sounds = sorted((name.rpartition("/")[2], name) for name in members(path)[0] if name.endswith(SOUNDS))
        digest = hashlib.sha256()
        for own, name in sounds:
            digest.update(f"{hashlib.sha256(member_bytes(path, name)).hexdigest()}  {own}\n".encode())
        return digest.hexdigest()
    except UserError:
        return ""


def _unpacked(path: Path) -> str:
    digest, left = hashlib.sha256(), UNPACKED
    try:
        with gzip.open(path, "rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
                left -= len(piece)
                if left < 0:
                    return ""
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return ""
    return digest.hexdigest()


def _said(file: SetFile) -> str:
    return f"{file.bytes:,} bytes, SHA-256 {file.sha256}"


def _absent(wanted: DataSet, missing: list[str]) -> str:
    some = ", ".join(missing)
    own = (
        f" For a file or folder of your own with that name write ./{wanted.name}."
        if Path(wanted.name).exists()
        else ""
    )
    if not any(file.url for file in wanted.files):
        return (
            f"{wanted.name}: {some} is not here, and no address gives it as it is (made from {wanted.source}). Put it "
            f"into the folder that {DATA} names.{own}"
        )
    return (
        f"{wanted.name}: not on this machine ({some}). Fetch it ({wanted.bytes / 1e6:.1f} MB): unrolled data get "
        f"{wanted.name}; or name a folder that holds it with {DATA}.{own}"
    )
