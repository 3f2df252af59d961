"""Token files: documents as ids on disk, opened as a memory map, so that a corpus larger than memory trains.

`STEM.bin` holds raw little-endian uint16 or uint32: for each document a 0 and its tokens, then one closing 0.
`STEM.json` holds the counts and the SHA-256 of the .bin. A finished folder is sealed with a manifest of its files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled import durable
from unrolled.datasets.codecs import Codec
from unrolled.datasets.readers import Record
from unrolled.datasets.spelling import BOUNDARY, Ids
from unrolled.errors import RunFailed, UserError

SCAN = 1 << 22  # tokens looked at at a time when a whole file is walked
MANIFEST = "manifest.json"
# Training tokens of more bytes are checked by size alone, or every run would begin by reading them all.
READ = 1 << 28


@dataclass(frozen=True)
class Piece:
    """Encoded text on its way to the disk: a document, or a further part of the one before."""

    tokens: Ids
    characters: int
    bytes: int
    continues: bool = False


@dataclass(frozen=True)
class TokenFile:
    """A token file on disk. `tokens` is (count,) read only; documents are `0 t1..tn`, and a 0 ends the file.

    `characters` and `bytes` count the documents' text: scores per character divide by them, whatever the
    codec.
    """

    path: Path  # of the .bin
    dtype: str
    count: int
    documents: int
    characters: int
    bytes: int
    sha256: str

    @property
    def tokens(self) -> NDArray[Any]:
        """(count,) unsigned integers, mapped from the disk."""
        return np.memmap(self.path, dtype=self.dtype, mode="r", shape=(self.count,))

    def each(self) -> Iterator[Ids]:
        """The documents one after another, without boundaries."""
        bounds = boundaries(self.tokens)
        for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
            yield self.tokens[begin + 1 : end].astype(np.int64)

    @classmethod
    def encode(cls, folder: Path, stem: str, records: Iterable[Record | str], codec: Codec) -> TokenFile:
        """Encodes and writes texts or records, piece by piece: memory holds one record at a time."""
        return cls.write(folder, stem, map(lambda record: _piece(record, codec), records), codec.size)

    @classmethod
    def open(cls, folder: Path, stem: str) -> TokenFile:
        """Opens what was written. Raises UserError when it is not there or the .bin has another length."""
        path = folder / f"{stem}.bin"
        try:
            saved = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
            size = path.stat().st_size
            file = cls(path=path, **saved)
        except (OSError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}: no readable token file here ({error}). Prepare the data again."
            ) from error
        expected = file.count * np.dtype(file.dtype).itemsize
        if size != expected:
            raise UserError(
                f"{path}: {size} bytes, expected {expected} for {file.count} tokens. Prepare the data again."
            )
        return file

    @classmethod
    def write(cls, folder: Path, stem: str, pieces: Iterable[Piece], vocabulary: int) -> TokenFile:
        """Writes ids below `vocabulary`. Both files appear whole or not at all: written beside and renamed, the .json last.

        Raises RunFailed when the disk is full or refuses.
        """
        dtype = "<u2" if vocabulary <= 1 << 16 else "<u4"
        folder.mkdir(parents=True, exist_ok=True)
        path, part = folder / f"{stem}.bin", folder / f".{stem}.bin.{os.getpid()}"
        digest, count, documents, characters, size = hashlib.sha256(), 0, 0, 0, 0
        try:
            with part.open("wb") as file:
                for piece in pieces:
                    _check(piece.tokens, vocabulary)
                    start = [] if piece.continues else [BOUNDARY]
                    data = np.concatenate([np.array(start, np.int64), piece.tokens]).astype(dtype).tobytes()
                    file.write(data)
                    digest.update(data)
                    count += len(start) + len(piece.tokens)
                    documents += len(start)
                    characters, size = characters + piece.characters, size + piece.bytes
                closing = np.array([BOUNDARY], dtype).tobytes()
                file.write(closing)
                digest.update(closing)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except OSError as error:
            raise _unwritten(path, error) from error
        finally:
            part.unlink(missing_ok=True)
        saved = cls(path, dtype, count + 1, documents, characters, size, digest.hexdigest())
        _write_json(folder / f"{stem}.json", {k: v for k, v in asdict(saved).items() if k != "path"})
        return saved


def seal(folder: Path) -> None:
    """Writes the manifest of a finished folder: each file's size, and its SHA-256 unless it is `READ` too long.

    The last file to be written. Raises RunFailed when the disk is full or refuses.
    """
    found = sorted(p for p in folder.iterdir() if p.name != MANIFEST and not p.name.startswith("."))
    files = {path.name: _facts(path) for path in found}
    _write_json(folder / MANIFEST, {"files": files})


def damage(folder: Path) -> str | None:
    """What is wrong with a sealed folder, in words; None when every file is as it was sealed."""
    try:
        files = json.loads((folder / MANIFEST).read_bytes())["files"]
        for name, facts in files.items():
            path = folder / name
            if path.stat().st_size != facts["bytes"]:
                return f"{name} has {path.stat().st_size} bytes, expected {facts['bytes']}"
            if facts["sha256"] not in (None, _digest(path)):
                return f"the SHA-256 of {name} is not the recorded one"
    except OSError as error:
        return f"{Path(error.filename or MANIFEST).name} can't be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is not the record of a folder's files"
    return None


def _facts(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    unread = path.name == "train.bin" and size > READ
    return {"bytes": size, "sha256": None if unread else _digest(path)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def boundaries(tokens: NDArray[Any]) -> NDArray[np.int64]:
    """Positions of the zeros, found block by block so that a mapped file isn't copied."""
    found = [np.flatnonzero(tokens[i : i + SCAN] == BOUNDARY) + i for i in range(0, len(tokens), SCAN)]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _piece(record: Record | str, codec: Codec) -> Piece:
    text, continues = (
        (record, False) if isinstance(record, str) else (record["text"], bool(record.get("continues")))
    )
    return Piece(codec.encode(text), len(text), len(text.encode("utf-8", "surrogatepass")), continues)


def _check(tokens: Ids, vocabulary: int) -> None:
    if tokens.size and (tokens.min() <= BOUNDARY or tokens.max() >= vocabulary):
        raise ValueError(f"token ids must lie in 1..{vocabulary - 1}, got {tokens.min()}..{tokens.max()}")


def _write_json(path: Path, saved: dict[str, Any]) -> None:
    try:
        durable.replace(path, (json.dumps(saved, indent=2) + "\n").encode())
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> RunFailed:
    return RunFailed(
        f"{path}: cannot be written ({error.strerror}). Nothing was kept: free some space or choose another folder."
    )
