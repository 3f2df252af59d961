"""What a comparison found, as plain data; written to and read from `comparison.json`."""

from __future__ import annotations

import json
import os
import shlex
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from math import floor, log10
from pathlib import Path
from time import time_ns
from typing import Any

from unrolled.errors import UserError
from unrolled.report.markup import tag
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
    """One kind of model. Scores are on the test split, in the comparison's measure; lists have one entry a seed."""

    kind: str
    runs: list[str]  # folders inside the comparison's
    parameters: int
    core: int  # of these, the core's: without embedder and head
    width: int
    layers: int  # mixers of the core
    # Text: streams (state carried on) or windows (from nothing). Rows: in order, whole rows or no order.
    feeding: str
    state_bytes: int | None  # remembered for one sequence; None: the whole row
    context: str  # what each token is given when scored
    tokens_per_second: float | None = None  # of text; else answers
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
    better: str = "lower"
    beside: dict[str, float | None] = field(default_factory=dict)  # a second measure by its name, the mean

    @property
    def best(self) -> float | None:
        """The best single run."""
        return (max if self.better == "higher" else min)(self.scores, default=None)


@dataclass(frozen=True)
class Baseline:
    """A simple rival: on text the best n-gram over the same tokens, on rows a linear model or what knows no input."""

    name: str
    mean: float
    bits_per_byte: float | None  # of text
    low: float
    high: float
    beside: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """By how much `better` is ahead of `other` in the measure, document by document or row by row and seed by seed."""

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
    documents: int  # held out, or rows
    characters: int  # of text
    rows: list[Row]
    baseline: Baseline
    bytes: int = 0  # of the held-out text, as UTF-8
    pairs: list[Pair] = field(default_factory=list)  # the first-placed against each other, the baseline too
    against: list[Pair] = field(default_factory=list)  # every kind against the baseline
    verdict: str = ""
    notes: list[str] = field(default_factory=list)
    best: str = ""  # folder of the best single run
    command: str = ""
    task: str = "generate"
    measure: str = "bits per character"
    better: str = "lower"  # or higher: the figures that are better
    others: list[Baseline] = field(default_factory=list)  # rivals weaker than `baseline`

    def _repr_html_(self) -> str:
        """What a notebook shows: the table, the verdict and the notes."""
        from unrolled.comparison.words import table

        return str(tag("pre", table(self)))

    @property
    def answers(self) -> bool:
        """Whether these models answer rows, and don't go on with text."""
        return self.task != "generate"

    @property
    def ranked(self) -> list[Row]:
        """The rows with a score, the best first; those without after them."""
        sign = -1 if self.better == "higher" else 1
        return sorted(self.rows, key=lambda row: (row.mean is None, sign * (row.mean or 0.0)))

    @property
    def rivals(self) -> list[Baseline]:
        """Who stands beside the models, the strongest first."""
        return [self.baseline, *self.others]

    @property
    def beside(self) -> list[str]:
        """The names of the second measures."""
        lines: list[Row | Baseline] = [*self.rows, *self.rivals]
        return list(dict.fromkeys(name for line in lines for name in line.beside))

    @property
    def decimals(self) -> int:
        """Digits behind the point: three of a share or of a few bits, of others' figures about four in all."""
        lines: list[Row | Baseline] = [*self.rows, *self.rivals]
        known = [abs(line.mean) for line in lines if line.mean]
        size = floor(log10(max(known, default=1.0)))
        return max(0, 2 - size if size < -1 else 3 - max(size, 0))

    def shown(self, figure: float) -> str:
        """A figure in the measure, or a difference of two."""
        return f"{figure:.{self.decimals}f}"

    @property
    def winner(self) -> str | None:
        """The kind that the verdict puts before everybody else, the baseline too; None where it doesn't."""
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
        return "bits per byte" if self.in_bytes else self.measure

    @property
    def unit_scale(self) -> float:
        """The measure -> `unit`."""
        return self.byte_share if self.in_bytes else 1.0

    def against_baseline(self, kind: str) -> Pair | None:
        """By how much a kind is ahead of the baseline; None where one of its seeds failed."""
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
            "baseline": _made(Baseline, _named(kept["baseline"])),
            "others": [_made(Baseline, rival) for rival in kept.get("others", [])],
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


def _named(baseline: dict[str, Any]) -> dict[str, Any]:
    """A comparison of text alone called the baseline's score by its unit."""
    return baseline if "mean" in baseline else baseline | {"mean": baseline["bits_per_character"]}


def _names(cls: type) -> set[str]:
    return {entry.name for entry in fields(cls)}


def _made(cls: Any, kept: dict[str, Any]) -> Any:
    return cls(**{k: v for k, v in kept.items() if k in _names(cls)})
