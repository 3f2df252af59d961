"""Text as material: a corpus to be continued, scored in bits beside n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.datasets.sampler import Batch, Streams, Windows
from unrolled.model import preset
from unrolled.running.generate import Writer
from unrolled.running.sampling import Draw
from unrolled.tasks import GenerateText, Score
from unrolled.tasks.score import nats
from unrolled.tasks.units import Units, cut, pieces_of
from unrolled.training.baselines import beaten, naive, ngram_nats, strong
from unrolled.training.budget import pretty_count
from unrolled.training.corpus import AS_ASKED, GIVEN, Corpus
from unrolled.training.defaults import Chosen
from unrolled.training.kinds import Reads
from unrolled.training.material import Rival
from unrolled.training.recipe import ModelChoice, Recipe

if TYPE_CHECKING:
    from unrolled.model import Model
    from unrolled.training.base import Base

SAMPLE_TOKENS = 200  # written after each evaluation


class Text:
    """A corpus and the task of continuing it."""

    verb: str = "generate"
    verb_keys: tuple[str, ...] = ()
    reads: Reads = "text"
    few: bool = False
    unit: str = "tokens"

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.name, self.notes, self.facts = corpus.name, corpus.notes, corpus.facts
        self._valid = corpus.validation()

    @property
    def epoch(self) -> int:
        """Tokens to predict in one pass."""
        return max(self.corpus.train.count - 1, 1)

    @property
    def rows(self) -> int:
        """Training documents."""
        return self.corpus.train.documents

    @property
    def chosen(self) -> list[Chosen]:
        codec = self.facts["codec"]
        asked = (
            [] if codec["reason"] in (AS_ASKED, GIVEN) else [Chosen("codec", codec["kind"], codec["reason"])]
        )
        return [Chosen("task", "generate", "the data is text, so: continue it"), *asked]

    def amounts(self) -> str:
        train, valid, test = (self.corpus.part(part) for part in ("train", "valid", "test"))
        return (
            f"{train.documents} training documents, {pretty_count(train.characters)} characters; "
            f"{valid.documents} for validation, {test.documents} for the test"
        )

    def spec(self, choice: ModelChoice, base: Base | None = None) -> dict[str, Any]:
        if base is not None:
            return base.going_on(self.corpus.codec)
        options = {k: v for k, v in asdict(choice).items() if k != "kind" and v is not None}
        return preset(choice.kind, self.corpus.codec.size, **options)

    def usage(self) -> str:
        return "print(un.generate(model, length=400).texts[0])"

    def begin(self, model: Model) -> None:
        """Nothing: the weights start as they were drawn."""

    def task(self, model: Model, recipe: Recipe) -> GenerateText:
        context = None if model.fixed_state else recipe.context or recipe.length
        return GenerateText(self.corpus.codec, context=context)

    def feed(self, model: Model, recipe: Recipe) -> Streams | Windows:
        assert recipe.batch and recipe.length
        kind = Streams if model.fixed_state else Windows
        return kind(self.corpus.train, recipe.batch, recipe.length, recipe.seed)

    def targets(self, batch: Batch) -> int:
        return batch.y.numel()

    def feeding(self, model: Model) -> str:
        how = "contiguous streams with carried state" if model.fixed_state else "windows without state"
        return f"{self.corpus.codec.size} tokens, {how}"

    def score(self, model: Model, part: str, context: int | None = None) -> Score:
        documents = self._valid if part == "valid" else self.corpus.documents(part)
        found: Score = model.task.score(model, *documents, context)
        return found

    def units(self, model: Model, context: int | None = None) -> Units:
        documents = self.corpus.documents("test")[0]
        return self._units(nats(model, documents, context or model.task.context))

    def _units(self, found: Sequence[np.ndarray]) -> Units:
        """Nats of each test document's tokens, whatever these are -> bits per character, over the codec's own tokens."""
        documents, characters, _ = self.corpus.documents("test")
        pieces = pieces_of([len(document) + 1 for document in documents])
        _, tokens = cut([np.zeros(len(document) + 1) for document in documents], pieces)
        return Units(cut(found, pieces)[0], tokens, float(tokens.sum()) / (log(2) * max(characters, 1)))

    def rivals(self) -> list[Rival]:
        best = self.strong()
        return [Rival(best, self._units(ngram_nats(self.corpus, best["order"], best["codec"])))]

    def settle(self, model: Model) -> bool:
        return False

    def naive(self) -> dict[str, Any]:
        return naive(self.corpus)

    def strong(self) -> dict[str, Any]:
        return strong(self.corpus)

    def words(self, score: dict[str, Any]) -> str:
        low, high = score["interval"]
        return (
            f"{score['bits_per_character']:.4f} bits per character ({low:.4f} to {high:.4f}), "
            f"{score['bits_per_byte']:.4f} per byte"
        )

    def verdict(self, test: dict[str, Any], baseline: dict[str, Any]) -> str:
        return beaten(test, baseline)

    def sample(self, model: Model, seed: int) -> str:
        writer = Writer(model, length=SAMPLE_TOKENS, draw=Draw(temperature=0.8, seed=seed))
        return str(model.task.codec.decode([token for pairs in writer for _, token in pairs]))

    def about(self) -> str:
        corpus = self.corpus
        return (
            f"continues text, trained by Unrolled on `{corpus.name}` ({corpus.train.characters:,} characters in "
            f"{corpus.train.documents} documents; codec {corpus.codec.kind}, {corpus.codec.size} tokens)"
        )
