"""`unrolled learn`: the course, a stop at a time."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments
    from unrolled.lessons.tour import Tour, Visit

EXAMPLES = (
    "unrolled learn",
    "unrolled learn rnn",
    "unrolled learn rnn broken=true",
    "unrolled learn all",
    "unrolled learn quiz gates",
    "unrolled learn glossary",
)
WORDS = ("stop", "about")
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled learn`: those of `un.learn`."""

    stop: str = field(
        default="",
        metadata={"help": "a stop's name, all, quiz, cheatsheet, glossary or cards; none lists the stops"},
    )
    about: str = field(
        default="", metadata={"help": "the stop that the quiz asks about; all of them if none"}
    )
    size: float = field(default=1.0, metadata={"help": "how long to train; 1 is the lesson as it is meant"})
    broken: bool = field(default=False, metadata={"help": "take away what the stop is about, and look"})
    seed: int = field(default=0, metadata={"help": "of initial weights and draws"})
    out: str | None = field(
        default=None, metadata={"help": "folder for pages (learn, if not given) and sheets (printed only)"}
    )


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Lists, runs or prints; on a terminal the quiz asks."""
    chosen = asdict(arguments.resolve(Keys, WORDS).value)
    from unrolled.lessons.quiz import Quiz, ask
    from unrolled.lessons.tour import learn

    quiet = arguments.switches & {"json", "quiet"}
    result = learn(**chosen, say=None if quiet else _say)
    if isinstance(result, Quiz) and not quiet and sys.stdin.isatty() and sys.stdout.isatty():
        return ask(result.cards, input, print)
    return result


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def show(result: Any) -> str:
    """The list, the figures of a run, the table of all, the cards or the sheet."""
    match type(result).__name__:
        case "Listing":
            width = max(map(len, result.stops))
            lines = [
                f"{name:<{width}}  {title} ({concept})" for name, (title, concept) in result.stops.items()
            ]
            return "\n".join([*lines, "", "run one: unrolled learn NAME     then: unrolled learn quiz"])
        case "Visit":
            return _visit(result)
        case "Tour":
            return _tour(result)
        case "Quiz" if result.known is not None:
            return f"\n{result.known} of {len(result.cards)} known."
        case "Quiz":
            return "\n".join(f"{c.stop}\nQ: {c.question}\nA: {c.answer}\n" for c in result.cards).rstrip("\n")
        case _:
            return f"wrote {result.file}" if result.file else str(result.text).rstrip("\n")


def _visit(visit: Visit) -> str:
    lines = [f"figure    {figure}  {figure.what}" for figure in visit.figures]
    lines += [f"code      {place}  {place.text}" for place in visit.lines]
    lines += [f"trained   {visit.trained}", f"time      {visit.seconds:.0f} s"]
    lines += [f"break it  {visit.breaking}", *(f"file      {file}" for file in visit.files)]
    return "\n".join([*lines, f"page      {visit.page}"])


def _tour(tour: Tour) -> str:
    """concept | command | figure | page, in columns."""
    rows = [("concept", "command", "figure", "page")]
    rows += [(v.concept, v.command, f"{v.figures[0]}  {v.figures[0].what}", v.page) for v in tour.visits]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def brief(result: Any) -> str:
    """The pages and files, or the names."""
    match type(result).__name__:
        case "Listing":
            return "\n".join(result.stops)
        case "Visit":
            return "\n".join([result.page, *result.files])
        case "Tour":
            return "\n".join(visit.page for visit in result.visits)
        case "Sheet" if result.file:
            return str(result.file)
        case _:
            return show(result)
