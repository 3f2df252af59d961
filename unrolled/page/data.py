"""The data of a run as it was read: its files, how it was split, and the first rows of each part with their steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch

from unrolled.datasets import samples
from unrolled.datasets.dealt import deal_rows, own_of
from unrolled.datasets.media import MediaFile
from unrolled.datasets.rows import Rows, data_files
from unrolled.datasets.split import PARTS
from unrolled.page.spoken import image, labels
from unrolled.tasks.translate import Translate
from unrolled.training.corpus import fingerprints
from unrolled.training.resume import same_data
from unrolled.training.rows import corpus_of
from unrolled.training.run import Run

EACH = 4  # rows of a part
LETTERS = 400  # of a text
STEPS = 120  # of a row
SOUND = ("log_mel", "mfcc", "stacked_mel")  # codecs whose steps are what sounds at a time, by height


def first_rows(run: Run, task: Any) -> dict[str, Any]:
    """The first rows (documents) of each part: what is read of them, what is right, and the steps that their codec makes.

    Raises UserError where the data is gone, or has changed since the run began.
    """
    rows = _documents(run, task) if task.kind == "generate" else _rows(run, task)
    return {"codec": task.codec.kind, "sound": task.codec.kind in SOUND, "rows": list(rows)}


def _documents(run: Run, task: Any) -> Iterator[dict[str, Any]]:
    corpus = corpus_of(run)
    same_data(run, corpus.facts)
    for part in PARTS:
        for steps in islice(corpus.part(part).each(), EACH):
            text = task.codec.decode(steps[: 8 * LETTERS])
            yield {"part": part, "columns": [["text", _short(text)]], **_steps(task, np.asarray(steps))}


def _rows(run: Run, task: Any) -> Iterator[dict[str, Any]]:
    recipe = run.recipe
    path = samples.resolve(recipe.data)
    same_data(run, {"files": fingerprints(data_files(path))})
    dealt = deal_rows(Rows(path), recipe.asked(), recipe.data, own_of(path))
    columns = [*dealt.reading.inputs, *dealt.reading.targets]
    for part in PARTS:
        for row in islice((row for row in dealt.of(part) if dealt.value(row) is not None), EACH):
            told: dict[str, Any] = {
                "part": part,
                "columns": [[name, _short(row.get(name))] for name in columns],
            }
            if isinstance(task, Translate):
                told["answer"] = _steps(
                    task, np.asarray(task.answers.encode(str(dealt.answer(row)))), task.answers
                )
                steps = np.asarray(task.codec.encode(dealt.value(row)))
            else:
                steps = task.encoded(row)
            yield told | _steps(task, steps)


def _steps(task: Any, steps: np.ndarray, codec: Any = None) -> dict[str, Any]:
    """How many there are, and the first of them: named, or as a picture of their numbers."""
    if steps.ndim == 1:
        shown: dict[str, Any] = {"labels": labels(task, steps[:STEPS].tolist(), False, codec)}
    else:
        numbers = torch.from_numpy(np.ascontiguousarray(steps[:STEPS]))
        shown = {"image": image(numbers)} if len(numbers) else {}
    return {"steps": len(steps), **shown}


def _short(value: Any) -> str:
    """A value as it stands in its file, if that is short."""
    if isinstance(value, str | int | float | bool) or value is None:
        text = str(value)
        return text if len(text) <= LETTERS else text[:LETTERS] + "…"
    if isinstance(value, MediaFile):
        return value.name
    size = getattr(value, "shape", None) or (len(value),) if hasattr(value, "__len__") else ()
    return f"{' × '.join(map(str, size))} numbers" if size else type(value).__name__.lower()
