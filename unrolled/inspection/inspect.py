"""`inspect`: one look inside a run, by name."""

from __future__ import annotations

from collections.abc import Sequence

from unrolled.errors import unknown
from unrolled.inspection.embeddings import Embeddings, embeddings
from unrolled.training.run import Run

LOOKS = {"embeddings": embeddings}


def inspect(
    run: Run | str = "@last",
    what: str = "embeddings",
    *,
    words: Sequence[str] = (),
    count: int = 8,
    out: str | None = None,
    runs: str = "runs",
) -> Embeddings:
    """Looks inside a run and writes a page into its folder, or into `out`.

    what: embeddings: the nearest neighbours of `words` (of the most frequent tokens where none is named), `count` each,
    and a map of the most frequent tokens. Raises UserError for an unknown look or run, a run that has nothing to look at
    there, and an unknown word.
    """
    if what not in LOOKS:
        raise unknown("look", what, LOOKS)
    found = Run.open(run, runs) if isinstance(run, str) else run
    return LOOKS[what](found, words, count, out)
