"""`learn`: the course. Lists the stops, runs one or all, prints cheat sheet, glossary and cards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter
from typing import TYPE_CHECKING

from unrolled.errors import RunFailed, UserError, unknown
from unrolled.lessons.places import Place, find
from unrolled.lessons.quiz import Quiz
from unrolled.lessons.sheets import SHEETS
from unrolled.lessons.stops import ORDER, Stop, every, read

if TYPE_CHECKING:
    from unrolled.lessons.outcome import Figure, Outcome

# stop -> its file in unrolled/lessons
EXPERIMENTS = {
    "rnn": "rnn",
    "unrolled-bptt": "bptt",
    "gates": "gates",
    "gradients": "gradients",
    "state-in-a-file": "state",
    "next-word": "next_word",
    "embeddings": "embeddings",
    "order": "order",
    "bottleneck": "bottleneck",
    "attention": "attention",
    "attention-maps": "maps",
    "images-as-sequences": "images",
    "music": "music",
    "transfer": "transfer",
}
FOLDER = "learn"  # where pages go
Say = Callable[[str], object]


@dataclass(frozen=True)
class Listing:
    """The stops, in the order of the course: name -> (title, concept)."""

    stops: dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Visit:
    """One stop, run: what was measured, the lines that compute it, and the page."""

    stop: str
    title: str
    concept: str
    command: str
    figures: list[Figure]
    trained: str
    lines: list[Place]
    breaking: str
    page: str
    files: list[str]
    seconds: float


@dataclass(frozen=True)
class Tour:
    """Every stop, run."""

    visits: list[Visit]


@dataclass(frozen=True)
class Sheet:
    """A text made from the stops, and where it was written ("" if nowhere)."""

    kind: str
    text: str
    file: str = ""


def learn(
    stop: str = "",
    about: str = "",
    *,
    size: float = 1.0,
    broken: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    say: Say | None = None,
) -> Listing | Visit | Tour | Sheet | Quiz:
    """The course: without a name its stops, else one of them is run (or `all`), or cards and sheets are made.

    stop: a stop's name, `all`, `quiz`, `cheatsheet`, `glossary` or `cards`. about: the quiz's stop. size: how long
    to train, 1 for the lesson as it is meant. broken: with the thing taken away that the stop is about. out: the
    folder for pages and files (pages go to `learn`, sheets nowhere, if not given). say: told how it goes.
    Raises UserError for an unknown name (nearest named), RunFailed, before anything is trained, when `out` can't be
    written to.
    """
    if not 0 < size <= 10:
        raise UserError(
            f"size={size}: expected a number above 0 and up to 10; 1 is the lesson as it is meant."
        )
    if not 0 <= seed < 2**63:
        raise UserError(f"seed={seed}: expected a whole number from 0 to 2^63 - 1.")
    if stop != "quiz" and about:
        raise UserError(f"unexpected {about!r}: only the quiz takes a second word, the stop it asks about.")
    if not stop:
        return Listing({s.name: (s.title, s.concept) for s in every()})
    if stop == "quiz":
        return Quiz([card for s in ([read(about)] if about else every()) for card in s.cards])
    if stop in SHEETS:
        return _sheet(stop, out)
    if stop != "all" and stop not in ORDER:
        raise unknown("stop", stop, [*ORDER, "all", "quiz", *SHEETS])
    names = ORDER if stop == "all" else (stop,)
    folder = _writable(Path(FOLDER if out is None else out))
    visits = [_visit(read(name), size, broken, seed, folder, say or (lambda line: None)) for name in names]
    return Tour(visits) if stop == "all" else visits[0]


def _visit(stop: Stop, size: float, broken: bool, seed: int, folder: Path, say: Say) -> Visit:
    """Runs a stop's experiment, with one thread and a random state of its own, and writes its page."""
    from unrolled.lessons import pages
    from unrolled.report import write

    say(f"{stop.name}: {stop.title} Under way, for about a minute at most ...")
    begun = perf_counter()
    outcome = _experiment(stop.name, size, broken, seed)
    path = folder / f"{stop.name}{'-broken' if broken else ''}.html"
    write(path, pages.text(stop, outcome, broken))
    files = [str(_beside(path, suffix, data)) for suffix, data in outcome.files.items()]
    return Visit(
        stop=stop.name,
        title=stop.title,
        concept=stop.concept,
        command=stop.breaking if broken else stop.command,
        figures=outcome.figures,
        trained=outcome.trained,
        lines=[find(equation.code) for equation in stop.equations],
        breaking=stop.breaking,
        page=str(path),
        files=files,
        seconds=perf_counter() - begun,
    )


def _experiment(name: str, size: float, broken: bool, seed: int) -> Outcome:
    from pkgutil import resolve_name

    import torch

    run = resolve_name(f"unrolled.lessons.{EXPERIMENTS[name]}:run")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # such small matrices lose more by waiting for each other than they gain
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            outcome: Outcome = run(size, broken)
            return outcome
    finally:
        torch.set_num_threads(threads)


def _writable(folder: Path) -> Path:
    """The folder, made and written to once: better told now than after a minute of training. Raises RunFailed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def _beside(page: Path, suffix: str, data: bytes) -> Path:
    """A file under the page's name; an older one stays until the new one is whole."""
    from unrolled.durable import replace

    path = page.with_suffix(suffix)
    try:
        replace(path, data)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _unwritable(path: Path, error: OSError) -> RunFailed:
    return RunFailed(
        f"can't write {path}: {error.strerror}. Free some space, or give another place with out=."
    )


def _sheet(kind: str, out: str | Path | None) -> Sheet:
    from unrolled.report import write

    make, suffix = SHEETS[kind]
    text = make()
    return Sheet(kind, text, "" if out is None else str(write(Path(out) / f"{kind}{suffix}", text)))
