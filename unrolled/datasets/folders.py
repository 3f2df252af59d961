"""Folders and zips of sound, pictures and videos to records: one sub-folder a class, or the label in the name.

A record holds `sound`, `image` or `frames` (a handle: nothing is read while listing), `label` where there is
one, `origin` (`folder/file`), `part` where the folders are called train and test, `group` where the names
carry a speaker, and `notes` when there is something to say aloud.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from unrolled.datasets.decoding import SHOWN
from unrolled.datasets.images import NUMBER, frames_of, has_gaps, image_of, numbered
from unrolled.datasets.listing import Found, Listing, count_of, listed, text_of
from unrolled.datasets.media import IMAGE, KINDS, SOUND, Clip, MediaFile, column_of, stem_of, suffix_of
from unrolled.datasets.readers import Record
from unrolled.datasets.sound import sound_of
from unrolled.errors import UserError

PARTS = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
}  # fmt: skip
NAMED = re.compile(r"([^_]+)_([^_]+)_(\d+)")  # label_speaker_index, as in 3_jackson_12.wav
COUNTED = re.compile(r"([A-Za-z][A-Za-z-]*)[_. ]?(\d+)")  # label and index, as in cat_12.jpg


class Item(NamedTuple):
    """One sequence of the data: its column, its handle, the folders around it, its name and its part."""

    column: str
    value: MediaFile | Clip
    folders: tuple[str, ...]
    name: str
    part: str


def media_records(path: Path) -> Iterator[Record] | None:
    """The records of a folder, zip or single file of sound or images; None where it is something else.

    A folder is one of media when no other kind of file in it is more frequent. Raises UserError, before the
    first record, for what cannot be read as one.
    """
    suffix, column = path.suffix.lower(), column_of(path.name)
    if path.is_file() and column:
        return iter([{column: MediaFile(path), "origin": text_of(path.name)}])
    listing = listed(path)
    if listing is None:
        return None
    kinds = Counter(_column(found) or _suffix(found) for found in listing.files)
    media = max(kinds[column] for column in KINDS)
    if not media and (column or suffix == ".zip"):
        raise _nothing(path, listing)
    return _records(path, listing) if media and media >= max(kinds.values()) else None


def class_folder(path: Path) -> Iterator[Record]:
    """The records of a folder or zip with one sub-folder a class, in sorted order, whatever else is in it.

    Raises UserError where there is neither sound nor an image in it.
    """
    listing = listed(path)
    if listing is None:
        raise UserError(
            f"{path}: {'a file' if path.exists() else 'not there'}. Expected a folder or a zip of one."
        )
    if not any(map(_column, listing.files)):
        raise _nothing(path, listing)
    return _records(path, listing)


def load(record: Record) -> Record:
    """The same record with its files read: `sound` as Sound, `image` and `frames` as uint8 arrays.

    Raises what the readers raise.
    """
    readers: dict[str, Any] = {"sound": sound_of, "image": image_of, "frames": frames_of}
    return {key: readers[key](value) if key in readers else value for key, value in record.items()}


def _records(path: Path, listing: Listing) -> Iterator[Record]:
    notes = [f"{path.name}: left out {count_of(n, 'file')} {why}" for why, n in sorted(listing.left.items())]
    files, parts = _parted(_one_kind(path, listing.files, notes))
    files = _unwrapped(files)
    items = _items(path, files, parts, notes)
    labels, groups = _named(path, items, notes)
    shown = {item.folders[0] for item in items if item.folders}
    notes += [
        f"{path.name}: the class {text_of(name)!r} is empty, left out"
        for name in listing.empty
        if name not in shown
    ]
    return _emitted(items, labels, groups, notes)


def _emitted(items: list[Item], labels: list[str], groups: list[str], notes: list[str]) -> Iterator[Record]:
    for number, item in enumerate(items):
        record: Record = {item.column: item.value, "origin": text_of("/".join((*item.folders, item.name)))}
        for key, value in (("label", labels[number]), ("group", groups[number]), ("part", item.part)):
            if value:
                record[key] = value
        if notes and number == 0:
            record["notes"] = notes
        yield record


def _one_kind(path: Path, files: list[Found], notes: list[str]) -> list[Found]:
    """The files of the most frequent kind, sound or image; the rest is counted in the notes."""
    kinds = Counter(_column(found) for found in files)
    column = max(KINDS, key=lambda kind: kinds[kind])
    for other in KINDS:
        if other != column and kinds[other]:
            notes.append(
                f"{path.name}: left out {count_of(kinds[other], other + ' file')} among {kinds[column]:,} of {column}"
            )
    suffixes = Counter(_suffix(found) or "without suffix" for found in files if _column(found) is None)
    if suffixes:
        kinds_left = ", ".join(f"{n:,} {suffix}" for suffix, n in sorted(suffixes.items()))
        notes.append(f"{path.name}: left out {kinds_left}")
    return [found for found in files if _column(found) == column]


def _parted(files: list[Found]) -> tuple[list[Found], list[str]]:
    """The files without a first folder called train, test or the like, and what it says of each."""
    while len({f.parts[0] for f in files}) == 1 and all(
        len(f.parts) > 2 and f.parts[1].lower() in PARTS for f in files
    ):
        files = [Found(f.parts[1:], f.file) for f in files]
    parts = [PARTS.get(f.parts[0].lower(), "") if len(f.parts) > 1 else "" for f in files]
    if not all(parts) or len(set(parts)) < 2:
        return files, [""] * len(files)
    return [Found(f.parts[1:], f.file) for f in files], parts


def _unwrapped(files: list[Found]) -> list[Found]:
    """The files without folders that hold all of them: a class has another one beside it."""
    while len({f.parts[0] for f in files}) == 1 and all(len(f.parts) > 1 for f in files):
        files = [Found(f.parts[1:], f.file) for f in files]
    return files


def _items(path: Path, files: list[Found], parts: list[str], notes: list[str]) -> list[Item]:
    """One item a file, or one a folder of numbered images where these stand two folders deep."""
    column = _column(files[0]) or "image"
    deep = all(len(f.parts) > 2 and NUMBER.search(stem_of(f.parts[-1])) for f in files)
    if column == "image" and deep:
        return _clips(path, files, parts, notes)
    labelled = [len(f.parts) > 1 for f in files]
    if any(labelled) and not all(labelled):
        notes.append(
            f"{path.name}: left out {count_of(labelled.count(False), 'file')} beside the class folders, without a label"
        )
    return [
        Item(column, f.file, f.parts[:-1], f.parts[-1], part)
        for f, part, kept in zip(files, parts, labelled, strict=True)
        if kept or not any(labelled)
    ]


def _clips(path: Path, files: list[Found], parts: list[str], notes: list[str]) -> list[Item]:
    folders: dict[tuple[str, ...], list[MediaFile]] = {}
    for found, part in zip(files, parts, strict=True):
        folders.setdefault((part, *found.parts[:-1]), []).append(found.file)
    items: list[Item] = []
    problems: list[str] = []
    gaps = 0
    for (part, *inside), frames in folders.items():
        try:
            clip = numbered(text_of("/".join((path.name, *inside))), frames)
        except UserError as error:
            problems.append(str(error))
            continue
        gaps += has_gaps(clip)
        items.append(Item("frames", clip, tuple(inside[:-1]), inside[-1], part))
    if problems:
        raise UserError("\n".join(problems[:SHOWN]))
    if gaps:
        notes.append(
            f"{path.name}: {count_of(gaps, 'clip')} with gaps in the numbers of their frames, read as they are"
        )
    return items


def _named(path: Path, items: list[Item], notes: list[str]) -> tuple[list[str], list[str]]:
    """The label and group of each item, from its folder and from its name where every name fits."""
    folders = [item.folders[0] if item.folders else "" for item in items]
    stems = [item.name if item.column == "frames" else stem_of(item.name) for item in items]
    found = [NAMED.fullmatch(stem) for stem in stems]
    if all(found):
        named, groups = [m[1] for m in found if m], [m[2] for m in found if m]
        fits = _repeat(named) if not any(folders) else named == folders
        if fits and 1 < len(set(groups)) < len(groups):
            notes.append(f"{path.name}: group = the middle of each name ({_some(groups)})")
            if not any(folders):
                notes.append(f"{path.name}: label = the first word of each name ({_some(named)})")
            return [text_of(label) for label in named], [text_of(group) for group in groups]
    if any(folders):
        return [text_of(folder) for folder in folders], [""] * len(items)
    counted = [COUNTED.fullmatch(stem) for stem in stems]
    if all(counted) and _repeat(labels := [m[1] for m in counted if m]):
        notes.append(f"{path.name}: label = the first word of each name ({_some(labels)})")
        return labels, [""] * len(items)
    return [""] * len(items), [""] * len(items)


def _repeat(labels: list[str]) -> bool:
    """Several labels, each at least twice: a number at the front of every name isn't one."""
    counts = Counter(labels)
    return len(counts) > 1 and min(counts.values()) > 1


def _some(names: list[str]) -> str:
    distinct = sorted(set(names))
    more = f", ... {len(distinct)} of them" if len(distinct) > 10 else ""
    return text_of(", ".join(distinct[:10])) + more


def _nothing(path: Path, listing: Listing) -> UserError:
    kinds = Counter(_suffix(found) or "without suffix" for found in listing.files)
    held = [f"{count:,} {kind}" for kind, count in sorted(kinds.items())]
    held += [f"{count_of(count, 'file')} {why}" for why, count in sorted(listing.left.items())]
    return UserError(
        f"{path}: no sound and no images in it (found {', '.join(held) or 'no files at all'}). Expected one folder a "
        f"class with files ending in {', '.join(SOUND + IMAGE)}."
    )


def _column(found: Found) -> str | None:
    return column_of(found.parts[-1])


def _suffix(found: Found) -> str:
    return suffix_of(found.parts[-1])
