"""Stretches of a run's text, what holds at each of their tokens, and what every unit is there."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.datasets.sampler import Batch
from unrolled.errors import UserError
from unrolled.inspection.held_out import Held
from unrolled.inspection.marks import marks
from unrolled.inspection.probe import probe
from unrolled.inspection.subject import Subject
from unrolled.inspection.tracking import Matrix, Read
from unrolled.training.resume import same_data
from unrolled.training.rows import corpus_of

ROWS, STEPS = 64, 256  # stretches of text that are read, and how long each is

# a document's ids with its boundary, and where in it what is read lies
Stretch = tuple[NDArray[np.int64], int, int]


def heard(held: Held, tokens: list[str]) -> Read:
    """What every unit was at every token: recurrent states where there are some, else the layers' outputs."""
    there = {one.name for one in probe(held.model, held.batch.x[:1, :2]).heard}
    wanted = there & {"hidden", "cell", "y"}
    trace = probe(held.model, held.batch.x, None, held.layout, only=wanted, most=10**9)
    kinds = [one for one in trace.heard if one.name in ("hidden", "cell") and one.kind != "ffn"]
    kinds = kinds or [one for one in trace.heard if one.name == "y" and one.layer.startswith("core.layers.")]
    lengths = held.lengths
    parts = [
        np.concatenate([one.value[row, :size].numpy() for row, size in enumerate(lengths)]) for one in kinds
    ]
    names = [(one.layer, one.name, unit) for one in kinds for unit in range(one.value.shape[2])]
    begins = [0, *np.cumsum(lengths)[:-1].tolist()]
    return Read(tokens, begins, np.concatenate(parts, 1).astype(np.float64), names)


def stretches(on: Subject) -> tuple[list[Stretch], list[str]]:
    """Stretches of held-out text (or of the text that was given), each with the whole document before it."""
    if on.text:
        ids = np.concatenate([[0], np.asarray(on.model.task.codec.encode(on.text), np.int64)])
        size = max(1, min(STEPS, len(ids) // 2))
        return [(ids, at, size) for at in range(0, len(ids) - size + 1, size)][:ROWS], [
            "the text that was given"
        ]
    corpus = corpus_of(on.run)
    same_data(on.run, corpus.facts)
    whole = [np.concatenate([[0], d]).astype(np.int64) for d in corpus.part(on.split).each()]
    pieces = [
        (document, at, min(STEPS, len(document) - at))
        for document in whole
        for at in range(0, len(document), STEPS)
        if len(document) - at >= min(STEPS, len(document)) // 2
    ]
    step = max(1, len(pieces) // ROWS)
    chosen = pieces[::step][:ROWS]
    if not chosen:
        raise UserError("units: no held-out text to read.")
    total = sum(size for _, _, size in chosen)
    return chosen, [
        f"{len(chosen)} stretches of the {on.split} part, {total:,} tokens, the state begun anew in each"
    ]


def marked(on: Subject, stretches: list[Stretch], music: bool) -> list[tuple[list[str], dict[str, Matrix]]]:
    """The tokens of each stretch, and what holds at each of them given its document from the beginning."""
    codec, known = on.model.task.codec, dict[int, tuple[list[str], dict[str, Matrix]]]()
    found = []
    for document, at, size in stretches:
        if id(document) not in known:
            tokens = ["\n" if i == 0 else codec.token_text(int(i)) for i in document]
            known[id(document)] = tokens, marks(tokens, music)
        tokens, held = known[id(document)]
        found.append(
            (tokens[at : at + size], {name: values[at : at + size] for name, values in held.items()})
        )
    return found


def batch(on: Subject, stretches: list[Stretch]) -> Batch:
    """The stretches as rows, padded on the right."""
    longest = max(size for _, _, size in stretches)
    x = torch.zeros(len(stretches), longest, dtype=torch.int64)
    for row, (document, at, size) in enumerate(stretches):
        x[row, :size] = torch.from_numpy(document[at : at + size])
    lengths = torch.tensor([size for _, _, size in stretches])
    return Batch(x, x, lengths=None if bool((lengths == longest).all()) else lengths)
