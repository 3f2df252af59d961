"""`SequenceClassifier` and `SequenceRegressor`: any sequence model as a scikit-learn estimator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from unrolled import __version__
from unrolled.datasets.dealt import deal_given
from unrolled.datasets.understand import Reading
from unrolled.errors import UserError, unknown
from unrolled.estimators import given
from unrolled.estimators.partner import Base, Classifies, NotFitted, Regresses
from unrolled.training.fit import Unleaking, fitted
from unrolled.training.labelled import task_of
from unrolled.training.portable import save_model
from unrolled.training.recipe import Recipe

if TYPE_CHECKING:
    from unrolled.model import Model

COLUMN = {"text": "text", "tokens": "events", "series": "series"}  # what is read is called, by kind
EPOCHS = 30  # passes over the training rows of budget="auto",
FEWEST, MOST = 600, 3000  # in steps at least and at most
PATIENCE = 3  # evaluations without gain that end budget="auto" sooner
SEEDS = 2**31 - 1


class SequenceEstimator(Base):
    """What both estimators share.

    X: texts; lists of texts (events); series (T,) or (T, C), of unequal lengths if they like; an array (n, T), each row a
    series of one channel, or (n, T, C). NaN and None are missing values. A sequence without a step is left out of training;
    the answer to one is what training answers on the average.

    model: as in `un.train` (auto, gru, lstm, bigru, conv, transformer, encoder, bag ...).
    budget: "500steps", "30s" (then two fits may differ) or "auto": 30 passes over the data, 600 to 3000 steps, fewer where
    validation stops improving.
    width, layers, lr, batch, pool, dropout: None = the model's own.
    codec: auto, or of texts words, characters, bytes, bpe or abc.
    validation: the share of rows by which the best weights are chosen and probabilities calibrated. Where that is fewer
    than 20 rows, all are learnt from.
    random_state: the same gives the same model. threads, device: as in `un.train`.

    Fitted: `model_`, the `un.Model` with its task; of arrays (n, T) `n_features_in_`, of data frames `feature_names_in_`.
    """

    _task: str

    def __init__(
        self,
        model: str = "auto",
        budget: str = "auto",
        width: int | None = None,
        layers: int | None = None,
        lr: float | None = None,
        batch: int | None = None,
        codec: str = "auto",
        pool: str | None = None,
        dropout: float | None = None,
        validation: float = 0.1,
        random_state: Any = None,
        threads: int | None = None,
        device: str = "auto",
    ) -> None:
        self.model = model
        self.budget = budget
        self.width = width
        self.layers = layers
        self.lr = lr
        self.batch = batch
        self.codec = codec
        self.pool = pool
        self.dropout = dropout
        self.validation = validation
        self.random_state = random_state
        self.threads = threads
        self.device = device

    def save(self, path: str | Path) -> None:
        """Writes the portable model folder, which `un.load` opens. Raises NotFittedError, RunFailed (disk)."""
        model = self._fitted()
        card = (
            f"# {type(self).__name__}\n\nA model ({model.parameter_count():,} parameters) for the task {model.task.kind}, "
            f"fitted by Unrolled {__version__} to rows in memory.\n\n```python\nimport unrolled as un\n"
            'model = un.load(".")\n```\n'
        )
        save_model(Path(path), model, card)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags

    def _fit(self, read: given.Sequences, answers: list[Any], targets: tuple[str, ...]) -> None:
        """Trains on what was read; `answers`: a label, or a list of one number a target, for each row."""
        recipe = self._recipe(len(answers))
        if self.codec != "auto" and self.codec not in given.CODECS[read.kind]:
            raise unknown(f"codec of {read.kind}", str(self.codec), given.CODECS[read.kind])
        column = COLUMN[read.kind]
        rows = [
            {column: value, "origin": f"row {row}"}
            | dict(zip(targets, answer if self._task == "regress" else [answer], strict=True))
            for row, (value, answer) in enumerate(zip(read.values, answers, strict=True))
        ]
        kind: Any = read.kind
        reading = Reading(self._task, (column,), (kind,), targets)  # type: ignore[arg-type]
        codec = given.CODECS[read.kind][0] if self.codec == "auto" else self.codec
        dealt = deal_given(rows, reading, codec, self._share(), recipe.seed)
        material = Unleaking("the rows given", dealt, task_of(dealt, recipe))
        self.model_ = fitted(material, recipe)
        for name, value in (("n_features_in_", read.features), ("feature_names_in_", read.names)):
            vars(self).pop(name, None)
            if value is not None:
                setattr(self, name, np.array(value, object) if isinstance(value, tuple) else value)

    def _share(self) -> float:
        share = self.validation
        if isinstance(share, bool) or not isinstance(share, (int, float, np.number)) or not 0 <= share < 1:
            raise UserError(f"validation={share!r}: expected a share of the rows, from 0 to below 1.")
        return float(share)

    def _recipe(self, rows: int) -> Recipe:
        """Raises UserError for an argument out of range."""
        keys: dict[str, Any] = {
            "model.kind": self.model, "model.width": self.width, "model.layers": self.layers, "model.pool": self.pool,
            "model.dropout": self.dropout, "lr": self.lr, "batch": self.batch, "threads": self.threads,
            "budget": self.budget, "device": self.device, "seed": _seed(self.random_state),
        }  # fmt: skip
        found = {key: value for key, value in keys.items() if value is not None}
        if self.budget == "auto":
            passes = EPOCHS * rows // int(found.get("batch") or 32)
            found |= {"budget": f"{min(max(passes, FEWEST), MOST)}steps", "patience": PATIENCE}
        return Recipe.of(task=self._task, nonfinite="skip", **found)

    def _fitted(self) -> Model:
        if not hasattr(self, "model_"):
            raise NotFitted(f"This {type(self).__name__} instance is not fitted yet. Call fit(X, y) first.")
        return self.model_

    def _predicted(self, given_X: Any) -> NDArray[np.float64]:  # noqa: N803 - as scikit-learn writes it
        """(n, C) what the task's own predict says, and of sequences without a step what training says on the average."""
        task = self._fitted().task
        read = self._checked(given.sequences(given_X), task)
        inputs = [
            task.encoded({task.inputs[0]: x, "origin": f"X[{row}]"}) for row, x in enumerate(read.values)
        ]
        there = [row for row, x in enumerate(inputs) if len(x)]
        out = np.tile(self._average(), (len(inputs), 1))
        if there:
            out[there] = task.predict(self.model_, [inputs[row] for row in there])
        return out

    def _checked(self, read: given.Sequences, task: Any) -> given.Sequences:
        """Raises ValueError for sequences unlike those it was fitted to."""
        name, kind = type(self).__name__, next(k for k, column in COLUMN.items() if column == task.inputs[0])
        if read.kind != kind:
            raise UserError(f"X holds {read.kind}, but {name} was fitted to {kind}.")
        wanted, names = getattr(self, "n_features_in_", None), getattr(self, "feature_names_in_", None)
        if names is not None and read.names is not None and (how := given.differing(read.names, names)):
            raise UserError(f"The feature names should match those that were passed during fit.\n{how}")
        if read.table and wanted is not None and wanted != read.features:
            raise UserError(
                f"X has {read.features} features, but {name} is expecting {wanted} features as input. "
                "Series of unequal lengths are given as a list."
            )
        return read

    def _average(self) -> NDArray[np.float64]:
        raise NotImplementedError


def _seed(random_state: Any) -> int:
    """A whole number as it is; from a generator, or from NumPy's own where there is none, the next one."""
    if random_state is None:
        return int(np.random.randint(SEEDS))  # noqa: NPY002 - what `random_state=None` means in scikit-learn
    if hasattr(random_state, "randint"):
        return int(random_state.randint(SEEDS))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(SEEDS))
    if isinstance(random_state, (int, np.integer)) and random_state >= 0:
        return int(random_state)
    raise UserError(
        f"random_state={random_state!r}: expected None, a whole number of at least 0, or a generator."
    )


class SequenceClassifier(Classifies, SequenceEstimator):
    """Names the class of a sequence. Arguments: see `SequenceEstimator`. `classes_`: the labels as y had them, sorted."""

    _task = "classify"

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """X: n sequences; y: n labels (texts, whole numbers, bools). Raises ValueError for what can't be learnt from."""
        read = given.sequences(X)
        classes, codes = given.labels(y, len(read.values))
        names = given.named(classes)
        self._fit(read, [names[code] for code in codes], ("label",))
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """(n, classes) probabilities in the order of `classes_`, calibrated where there was a validation part."""
        order = self._fitted().task.answers.names
        return self._predicted(X)[:, [order.index(name) for name in given.named(self.classes_)]]

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """(n,) the likeliest classes."""
        said = self.predict_proba(X)
        return np.asarray(self.classes_[said.argmax(1)])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """The share of sequences whose class is right."""
        said = self.predict(X)
        return float(np.average(said == np.asarray(y).reshape(-1), weights=sample_weight))

    def _average(self) -> NDArray[np.float64]:
        counts = np.array(self.model_.task.answers.counts, np.float64)
        return np.asarray(counts / counts.sum())


class SequenceRegressor(Regresses, SequenceEstimator):
    """Estimates a number of a sequence, or several. Arguments: see `SequenceEstimator`."""

    _task = "regress"

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """X: n sequences; y: (n,) or (n, K) numbers. Raises ValueError for what can't be learnt from."""
        read = given.sequences(X)
        answers = given.numbers(y, len(read.values))
        table = answers[:, None] if answers.ndim == 1 else answers
        targets = ("y",) if answers.ndim == 1 else tuple(f"y{k}" for k in range(answers.shape[1]))
        self._fit(read, table.tolist(), targets)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """(n,) or (n, K) numbers, as y was."""
        said = self._predicted(X)
        return np.asarray(said[:, 0] if self.model_.task.targets == ("y",) else said)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """R2, of several numbers the mean of theirs; of a constant y 1 where it is met exactly, else 0."""
        said, true = self.predict(X), np.asarray(y, np.float64)
        said, true = said.reshape(len(said), -1), true.reshape(len(said), -1)
        left = np.average((true - said) ** 2, axis=0, weights=sample_weight)
        spread = np.average(
            (true - np.average(true, axis=0, weights=sample_weight)) ** 2, axis=0, weights=sample_weight
        )
        shares = np.where(
            spread > 0, 1 - left / np.where(spread > 0, spread, 1), np.where(left > 0, 0.0, 1.0)
        )
        return float(shares.mean())

    def _average(self) -> NDArray[np.float64]:
        return np.asarray(self.model_.task.answers.mean, np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
