"""What stands below a folder or in a zip: every plain file with its handle, and what was left out and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from unrolled.datasets.archives import members
from unrolled.datasets.media import MediaFile
from unrolled.errors import UserError

JUNK = ("Thumbs.db", "desktop.ini", "__MACOSX")
DEPTH = 8  # folders below the one that is given


class Found(NamedTuple):
    """One listed file: where it stands below the root, and its handle."""

    parts: tuple[str, ...]
    file: MediaFile


class Listing(NamedTuple):
    """The files below a root, and what was left out: reason -> how many."""

    files: list[Found]
    left: Counter[str]
    empty: list[str]  # folders without a file


def listed(path: Path) -> Listing | None:
    """What a folder or zip holds; None for anything else."""
    if path.is_dir():
        return _listed_folder(path)
    return _listed_zip(path) if path.is_file() and path.suffix.lower() == ".zip" else None


def _listed_folder(root: Path) -> Listing:
    """Every plain file below the root in sorted order. Links to folders are followed; a folder that was
    reached before, as in a loop of links, is left out.
    """
    files: list[Found] = []
    left, empty, seen = Counter[str](), list[str](), {os.path.realpath(root)}
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        folder = root.joinpath(*parts)
        count = 0
        for entry in _entries(folder):
            inside = (*parts, entry.name)
            if entry.name.startswith(".") or entry.name in JUNK:
                left["that are hidden"] += 1
            elif _is(entry.is_dir):
                real = os.path.realpath(entry.path)
                if real in seen:
                    left["whose link leads back to a folder that is read already"] += 1
                elif len(inside) > DEPTH:
                    left[f"more than {DEPTH} folders deep"] += 1
                else:
                    seen.add(real)
                    waiting.append(inside)
                    count += 1
            elif _is(entry.is_file):
                files.append(Found(inside, MediaFile(Path(entry.path))))
                count += 1
            else:
                left["that are broken links, pipes or devices"] += 1
        if not count and parts:
            empty.append(parts[-1])
    return Listing(sorted(files, key=lambda found: found.parts), left, sorted(empty))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name))  # links give way
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be read ({error.strerror or error}). Check its permissions."
        ) from error


def _is(asked: Callable[[], bool]) -> bool:
    try:
        return asked()
    except OSError:  # a link that leads to itself
        return False


def _listed_zip(path: Path) -> Listing:
    names, left = members(path)
    files: list[Found] = []
    reasons = Counter(left)
    for name in names:
        parts = PurePosixPath(name).parts
        if any(part.startswith(".") or part in JUNK for part in parts):
            reasons["that are hidden"] += 1
        elif name.lower().endswith(".zip"):
            reasons["that are zips inside the zip: unpack them"] += 1
        else:
            files.append(Found(parts, MediaFile(path, name)))
    return Listing(sorted(files, key=lambda found: found.parts), reasons, [])


def text_of(name: str) -> str:
    """A name that can be printed: bytes of it that aren't UTF-8 become U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")


def count_of(number: int, noun: str) -> str:
    """A count with its noun, as `1 file` and `3,000 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
