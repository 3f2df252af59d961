"""Which folder of runs is meant, and which run in it."""

from __future__ import annotations

from pathlib import Path

from unrolled.errors import UserError
from unrolled.training.run import Run


def where(run: str | None, runs: str) -> tuple[Path, str | None]:
    """The folder of runs, and the run at which the page opens. Raises UserError where there is no such thing."""
    if run is None:
        if not Path(runs).is_dir():
            raise UserError(
                f"runs={runs}: no such folder. Begin with: unrolled train, or name the folder of your runs."
            )
        return Path(runs), None
    path = Path(run).expanduser()
    if not run.startswith("@") and path.is_dir() and not (path / "result.json").is_file():
        return path, None
    found = Run.open(run, runs)
    return found.path.resolve().parent, found.path.name
