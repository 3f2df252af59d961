"""Reads the stops: one Markdown file each, TOML front matter between `+++` lines, then five sections.

## Why                   five sentences
## Equation              indented lines, each group followed by: computed by `FILE: NAME.NAME`
## Break it on purpose   an indented command line, then what to look for
## Flashcards            Q: / A: pairs
## Glossary              - **word**: meaning
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from unrolled.errors import UserError, unknown

FOLDER = Path(__file__).parent / "stops"
SECTIONS = ("Why", "Equation", "Break it on purpose", "Flashcards", "Glossary")
# The way through the course.
ORDER = (
    "rnn", "unrolled-bptt", "gates", "gradients", "state-in-a-file", "next-word", "embeddings", "order", "bottleneck",
    "attention", "attention-maps", "images-as-sequences", "music", "transfer",
)  # fmt: skip


@dataclass(frozen=True)
class Equation:
    """A formula and the reference to the code that computes it."""

    text: str
    code: str


@dataclass(frozen=True)
class Card:
    """A question and its answer."""

    stop: str
    question: str
    answer: str


@dataclass(frozen=True)
class Word:
    """An entry of the glossary."""

    stop: str
    word: str
    meaning: str


@dataclass(frozen=True)
class Stop:
    """Everything its file says."""

    name: str
    title: str
    lead: str
    concept: str
    why: str
    equations: tuple[Equation, ...]
    breaking: str  # the command line
    look_for: str
    cards: tuple[Card, ...]
    words: tuple[Word, ...]

    @property
    def command(self) -> str:
        """What runs it."""
        return f"unrolled learn {self.name}"


def every() -> list[Stop]:
    """The stops in the order of the course."""
    return [read(name) for name in ORDER]


@lru_cache
def read(name: str) -> Stop:
    """The stop of that name. Raises UserError for an unknown one (nearest named), or for a file that lacks a part."""
    if name not in ORDER:
        raise unknown("stop", name, ORDER)
    return parse(name, (FOLDER / f"{name}.md").read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Stop:
    """The stop that a file's text describes. Raises UserError that names what is missing."""
    parts = text.split("+++\n", 2)
    if len(parts) != 3 or parts[0].strip():
        raise UserError(f"{name}.md: expected TOML between two lines of +++ at the top.")
    head = tomllib.loads(parts[1])
    found = {m[1]: m[2].strip("\n") for m in re.finditer(r"^## (.+)\n((?:(?!## ).*\n?)*)", parts[2], re.M)}
    absent = [s for s in SECTIONS if s not in found] + [
        k for k in ("title", "lead", "concept") if k not in head
    ]
    if absent:
        raise UserError(f"{name}.md: missing {', '.join(absent)}.")
    equations = re.findall(r"((?:^    .*\n)+)\n?computed by `([^`]+)`", found["Equation"], re.M)
    command, _, look_for = found["Break it on purpose"].strip().partition("\n")
    cards = re.findall(r"^Q: (.+)\nA: ((?:.+\n?)+)", found["Flashcards"], re.M)
    words = re.findall(r"^- \*\*(.+?)\*\*: ((?:.+\n?)+?)(?=^- |\Z)", found["Glossary"], re.M)
    return Stop(
        name,
        head["title"],
        head["lead"],
        head["concept"],
        flat(found["Why"]),
        tuple(Equation(_dedented(text), code) for text, code in equations),
        command.strip(),
        flat(look_for),
        tuple(Card(name, q, flat(a)) for q, a in cards),
        tuple(Word(name, w, flat(meaning)) for w, meaning in words),
    )


def flat(text: str) -> str:
    """Prose on one line."""
    return " ".join(text.split())


def sentences(text: str) -> list[str]:
    """The sentences of plain prose (our stops hold no abbreviations with a full stop)."""
    return [s for s in re.split(r"(?<=[.!?])\s+", text.strip()) if s]


def _dedented(text: str) -> str:
    return "\n".join(line[4:] for line in text.rstrip("\n").split("\n"))
