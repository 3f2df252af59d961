"""Rows with an answer as material: split, its columns encoded, scored beside simple rivals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.datasets import words
from unrolled.datasets.augment import for_codec
from unrolled.datasets.codecs import IMPORTED
from unrolled.datasets.dealt import LEAST_HELD, Dealt
from unrolled.datasets.examples import Bundles, Examples
from unrolled.datasets.inputs import TOKENS, embedder_of
from unrolled.datasets.rows import data_files
from unrolled.datasets.sampler import Batch
from unrolled.datasets.split import PARTS
from unrolled.datasets.standard import Values
from unrolled.datasets.trial import fit_and_look
from unrolled.datasets.vectors import Vectors, read_vectors
from unrolled.errors import UserError
from unrolled.model import answering
from unrolled.model.embedders import TokenEmbedder
from unrolled.model.vectors import start_from
from unrolled.tasks import Classify, ClassifySeveral, Regress, Tag, Transcribe
from unrolled.tasks.answering import Answering
from unrolled.tasks.rivals import Part, Rivals
from unrolled.tasks.scored import Scored
from unrolled.tasks.units import Units
from unrolled.training.budget import pretty_count
from unrolled.training.corpus import fingerprints, name_of
from unrolled.training.defaults import Chosen
from unrolled.training.encoding import Encoding
from unrolled.training.features import featured
from unrolled.training.kinds import Reads
from unrolled.training.material import Rival
from unrolled.training.recipe import ModelChoice, Recipe

if TYPE_CHECKING:
    from unrolled.model import Model
    from unrolled.training.base import Base

VALIDATED = 4000  # validation rows scored along the way; of more, evenly chosen ones stand for all
RIVALS_READ = 100_000  # training rows; of more, evenly chosen ones stand for all


class Labelled:
    """A table of sequences and answers, ready for a model. `task` comes with codecs that are not fitted yet, but where
    what is read has a codec that is `fitted`.
    """

    verb: str = "predict"
    verb_keys: tuple[str, ...] = ("data=YOUR_FILE",)

    reads: Reads
    vectors: Vectors | None = None  # that the words' table starts from
    features: dict[str, Examples] | None = (
        None  # what a frozen body says of each part, in the place of its inputs
    )

    def __init__(
        self, name: str, dealt: Dealt, task: Answering, shuffled: bool = False, fitted: bool = False
    ) -> None:
        self.name, self.dealt, self._task, self._shuffled = name, dealt, task, shuffled
        if not hasattr(self, "reads"):
            self.reads = "tokens" if task.codec.kind in TOKENS else "numbers"
        self.unit = "steps" if task.stepwise else "rows"
        self.notes, self.facts = [*dealt.rows.notes, *dealt.notes], dict[str, Any]()
        self.chosen: list[Chosen] = []
        leaks = fit_and_look(dealt, task.codec, fitted)
        self.notes += [finding.says for finding in leaks.findings()]
        del leaks  # its hashes of all rows, before these are encoded
        task.answers.fit(dealt.answer(row) for row in dealt.of("train"))
        task.check()
        self.notes += [*getattr(task.codec, "notes", []), *getattr(task.answers, "notes", [])]
        self._examples = self._encoded()
        valid = len(self._examples["valid"])
        self.few = valid < LEAST_HELD
        if self.few and valid:
            self.notes.append(
                f"{valid} validation rows are too few to choose weights by: the last ones are kept"
            )

    def _encoded(self) -> dict[str, Examples]:
        """Each part's rows, but for those in which there is nothing to read, in one pass over the data."""
        parts = {part: Encoding(self._task, self._shuffled) for part in PARTS}
        for part, row in self.dealt.parted():
            parts[part].add(row)
        found = {part: made.examples() for part, made in parts.items()}
        self._empty = {part: made.empty for part, made in parts.items()}
        for part, made in found.items():
            self.notes += [f"{part}: {said}" for said in self._task.shortened(made.inputs)]
        for part, empty in self._empty.items():
            if empty:
                self.notes.append(
                    f"{len(empty)} rows for {part} have nothing in {self.dealt.reading.reads}: left out"
                )
        return found

    @property
    def task_codec(self) -> Any:
        """The fitted codec of what is read."""
        return self._task.codec

    def examples(self, part: str) -> Examples:
        """The encoded rows of `train`, `valid` or `test`."""
        return self._examples[part]

    def read_by(self, body: Model) -> None:
        """From here on a model sees what `body`, without its head, says of each row instead of the row itself."""
        self.features = {part: featured(body, self._examples[part]) for part in PARTS}

    def seen(self, part: str) -> Examples:
        """What a model is given of a part."""
        return (self.features or self._examples)[part]

    @property
    def epoch(self) -> int:
        """Training targets."""
        return self._examples["train"].count

    @property
    def rows(self) -> int:
        """Training sequences."""
        return len(self._examples["train"])

    def amounts(self) -> str:
        train, valid, test = (self._examples[part] for part in PARTS)
        return (
            f"{len(train)} training examples of {pretty_count(float(train.lengths.mean()))} steps in the mean; "
            f"{len(valid)} for validation, {len(test)} for the test"
        )

    def spec(self, choice: ModelChoice, base: Base | None = None) -> dict[str, Any]:
        task = self._task
        if base is not None:
            return base.under(task.head(), choice.pool, task.stepwise or task.ragged, task.codec)
        options = {k: v for k, v in asdict(choice).items() if k != "kind" and v is not None}
        if (
            self.vectors is not None
        ):  # the table is as wide as they are, and where the core goes along, it too
            options["embedding"] = self.vectors.width
        made = self._spec(choice.kind, options)
        if self.vectors is not None and made["embedder"]["width"] != self.vectors.width:
            made = self._spec(choice.kind, options | {"width": self.vectors.width})
        return made

    def _spec(self, kind: str, options: dict[str, Any]) -> dict[str, Any]:
        task = self._task
        return answering(kind, embedder_of(task.codec), task.head(), stepwise=task.stepwise, **options)

    def usage(self) -> str:
        named = ", ".join(f"{name!r}: ..." for name in self._task.inputs)
        return f"print(un.predict(model, [{{{named}}}]).rows)"

    def begin(self, model: Model) -> None:
        if self.vectors is not None:
            assert isinstance(model.embedder, TokenEmbedder)
            start_from(model.embedder.table, self.vectors.matrix, self.vectors.places + words.FIRST)

    def task(self, model: Model, recipe: Recipe) -> Answering:
        return self._task

    def feed(self, model: Model, recipe: Recipe) -> Bundles:
        assert recipe.batch
        codec = self._task.codec
        channels = codec.channels if isinstance(codec, Values) else None
        if self.features is not None:
            return Bundles(self.features["train"], recipe.batch, recipe.seed)
        changes = for_codec(recipe.augment, codec.kind, channels) if recipe.augment else ()
        return Bundles(self._examples["train"], recipe.batch, recipe.seed, changes)

    def targets(self, batch: Batch) -> int:
        if not self._task.stepwise:
            return len(batch.y)
        return batch.y.numel() if batch.lengths is None else int(batch.lengths.sum())

    def feeding(self, model: Model) -> str:
        answers, each = self._task.answers, " a step" if self._task.stepwise else ""
        said = f"{answers.size} classes" if hasattr(answers, "names") else "numbers"
        return f"{self._task.codec.kind} in, {said}{each} out, rows of similar length"

    def score(self, model: Model, part: str, context: int | None = None) -> Scored:
        examples = self.seen(part)
        step = -(-len(examples) // VALIDATED) if part == "valid" else 1
        found: Scored = model.task.score(model, examples.inputs[::step], examples.targets[::step])
        return found

    def units(self, model: Model, context: int | None = None) -> Units:
        return units_of(self.score(model, "test"))

    def rivals(self) -> list[Rival]:
        placed = self._rivals.strong, self._rivals.naive
        return [Rival(one.to_dict(), units_of(one.score)) for one in placed]

    def settle(self, model: Model) -> bool:
        """Fits temperature and threshold on the validation part."""
        if self.few:
            return False
        valid, before = self.seen("valid"), model.task
        model.task = model.task.calibrated(model, valid.inputs, valid.targets)
        return bool(model.task != before)

    @cached_property
    def _rivals(self) -> Rivals:
        return Rivals(self._task, self._seen("train"), self._seen("test"))

    def _seen(self, part: str) -> Part:
        """A part as rivals see it: of many training rows, evenly chosen ones."""
        examples = self._examples[part]
        step = -(-len(examples) // RIVALS_READ) if part == "train" else 1
        if step == 1:
            return Part(lambda: list(self._values(part)), examples.inputs, examples.targets)
        inputs = [examples.inputs[i] for i in range(0, len(examples), step)]
        return Part(lambda: list(islice(self._values(part), 0, None, step)), inputs, examples.targets[::step])

    def _values(self, part: str) -> Iterator[Any]:
        """What the codec reads, of the rows that were encoded."""
        empty = self._empty[part]
        return (self._task.value(row) for i, row in enumerate(self.dealt.of(part)) if i not in empty)

    def naive(self) -> dict[str, Any]:
        return self._rivals.naive.to_dict()

    def strong(self) -> dict[str, Any]:
        return self._rivals.strong.to_dict()

    def words(self, score: dict[str, Any]) -> str:
        low, high = score["interval"]
        beside = score["values"].get("macro_f1") if score["primary"] != "macro_f1" else None
        more = "" if beside is None else f", macro F1 {beside:.4f}"
        return f"{score['unit']} {score['value']:.4f} ({low:.4f} to {high:.4f}){more}"

    def verdict(self, test: dict[str, Any], baseline: dict[str, Any]) -> str:
        return verdict(test, baseline)

    def sample(self, model: Model, seed: int) -> str | None:
        return None

    def about(self) -> str:
        reading = self.dealt.reading
        does = {"classify": "names the", "tag": "names, step by step, the", "regress": "estimates the"}[
            reading.task
        ]
        return (
            f"{does} {reading.target} of a row's {reading.reads}, trained by Unrolled on `{self.name}` "
            f"({len(self._examples['train'])} rows)"
        )


def verdict(test: dict[str, Any], baseline: dict[str, Any]) -> str:
    """Better or no better, in words: a difference counts when the baseline lies outside the score's interval."""
    low, high = test["interval"]
    other, up = baseline["value"], test["better"] == "higher"
    if low > other if up else high < other:
        return f"Better than the {baseline['name']}: {test['unit']} {test['value']:.4f} against {other:.4f}."
    if high < other if up else low > other:
        return f"No better: the {baseline['name']} reaches {other:.4f}. Train longer, or use it."
    return f"No better: the {baseline['name']} ({other:.4f}) lies within the interval. Give it more time or data."


def units_of(score: Scored) -> Units:
    """What each row adds to the score. Raises UserError for a score that isn't made so."""
    if score.units is None:
        raise UserError(
            f"{score.report.measures[score.report.primary].words} isn't a mean over rows, and a comparison pairs its "
            "models row by row. Train them one by one: unrolled train"
        )
    return score.units


def labelled_of(
    recipe: Recipe, path: Path, dealt: Dealt, codec: Any = None, longest: int | None = None
) -> Labelled:
    """Encodes rows that were dealt, with a `codec` that is fitted already, or with a new one. longest: the steps that the
    model counts, where it counts them. Raises UserError for what can't be.
    """
    reading = dealt.reading
    if codec is not None:
        dealt = known_as(dealt, codec)
    if recipe.samples is not None:
        dealt = dealt.fewer(recipe.samples, recipe.seed)
    if recipe.joint is not None:
        raise UserError(f"joint: it is for task=translate, and the task is {reading.task}.")
    if recipe.beam is not None and reading.task != "transcribe":
        raise UserError(f"beam: it is for task=translate and transcribe, and the task is {reading.task}.")
    from unrolled.training.transcripts import Transcripts  # which builds on this module

    kind = Transcripts if reading.task == "transcribe" else Labelled
    task: Any = replace(task_of(dealt, recipe, codec), longest=longest)
    made = kind(name_of(recipe.data, path), dealt, task, recipe.shuffled, codec is not None)
    if recipe.vectors is not None:
        made.vectors = _vectors(recipe.vectors, made)
        made.notes += [f"{recipe.vectors}: {made.vectors}", *made.vectors.notes]
    made.chosen = [Chosen(key, value, reason) for key, value, reason in reading.why]
    reason = f"{reading.reads} is {' and '.join(reading.kinds)}"
    if recipe.codec == "auto" and dealt.codec != "auto" and codec is None:
        made.chosen.append(Chosen("codec", dealt.codec, reason))
    made.facts.update(
        data=made.name, files=fingerprints(data_files(path)), codec={"kind": dealt.codec, "reason": reason},
        reading=asdict(reading), parts={part: len(made.examples(part)) for part in PARTS},
    )  # fmt: skip
    return made


def _vectors(file: str, material: Labelled) -> Vectors:
    """The vectors that a file has for the material's words. Raises UserError where it doesn't read words."""
    codec = material.dealt.codec
    if codec != words.Words.kind:
        raise UserError(
            f"vectors={file}: they are for the codec words, and {material.name} is read as {codec}."
        )
    return read_vectors(Path(file).expanduser(), material.task_codec.words)


def known_as(dealt: Dealt, codec: Any) -> Dealt:
    """Rows that a fitted codec is to read. Raises UserError where it reads something else."""
    reading = dealt.reading
    text = codec.kind in TOKENS and codec.kind != "items"
    reads = {"text", "category"} if text else {"series", "number"} if codec.kind == "values" else None
    if reads and not (len(reading.kinds) == 1 and reading.kinds[0] in reads):
        raise UserError(
            f"{reading.reads} is {' and '.join(reading.kinds)}, and what from= names reads {' or '.join(sorted(reads))} "
            f"(codec {codec.kind}). Say another column with input=."
        )
    if reading.task == "tag" and codec.kind in IMPORTED:
        raise UserError(
            "task=tag: its tokenizer cuts words into pieces, and a tag belongs to a word. Say codec=items for a table of "
            "whole words, which then begins anew."
        )
    return replace(dealt, codec=codec.kind)


def task_of(dealt: Dealt, recipe: Recipe, codec: Any = None) -> Answering:
    """The task, with new codecs but for one that is given. Raises UserError for keys that it doesn't take."""
    reading = dealt.reading
    fresh, answers = (None, dealt.answers()) if codec is not None else dealt.codecs()
    shared: dict[str, Any] = {
        "codec": codec or fresh, "answers": answers, "inputs": reading.inputs, "targets": reading.targets,
        "long": dealt.rows.long,
    }  # fmt: skip
    loss: dict[str, Any] = {"smoothing": recipe.smoothing or 0.0}
    balanced = recipe.weights == "balanced"
    if reading.task == "regress":
        if recipe.smoothing or balanced or recipe.threshold is not None:
            raise UserError("smoothing, weights and threshold are for classes, and the task is regress.")
        return Regress(**shared)
    if reading.task == "transcribe":
        if recipe.smoothing or balanced or recipe.threshold is not None:
            raise UserError("smoothing, weights and threshold are for classes, and the task is transcribe.")
        return Transcribe(beam=recipe.beam or 1, **shared)
    if reading.several:
        if balanced:
            raise UserError("weights=balanced: each label is learnt by itself; use threshold=auto.")
        return ClassifySeveral(threshold=recipe.threshold, **loss, **shared)
    if reading.task == "tag":
        if recipe.threshold is not None:
            raise UserError("threshold= is for one answer a row, and the task is tag.")
        return Tag(balanced=balanced, **loss, **shared)
    return Classify(threshold=recipe.threshold, balanced=balanced, **loss, **shared)
