"""What a run says while it trains: a bar on a terminal, one greppable line an interval elsewhere. All on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from unrolled.training.budget import pretty_seconds

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from unrolled.training.learner import Progress


def aloud(line: str) -> None:
    """One line on stderr."""
    print(line, file=sys.stderr, flush=True)


class Talk:
    """Says lines on stderr and shows how far the run is. `quiet` says nothing but what the user must know."""

    def __init__(self, quiet: bool = False, bar: bool | None = None) -> None:
        self.quiet = quiet
        self._wants_bar = sys.stderr.isatty() if bar is None else bar
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._valid = ""

    def say(self, line: str = "") -> None:
        """One line of talk."""
        if not self.quiet:
            self.warn(line)

    def warn(self, line: str) -> None:
        """One line that is said even when quiet: something went otherwise than asked."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            aloud(line)

    def recorded(self, row: dict[str, Any], progress: Progress) -> None:
        """A line of metrics.jsonl was written."""
        if self.quiet:
            return
        if "valid" in row:
            self._valid = f"valid {row['valid']:.4f}{' best' if row['best'] else ''}"
        if self._wants_bar:
            self._show(row, progress)
        elif "loss" in row or "valid" in row:
            what = (
                f"loss={row['loss']:.4f} lr={row['lr']:.3g}"
                if "loss" in row
                else f"{self._valid.replace(' ', '=', 1)}"
            )
            total = progress.plan.total
            aloud(f"step={row['step']}/{total or '?'} time={pretty_seconds(row['seconds'])} {what}")

    def _show(self, row: dict[str, Any], progress: Progress) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn(),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task("training", total=None, said="")
            self._bar.start()
        assert self._task is not None
        loss = f"loss {row['loss']:.4f}" if "loss" in row else ""
        self._bar.update(
            self._task,
            completed=row["step"],
            total=progress.plan.total,
            said=f"step {row['step']}/{progress.plan.total or '?'}  {loss}  {self._valid}".rstrip(),
        )

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
