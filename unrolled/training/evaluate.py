"""A run's score on held-out data: every token once, whatever the batch size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from unrolled.errors import UserError, unknown
from unrolled.training.corpus import Corpus, prepare
from unrolled.training.device import choose_device
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
) -> Score:
    """Scores the run's best model on `split` (train, valid, test) of its own data, or of another `data`.

    Raises UserError for an unknown split, a missing file, or when the data has changed since the run began.
    """
    run = Run.open(run, runs) if isinstance(run, str) else run
    if split not in ("train", "valid", "test"):
        raise unknown("split", split, ["train", "valid", "test"])
    recipe = run.recipe
    corpus = prepare(data or recipe.data, recipe.codec, recipe.split, run.path.parent)
    if data is None:
        same_data(run, corpus)
    model = run.model(str(choose_device(device, lambda line: None)))
    if data is not None:
        return _foreign(model, corpus, split, context, batch)
    documents, characters, size = corpus.documents(split)
    return model.task.score(model, documents, characters, size, context or recipe.context, batch)  # type: ignore[no-any-return]


def _foreign(model: Model, corpus: Corpus, split: str, context: int | None, batch: int) -> Score:
    """Another data set, read with the model's own codec."""
    texts = [corpus.codec.decode(document) for document in corpus.documents(split)[0]]
    documents = [model.task.codec.encode(text) for text in texts]
    characters, size = sum(map(len, texts)), sum(len(t.encode("utf-8", "surrogatepass")) for t in texts)
    return model.task.score(model, documents, characters, size, context, batch)  # type: ignore[no-any-return]


def same_data(run: Run, corpus: Corpus) -> None:
    """Raises UserError unless the files are those the run was trained on: a changed split would leak test into training."""
    kept = json.loads((run.path / "data.json").read_bytes())
    for before, now in zip(kept["files"], corpus.facts["files"], strict=False):
        if before != now:
            raise UserError(
                f"{now['name']} has changed since {run.name} began (SHA-256 {now['sha256'][:12]}, was "
                f"{before['sha256'][:12]}): its test split would overlap what the run has seen. Restore the file, "
                "or train a new run on it."
            )
    if len(kept["files"]) != len(corpus.facts["files"]):
        raise UserError(
            f"{run.name} began with {len(kept['files'])} data files; there are {len(corpus.facts['files'])} now. "
            "Restore them, or train a new run."
        )
