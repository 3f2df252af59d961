"""`unrolled translate`: what a run writes for a text, for the lines of a file, or for lines as they come."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import UserError

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    'unrolled translate @last "March 3, 2024"',
    "unrolled translate @best data=words.txt out=spoken.txt beam=5",
    'unrolled translate @last "unrolled" nbest=5 alignment=true svg=looked.svg',
    "unrolled translate @last temperature=1 seed=3",
)
WORDS = ("run", "text")
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled translate`: those of `un.translate`, and where lines come from and go to."""

    run: str = field(default="@last", metadata={"help": "@last, @best, a name or its beginning, or a folder"})
    text: str | None = field(default=None, metadata={"help": "one text; without it, lines from stdin"})
    data: Path | None = field(default=None, metadata={"help": "a file of texts, one a line"})
    out: Path | None = field(default=None, metadata={"help": "a file to write, one text a line"})
    beam: int | None = field(
        default=None,
        metadata={"help": "hypotheses kept; 1 = greedy; unless given as the run was scored", "at_least": 1},
    )
    nbest: int = field(default=1, metadata={"help": "texts a source, with their scores", "at_least": 1})
    length_penalty: float | None = field(
        default=None, metadata={"help": "0 prefers short texts, 1 divides by the length", "at_least": 0.0}
    )
    shortest: int = field(
        default=1,
        metadata={"help": "tokens before which no text ends; 0 = a text may be empty", "at_least": 0},
    )
    longest: int | None = field(
        default=None,
        metadata={"help": "tokens after which each ends; unless given by the source's length", "at_least": 1},
    )
    prefix: str = field(default="", metadata={"help": "what each text must begin with"})
    forbidden: tuple[str, ...] = field(default=(), metadata={"help": "spellings that are never written: a,b"})
    temperature: float | None = field(
        default=None, metadata={"help": "draw instead of searching; 1 = as the model says", "at_least": 0.0}
    )
    seed: int = field(default=0, metadata={"help": "of what is drawn"})
    alignment: bool = field(default=False, metadata={"help": "also where each token looked, as text"})
    svg: Path | None = field(default=None, metadata={"help": "and as a picture, of the first text"})
    runs: str = field(default="runs", metadata={"help": "the folder that holds the run folders"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Writes each text as soon as it is there, unless the result is wanted as JSON."""
    chosen: Keys = arguments.resolve(Keys, WORDS).value
    from unrolled.running.sampling import Draw
    from unrolled.training.run import located
    from unrolled.training.translate import (
        AT_ONCE,
        How,
        Translations,
        cut_short,
        each,
        opened,
        picture,
        remarks,
    )

    if chosen.text is not None and chosen.data is not None:
        raise UserError("text and data: give one of them.")
    if chosen.svg is not None and chosen.svg.suffix.lower() != ".svg":
        raise UserError(f"svg={chosen.svg}: the heat map is written as .svg.")
    for key, file in (("out", chosen.out), ("svg", chosen.svg)):
        if file is not None and not file.absolute().parent.is_dir():
            raise UserError(f"{key}={file}: there is no folder {file.parent}. Make it first.")
    arguments.say(f"run       {located(chosen.run, chosen.runs)}")
    model = opened(chosen.run, chosen.runs, chosen.device)
    draw = None if chosen.temperature is None else Draw(chosen.temperature, None, None, chosen.seed)
    how = How(
        chosen.beam, chosen.nbest, chosen.length_penalty, chosen.shortest, chosen.longest, chosen.prefix,
        chosen.forbidden, draw, chosen.alignment or chosen.svg is not None,
    )  # fmt: skip
    waits = chosen.text is None and chosen.data is None  # for lines, one by one
    sources = list(_lines(chosen)) if not waits else []
    notes, found, files = remarks(model, sources), [], []
    for remark in notes:
        arguments.say(f"note      {remark}")
    with _sink(chosen, arguments) as write:
        for one in each(model, _lines(chosen) if waits else sources, how, 1 if waits else AT_ONCE):
            found.append(one)
            write(_shown(one, chosen, len(found)))
            for remark in remarks(model, [one.source], len(found)) if waits else ():
                notes.append(f"line {len(found)}: {remark}")
                arguments.say(f"note      {notes[-1]}")
    if not found:
        notes.append("no line came: nothing was written")
        arguments.say(f"note      {notes[-1]}")
    for remark in cut_short(found):
        notes.append(remark)
        arguments.say(f"note      {remark}")
    if chosen.svg is not None and found:
        picture(found[0], chosen.svg)
        files.append(str(chosen.svg))
    return Translations(found, notes, [*files, *([str(chosen.out)] if chosen.out else [])])


def _lines(chosen: Keys) -> Iterator[str]:
    """The sources. Raises UserError for a file that isn't there, or isn't UTF-8."""
    if chosen.text is not None:
        yield chosen.text
    elif chosen.data is not None:
        try:
            lines = chosen.data.read_bytes().decode("utf-8-sig").split("\n")
            yield from (line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1]))
        except FileNotFoundError:
            raise UserError(f"data={chosen.data}: there is no such file.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"data={chosen.data}: can't be read as UTF-8 text ({error}).") from error
    else:
        yield from _stdin()


def _stdin() -> Iterator[str]:
    """Lines as they come. Raises UserError for one that isn't UTF-8."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict", newline="\n")
    count = 0
    try:
        for line in sys.stdin:
            yield line.rstrip("\r\n")
            count += 1
    except UnicodeDecodeError as error:
        raise UserError(f"stdin, after line {count}: not UTF-8 ({error}).") from error


class _sink:  # noqa: N801 - used as a function
    """Where texts go as they are made: the file, stdout, or nowhere while JSON is wanted."""

    def __init__(self, chosen: Keys, arguments: Arguments) -> None:
        self.file = chosen.out.open("w", encoding="utf-8") if chosen.out else None
        self.silent = self.file is None and "json" in arguments.switches

    def __enter__(self) -> Any:
        return self.write

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()

    def write(self, text: str) -> None:
        if not self.silent:
            print(text, file=self.file or sys.stdout, flush=True)


def _shown(one: Any, chosen: Keys, number: int) -> str:
    """A source's texts as lines: alone, or of several with their scores and, where sources are lines, the line's number."""
    if chosen.nbest == 1:
        said = _line(one.texts[0])
    else:
        before = "" if chosen.text is not None else f"{number:>5} "
        both = zip(one.scores, one.texts, strict=True)  # rounded, then + 0: no -0.0000
        said = "\n".join(f"{before}{round(score, 4) + 0:9.4f}  {_line(text)}" for score, text in both)
    return f"{said}\n{one.alignment.text()}" if chosen.alignment and one.alignment is not None else said


def _line(text: str) -> str:
    """A text on one line: as many lines come out as went in."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


def show(result: Any) -> str:
    """Nothing more on stdout: the texts are there already."""
    for file in result.files:
        print(f"wrote     {file}", file=sys.stderr)
    return ""


def brief(result: Any) -> str:
    """Nothing: the texts are there already."""
    return ""
