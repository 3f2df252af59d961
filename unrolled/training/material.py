"""What a run needs of data made ready for one task, whichever task it is: a session knows nothing else of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from unrolled.training.recipe import ModelChoice, Recipe

if TYPE_CHECKING:
    from unrolled.datasets.sampler import Batch
    from unrolled.model import Model
    from unrolled.tasks import Task
    from unrolled.tasks.units import Units
    from unrolled.training.base import Base
    from unrolled.training.defaults import Chosen
    from unrolled.training.kinds import Reads
    from unrolled.training.learner import Sampler


class Scored(Protocol):
    """A score on held-out data.

    `to_dict()` holds at least `value`, its `unit` in words, `better` ("lower" or "higher") and `interval`.
    """

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, of the value."""
        ...

    @property
    def objective(self) -> float:
        """What a run lowers on its validation split."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ...


class Rival(NamedTuple):
    """A simple rival's score on the test part, with its `name`, and what that score is made of."""

    score: dict[str, Any]
    units: Units


class Material(Protocol):
    """One data set, read, split and encoded for one task. `facts` goes into data.json: files and hashes, codecs, split."""

    name: str
    notes: list[str]
    facts: dict[str, Any]
    verb: str  # what one does with a model of this data
    verb_keys: tuple[str, ...]
    reads: Reads
    few: bool  # its validation part is too small to choose weights by
    unit: str  # what is learnt from, one by one

    @property
    def epoch(self) -> int:
        """Targets of one pass over the training part."""
        ...

    @property
    def rows(self) -> int:
        """Training rows: documents, sequences, pairs."""
        ...

    @property
    def chosen(self) -> list[Chosen]:
        """What was found out about the data, with reasons."""
        ...

    def amounts(self) -> str:
        """What there is in each part, in words."""
        ...

    def spec(self, choice: ModelChoice, base: Base | None = None) -> dict[str, Any]:
        """The spec of the chosen model for this data; or of what goes on with a base."""
        ...

    def usage(self) -> str:
        """Python that uses a model of this data, loaded as `model`, for its card."""
        ...

    def begin(self, model: Model) -> None:
        """Puts into the new model what it starts from beside chance."""
        ...

    def task(self, model: Model, recipe: Recipe) -> Task:
        """The task that the model is to remember."""
        ...

    def feed(self, model: Model, recipe: Recipe) -> Sampler:
        """The training part in batches."""
        ...

    def targets(self, batch: Batch) -> int:
        """How many there are in a batch to learn from."""
        ...

    def feeding(self, model: Model) -> str:
        """How batches are fed, in words."""
        ...

    def score(self, model: Model, part: str, context: int | None = None) -> Scored:
        """The model's score on `valid` (of a long one its beginning) or `test`."""
        ...

    def units(self, model: Model, context: int | None = None) -> Units:
        """What the test part's documents or rows add to the model's score."""
        ...

    def rivals(self) -> list[Rival]:
        """The simple rivals that stand beside a comparison's models, the strongest first."""
        ...

    def settle(self, model: Model) -> bool:
        """Fits what the task fits on the validation part once training is over; True where it did."""
        ...

    def naive(self) -> dict[str, Any]:
        """The simplest rival's score on the test part, with its `name`."""
        ...

    def strong(self) -> dict[str, Any]:
        """The same of the strongest of the simple rivals."""
        ...

    def words(self, score: dict[str, Any]) -> str:
        """A score with its interval, for one line."""
        ...

    def verdict(self, test: dict[str, Any], baseline: dict[str, Any]) -> str:
        """Better or no better, in words."""
        ...

    def sample(self, model: Model, seed: int) -> str | None:
        """What the model makes at this point, for people to watch it learn; None where there is nothing to show."""
        ...

    def about(self) -> str:
        """What a model of this data does and what it was trained on, for its card."""
        ...
