"""The task of writing a text for each row: a translation, a pronunciation, a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from unrolled.datasets.collate import padded
from unrolled.datasets.inputs import TOKENS, input_codec_from_dict
from unrolled.datasets.pair_codecs import text_of, unknown_in
from unrolled.datasets.pairs import batch_of
from unrolled.datasets.readers import Record
from unrolled.datasets.symbols import UNKNOWN, Symbols
from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.tasks.answer import BATCH, alike
from unrolled.tasks.answering import Answering
from unrolled.tasks.measures.texts import TextReport, measure_texts
from unrolled.tasks.scored import Scored

if TYPE_CHECKING:
    from unrolled.model import Seq2Seq
    from unrolled.running.hypotheses import Hypothesis

MOST = 2**18  # source steps of one call, padding included
TIES = 1e-3  # of the nats a token, in what a run lowers: they decide while the metric stands still, as BLEU does at 0
SHORTEST = 1  # tokens of a text unless told otherwise: none of training's is empty
SHOWN = 5  # unknown characters that are named


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long training's texts were, in steps: `source` and `target` at most, and for nearly all pairs at most `stretch`
    target tokens a source step and `more`.
    """

    source: int = 0
    target: int = 0
    stretch: float = 1.0
    more: int = 100

    @classmethod
    def of(cls, sources: np.ndarray, targets: np.ndarray) -> Lengths:
        """From the steps of training's pairs, (N,) both."""
        stretch = float(np.quantile(targets / np.maximum(sources, 1), 0.99))
        more = ceil(max(10.0, float(np.max(targets - stretch * sources))))
        return cls(source=int(sources.max()), target=int(targets.max()), stretch=stretch, more=more)

    def longest(self, source: int) -> int:
        """The tokens at which a text is closed whose source has so many steps: more than any of training's needed, and no
        more than half again its longest one, in proportion where the source is longer than training's were.
        """
        most = 1.5 * self.target * max(1.0, source / max(self.source, 1)) + 10
        return ceil(min(self.stretch * source + self.more, most)) if self.target else self.more + ceil(source)


@dataclass(frozen=True, kw_only=True)
class Translate(Answering):
    """`codec` reads the source and `answers` writes the target; with `joint` both are the same. metric: what a run is
    scored by, one of `measures.texts.PRIMARY`. smoothing: of the loss. beam: as in `running.decode`. begins: tokens that
    every text begins with; never: tokens that none holds.
    """

    kind: ClassVar[str] = "translate"

    metric: str = "bleu"
    smoothing: float = 0.0
    beam: int = 1
    joint: bool = False
    begins: tuple[int, ...] = ()
    never: tuple[int, ...] = ()
    lengths: Lengths = Lengths()

    def head(self) -> dict[str, Any]:
        """The spec of its head."""
        return {"kind": "tokens", "smoothing": self.smoothing}

    @property
    def forbidden(self) -> tuple[int, ...]:
        """Tokens that are never written: the unknown symbol, which says nothing, and `never`."""
        return (UNKNOWN, *self.never) if isinstance(self.answers, Symbols) else self.never

    def limit(self, source: int, options: Mapping[str, Any]) -> int:
        """The tokens at which a text is closed unless `longest` is given: what is asked for fits in."""
        shortest, prefix = int(options.get("shortest", SHORTEST)), options.get("prefix", ())
        return max(self.lengths.longest(source), shortest) + len(prefix)

    def settled(self, raw: Tensor) -> Tensor:
        """The logits of the next token themselves: what is made of them depends on the search."""
        return raw

    def hypotheses(
        self, model: Seq2Seq, inputs: Sequence[np.ndarray], batch: int = BATCH, **how: Any
    ) -> list[list[Hypothesis]]:
        """What the model writes for each encoded source, the best first. how: what `running.decode` takes (beam, nbest,
        draw, prefix for all, ...); names: of the sources, by which they are drawn, their numbers unless given. The same
        whatever the batch. Raises UserError for an empty source.
        """
        from unrolled.running.decode import decode

        shortest = SHORTEST + len(self.begins)
        options: dict[str, Any] = {"beam": self.beam, "forbidden": self.forbidden, "shortest": shortest}
        options |= ({"prefix": self.begins} if self.begins else {}) | how
        longest: int | None = options.pop("longest", None)
        names: Sequence[int] = options.pop("names", range(len(inputs)))
        found: list[list[Hypothesis]] = [[]] * len(inputs)
        device, training = next(model.parameters()).device, model.training
        model.eval()
        try:
            for rows in alike(inputs, batch, MOST):
                x, sizes = padded([np.asarray(inputs[i]) for i in rows])
                x = x.to(device, torch.float32 if x.is_floating_point() else torch.int64)
                ragged = len({*sizes.tolist()}) > 1
                layout = Layout.of_lengths(sizes.to(device), x.shape[1]) if ragged else None
                with torch.inference_mode():
                    state = model.read_source(x, layout)
                limits = [longest or self.limit(int(size), options) for size in sizes]
                said = decode(model, state, longest=limits, names=[names[row] for row in rows], **options)
                for row, each in zip(rows, said, strict=True):
                    found[row] = each
        finally:
            model.train(training)
        return found

    def predict(self, model: Any, inputs: Sequence[np.ndarray], batch: int = BATCH) -> list[list[Hypothesis]]:
        """As `hypotheses`, the way the run was scored."""
        return self.hypotheses(model, inputs, batch)

    def predict_every(self, model: Any, inputs: Sequence[np.ndarray], batch: int = BATCH) -> list[Any]:
        """Raises UserError: nothing is written before a source has been read to its end."""
        raise UserError(
            "every=true: a text is written once its source has been read, so there are no early answers."
        )

    def written(self, said: Sequence[Sequence[Hypothesis]]) -> list[str]:
        """The best text of each row."""
        return [self.answers.decode(each[0].tokens) for each in said]

    def score(
        self, model: Any, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray], batch: int = BATCH
    ) -> Scored:
        """How good the texts are. What a run lowers is what they lack in the metric, and a thousandth of the nats a token,
        which decide while that stands still.
        """
        report = self.rated(self.written(self.predict(model, inputs, batch)), truth, list(map(len, inputs)))
        return Scored(report, report.error + TIES * self.nats(model, inputs, truth, batch))

    def rated(
        self, said: Sequence[str], truth: Sequence[np.ndarray], lengths: Sequence[int] = ()
    ) -> TextReport:
        """The report on texts, of a rival as of a model; `lengths`: of the sources."""
        return measure_texts(said, [self.answers.decode(ids) for ids in truth], self.metric, lengths=lengths)

    def nats(
        self, model: Any, inputs: Sequence[np.ndarray], truth: Sequence[np.ndarray], batch: int = BATCH
    ) -> float:
        """The mean nats of a target's token, its closing included, given all before it."""
        device, training = next(model.parameters()).device, model.training
        model.eval()
        total, count = 0.0, 0
        try:
            for rows in alike(inputs, batch, MOST):
                one = batch_of([inputs[i] for i in rows], [truth[i] for i in rows])
                assert one.source is not None
                layout, read = (
                    None if sizes is None else Layout.of_lengths(sizes.to(device), x.shape[1])
                    for sizes, x in ((one.lengths, one.x), (one.source_lengths, one.source))
                )  # fmt: skip
                with torch.inference_mode():
                    state = model.condition(one.source.to(device), read)
                    prediction, _ = model(one.x.to(device), state, layout)
                    nats, targets = model.head.loss(prediction, one.y.to(device), layout)
                total, count = total + float(nats), count + int(targets)
        finally:
            model.train(training)
        return total / max(count, 1)

    def rows(self, said: Sequence[Sequence[Hypothesis]]) -> list[dict[str, Any]]:
        """The best text of each row, as a column."""
        return [{self.target: text} for text in self.written(said)]

    def value(self, row: Record) -> Any:
        """What the codec reads of a row, as text where it reads text. None where it is missing."""
        value = super().value(row)
        return text_of(value) if value is not None and self.codec.kind in TOKENS else value

    def answer(self, row: Record, steps: np.ndarray) -> np.ndarray:
        """A row's own target, encoded (T,), without boundaries. Raises UserError, naming the row, where it is missing."""
        value = row.get(self.target)
        if value is None or value == "":
            raise UserError(
                f"{row['origin']}: nothing in the column {self.target!r}, which was to be written."
            )
        return np.asarray(self.answers.encode(text_of(value)))

    def remarks(self, rows: Sequence[Record], inputs: Sequence[np.ndarray]) -> list[str]:
        """What is to be said of sources that are unlike training's: characters it hadn't, and longer ones."""
        told = []
        unknown = [
            Counter(unknown_in(self.codec, self.value(row))) for row in rows if self.value(row) is not None
        ]
        seen = sum(unknown, Counter[str]())
        if seen:
            what = {"characters": "characters", "symbols": "symbols"}.get(self.codec.kind, "words")
            how = "spelled byte by byte" if what == "characters" else "read as unknown"
            some = " ".join(name if name.strip() else repr(name) for name, _ in seen.most_common(SHOWN))
            more = " ..." if len(seen) > SHOWN else ""
            told.append(
                f"{sum(map(bool, unknown))} sources hold {what} that training hadn't ({some}{more}): {how}"
            )
            if any(name != name.lower() and not [*unknown_in(self.codec, name.lower())] for name in seen):
                told.append("training had them in lower case: try that")
        long = [row for row, x in zip(rows, inputs, strict=True) if len(x) > self.lengths.source > 0]
        if long:
            told.append(
                f"{len(long)} sources are longer than any of training's ({self.lengths.source} steps), the first is "
                f"{long[0]['origin']}: they are read whole"
            )
        return told

    def settings(self) -> dict[str, Any]:
        """Metric, smoothing, beam and training's lengths."""
        return {
            "metric": self.metric, "smoothing": self.smoothing, "beam": self.beam, "joint": self.joint,
            "lengths": dict(vars(self.lengths)), "begins": list(self.begins), "never": list(self.never),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Translate:
        """The task that `to_dict` described; the two codecs of a joint one are one again."""
        tokens = {key: tuple(data.get(key, ())) for key in ("begins", "never")}
        return super().from_dict({**data, **tokens, "lengths": Lengths(**data["lengths"])})

    @classmethod
    def answers_from(cls, saved: Mapping[str, Any]) -> Any:
        """The target's codec that `to_dict` described."""
        return input_codec_from_dict(saved)
