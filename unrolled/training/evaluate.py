"""A run's score on held-out data: every token once, whatever the batch size."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from unrolled.datasets.store import Ragged
from unrolled.errors import NumericalFailure, unknown
from unrolled.tasks import Forecast
from unrolled.tasks.scored import Scored
from unrolled.training.corpus import Corpus
from unrolled.training.device import choose_device
from unrolled.training.forecast import scored_anew
from unrolled.training.forecasting import Forecasting
from unrolled.training.new_rows import rows_for
from unrolled.training.progress import aloud
from unrolled.training.resume import same_data
from unrolled.training.rows import corpus_of, table_of
from unrolled.training.run import Run

if TYPE_CHECKING:
    from unrolled.model import Model
    from unrolled.tasks import Score


def evaluate(
    run: Run | str = "@last",
    split: str = "test",
    *,
    runs: str = "runs",
    data: str | None = None,
    context: int | None = None,
    batch: int = 64,
    device: str = "auto",
) -> Score | Scored:
    """Scores the run's best model on `split` (train, valid, test) of its own data, or of another `data`.

    Raises UserError for an unknown split, a missing file, or when the data has changed since the run began;
    NumericalFailure when the score isn't a number.
    """
    run = Run.open(run, runs) if isinstance(run, str) else run
    found = _scored(run, split, data, context, batch, device)
    if not isfinite(found.value):
        raise NumericalFailure(f"{run.path / 'model'}: its score isn't a number ({found.value}).")
    return found


def _scored(
    run: Run, split: str, data: str | None, context: int | None, batch: int, device: str
) -> Score | Scored:
    if split not in ("train", "valid", "test"):
        raise unknown("split", split, ["train", "valid", "test"])
    recipe = run.recipe
    if recipe.task != "generate":
        return _answers(run, split, data, batch, device)
    corpus = corpus_of(run, data)
    if data is None:
        same_data(run, corpus.facts)
    model = run.model(str(choose_device(device, aloud)))
    given = context or recipe.context
    if corpus.codec.to_dict() != model.task.codec.to_dict():
        return _foreign(model, corpus, split, given, batch)
    return model.task.score(model, *corpus.documents(split), given, batch)  # type: ignore[no-any-return]


def _answers(run: Run, split: str, data: str | None, batch: int, device: str) -> Scored:
    """The score of a run that answers rows: on a part of its own table, or on every row of another."""
    model = run.model(str(choose_device(device, aloud)))
    task = model.task
    if data is None:
        material = table_of(run)
        same_data(run, material.facts)
        if isinstance(material, Forecasting):
            return material.score(model, split)
        examples = material.examples(split)
        found: Scored = task.score(model, examples.inputs, examples.targets, batch)
        return found
    if isinstance(task, Forecast):
        return scored_anew(model, data)
    rows = rows_for(task, data, answers=True)
    truth: list[np.ndarray] = []

    def inputs() -> Iterator[np.ndarray]:
        empty = 0
        for row in rows:
            steps = task.encoded(row)
            if not len(steps):
                empty += 1
                continue
            truth.append(task.answer(row, steps))
            yield steps
        if empty:
            aloud(f"{empty} rows have nothing in {', '.join(task.inputs)}: they are not scored")

    read = Ragged.of(inputs())
    return task.score(model, read, truth, batch)  # type: ignore[no-any-return]


def _foreign(model: Model, corpus: Corpus, split: str, context: int | None, batch: int) -> Score:
    """Text of another codec (another data set, or another fit to the same one), read with the model's own."""
    texts = [corpus.codec.decode(document) for document in corpus.documents(split)[0]]
    documents = [model.task.codec.encode(text) for text in texts]
    characters, size = sum(map(len, texts)), sum(len(t.encode("utf-8", "surrogatepass")) for t in texts)
    return model.task.score(model, documents, characters, size, context, batch)  # type: ignore[no-any-return]
