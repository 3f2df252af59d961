"""The table of named sets that don't ship as files: public ones, and those that are made here. One file of facts each
in `catalogue/`; the path of that file stands for the set wherever a path of data is asked for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from unrolled.errors import unknown

FOLDER = Path(__file__).parent / "catalogue"
TEXT = "text"  # `records` of a set whose one file is text to be gone on with


@dataclass(frozen=True)
class SetFile:
    """One file of a public set, as its source gives it. Without `url` nothing can be fetched: it was made by hand.

    `inner`: SHA-256 of what a `.gz` unpacks to, or of the names and sounds in a `.zip`; a file that was packed anew is
    known by it. `packed`: each url leads to a zip in which the file is a member.
    """

    name: str
    bytes: int
    sha256: str
    url: tuple[str, ...] = ()
    inner: str = ""
    packed: bool = False


@dataclass(frozen=True)
class DataSet:
    """One named set. `records`: which function of `named_records` makes its records, with `options`. `reads`: the recipe
    keys (task, input, target, group) that its columns are meant for. `package`: a Python package that ships its files.
    `folder`: where they lie in a folder of sets; its own name, unless several sets are made of the same files.
    """

    name: str
    what: str
    source: str
    licence: str
    split: str
    metric: str
    records: str
    folder: str = ""
    package: str = ""
    reads: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[SetFile, ...] = ()

    @property
    def generated(self) -> bool:
        """Whether it is made here, from nothing or from what ships."""
        return not self.files

    @property
    def path(self) -> Path:
        """The file of facts, which stands for the set."""
        return FOLDER / f"{self.name}.toml"

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(file.bytes for file in self.files)


def names() -> list[str]:
    """Every name, in alphabetical order whatever the case."""
    return sorted((path.stem for path in FOLDER.glob("*.toml")), key=str.lower)


def named(name: str) -> DataSet:
    """The set of this name. Raises UserError with the nearest known one."""
    if name not in names():
        raise unknown("set", name, names())
    return _read(FOLDER / f"{name}.toml")


def of(path: Path) -> DataSet | None:
    """The set that this path stands for; None for any other path."""
    return _read(path) if path.parent == FOLDER and path.suffix == ".toml" else None


@lru_cache(maxsize=64)
def _read(path: Path) -> DataSet:
    facts = _facts(path)
    files = tuple(SetFile(**{**file, "url": tuple(file.get("url", ()))}) for file in facts.pop("files", ()))
    return DataSet(name=path.stem, files=files, **{"folder": path.stem, **facts})


def _facts(path: Path) -> dict[str, Any]:
    """What the file says; what it leaves open is as in the set that it names with `like`."""
    facts = tomllib.loads(path.read_text(encoding="utf-8"))
    like = facts.pop("like", None)
    return {"folder": like, **_facts(FOLDER / f"{like}.toml"), **facts} if like else facts
