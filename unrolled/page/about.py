"""What a run's folder tells of it: its settings with their sources, its command, its machine, what it wrote on the way."""

from __future__ import annotations

import json
import re
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from unrolled.page.regular import regular
from unrolled.training.run import Run

LONGEST = 100_000  # characters of a file that are shown
SAMPLES = 200  # texts, the latest ones
SAMPLE = 4_000  # characters of one


def about(run: Run) -> dict[str, Any]:
    """All of it as plain data; what is missing or damaged is left out."""
    return {
        "command": _text(run.path / "command.txt").strip(),
        "config": _text(run.path / "config.toml"),
        "environment": _object(run.path / "env.json"),
        "facts": facts(run),
        "test": run.test, "valid": run.valid, "baseline": run.baseline, "naive": run.naive,
        "extends": run.extends, "plan": run.plan,
    }  # fmt: skip


def facts(run: Run) -> dict[str, Any]:
    """What is known of its data: data.json, {} where that is missing or damaged."""
    return _object(run.path / "data.json")


def written(run: Run) -> list[dict[str, Any]]:
    """What the model wrote after its evaluations, as `step` and `text`, the earliest first."""
    found = []
    for path in (run.path / "samples").glob("step-*.txt"):
        if named := re.fullmatch(r"step-(\d+)\.txt", path.name):
            found.append((int(named[1]), path))
    return [{"step": step, "text": _text(path, SAMPLE)} for step, path in sorted(found)[-SAMPLES:]]


def _text(path: Path, most: int = LONGEST) -> str:
    try:
        with TextIOWrapper(regular(path), encoding="utf-8", errors="replace") as file:
            return file.read(most)
    except OSError:
        return ""


def _object(path: Path) -> dict[str, Any]:
    try:
        with regular(path) as file:
            found = json.loads(file.read())
        json.dumps(found, allow_nan=False)  # what can't be said on is damaged
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
