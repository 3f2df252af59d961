"""Pairs of texts as material: split, both sides encoded, scored beside writers without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.datasets.dealt import LEAST_HELD, Dealt
from unrolled.datasets.inputs import embedder_of
from unrolled.datasets.pair_codecs import PairCodecs, choose_pair, fitted_pair, text_of
from unrolled.datasets.pairs import PairBundles, Pairs
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import data_files
from unrolled.datasets.sampler import Batch
from unrolled.datasets.split import PARTS
from unrolled.datasets.store import Store
from unrolled.datasets.trial import leaks_of
from unrolled.errors import UserError
from unrolled.model import paired
from unrolled.tasks import Translate
from unrolled.tasks.measures.texts import MEASURES, PERCENT
from unrolled.tasks.scored import Scored
from unrolled.tasks.text_rivals import TextPart, TextRivals
from unrolled.tasks.translate import Lengths
from unrolled.tasks.units import Units
from unrolled.training.corpus import fingerprints, name_of
from unrolled.training.defaults import Chosen
from unrolled.training.kinds import Reads
from unrolled.training.labelled import units_of, verdict
from unrolled.training.material import Rival
from unrolled.training.metric import choose_metric
from unrolled.training.recipe import ModelChoice, Recipe
from unrolled.training.transcripts import Heard

if TYPE_CHECKING:
    from unrolled.model import Model
    from unrolled.training.base import Base

VALIDATED = 1000  # validation rows written for along the way; of more, evenly chosen ones stand for all
SAMPLED = 8  # validation rows whose texts are kept for people to watch
LONGER, LONG_SOURCE = 20, 500  # times the mean, and steps, from which a source is told to be long
SMOOTHING = 0.1  # of sentences; short answers are exact or wrong


class Paired:
    """A table of sources and the texts to be written for them, ready for a model. `asked`: the recipe as it was given;
    `known`: the codecs of both sides where they are fitted already.
    """

    verb: str = "translate"
    verb_keys: tuple[str, ...] = ("YOUR TEXT",)
    reads: Reads = "pairs"
    unit: str = "tokens"

    def __init__(self, name: str, dealt: Dealt, asked: Recipe, known: tuple[Any, Any] | None = None) -> None:
        self.name, self.dealt, self._known = name, dealt, known
        self.notes, self.facts = [*dealt.rows.notes, *dealt.notes], dict[str, Any]()
        self.notes += [finding.says for finding in leaks_of(dealt).findings()]
        self.codecs = self._chosen_codecs(asked)
        both = "one codec for both sides" if self.codecs.joint else "a codec a side"
        self.notes.append(f"{self.codecs.source} -> {self.codecs.target}, {both}: {self.codecs.reason}")
        metric, why = self._chosen_metric(asked.metric)
        smoothing = asked.smoothing
        if smoothing is None:
            smoothing = SMOOTHING if self.codecs.target == "bpe" else 0.0
        self.chosen = [Chosen(key, value, reason) for key, value, reason in dealt.reading.why]
        if asked.metric == "auto":
            self.chosen.append(Chosen("metric", metric, why))
        if asked.smoothing is None:
            self.chosen.append(
                Chosen("smoothing", smoothing, "label smoothing suits sentences, not exact answers")
            )
        codec, answers = self._fitted()
        reading = dealt.reading
        task = Translate(
            codec=codec, answers=answers, inputs=reading.inputs, targets=reading.targets, long=dealt.rows.long,
            metric=metric, smoothing=smoothing, beam=asked.beam or 1, joint=self.codecs.joint,
        )  # fmt: skip
        self._pairs, self._left = self._encoded(task)
        self._task = self._measured(task)
        self._tell_of_held_out()
        self._tell_of_long()
        valid = len(self._pairs["valid"])
        self.few = valid < LEAST_HELD
        if self.few and valid:
            self.notes.append(
                f"{valid} validation rows are too few to choose weights by: the last ones are kept"
            )

    def _chosen_codecs(self, asked: Recipe) -> PairCodecs:
        if self._known is not None:
            source, target = self._known
            return PairCodecs(source.kind, target.kind, source is target, "those of what it starts from")
        return choose_pair(self.dealt.pairs("train"), asked.codec, asked.joint)

    def _chosen_metric(self, asked: str) -> tuple[str, str]:
        """What a run is scored by, and why."""
        return choose_metric(self.dealt, asked)

    def _fitted(self) -> tuple[Any, Any]:
        """The codecs of both sides, fitted on the training rows."""
        return self._known or fitted_pair(self.codecs, lambda: self.dealt.pairs("train"))

    def _encoded(self, task: Translate) -> tuple[dict[str, Pairs], dict[str, set[int]]]:
        """Each part's pairs, but for those with an empty side, and the numbers of these, in one pass over the data."""
        stores = {part: (Store(), Store()) for part in PARTS}
        seen, left = Counter[str](), {part: set[int]() for part in PARTS}
        nothing = np.zeros(0, np.int64)
        for part, row in self.dealt.parted():
            source = nothing if task.value(row) is None else task.encoded(row)
            target = task.answer(row, source)
            if len(source) and len(target):
                for store, steps in zip(stores[part], (source, target), strict=True):
                    store.add(steps)
            else:
                left[part].add(seen[part])
            seen[part] += 1
        for part, rows in left.items():
            if rows:
                self.notes.append(f"{len(rows)} rows for {part} have an empty side: left out")
            if len(rows) == seen[part]:
                raise UserError(f"{self.name}: no row for {part} has both sides. Give it more data.")
        return {part: Pairs(*(store.ragged() for store in both)) for part, both in stores.items()}, left

    def _measured(self, task: Translate) -> Translate:
        """The task with the lengths of training's pairs."""
        train = self._pairs["train"]
        lengths = Lengths.of(train.inputs.lengths, train.targets.lengths)
        return Translate(**{**vars(task), "lengths": lengths})

    def _tell_of_held_out(self) -> None:
        """What validation and test sources have that training's hadn't."""
        for part in PARTS[1:]:
            rows = list(self._rows(part))
            pairs = self._pairs[part]
            self.notes += [f"{part}: {remark}" for remark in self._task.remarks(rows, pairs.inputs)]

    def _tell_of_long(self) -> None:
        """That a few training pairs are far longer than all others: their steps take as much longer."""
        lengths = self._pairs["train"].lengths
        if lengths.max() > LONGER * lengths.mean() and lengths.max() > LONG_SOURCE:
            self.notes.append(
                f"the longest training source has {lengths.max():,} steps, {lengths.max() / lengths.mean():.0f} times the "
                "mean: what holds it takes as much longer. Leave such rows out unless they are meant."
            )

    def _rows(self, part: str) -> Iterator[Record]:
        """The rows that were encoded."""
        left = self._left[part]
        return (row for number, row in enumerate(self.dealt.of(part)) if number not in left)

    @property
    def task_codec(self) -> Any:
        """The fitted codec of what is read."""
        return self._task.codec

    def examples(self, part: str) -> Pairs:
        """The encoded pairs of `train`, `valid` or `test`."""
        return self._pairs[part]

    @property
    def epoch(self) -> int:
        """Training's target tokens."""
        return self._pairs["train"].count

    @property
    def rows(self) -> int:
        """Training pairs."""
        return len(self._pairs["train"])

    def amounts(self) -> str:
        train, valid, test = (self._pairs[part] for part in PARTS)
        return (
            f"{len(train)} training pairs of {train.inputs.lengths.mean():.3g} -> {train.targets.lengths.mean():.3g} "
            f"tokens in the mean; {len(valid)} for validation, {len(test)} for the test"
        )

    def spec(self, choice: ModelChoice, base: Base | None = None) -> dict[str, Any]:
        if base is not None:
            return base.written(self._task)
        options = {k: v for k, v in asdict(choice).items() if k != "kind" and v is not None}
        if "pool" in options:
            raise UserError(
                f"model.pool sums up a sequence for one answer, and the task is {self.dealt.reading.task}: leave it out."
            )
        task = self._task
        return paired(
            choice.kind, embedder_of(task.codec), task.answers.size, shared=self.codecs.joint,
            smoothing=task.smoothing, **options,
        )  # fmt: skip

    def usage(self) -> str:
        return f"print(un.predict(model, [{{{self._task.inputs[0]!r}: ...}}]).rows)"

    def begin(self, model: Model) -> None:
        """Nothing: the weights start as they were drawn."""

    def task(self, model: Model, recipe: Recipe) -> Translate:
        return self._task

    def feed(self, model: Model, recipe: Recipe) -> PairBundles:
        assert recipe.batch
        return PairBundles(self._pairs["train"], recipe.batch, recipe.seed, recipe.accumulate)

    def targets(self, batch: Batch) -> int:
        return batch.y.numel() if batch.lengths is None else int(batch.lengths.sum())

    def feeding(self, model: Model) -> str:
        return (
            f"{self.codecs.source} in, {self.codecs.target} out, batches of as many tokens, of similar length"
        )

    def score(self, model: Model, part: str, context: int | None = None) -> Scored:
        pairs = self._pairs[part]
        step = -(-len(pairs) // VALIDATED) if part == "valid" else 1
        found: Scored = model.task.score(model, pairs.inputs[::step], pairs.targets[::step])
        return found

    def units(self, model: Model, context: int | None = None) -> Units:
        return units_of(self.score(model, "test"))

    def rivals(self) -> list[Rival]:
        placed = {one.name: one for one in (self._rivals.strong, self._rivals.naive)}
        return [Rival(one.to_dict(), units_of(one.score)) for one in placed.values()]

    def settle(self, model: Model) -> bool:
        return False

    @cached_property
    def _rivals(self) -> TextRivals | Heard:
        def texts(part: str) -> tuple[list[str], list[str]]:
            pairs = [(text_of(self._task.value(r)), text_of(r[self._task.target])) for r in self._rows(part)]
            return [source for source, _ in pairs], [target for _, target in pairs]

        train, test = (
            TextPart(partial(texts, part), self._pairs[part].targets) for part in ("train", "test")
        )
        return TextRivals(self._task, train, test)

    def naive(self) -> dict[str, Any]:
        return self._rivals.naive.to_dict()

    def strong(self) -> dict[str, Any]:
        return self._rivals.strong.to_dict()

    def words(self, score: dict[str, Any]) -> str:
        digits = 2 if score["primary"] in PERCENT else 4
        value, low, high = (f"{x:.{digits}f}" for x in (score["value"], *score["interval"]))
        beside = [
            f"{MEASURES[name].words} {x:.{2 if name in PERCENT else 4}f}"
            for name, x in score["values"].items()
            if name != score["primary"] and x is not None
        ]
        return ", ".join([f"{score['unit']} {value} ({low} to {high})", *beside])

    def verdict(self, test: dict[str, Any], baseline: dict[str, Any]) -> str:
        return verdict(test, baseline)

    def sample(self, model: Model, seed: int) -> str:
        """A few validation rows: what was read, what is wanted, what the model writes."""
        pairs, task = self._pairs["valid"], self._task
        step = max(1, len(pairs) // SAMPLED)
        rows = list(islice(self._rows("valid"), 0, step * SAMPLED, step))
        said = task.written(task.predict(model, pairs.inputs[::step][: len(rows)]))
        shown = zip(rows, said, strict=True)
        return "\n".join(
            f"{text_of(task.value(row))}\n  wanted: {text_of(row[task.target])}\n  wrote:  {text}"
            for row, text in shown
        )

    def about(self) -> str:
        reading = self.dealt.reading
        return (
            f"writes the {reading.target} of a row's {reading.reads}, trained by Unrolled on `{self.name}` "
            f"({len(self._pairs['train'])} pairs)"
        )


def paired_of(recipe: Recipe, path: Path, dealt: Dealt, known: tuple[Any, Any] | None = None) -> Paired:
    """Encodes pairs that were dealt, with codecs that are `known` or with new ones. Raises UserError for keys that are for
    other tasks.
    """
    refused = {
        "vectors": recipe.vectors is not None, "shuffled": recipe.shuffled, "weights": recipe.weights != "none",
        "threshold": recipe.threshold is not None, "augment": recipe.augment not in (None, "auto", "none"),
        "samples": recipe.samples is not None,
    }  # fmt: skip
    if wrong := [key for key, given in refused.items() if given]:
        raise UserError(
            f"{wrong[0]}: it is for tasks that answer with a class or a number, and the task is {dealt.reading.task}."
        )
    files = data_files(path)
    name = name_of(recipe.data, path) if path.exists() else name_of("_".join(_distinct(files)), path)
    from unrolled.training.listened import Listened  # which builds on this module

    made = (Listened if dealt.reading.task == "transcribe" else Paired)(name, dealt, recipe, known)
    codecs: PairCodecs = made.codecs
    made.facts.update(
        data=made.name, files=fingerprints(files), codec={**codecs._asdict(), "kind": codecs.source},
        reading=asdict(dealt.reading), parts={part: len(made.examples(part)) for part in PARTS},
    )  # fmt: skip
    return made


def _distinct(files: list[Path]) -> list[str]:
    """What the names of these files consist of, each piece once."""
    return list(dict.fromkeys(piece for file in files for piece in file.name.removesuffix(".gz").split(".")))
