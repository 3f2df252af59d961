"""`demo`: five architectures learn Irish tunes for forty seconds each, and the best one composes a tune to hear."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from unrolled import durable
from unrolled.comparison.board import Board
from unrolled.comparison.composing import Composition, a_bar, compose
from unrolled.comparison.members import MODELS
from unrolled.comparison.race import compare
from unrolled.comparison.report import write_comparison
from unrolled.comparison.result import Comparison
from unrolled.comparison.words import next_commands, table
from unrolled.errors import UserError
from unrolled.music import write_files
from unrolled.report import write
from unrolled.running.generate import generate
from unrolled.training.budget import Budget, pretty_seconds
from unrolled.training.recipe import Recipe
from unrolled.training.run import Run
from unrolled.training.setup import generates

if TYPE_CHECKING:
    from unrolled.training.session import Session

EVERY = 30.0  # seconds between two bars of music
COOLER = (0.7, 0.5)  # temperatures: the second one only if at the first no tune's bars add up
SNIPPET = 60  # tokens shown of a model that writes prose


@dataclass(frozen=True)
class Demo:
    """What the demo left in its folder. `next`: commands that work on that very folder."""

    path: Path
    comparison: Comparison
    report: Path
    tune: Composition | None = None
    files: list[str] = field(default_factory=list)
    seconds: float = 0.0  # of everything
    next: list[str] = field(default_factory=list)


def demo(
    budget: str = "40s",
    data: str = "irish",
    models: Sequence[str] = MODELS,
    *,
    tunes: int = 16,
    seed: int = 0,
    parameters: int | None = None,
    threads: int | None = None,
    runs: str = "runs",
    out: str | None = None,
    board: Board | None = None,
    every: float = EVERY,
) -> Demo:
    """Compares, composes, reports. `budget` is each model's; every `every` seconds the one in training plays a bar.

    Leaves tune.abc, tune.mid, tune.wav, report.html, the best model (`model/`, portable) and the members' run folders.
    """
    if tunes < 1:
        raise UserError(f"tunes={tunes}: at least 1, to have one to play.")
    if not generates(Recipe.of(data=data)):
        raise UserError(
            f"data={data}: the demo lets models write text or music, and these are rows with answers. "
            f"Race models on them with: unrolled compare {shlex.quote(f'data={data}')}"
        )
    began = monotonic()
    board = board or Board()
    comparison = compare(
        data, models, budget, seed=seed, parameters=parameters, threads=threads, runs=runs, out=out, report=False,
        stem="demo", board=board, on_slice=Musician(board, every),
    )  # fmt: skip
    path, best = comparison.path, Run.at(comparison.best_run)
    tune, files, wav = _music(best, path, tunes, seed, board)
    with durable.disk(path, "Free some space."):
        shutil.copytree(best.path / "model", path / "model", dirs_exist_ok=True)
    write(path / "comparison.txt", table(comparison) + "\n")
    report = write_comparison(comparison, tune, wav, _lead(comparison, best, tune))
    comparison.make_last()
    commands = next_commands(best.path, tune is not None)
    return Demo(path, comparison, report, tune, files, monotonic() - began, commands)


class Musician:
    """Plays a bar now and then: written there and then by the model that is in training at that moment."""

    def __init__(self, board: Board, every: float) -> None:
        self._board, self._every = board, every
        self._began = self._last = monotonic()

    def __call__(self, session: Session) -> None:
        now = monotonic()
        if now - self._last < self._every:
            return
        self._last = now
        model, step, kind = session.learner.model, session.learner.progress.step, session.recipe.model.kind
        if model.task.music:
            bar = a_bar(model, seed=step)
            played = f"| {bar} |" if bar else "(no bar yet)"
        else:
            played = " ".join(generate(model, length=SNIPPET, seed=step).texts[0].split())
        self._board.say(f"music     {pretty_seconds(now - self._began)} {kind} after {step} steps: {played}")


def _music(
    best: Run, folder: Path, count: int, seed: int, board: Board
) -> tuple[Composition | None, list[str], bytes | None]:
    """The best member's tune, written as text, notes and sound."""
    model = best.model()
    if not model.task.music:
        return None, [], None
    tune = None
    for temperature in COOLER:
        tune = compose(model, count, temperature=temperature, seed=seed) or tune
        if tune is not None:
            board.say(f"compose   {best.kind}, temperature {temperature}: {tune.said}")
        if tune is not None and tune.all_right:
            break
    if tune is None:
        board.warn(f"compose   none of the {count} tunes can be played: give it more time, as in budget=80s")
        return None, [], None
    files = write_files(tune.abc, folder)
    return tune, [str(files.abc), str(files.midi), str(files.wav)], files.wav.read_bytes()


def _lead(comparison: Comparison, best: Run, tune: Composition | None) -> str:
    """The one sentence of the first screen."""
    spent = (
        pretty_seconds(Budget.parse(comparison.budget).amount) if _timed(comparison) else comparison.budget
    )
    score = f"{comparison.row(best.kind).mean or 0.0:.2f} bits per character"
    if tune is None:
        return f"{len(comparison.rows)} networks read {comparison.data} for {spent} each; the {best.kind} came to {score}."
    return (
        f"{len(comparison.rows)} networks read Irish tunes for {spent} each; "
        f"this is what the {best.kind} ({score}) then composed by itself. Listen."
        if comparison.data == "irish"
        else f"After {spent} of {comparison.data}, the {best.kind} ({score}) composed this by itself. Listen."
    )


def _timed(comparison: Comparison) -> bool:
    return Budget.parse(comparison.budget).unit == "seconds"
