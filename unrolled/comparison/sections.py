"""The parts that a run's report and a comparison's share: curves, settings, environment, a tune."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np

from unrolled.comparison.composing import Composition, bar_times, roll_of
from unrolled.config import flat
from unrolled.config.writing import show, toml_value
from unrolled.errors import UserError
from unrolled.report import Code, Definitions, Sample, Series, Tune
from unrolled.training.run import Run

NOTED = {"runs", "out", "resume"}  # where a run is written isn't what it is


def bits_a_nat(run: Run) -> float:
    """A training loss in nats a token -> bits a character of the training text."""
    part = json.loads((run.path / "data.json").read_bytes())["parts"]["train"]
    return float(part["tokens"]) / (log(2) * max(int(part["characters"]), 1))


def axes(run: Run, rows: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """Time, steps and, of text, tokens at which these metrics were written."""
    recipe = run.recipe
    each = (recipe.batch or 1) * (recipe.length or 1)
    found = {
        "seconds": [float(row["seconds"]) for row in rows],
        "steps": [float(row["step"]) for row in rows],
    }
    if recipe.task == "generate":
        found["tokens"] = [float(row["step"] * each) for row in rows]
    return found


def training_curve(run: Run) -> Series | None:
    """The training loss in bits a character; None for a run too short to have one."""
    rows = [row for row in run.metrics if "loss" in row]
    scale = bits_a_nat(run)
    return Series("training", axes(run, rows), [row["loss"] * scale for row in rows]) if rows else None


def validation_curve(runs: Sequence[Run], name: str) -> Series | None:
    """The validation loss (of text bits a character) of one kind; of several seeds the mean, with a band from the least
    to the most.

    Evaluations stand at the same shares of each run, so the k-th of all seeds are averaged, on every axis.
    """
    rows = [[row for row in run.metrics if "valid" in row] for run in runs]
    shared = min((len(one) for one in rows), default=0)
    if not shared:
        return None
    xs = [axes(run, one[:shared]) for run, one in zip(runs, rows, strict=True)]
    ys = np.array([[row["valid"] for row in one[:shared]] for one in rows])
    mean = {label: np.mean([x[label] for x in xs], 0).tolist() for label in xs[0]}
    if len(runs) == 1:
        return Series(name, mean, ys[0].tolist())
    return Series(name, mean, ys.mean(0).tolist(), ys.min(0).tolist(), ys.max(0).tolist())


def y_range(series: Sequence[Series], level: float) -> tuple[float, float] | None:
    """From the best score to somewhat above `level` (a baseline): the first steps' height would flatten the rest."""
    known = [y for one in series for y in one.ys if y is not None]
    if not known:
        return None
    low, high = min([*known, level]), max(known)
    top = min(high, max(level, float(np.median(known))) * 1.25)
    return low - 0.03 * (top - low), max(top, low + 0.05)


def settings(run: Run) -> list[tuple[str, str, str]]:
    """config.toml as (key, value, where it came from); keys that nobody set are left out.

    The comment behind an entry says where its value came from: what is left of the line when the entry is taken off.
    """
    text = (run.path / "config.toml").read_text(encoding="utf-8")
    found = []
    for key, value in flat(tomllib.loads(text)).items():
        name = key.rpartition(".")[2]
        entry = f"{name} = {toml_value(value)}"
        said = (line.removeprefix(entry) for line in text.splitlines() if line.startswith(entry))
        if name not in NOTED:
            found.append((key, show(value), next(said, "").strip(" #") or "default"))
    return found


def environment(run: Run) -> Definitions:
    """What the result may depend on beside the settings."""
    kept = json.loads((run.path / "env.json").read_bytes())
    return Definitions([(key, value) for key, value in kept.items()], title="Environment")


def command(text: str) -> Code:
    """The command that repeats it."""
    return Code(text, title="Repeat it")


def latest_sample(run: Run) -> Sample | None:
    """What the run's best model wrote when it had become the best."""
    texts = sorted((run.path / "samples").glob("step-*.txt"))
    if not texts:
        return None
    text = texts[-1].read_text(encoding="utf-8", errors="replace")
    return Sample(
        text, title="What it writes", caption=f"From nothing, at {texts[-1].stem.replace('-', ' ')}."
    )


def tune(composition: Composition, caption: str, wav: bytes | None = None) -> Tune | None:
    """The tune as a piano roll that plays; None for one that can't be drawn."""
    try:
        notes, lines = roll_of(composition.abc), bar_times(composition.abc)
    except UserError:
        return None
    return Tune(composition.title, notes, composition.abc, wav, lines, caption=caption)
