"""What a comparison found, as plain data; written to and read from `comparison.json`."""

from __future__ import annotations

import json
import os
import shlex
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from time import time_ns
from typing import Any

from unrolled.errors import UserError
from unrolled.training.budget import Budget
from unrolled.training.folder import write_json

FORMAT = 1
FILE = "comparison.json"
ENOUGH_SEEDS = 3  # fewer give a glimpse, no verdict
# Of a timed race that still says who won: the largest change of a member's own speed, and share by which its time may
# miss the budget.
STEADY = 0.10


@dataclass(frozen=True)
class Row:
    """One kind of model. Scores are bits per character on the test split; lists have one entry a seed."""

    kind: str
    runs: list[str]  # folders inside the comparison's
    parameters: int
    core: int  # of these, the core's: without embedder and head
    width: int
    layers: int  # mixers of the core
    feeding: str  # streams (state carried on) or windows (from nothing)
    state_bytes: int  # remembered for one sequence
    context: str  # what each token is given when scored
    tokens_per_second: float | None = None
    spread: float | None = (
        None  # largest change of its own speed, second half of a run against the first; None: unknown
    )
    steps: float = 0.0
    epochs: float = 0.0
    scores: list[float] = field(default_factory=list)
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    bits_per_byte: float | None = None
    failed: list[str] = field(default_factory=list)  # why a seed has no score
    seconds: float | None = None  # of optimizer steps, the mean of its runs

    @property
    def best(self) -> float | None:
        """The best single run."""
        return min(self.scores, default=None)


@dataclass(frozen=True)
class Baseline:
    """The best n-gram over the same tokens."""

    name: str
    bits_per_character: float
    bits_per_byte: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """By how many bits per character `better` is ahead of `other`, document by document and seed by seed."""

    better: str
    other: str
    difference: float
    low: float
    high: float

    @property
    def decided(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0


@dataclass(frozen=True)
class Comparison:
    """One race. `verdict` is empty where none may be given; `notes` say why, and what else to know."""

    path: Path
    name: str
    data: str
    codec: str
    budget: str
    seeds: int
    parameters: int  # the common target
    documents: int  # held out
    characters: int
    rows: list[Row]
    baseline: Baseline
    bytes: int = 0  # of the held-out text, as UTF-8
    pairs: list[Pair] = field(default_factory=list)  # the first-placed against each other, the n-gram too
    against: list[Pair] = field(default_factory=list)  # every kind against the n-gram
    verdict: str = ""
    notes: list[str] = field(default_factory=list)
    best: str = ""  # folder of the best single run
    command: str = ""

    @property
    def ranked(self) -> list[Row]:
        """The rows with a score, the fewest bits first; those without after them."""
        return sorted(self.rows, key=lambda row: (row.mean is None, row.mean or 0.0))

    @property
    def winner(self) -> str | None:
        """The kind that the verdict puts before everybody else, the n-gram too; None where it doesn't."""
        shown = bool(self.verdict and self.pairs) and all(pair.decided for pair in self.pairs)
        return self.pairs[0].better if shown else None

    @property
    def timed(self) -> bool:
        """Whether the budget is one of time."""
        return Budget.parse(self.budget).unit == "seconds"

    @property
    def in_bytes(self) -> bool:
        """Whether bits per byte say something that bits per character don't, or are what such tokens are compared by."""
        return self.bytes > 0 and (self.bytes != self.characters or self.codec in ("bpe", "bytes"))

    @property
    def byte_share(self) -> float:
        """Bits per character -> bits per byte."""
        return self.characters / max(self.bytes, 1)

    @property
    def unit(self) -> str:
        """What differences are told in."""
        return "bits per byte" if self.in_bytes else "bits per character"

    @property
    def unit_scale(self) -> float:
        """Bits per character -> `unit`."""
        return self.byte_share if self.in_bytes else 1.0

    def against_ngram(self, kind: str) -> Pair | None:
        """By how much a kind is ahead of the n-gram; None where one of its seeds failed."""
        return next((pair for pair in self.against if pair.better == kind), None)

    def row(self, kind: str) -> Row:
        """The row of a kind."""
        return next(row for row in self.rows if row.kind == kind)

    @property
    def best_run(self) -> Path:
        """The folder of the best single run. Raises UserError when none has a score."""
        if not self.best:
            raise UserError(f"{self.path}: no member of this comparison has a score.")
        return self.path / self.best

    def make_last(self) -> None:
        """Makes the best run the one that `@last` names: of a race's runs, which began together, the one changed last."""
        if self.best:
            now = time_ns()
            with suppress(OSError):
                os.utime(self.best_run, ns=(now, now))

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `best` of each row and `decided` of each pair too."""
        plain = asdict(self) | {"path": str(self.path)}
        for row, kept in zip(self.rows, plain["rows"], strict=True):
            kept["best"] = row.best
        for name in ("pairs", "against"):
            for pair, kept in zip(getattr(self, name), plain[name], strict=True):
                kept["decided"] = pair.decided
        return plain

    @classmethod
    def from_dict(cls, kept: dict[str, Any], path: Path) -> Comparison:
        """The inverse of `to_dict`, wherever the folder is now."""
        parts = {
            "rows": [_made(Row, row) for row in kept["rows"]],
            "baseline": _made(Baseline, kept["baseline"]),
            "pairs": [_made(Pair, pair) for pair in kept["pairs"]],
            "against": [_made(Pair, pair) for pair in kept.get("against", [])],
            "path": path,
        }
        return cls(**({k: v for k, v in kept.items() if k in _names(cls)} | parts))

    @classmethod
    def open(cls, path: str | Path) -> Comparison:
        """The comparison in a folder. Raises UserError when there is none, or none that is finished."""
        found = read(Path(path)).get("result")
        if found is None:
            raise UserError(
                f"{path}: this comparison isn't finished. "
                f"Go on with: unrolled compare resume={shlex.quote(str(path))}"
            )
        return cls.from_dict(found, Path(path))


def read(folder: Path) -> dict[str, Any]:
    """comparison.json: what was asked, the members, the result. Raises UserError."""
    try:
        kept = dict(json.loads((folder / FILE).read_bytes()))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: not the folder of a comparison (no readable {FILE}: {error}).") from error
    if kept.get("format") != FORMAT:
        raise UserError(f"{folder / FILE}: format {kept.get('format')}; this version reads {FORMAT}.")
    return kept


def save(folder: Path, kept: dict[str, Any]) -> None:
    """Writes comparison.json, whole or as it was."""
    write_json(folder / FILE, {"format": FORMAT, **kept})


def _names(cls: type) -> set[str]:
    return {entry.name for entry in fields(cls)}


def _made(cls: Any, kept: dict[str, Any]) -> Any:
    return cls(**{k: v for k, v in kept.items() if k in _names(cls)})
