"""Runs side by side: what they scored, what they cost, and in which settings they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from unrolled.errors import UserError
from unrolled.page.index import row
from unrolled.training.run import Run

MOST = 24  # runs at once
ASIDE = ("runs", "out", "resume")  # where a run was written is no setting of it


def beside(runs: Sequence[Run]) -> dict[str, Any]:
    """Scores, costs and differing settings of 2 to 24 runs. Raises UserError for another number."""
    within(len(runs))
    settings = [dict(_settings(run)) for run in runs]
    known = list(dict.fromkeys(key for one in settings for key in one))
    table = {key: [one.get(key) for one in settings] for key in known}
    return {
        "runs": [row(run, str(one.get("task", ""))) for run, one in zip(runs, settings, strict=True)],
        "differing": [
            {"key": key, "values": values} for key, values in table.items() if len({*map(repr, values)}) > 1
        ],
        "same": sum(len({*map(repr, values)}) == 1 for values in table.values()),
    }


def within(count: int) -> None:
    """Raises UserError for a number of runs that isn't compared."""
    if not 2 <= count <= MOST:
        raise UserError(f"got {count} runs to compare; expected 2 to {MOST}.")


def _settings(run: Run) -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of the recipe; nothing where its file is damaged."""
    if not (run.path / "config.toml").is_file():  # a pipe would be waited for
        return
    try:
        recipe = asdict(run.recipe)
    except UserError:
        return
    for key, value in recipe.items():
        if key in ASIDE:
            continue
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", one) for inner, one in value.items())
        else:
            yield key, value
