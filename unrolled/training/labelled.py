"""Rows with an answer as material: a table, read and split, its columns encoded, scored beside simple rivals."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.datasets import samples
from unrolled.datasets.examples import Bundles, Examples
from unrolled.datasets.inputs import INPUTS, InputCodec, choose_input, embedder_of
from unrolled.datasets.labels import Labels
from unrolled.datasets.leaks import Leaks
from unrolled.datasets.parts import SHARES, Parts, deal
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import data_files, rows_of
from unrolled.datasets.split import PARTS
from unrolled.datasets.standard import Numbers
from unrolled.datasets.understand import Asked, Reading, columns, understand
from unrolled.errors import UserError
from unrolled.model import answering
from unrolled.tasks import Classify, Regress
from unrolled.tasks.rivals import Rivals
from unrolled.tasks.scored import Scored
from unrolled.tasks.units import Units
from unrolled.training.budget import pretty_count
from unrolled.training.corpus import fingerprints, name_of
from unrolled.training.defaults import Chosen
from unrolled.training.material import Rival
from unrolled.training.recipe import ModelChoice, Recipe

if TYPE_CHECKING:
    from unrolled.model import Model


class Labelled:
    """A table of sequences and answers, ready for a model."""

    verb: str = "predict"
    verb_keys: tuple[str, ...] = ("data=YOUR_FILE",)

    def __init__(
        self, name: str, reading: Reading, rows: list[Record], parts: Parts, codec: InputCodec
    ) -> None:
        self.name, self.reading = name, reading
        self.notes, self.facts = list(parts.notes), dict[str, Any]()
        self._parts = {part: [rows[i] for i in parts.of(part)] for part in PARTS}
        self.notes += self._leaks()
        train = self._parts["train"]
        self.codec = codec.fit(row[reading.input] for row in train)
        self.answers = (Labels if reading.task == "classify" else Numbers)().fit(
            row[reading.target] for row in train
        )
        self._examples = {part: self._encoded(part) for part in PARTS}

    def _leaks(self) -> list[str]:
        """What the test part may know of training, in words."""
        reading = self.reading
        leaks = Leaks(reading.target, [reading.group] if reading.group else [], [reading.input])
        for part, rows in self._parts.items():
            for row in rows:
                leaks.add(part, row)
        return [finding.says for finding in leaks.findings()]

    def _encoded(self, part: str) -> Examples:
        rows = self._parts[part]
        inputs = [np.asarray(self.codec.encode(row[self.reading.input])) for row in rows]
        kept = [i for i, x in enumerate(inputs) if len(x)]
        if len(kept) < len(rows):
            self.notes.append(
                f"{len(rows) - len(kept)} rows for {part} have nothing in {self.reading.input}: left out"
            )
            self._parts[part] = rows = [rows[i] for i in kept]
        targets = [np.asarray(self.answers.encode(row[self.reading.target])) for row in rows]
        return Examples([inputs[i] for i in kept], targets, [str(row["origin"]) for row in rows])

    def examples(self, part: str) -> Examples:
        """The encoded rows of `train`, `valid` or `test`."""
        return self._examples[part]

    @property
    def epoch(self) -> int:
        """Training examples."""
        return len(self._examples["train"])

    _chosen: list[Chosen]

    @property
    def chosen(self) -> list[Chosen]:
        return self._chosen

    def amounts(self) -> str:
        train, valid, test = (self._examples[part] for part in PARTS)
        return (
            f"{len(train)} training examples of {pretty_count(float(train.lengths.mean()))} steps in the mean; "
            f"{len(valid)} for validation, {len(test)} for the test"
        )

    def spec(self, choice: ModelChoice) -> dict[str, Any]:
        options = {k: v for k, v in asdict(choice).items() if k != "kind" and v is not None}
        return answering(choice.kind, embedder_of(self.codec), self._task().head(), **options)

    def _task(self) -> Classify | Regress:
        reading = self.reading
        if isinstance(self.answers, Labels):
            return Classify(self.codec, self.answers, reading.input, reading.target)
        return Regress(self.codec, self.answers, reading.input, reading.target)

    def task(self, model: Model, recipe: Recipe) -> Classify | Regress:
        return self._task()

    def feed(self, model: Model, recipe: Recipe) -> Bundles:
        assert recipe.batch
        return Bundles(self._examples["train"], recipe.batch, recipe.seed)

    def feeding(self, model: Model) -> str:
        said = f"{len(self.answers.names)} classes" if isinstance(self.answers, Labels) else "one number"
        return f"{self.codec.kind} in, {said} out, rows of similar length"

    def score(self, model: Model, part: str, context: int | None = None) -> Scored:
        examples = self._examples[part]
        found: Scored = model.task.score(model, examples.inputs, examples.targets)
        return found

    def units(self, model: Model, context: int | None = None) -> Units:
        return _units_of(self.score(model, "test"))

    def rivals(self) -> list[Rival]:
        placed = self._rivals.strong, self._rivals.naive
        return [Rival(one.to_dict(), _units_of(one.score)) for one in placed]

    def settle(self, model: Model) -> bool:
        """Fits the temperature on the validation part."""
        valid, before = self._examples["valid"], model.task
        model.task = model.task.calibrated(model, valid.inputs, valid.targets)
        return bool(model.task != before)

    @cached_property
    def _rivals(self) -> Rivals:
        return Rivals(self._task(), self._raw("train"), self._raw("test"))

    def _raw(self, part: str) -> tuple[list[Any], np.ndarray]:
        """Inputs as they were read, and encoded answers."""
        values = [row[self.reading.input] for row in self._parts[part]]
        return values, np.stack(self._examples[part].targets)

    def naive(self) -> dict[str, Any]:
        return self._rivals.naive.to_dict()

    def strong(self) -> dict[str, Any]:
        return self._rivals.strong.to_dict()

    def words(self, score: dict[str, Any]) -> str:
        low, high = score["interval"]
        beside = score["values"].get("macro_f1")
        more = "" if beside is None else f", macro F1 {beside:.4f}"
        return f"{score['unit']} {score['value']:.4f} ({low:.4f} to {high:.4f}){more}"

    def verdict(self, test: dict[str, Any], baseline: dict[str, Any]) -> str:
        low, high = test["interval"]
        other, up = baseline["value"], test["better"] == "higher"
        if low > other if up else high < other:
            return (
                f"Better than the {baseline['name']}: {test['unit']} {test['value']:.4f} against {other:.4f}."
            )
        if high < other if up else low > other:
            return f"No better: the {baseline['name']} reaches {other:.4f}. Train longer, or use it."
        return f"No better: the {baseline['name']} ({other:.4f}) lies within the interval. Give it more time or data."

    def sample(self, model: Model, seed: int) -> None:
        return None

    def about(self) -> str:
        does = "names the " if self.reading.task == "classify" else "estimates the "
        return (
            f"{does}{self.reading.target} of a row's {self.reading.input}, trained by Unrolled on `{self.name}` "
            f"({len(self._examples['train'])} rows)"
        )


def _units_of(score: Scored) -> Units:
    """What each row adds to the score. Raises UserError for a score that isn't made so."""
    if score.units is None:
        raise UserError(
            f"{score.report.measures[score.report.primary].words} isn't a mean over rows, and a comparison pairs its "
            "models row by row. Train them one by one: unrolled train"
        )
    return score.units


def prepare_labelled(recipe: Recipe) -> Labelled:
    """Reads, understands, splits and encodes a table. Raises UserError for what can't be, and where a choice is open."""
    path = samples.resolve(recipe.data)
    rows, notes = rows_of(path)
    found = columns(rows)
    asked = Asked(None if recipe.task == "auto" else recipe.task, recipe.input, recipe.target, recipe.group)
    reading = understand(found, asked, recipe.data)
    kept = [
        row
        for row in rows
        if row.get(reading.target) not in (None, "") and row.get(reading.input) is not None
    ]
    if len(kept) < len(rows):
        notes.append(f"{len(rows) - len(kept)} rows have no {reading.target} or no {reading.input}: left out")
    if not kept:
        raise UserError(f"{recipe.data}: no row has both {reading.input} and {reading.target}.")
    kind = recipe.codec if recipe.codec != "auto" else choose_input(reading.kind)
    made = Labelled(name_of(recipe.data, path), reading, kept, _parts(kept, reading, recipe), INPUTS[kind]())
    made.notes[:0] = notes
    made._chosen = [Chosen(key, value, reason) for key, value, reason in reading.why]
    if recipe.codec == "auto":
        made._chosen.append(Chosen("codec", kind, f"{reading.input} is {reading.kind}"))
    if reading.left_out:
        made.notes.append(f"columns left out: {', '.join(reading.left_out)}")
    reason = f"{reading.input} is {reading.kind}"
    made.facts.update(
        data=made.name, files=fingerprints(data_files(path)), codec={"kind": kind, "reason": reason},
        reading=asdict(reading), parts={part: len(made._examples[part]) for part in PARTS},
    )  # fmt: skip
    return made


def _parts(rows: list[Record], reading: Reading, recipe: Recipe) -> Parts:
    keys: list[Hashable] = [_key(row[reading.input]) for row in rows]
    labels = [str(row[reading.target]) for row in rows] if reading.task == "classify" else None
    groups = [row[reading.group] for row in rows] if reading.group else None
    given = [str(row[reading.split]) for row in rows] if reading.split else None
    return deal(keys, labels, groups=groups, given=given, shares=recipe.split or SHARES)


def _key(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    return tuple(value) if isinstance(value, list) else str(value)
