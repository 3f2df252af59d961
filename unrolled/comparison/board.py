"""What a race says while it runs: a bar for each member on a terminal, one greppable line an interval elsewhere."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

from unrolled.training.progress import Talk

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from unrolled.training.learner import Progress

INTERVAL = 10.0  # seconds between lines
REFRESH = 0.5  # seconds between two drawings of the bars: drawing takes time from nobody's budget, but from the reader's


class Board(Talk):
    """The race's own talk, on stderr. Members report to it through `Lane`."""

    def __init__(self, quiet: bool = False, bar: bool | None = None) -> None:
        super().__init__(quiet, bar)
        self.heat = ""
        self._lanes: dict[str, Lane] = {}
        self._said = monotonic()
        self._bars: Bars | None = None

    def lane(self, name: str) -> Lane:
        """The talk of one member."""
        self._lanes[name] = Lane(self, name)
        return self._lanes[name]

    def warn(self, line: str) -> None:
        """One line above the bars, said even when quiet."""
        if self._bars is not None:
            self._bars.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def tick(self) -> None:
        """Called after each slice: shows how far everybody is, if it's time to."""
        now = monotonic()
        if self.quiet or now - self._said < (REFRESH if self._wants_bar else INTERVAL):
            return
        self._said = now
        if self._wants_bar:
            self._draw()
        else:
            told = " ".join(f"{name}={lane.valid or '-'}" for name, lane in self._lanes.items())
            share = sum(lane.share for lane in self._lanes.values()) / max(len(self._lanes), 1)
            self.say(f"race={100 * share:.0f}% {self.heat} {told}")

    def cleared(self) -> None:
        """A heat is over: its lanes go."""
        self._lanes = {}
        self.close()

    def close(self) -> None:
        """Takes the bars away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _draw(self) -> None:
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        for lane in self._lanes.values():
            if lane.task is None:
                lane.task = self._bars.add_task(lane.name, total=1.0, said="")
            self._bars.update(lane.task, completed=lane.share, said=f"valid {lane.valid or '-'}")
        self._bars.refresh()


class Lane(Talk):
    """One member's talk: warnings go to the board under its name, figures are kept for it, the rest is left out."""

    def __init__(self, board: Board, name: str) -> None:
        super().__init__(quiet=True, bar=False)
        self.name, self.valid, self.share = name, "", 0.0
        self.task: TaskID | None = None
        self._board = board

    def warn(self, line: str) -> None:
        """Said under the member's name."""
        self._board.warn(f"{self.name}: {line}")

    def recorded(self, row: dict[str, Any], progress: Progress) -> None:
        """A line of metrics.jsonl was written."""
        if "valid" in row:
            self.valid = f"{row['valid']:.4f}"
        self.moved(progress)

    def moved(self, progress: Progress) -> None:
        """How far the member is, of 1."""
        plan = progress.plan
        if plan.total is not None:
            self.share = progress.step / max(plan.total, 1)
        elif plan.seconds:
            self.share = progress.seconds / plan.seconds


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description:>12}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %  {task.fields[said]}"),
        console=Console(stderr=True), transient=True, auto_refresh=False,
    )  # fmt: skip
