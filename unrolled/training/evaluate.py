"""A run's score on held-out data: every token once, whatever the batch size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unrolled.errors import unknown
from unrolled.training.corpus import Corpus, prepare
from unrolled.training.device import choose_device
from unrolled.training.progress import aloud
from unrolled.training.resume import same_data
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
        same_data(run, corpus.facts)
    model = run.model(str(choose_device(device, aloud)))
    given = context or recipe.context
    if corpus.codec.to_dict() != model.task.codec.to_dict():
        return _foreign(model, corpus, split, given, batch)
    return model.task.score(model, *corpus.documents(split), given, batch)  # type: ignore[no-any-return]


def _foreign(model: Model, corpus: Corpus, split: str, context: int | None, batch: int) -> Score:
    """Text of another codec (another data set, or another fit to the same one), read with the model's own."""
    texts = [corpus.codec.decode(document) for document in corpus.documents(split)[0]]
    documents = [model.task.codec.encode(text) for text in texts]
    characters, size = sum(map(len, texts)), sum(len(t.encode("utf-8", "surrogatepass")) for t in texts)
    return model.task.score(model, documents, characters, size, context, batch)  # type: ignore[no-any-return]
