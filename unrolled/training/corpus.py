"""Data ready to train on: files -> split -> codec fitted on the training part -> token files kept for the next run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unrolled import durable
from unrolled.datasets import readers, samples
from unrolled.datasets.codecs import CODECS, Codec, choose, codec_from_dict
from unrolled.datasets.rows import continues
from unrolled.datasets.split import GENERATE, PARTS, split
from unrolled.datasets.tokens import TokenFile, damage, seal
from unrolled.errors import UserError
from unrolled.training.progress import aloud

FORMAT = (
    2  # of the folder; another one makes it anew. 2: BPE is fitted to as many merges as the text can teach
)
AS_ASKED = "as asked"
GIVEN = "that of what it starts from"
VALID_TOKENS = 200_000  # validation reads at most so many, so that evaluating stays short beside training


@dataclass(frozen=True)
class Corpus:
    """One data set, split and encoded. `facts` goes into data.json: files and hashes, split, codec and why."""

    name: str
    folder: Path
    codec: Codec
    train: TokenFile
    valid: TokenFile
    test: TokenFile
    notes: list[str]
    facts: dict[str, Any]

    def part(self, name: str) -> TokenFile:
        """`train`, `valid` or `test`."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[name]

    def documents(self, part: str) -> tuple[list[np.ndarray], int, int]:
        """A part's documents without boundaries, and their characters and bytes: what a task scores."""
        file = self.part(part)
        return list(file.each()), file.characters, file.bytes

    def validation(self) -> tuple[list[np.ndarray], int, int]:
        """As `documents("valid")`, but the first VALID_TOKENS of a long one, so that evaluating stays short."""
        if self.valid.count <= VALID_TOKENS:
            return self.documents("valid")
        taken: list[np.ndarray] = []
        left = VALID_TOKENS
        for document in self.valid.each():
            taken.append(document[:left])
            left -= len(taken[-1])
            if left <= 0:
                break
        texts = [self.codec.decode(document) for document in taken]
        return taken, sum(map(len, texts)), sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def prepare(
    data: str,
    codec: str | Codec,
    fractions: tuple[float, float, float] | None,
    runs: Path,
    say: Callable[[str], None] = aloud,
) -> Corpus:
    """Reads, splits and encodes `data`, or finds it done under `runs/.tokens`. codec: of a kind, to be fitted, "auto", or
    one that is fitted already. Raises UserError for bad input.

    The split doesn't depend on the run's seed: runs with different seeds are scored on the same documents.
    """
    path = samples.resolve(data)
    if not continues(path):
        raise UserError(
            f"{data}: rows with columns, where text to be gone on with (.txt, .md, .abc) is expected."
        )
    files = fingerprints(readers.files_of(path)[0])
    shares = fractions or GENERATE
    fitted = None if isinstance(codec, str) else codec
    if not isinstance(codec, str):
        kind, reason = codec.kind, GIVEN
    else:
        kind, reason = (codec, AS_ASKED) if codec != "auto" else choose(readers.records(path), path)
    told = kind if fitted is None else fitted.to_dict()
    asked = json.dumps([FORMAT, files, told, shares], sort_keys=True)
    folder = runs / ".tokens" / hashlib.sha256(asked.encode()).hexdigest()[:16]
    facts = {"files": files, "codec": {"kind": kind, "reason": reason}}
    for kept in (folder.parent, folder):
        durable.sweep(kept, dead_only=True)
    if folder.is_dir() and (wrong := damage(folder)) is None:
        return _open(folder, name_of(data, path), facts)
    if folder.is_dir():
        say(f"{folder}: damaged ({wrong}), made anew")
    with durable.disk(folder, "Free some space, or choose another folder with runs=."):
        shutil.rmtree(folder, ignore_errors=True)
        _build(folder, path, fitted or kind, shares)
    return _open(folder, name_of(data, path), facts)


def fingerprints(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of every file of a data set."""
    return [{"name": f.name, "bytes": f.stat().st_size, "sha256": _digest(f)} for f in files]


def name_of(data: str, path: Path) -> str:
    """A short name for folders and tables: `irish`, or the stem of a file or folder."""
    stem = path.name.split(".")[0] if path.exists() else data
    return re.sub(r"[^A-Za-z0-9_]+", "_", stem).strip("_")[:32] or "data"


def _build(folder: Path, path: Path, how: str | Codec, shares: tuple[float, float, float]) -> None:
    """Five passes over the files (split, fit, encode each part): memory holds one record at a time. how: the codec, or its
    kind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".tmp-{os.getpid()}-{folder.name}")
    dealt = split(readers.records(path), 0, shares)
    codec = how
    if isinstance(codec, str):
        texts = (r["text"] for part, r in dealt.parts(readers.records(path)) if part == "train")
        codec = CODECS[codec]().fit(texts)
    try:
        for name in PARTS:
            TokenFile.encode(
                temporary, name, (r for p, r in dealt.parts(readers.records(path)) if p == name), codec
            )
        durable.write(temporary / "codec.json", json.dumps(codec.to_dict()).encode())
        durable.write(
            temporary / "corpus.json", json.dumps({"notes": dealt.notes, "split": dealt.to_dict()}).encode()
        )
        seal(temporary)
        try:
            temporary.rename(folder)
        except OSError:
            # Otherwise another process was quicker, and its files are the same.
            if not (folder / "corpus.json").is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open(folder: Path, name: str, facts: dict[str, Any]) -> Corpus:
    saved = json.loads((folder / "corpus.json").read_bytes())
    parts = {part: TokenFile.open(folder, part) for part in PARTS}
    counts = {
        p: {"documents": f.documents, "tokens": f.count, "characters": f.characters, "bytes": f.bytes}
        for p, f in parts.items()
    }
    codec = codec_from_dict(json.loads((folder / "codec.json").read_bytes()))
    described = {**facts["codec"], "size": codec.size}
    facts = {"data": name, **facts, "codec": described, "split": saved["split"], "parts": counts}
    return Corpus(name, folder, codec, parts["train"], parts["valid"], parts["test"], saved["notes"], facts)


def remembered(corpus: Corpus, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A result that depends on the corpus alone (a baseline's score), computed once and kept beside it."""
    path = corpus.folder / f"{name}.json"
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        found = compute()
        with durable.disk(path, "Free some space, or choose another folder with runs=."):
            durable.replace(path, json.dumps(found).encode())
        return found


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
