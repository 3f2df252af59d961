"""Tasks: what a model is for. `TASKS` is the closed table of those a portable model can name."""

from __future__ import annotations

from typing import Any

from unrolled.errors import unknown
from unrolled.tasks.classify import Classify
from unrolled.tasks.forecast import Forecast
from unrolled.tasks.generate import GenerateText
from unrolled.tasks.regress import Regress
from unrolled.tasks.several import ClassifySeveral
from unrolled.tasks.tag import Tag
from unrolled.tasks.task import Score, Task
from unrolled.tasks.transcribe import Transcribe
from unrolled.tasks.translate import Translate

TASKS: dict[str, Any] = {
    "generate": GenerateText,
    "classify": Classify,
    "classify_several": ClassifySeveral,
    "regress": Regress,
    "tag": Tag,
    "forecast": Forecast,
    "transcribe": Transcribe,
    "translate": Translate,
}


def task_from_dict(data: dict[str, Any]) -> Any:
    """The task that a task's `to_dict` described. Raises UserError for a kind that isn't in the table."""
    kind = str(data.get("kind"))
    if kind not in TASKS:
        raise unknown("task", kind, TASKS)
    return TASKS[kind].from_dict(data)


__all__ = [
    "TASKS",
    "Classify",
    "ClassifySeveral",
    "Forecast",
    "GenerateText",
    "Regress",
    "Score",
    "Tag",
    "Task",
    "Transcribe",
    "Translate",
    "task_from_dict",
]
