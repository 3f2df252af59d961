"""What a forecasting run's page shows beside its score: the error step by step ahead, and a fan of what comes next."""

from __future__ import annotations

from typing import Any

from unrolled.errors import UnrolledError
from unrolled.report import LineChart, Section, Sentence, Series
from unrolled.training.forecast import next_fan
from unrolled.training.run import Run


def foretold(run: Run) -> list[Section]:
    """Nothing for a run of another task, or one that isn't finished."""
    if run.test is None or run.baseline is None or run.naive is None or "by_horizon" not in run.test:
        return []
    return [*_by_horizon(run, run.test, run.baseline, run.naive), *_fan(run)]


def _by_horizon(run: Run, *scores: dict[str, Any]) -> list[Section]:
    names = dict.fromkeys(((run.kind, 0), (scores[1]["name"], 1), (scores[2]["name"], 2)))
    kept = {name: scores[at]["by_horizon"] for name, at in names}
    steps = [float(at + 1) for at in range(len(scores[0]["by_horizon"]["mase"]))]
    error = [Series(name, steps, found["mase"]) for name, found in kept.items()]
    held = [Series(name, steps, found["coverage"]) for name, found in kept.items()]
    return [
        LineChart(
            error, "MASE", "steps ahead", "Error by horizon", "1 is the seasonal naive method's error in training."
        ),
        LineChart(held, "share inside", "steps ahead", "Coverage of the 80 % interval", references=[("80 %", 0.8)]),
    ]  # fmt: skip


def _fan(run: Run) -> list[Section]:
    """The forecast after the end of the run's own data; a sentence where this can't be read any more."""
    try:
        return [next_fan(run)]
    except (UnrolledError, OSError) as error:
        return [Sentence(f"The data couldn't be read again for a picture of what comes next: {error}")]
