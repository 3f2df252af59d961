"""`data get`: the files of a public set from their source, checked and moved into the cache whole, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unrolled import durable
from unrolled.datasets.archives import member_bytes, members
from unrolled.datasets.holdings import DATA, cache_folder, here, is_meant, located
from unrolled.datasets.sets import DataSet, SetFile
from unrolled.errors import RunFailed, UserError

WAIT = 30.0  # seconds without a byte until a source counts as gone
PIECE = 1 << 16
ARCHIVE = 64 << 20  # bytes of a zip from which a file is taken
LOOSE = 2  # times the stated size, for what a source may pack anew
ADVICE = "Free some space, or choose another folder with UNROLLED_CACHE."


@dataclass(frozen=True)
class Got:
    """A public set and where it is, or would be kept (not `here` yet). `fetched`: the files that came just now."""

    name: str
    folder: Path
    files: list[str]
    bytes: int
    fetched: list[str]
    here: bool = True


def get(wanted: DataSet, say: Callable[[str], None], dry: bool = False) -> Got:
    """Fetches what is missing of a set into the cache, after saying what and how large; `dry`: says it only.

    Raises UserError for a set that no address gives, RunFailed where its source can't be reached, sends too much, too
    little or another file. Nothing of a set stays behind unless all of it came.
    """
    if wanted.generated:
        raise UserError(
            f"{wanted.name} is made here: there is nothing to get. unrolled train data={wanted.name}"
        )
    try:
        folder = next(iter(located(wanted).values())).parent
        say(f"{wanted.name}: all its files are in {folder}, checked")
        return _got(wanted, folder, [])
    except UserError as error:
        if here(wanted):
            say(str(error).rpartition("\n")[0])
    if not all(file.url for file in wanted.files):
        raise UserError(
            f"{wanted.name}: no address gives it as it is (made from {wanted.source}). Put "
            f"{', '.join(file.name for file in wanted.files)} into the folder that {DATA} names."
        )
    folder = cache_folder() / wanted.folder
    say(f"{wanted.name}: {wanted.what}")
    say(f"  licence: {wanted.licence}; source: {wanted.source}")
    count = len(wanted.files)
    say(f"  {wanted.bytes / 1e6:.1f} MB in {count} file{'s' * (count > 1)}, to {folder}")
    names = [] if dry else _fetched(wanted, folder, say)
    return _got(wanted, folder, names, here=not dry)


def _got(wanted: DataSet, folder: Path, fetched: list[str], here: bool = True) -> Got:
    return Got(wanted.name, folder, [file.name for file in wanted.files], wanted.bytes, fetched, here)


def _fetched(wanted: DataSet, folder: Path, say: Callable[[str], None]) -> list[str]:
    temporary = folder.with_name(f".tmp-{os.getpid()}-{wanted.name}")
    try:
        with durable.disk(folder, ADVICE):
            temporary.mkdir(parents=True, exist_ok=True)
            durable.sweep(folder.parent, dead_only=True)
            for file in wanted.files:
                _one(file, temporary, say)
            folder.mkdir(exist_ok=True)
            for file in wanted.files:
                os.replace(temporary / file.name, folder / file.name)
            durable.sync_folder(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [file.name for file in wanted.files]


def _one(file: SetFile, folder: Path, say: Callable[[str], None]) -> None:
    """One file into the folder, from the first address that gives the one that is meant."""
    problems: list[str] = []
    for url in file.url:
        say(f"  {url}")
        try:
            _download(file, url, folder)
        except RunFailed as error:
            problems.append(str(error))
            continue
        if is_meant(folder / file.name, file):
            return
        problems.append(
            f"{url}: not the {file.name} that is meant: its SHA-256 is not {file.sha256}. The source has changed, or it "
            "was altered on the way."
        )
    raise RunFailed("\n".join([*problems, "Nothing was kept."]))


def _download(file: SetFile, url: str, folder: Path) -> None:
    if not file.packed:
        most = file.bytes * LOOSE if file.inner else file.bytes
        _write(folder / file.name, _pieces(url, most))
        return
    archive = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.zip"  # several files may lie in one
    if not archive.exists():
        _write(archive, _pieces(url, ARCHIVE))
    try:
        inside = next((name for name in members(archive)[0] if name.rpartition("/")[2] == file.name), None)
        if inside is None:
            raise RunFailed(f"{url}: no {file.name} in this zip.")
        durable.write(folder / file.name, member_bytes(archive, inside))
    except UserError as error:
        raise RunFailed(f"{url}: {error}") from error


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as out:
        for piece in pieces:
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    os.replace(part, path)


def _pieces(url: str, most: int) -> Iterator[bytes]:
    """What the address sends, of which there may be no more than `most` bytes. Raises RunFailed."""
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "unrolled"})
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            declared = int(answer.headers.get("Content-Length") or -1)
            size = 0
            if declared > most:
                raise _too_large(url, declared, most)
            while piece := answer.read(PIECE):
                size += len(piece)
                if size > most:
                    raise _too_large(url, size, most)
                yield piece
    except urllib.error.HTTPError as error:
        error.close()
        raise RunFailed(f"{url}: the server answers {error.code} ({error.reason}). Has it moved?") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise RunFailed(
            f"{url}: can't be fetched ({reason or type(error).__name__}). Check the connection, and try again; or put the "
            f"file into the folder that {DATA} names."
        ) from error
    if 0 <= declared != size:
        raise RunFailed(f"{url}: cut off after {size:,} of {declared:,} bytes. Try again.")


def _too_large(url: str, size: int, most: int) -> RunFailed:
    return RunFailed(f"{url}: {size:,} bytes or more where at most {most:,} were expected. Not fetched.")
