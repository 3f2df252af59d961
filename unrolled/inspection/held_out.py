"""A few held-out sequences of a run, as its model reads them: what a look inside looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.datasets.pairs import Pairs
from unrolled.datasets.sampler import Batch
from unrolled.datasets.spelling import BOUNDARY
from unrolled.errors import UserError
from unrolled.inspection.probe import probe
from unrolled.inspection.trace import Trace
from unrolled.layout import Layout
from unrolled.model import Model, Seq2Seq
from unrolled.model.ctc import CTCHead
from unrolled.model.heads import LabelHead, NumberHead
from unrolled.running.raw import steps_of
from unrolled.training.resume import same_data
from unrolled.training.rows import corpus_of, rows_of
from unrolled.training.run import Run

ROWS, STEPS = 16, 128  # of a look that reads several sequences


@dataclass(frozen=True, eq=False)
class Held:
    """Sequences for a model: `batch` as training sees one; notes: how they were chosen."""

    model: Model
    batch: Batch
    notes: list[str] = field(default_factory=list)

    @property
    def layout(self) -> Layout | None:
        """None where all rows are as long."""
        return _layout(self.batch.lengths, self.batch.x)

    @property
    def source(self) -> tuple[Tensor, Layout] | Tensor | None:
        """What a model that reads a source is conditioned on."""
        source = self.batch.source
        if source is None:
            return None
        layout = _layout(self.batch.source_lengths, source)
        return source if layout is None else (source, layout)

    @property
    def lengths(self) -> list[int]:
        """Real steps of each row."""
        known = self.batch.lengths
        return [self.batch.x.shape[1]] * len(self.batch.x) if known is None else known.tolist()

    def last_loss(self, prediction: Tensor) -> Tensor:
        """The head's loss at each row's last step, summed: what one answer at the end costs."""
        head, y, layout = self.model.head, self.batch.y, self.layout
        ends = prediction[:, -1] if layout is None else layout.at_last(prediction, prediction[:, 0])
        if isinstance(head, CTCHead):  # whose loss is of all steps: here what it says at the last
            return F.cross_entropy(ends, ends.argmax(-1), reduction="sum")
        if y.shape[:2] != self.batch.x.shape[:2]:  # one answer a row
            return head.loss(prediction, y, layout)[0]
        wanted = y[:, -1] if layout is None else layout.at_last(y, y[:, 0])
        return head.loss(ends[:, None], wanted[:, None], None)[0]

    def probe(self, **how: Any) -> Trace:
        """What a probe hears while the model reads them."""
        return probe(self.model, self.batch.x, None, self.layout, source=self.source, **how)

    def predict(self, x: Tensor | None = None) -> Tensor:
        """What the model says of each step (of other inputs of the same shape), without a probe."""
        state = None
        if self.batch.source is not None:
            assert isinstance(self.model, Seq2Seq)
            state = self.model.condition(
                self.batch.source, _layout(self.batch.source_lengths, self.batch.source)
            )
        with torch.no_grad():
            said: Tensor = self.model(self.batch.x if x is None else x, state, self.layout)[0]
        return said


def held_out(run: Run, model: Model, rows: int = ROWS, steps: int = STEPS, part: str = "test") -> Held:
    """The `rows` longest sequences of a part of the run's data that have at most `steps` steps; of longer ones (a text to
    be continued) so many from their beginning.

    Raises UserError where the data is gone or has changed.
    """
    if run.recipe.task == "generate":
        corpus = corpus_of(run)
        same_data(run, corpus.facts)
        return _of_text(model, list(corpus.part(part).each()), rows, steps)
    material = rows_of(run)
    same_data(run, material.facts)
    examples = material.examples(part)
    sizes = np.asarray(examples.targets.lengths + 1 if isinstance(examples, Pairs) else examples.lengths)
    fit = np.flatnonzero(sizes <= steps)
    chosen = fit[np.argsort(-sizes[fit], kind="stable")] if len(fit) else np.argsort(sizes, kind="stable")
    batch = examples.batch(np.sort(chosen[:rows]))
    held = Held(
        model, batch, [f"{_counted(len(batch.x), 'sequence')} of the {part} part, {_many(batch)} steps long"]
    )
    return held if len(fit) else _cut(held, steps)


def _of_text(model: Model, documents: Sequence[np.ndarray], rows: int, steps: int) -> Held:
    """The beginnings of the longest documents; of one or few of them, stretches evenly spread over them."""
    longest = sorted(documents, key=len, reverse=True)
    time = min(steps, len(longest[0]) + 1)
    fit = [document for document in longest if len(document) + 1 >= time]
    each = -(-rows // len(fit))
    pieces = []
    for document in fit[:rows]:
        closed = np.concatenate([[BOUNDARY], document, [BOUNDARY]]).astype(np.int64)
        last = len(closed) - time - 1
        begins = sorted({round(last * n / each) for n in range(each)})
        pieces += [closed[at : at + time + 1] for at in begins]
    both = torch.from_numpy(np.stack(pieces[:rows]))
    return Held(
        model,
        Batch(both[:, :-1].contiguous(), both[:, 1:].contiguous()),
        [f"{_counted(len(both), 'stretch', 'es')} of {time} tokens of held-out text"],
    )


def _cut(held: Held, steps: int) -> Held:
    """The first steps of sequences that are all longer."""
    batch = held.batch
    if batch.y.shape[:2] == batch.x.shape[:2]:
        batch = batch._replace(y=batch.y[:, :steps])
    lengths = None if batch.lengths is None else batch.lengths.clamp(max=steps)
    if lengths is not None and bool((lengths == steps).all()):
        lengths = None
    batch = batch._replace(x=batch.x[:, :steps].contiguous(), lengths=lengths)
    return Held(held.model, batch, [f"{_counted(len(batch.x), 'sequence')}, the first {steps} steps of each"])


def said_of(model: Model, text: Any) -> Held:
    """One sequence that a person gave. Raises UserError for a model that can't read it, and for nothing."""
    if isinstance(model, Seq2Seq):
        raise UserError(
            "text=: this run writes a text for a source, and a look needs both. Leave it out: held-out pairs are looked at."
        )
    if model.embedder.sides != 2:
        raise UserError(
            f"text=: this run reads numbers ({model.task.codec.kind}). Leave it out: held-out rows are looked at."
        )
    x = steps_of(model, text, begins=True)[None]
    if x.shape[1] < 2:
        raise UserError(f"{text!r}: got {x.shape[1] - 1} tokens; expected at least one.")
    return Held(model, Batch(x.long(), _answer(model, x.long())))


def _answer(model: Model, x: Tensor) -> Tensor:
    """What stands for the answer to a text that has none: the next tokens, or what the model itself says; of numbers the
    mean, since a loss against what it says would have no gradient.
    """
    if model.task.kind == "generate":
        return torch.cat([x[:, 1:], x[:, :1]], 1)
    with torch.no_grad():
        said: Tensor = model(x)[0]
    if isinstance(model.head, NumberHead):
        return torch.zeros_like(said[:, -1])
    if isinstance(model.head, LabelHead) and model.head.several:
        return (said[:, -1] > 0).to(said)
    return said.argmax(-1) if getattr(model.head, "stepwise", False) else said[:, -1].argmax(-1)


def _layout(lengths: Tensor | None, x: Tensor) -> Layout | None:
    return None if lengths is None else Layout.of_lengths(lengths, x.shape[1], fresh=True)


def _counted(count: int, what: str, more: str = "s") -> str:
    return f"{count} {what}{'' if count == 1 else more}"


def _many(batch: Batch) -> str:
    if batch.lengths is None:
        return str(batch.x.shape[1])
    least, longest = int(batch.lengths.min()), int(batch.lengths.max())
    return str(least) if least == longest else f"{least} to {longest}"


def between(codec: Any) -> str:
    """What stands between two tokens of a text: words and symbols have spaces; all others hold their own."""
    return " " if getattr(codec, "kind", "") in ("words", "items", "symbols") else ""
