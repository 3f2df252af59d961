"""One heat of a race: all kinds of one seed in one process, taking turns of about a second.

Whatever the machine does meanwhile, it does to all of them; only optimizer steps count against a budget of time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unrolled.comparison.board import Board, Lane
from unrolled.comparison.members import Shape
from unrolled.errors import NumericalFailure
from unrolled.training import checkpoint as checkpoints
from unrolled.training.budget import Budget
from unrolled.training.interrupt import Interrupted, Interrupts
from unrolled.training.material import Material
from unrolled.training.recipe import Recipe
from unrolled.training.run import Run
from unrolled.training.session import Session
from unrolled.training.setup import set_up

SLICE = 1.0  # seconds of optimizer steps in a turn
SHORT = 6.0  # seconds of training for each evaluation: a short race evaluates less often than a long one
OnSlice = Callable[[Session], None]


@dataclass
class Entry:
    """One member of one heat, as comparison.json keeps it. `run`: its folder inside the comparison's, once begun."""

    kind: str
    seed: int
    run: str = ""
    failed: str = ""
    finished: bool = False

    @property
    def over(self) -> bool:
        """Nothing more is to be done for it."""
        return self.finished or bool(self.failed)


@dataclass
class Racer:
    """An entry while it trains."""

    entry: Entry
    session: Session
    lane: Lane
    _steps: Any = field(init=False)

    def __post_init__(self) -> None:
        self._steps = self.session.steps()

    def advance(self, interrupts: Interrupts) -> bool:
        """One turn; False when the member has come to its end. Raises NumericalFailure."""
        until = self.session.learner.progress.seconds + SLICE
        for _ in self._steps:
            progress = self.session.learner.progress
            _evaluate_less(self.session)
            self.lane.moved(progress)
            if interrupts.asked is not None or progress.seconds >= until:
                return True
        return False


def open_session(
    folder: Path, entry: Entry, recipe: Recipe, shape: Shape, material: Material, lane: Lane, started: str
) -> Session:
    """The entry's session: begun, or gone on with where its last checkpoint was taken.

    All members began when the race did, `started`: of the runs begun last, `@last` names the one changed last.
    """
    path = folder / entry.run
    if entry.run and checkpoints.folders(path / "checkpoints"):
        run = Run.at(path)
        return Session.resume(run, Recipe(resume=str(path), runs=str(folder)), lane)
    sources = {
        f"model.{key}": f"matched: {shape.parameters:,} weights, as near the others' as it comes"
        for key in shape.choice
    }
    sources |= dict.fromkeys(("data", "model.kind", "budget", "seed"), "the comparison")
    session = Session.begin(set_up(recipe, sources, lane, material), lane)
    session.started = started
    session.write_result(finished=False)
    entry.run = session.path.name
    return session


def run_heat(
    racers: list[Racer],
    interrupts: Interrupts,
    board: Board,
    on_slice: OnSlice | None,
    save: Callable[[], None],
) -> None:
    """Turns until everybody has arrived. `save` is called when somebody has. Raises Interrupted, with all saved."""
    racing = list(racers)
    while racing:
        for racer in list(racing):
            if not _turn(racer, interrupts):
                racing.remove(racer)
                racer.session.close()
                save()
            elif on_slice is not None and interrupts.asked is None:
                on_slice(racer.session)
            board.tick()
            if interrupts.asked is not None:
                _stop(racing, interrupts.asked)


def _turn(racer: Racer, interrupts: Interrupts) -> bool:
    """Whether the racer goes on after its turn. One that diverges stays in the table as failed."""
    try:
        if racer.advance(interrupts):
            return True
        racer.session.finish()
        racer.entry.finished = True
    except NumericalFailure as error:
        racer.entry.failed = str(error)
        racer.session.write_result(finished=False)
        racer.lane.warn(f"out of the race: {error}")
    return False


def _stop(racing: list[Racer], number: int) -> None:
    for racer in racing:
        racer.session.save()
        racer.session.write_result(finished=False)
    raise Interrupted("stopped, everything is saved.", number)


def _evaluate_less(session: Session) -> None:
    """Of a budget of time: an evaluation for every SHORT seconds at most, so that little time goes beside the budget."""
    plan, progress = session.learner.progress.plan, session.learner.progress
    if plan.seconds is None or plan.total is None or session.recipe.evaluate_every is not None:
        return
    evaluations = max(2, int(Budget.parse(session.recipe.budget).amount / SHORT))
    progress.evaluate_every = max(progress.evaluate_every, plan.total // evaluations)
