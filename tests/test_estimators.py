"""Sequence models as scikit-learn estimators: its own checks, its tools, and what is ours about sequences."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator

import unrolled as un
from unrolled.datasets.dealt import LEAST_HELD, deal_given
from unrolled.datasets.understand import Reading
from unrolled.errors import NumericalFailure, UserError
from unrolled.estimators import given
from unrolled.estimators.sequence import FEWEST, MOST, PATIENCE
from unrolled.training.fit import Unleaking, fitted
from unrolled.training.labelled import task_of
from unrolled.training.recipe import Recipe

Classifier, Regressor = un.SequenceClassifier, un.SequenceRegressor
QUICK: dict[str, Any] = {"model": "rnn", "width": 8, "budget": "30steps", "lr": 0.03, "random_state": 0}
# What of scikit-learn's checks does not hold, and why.
NOT_HELD = {
    "check_methods_subset_invariance": "the arithmetic is float32: a row alone and among others agrees to about 1e-6, "
    "and 1e-7 is asked for",
}
NOT_RUN = (
    "SCIPY_ARRAY_API is not set",
    "pandas is not installed",
)  # parts that need what the tests don't have
CHECKED = (
    Classifier(model="rnn", width=8, budget="40steps", lr=0.05, threads=1),
    Regressor(model="rnn", width=16, budget="100steps", lr=0.03, pool="last", threads=1),
)


def checks() -> list[Any]:
    found = []
    for estimator in CHECKED:
        for number, (made, check) in enumerate(estimator_checks_generator(estimator, mark=None)):
            name = getattr(check, "func", check).__name__
            mark = [pytest.mark.xfail(reason=NOT_HELD[name], strict=False)] if name in NOT_HELD else []
            found.append(
                pytest.param(made, check, id=f"{type(estimator).__name__}-{number}-{name}", marks=mark)
            )
    return found


@pytest.mark.parametrize(("estimator", "check"), checks())
def test_what_scikit_learn_asks_of_an_estimator(estimator: Any, check: Callable[[Any], None]) -> None:
    try:
        check(estimator)
    except SkipTest as why:
        assert any(reason in str(why) for reason in NOT_RUN), why


def waves(rows: int = 120, seed: int = 0, ragged: bool = True) -> tuple[list[np.ndarray], np.ndarray]:
    """Series of one or two channels that rise or fall under noise, with a value missing here and there."""
    draw = np.random.default_rng(seed)
    up = draw.integers(0, 2, rows)
    found = []
    for rises in up:
        length = int(draw.integers(3, 12)) if ragged else 8
        ramp = np.linspace(-1, 1, length) * (1 if rises else -1)
        series = np.stack([ramp, draw.normal(size=length)], 1) + 0.1 * draw.normal(size=(length, 2))
        series[draw.random((length, 2)) < 0.05] = np.nan
        found.append(series.astype(np.float32))
    return found, np.where(up, "up", "down")


def sentences(counts: dict[str, int]) -> tuple[list[str], list[str]]:
    draw = np.random.default_rng(0)
    texts, labels = [], []
    for label, count in counts.items():
        for _ in range(count):
            words = [*draw.choice(["the", "a", "film", "was", "so"], 4), f"{label}ish", "indeed"]
            texts.append(" ".join(draw.permutation(words)))
            labels.append(label)
    order = draw.permutation(len(texts))
    return [texts[i] for i in order], [labels[i] for i in order]


def test_series_of_unequal_lengths_with_values_missing() -> None:
    x, y = waves()
    model = Classifier(**QUICK | {"budget": "60steps"}).fit(x[:90], y[:90])
    assert model.score(x[90:], y[90:]) > 0.9
    assert model.classes_.tolist() == ["down", "up"] and not hasattr(model, "n_features_in_")
    said = model.predict_proba(x)
    assert said.shape == (120, 2) and np.allclose(said.sum(1), 1)
    assert (model.classes_[said.argmax(1)] == model.predict(x)).all()


def test_a_row_is_answered_alike_alone_and_among_others() -> None:
    x, y = waves()
    model = Classifier(**QUICK).fit(x, y)
    alone = np.concatenate([model.predict_proba([row]) for row in x])
    assert np.abs(alone - model.predict_proba(x)).max() <= 1e-5
    order = np.random.default_rng(1).permutation(len(x))
    assert np.abs(model.predict_proba([x[i] for i in order]) - alone[order]).max() <= 1e-5


def test_texts_with_a_rare_class_and_one_of_a_single_row() -> None:
    x, y = sentences({"good": 230, "bad": 30, "odd": 1})
    model = Classifier(**QUICK | {"budget": "200steps", "model": "gru", "pool": "max"}).fit(x, y)
    assert model.classes_.tolist() == ["bad", "good", "odd"]
    assert model.model_.task.answers.names == ("bad", "good", "odd")  # the single row was learnt from
    assert sum(model.model_.task.answers.counts) < len(x)  # and others are for validation
    rare = np.array(y) == "bad"
    said = model.predict([text for text, is_rare in zip(x, rare, strict=True) if is_rare])
    assert (said == "bad").mean() > 0.9


@pytest.mark.parametrize("codec", ["words", "characters", "bytes", "bpe"])
def test_texts_through_each_codec(codec: str) -> None:
    x, y = sentences({"good": 30, "bad": 30})
    assert Classifier(**QUICK | {"budget": "100steps"}, codec=codec).fit(x, y).score(x, y) > 0.9


def test_lists_of_events() -> None:
    draw = np.random.default_rng(0)
    x = [list(draw.choice(["in", "out", "buy"], draw.integers(1, 9))) for _ in range(80)]
    y = ["buy" in row for row in x]
    model = Classifier(**QUICK | {"budget": "150steps"}).fit(x, y)
    assert model.classes_.dtype == bool and model.score(x, y) > 0.9
    assert model.predict([["buy", "never seen", None]]).dtype == bool


def test_classes_keep_their_type_and_their_order() -> None:
    """As texts 10 comes before 2 and before -1; columns go by `classes_`."""
    draw = np.random.default_rng(0)
    y = draw.choice([2, 10, -1], 90)
    x = np.repeat(y[:, None], 4, 1) + 0.1 * draw.normal(size=(90, 4))
    model = Classifier(**QUICK | {"budget": "150steps"}).fit(x, y)
    assert model.classes_.tolist() == [-1, 2, 10] and model.predict(x).dtype == y.dtype
    assert model.score(x, y) > 0.95 and model.n_features_in_ == 4
    with pytest.raises(ValueError, match="X has 3 features"):
        model.predict(x[:, :3])
    assert model.predict([[2.0, 2.1, 1.9]]).tolist() == [2]  # in a list it is another length
    assert (model.classes_[model.predict_proba(x).argmax(1)] == y).mean() > 0.95


def test_classes_that_look_alike_as_texts_stay_apart() -> None:
    assert given.named(np.array(["a", "a ", "b"])) == ["(0) a", "(1) a", "(2) b"]
    assert given.named(np.array([1.0, 2.0])) == ["1", "2"]


def test_several_numbers_and_one() -> None:
    x, _ = waves(ragged=False)
    cube = np.nan_to_num(np.stack(x))
    slope = cube[:, -1, 0] - cube[:, 0, 0]
    options = QUICK | {"budget": "200steps", "validation": 0.0}
    both = Regressor(**options).fit(cube, np.stack([100 * slope, slope - 5], 1))
    assert (
        both.predict(cube).shape == (120, 2) and both.score(cube, np.stack([100 * slope, slope - 5], 1)) > 0.9
    )
    one = Regressor(**options).fit(cube, slope)
    assert one.predict(cube).shape == (120,) and one.score(cube, slope) > 0.9
    weights = (np.arange(120) < 60).astype(float)
    assert one.score(cube, slope, weights) == pytest.approx(one.score(cube[:60], slope[:60]))


def test_scores_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, r2_score

    x, y = waves(60)
    model, weights = Classifier(**QUICK).fit(x, y), np.random.default_rng(0).random(60)
    assert model.score(x, y, weights) == pytest.approx(
        accuracy_score(y, model.predict(x), sample_weight=weights)
    )
    numbers = np.random.default_rng(1).normal(size=(60, 2))
    other = Regressor(**QUICK).fit(x, numbers)
    assert other.score(x, numbers, weights) == pytest.approx(
        r2_score(numbers, other.predict(x), sample_weight=weights)
    )
    other.fit(x, np.ones(60))
    assert other.score(x, np.zeros(60)) == 0.0 == r2_score(np.zeros(60), other.predict(x))


def test_pipeline_cross_validation_and_grid_search(tmp_path: Path) -> None:
    x, y = waves(150, ragged=False)
    table = np.nan_to_num(np.stack(x))[:, :, 0] * 1000 + 7
    numbers = make_pipeline(StandardScaler(), Classifier(**QUICK))
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    assert cross_val_score(numbers, table, y, cv=folds).min() > 0.85
    search = GridSearchCV(Classifier(**QUICK), {"width": np.array([4, 8])}, cv=folds, scoring="neg_log_loss")
    search.fit(table, y)
    best = search.best_params_["width"]
    assert search.best_estimator_.model_.core.width == best and search.predict(table).shape == (150,)
    search.best_estimator_.save(tmp_path / "best")
    assert un.load(tmp_path / "best").spec == search.best_estimator_.model_.spec
    texts, labels = sentences({"good": 40, "bad": 40})
    lower = FunctionTransformer(lambda rows: [row.lower() for row in rows])
    words = make_pipeline(lower, Classifier(**QUICK | {"budget": "100steps"}))
    assert cross_val_score(words, texts, labels, cv=2).min() > 0.9
    assert cross_val_score(Regressor(**QUICK), table, table.mean(1), cv=2, scoring="r2").shape == (2,)


def test_the_same_random_state_gives_the_same_model_and_torch_is_left_alone() -> None:
    x, y = waves(60)
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first = Classifier(**QUICK | {"dropout": 0.3}, threads=threads + 1).fit(x, y)
    assert torch.get_num_threads() == threads and (torch.get_rng_state() == before).all()
    torch.manual_seed(6)
    again = clone(first).set_params(threads=1).fit(x, y)
    assert np.allclose(first.predict_proba(x), again.predict_proba(x), atol=1e-6)
    again = clone(first).fit(x, y)
    assert (first.predict_proba(x) == again.predict_proba(x)).all()
    other = clone(first).set_params(random_state=1).fit(x, y)
    assert not np.allclose(first.predict_proba(x), other.predict_proba(x), atol=1e-3)


def test_random_states_of_every_kind() -> None:
    x, y = waves(40)
    quick = QUICK | {"budget": "2steps"}
    for state in (np.random.RandomState(3), np.random.default_rng(3), np.int64(3), None):
        Classifier(**quick | {"random_state": state}).fit(x, y)
    np.random.seed(4)
    first = Classifier(**quick | {"random_state": None}).fit(x, y).predict_proba(x)
    np.random.seed(4)
    assert (Classifier(**quick | {"random_state": None}).fit(x, y).predict_proba(x) == first).all()
    with pytest.raises(ValueError, match="random_state=-1"):
        Classifier(**quick | {"random_state": -1}).fit(x, y)


def test_saved_and_loaded_and_pickled(tmp_path: Path) -> None:
    x, y = waves(60)
    model = Classifier(**QUICK).fit(x, y)
    model.save(tmp_path / "model")
    loaded = un.load(tmp_path / "model")
    inputs = [loaded.task.encoded({"series": row, "origin": "here"}) for row in x]
    assert (loaded.task.predict(loaded, inputs) == model.predict_proba(x)).all()
    assert "SequenceClassifier" in (tmp_path / "model" / "README.md").read_text("utf-8")
    other = pickle.loads(pickle.dumps(model))
    assert (other.predict_proba(x) == model.predict_proba(x)).all()


def test_it_is_what_train_makes_of_the_same_rows(tmp_path: Path) -> None:
    """The very weights and the very temperature: there is one training loop."""
    x, y = waves(240)
    kind: Any = "series"
    reading = Reading("classify", ("series",), (kind,), ("label",))
    rows = [{"series": a, "label": str(b), "origin": ""} for a, b in zip(x, y, strict=True)]
    places = deal_given(rows, reading, "values", 0.1, 7).places
    parts = [("train", "valid")[place] for place in places]
    assert parts.count("valid") == 24
    with open(tmp_path / "waves.jsonl", "w", encoding="utf-8") as file:
        for row, part in [*zip(rows, parts, strict=True), *((row, "test") for row in rows[:40])]:
            series = [[None if np.isnan(v) else float(v) for v in step] for step in row["series"]]
            file.write(json.dumps({"series": series, "label": row["label"], "split": part}) + "\n")
    options = {"lr": 0.02, "budget": "40steps"}
    run = un.train(
        data=str(tmp_path / "waves.jsonl"), model={"kind": "gru", "width": 8}, seed=7, runs=str(tmp_path / "runs"),
        device="cpu", **options,
    )  # fmt: skip
    assert run is not None
    model = Classifier("gru", width=8, random_state=7, device="cpu", **options).fit(x, y)
    trained = run.model()
    assert model.model_.task.to_dict() == trained.task.to_dict()
    assert model.model_.task.temperature >= 1.0, "24 rows make nobody surer"
    mine, theirs = model.model_.state_dict(), trained.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_the_best_weights_by_validation_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, dict[str, torch.Tensor]]] = []

    def score(self: Any, model: Any, part: str, context: int | None = None) -> Any:
        assert part == "valid" and not model.training
        objective = abs(len(seen) - 2.0)  # the third evaluation is the best one
        seen.append((objective, {name: t.clone() for name, t in model.state_dict().items()}))
        return SimpleNamespace(objective=objective)

    monkeypatch.setattr(Unleaking, "score", score)
    x, y = waves(240)
    model = Classifier(**QUICK).fit(x, y).model_
    assert len(seen) > 6 and not model.training
    assert all(torch.equal(t, seen[2][1][name]) for name, t in model.state_dict().items())
    assert not all(torch.equal(t, seen[-1][1][name]) for name, t in model.state_dict().items())


def material(rows: int = 240, share: float = 0.1) -> Unleaking:
    x, y = waves(rows)
    kind: Any = "series"
    reading = Reading("classify", ("series",), (kind,), ("label",))
    records = [{"series": a, "label": str(b), "origin": ""} for a, b in zip(x, y, strict=True)]
    dealt = deal_given(records, reading, "values", share)
    return Unleaking("waves", dealt, task_of(dealt, Recipe(task="classify")))


def test_fitted_refuses_what_needs_a_folder_and_says_what_diverged(capfd: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"task": "classify", "budget": "60steps", "model": {"kind": "rnn", "width": 8}}
    with pytest.raises(UserError, match="nonfinite=rewind"):
        fitted(material(), Recipe.of(nonfinite="rewind", **options))
    with pytest.raises(NumericalFailure, match="Try a lower lr than 1e\\+30"):
        fitted(material(), Recipe.of(lr=1e30, warmup=0, nonfinite="skip", **options))
    fitted(material(), Recipe.of(evaluate_every=5, **options))
    fitted(material(share=0.0), Recipe.of(budget="1s", **{k: v for k, v in options.items() if k != "budget"}))
    assert capfd.readouterr() == ("", "")


def test_a_score_that_is_not_finite_is_no_best_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unleaking, "score", lambda *_, **__: SimpleNamespace(objective=float("nan")))
    with pytest.raises(NumericalFailure, match="after 1 steps"):
        fitted(material(), Recipe.of(task="classify", budget="9steps", model={"kind": "rnn", "width": 8}))


def test_every_class_has_a_row_in_training() -> None:
    labels = ["common"] * 200 + [f"single {n}" for n in range(60)]
    rows = [{"text": f"row {n}", "label": label, "origin": ""} for n, label in enumerate(labels)]
    dealt = deal_given(rows, Reading("classify", ("text",), ("text",), ("label",)), "words", 0.2)
    assert len([*dealt.of("valid")]) >= LEAST_HELD and not [*dealt.of("test")]
    assert {row["label"] for row in dealt.of("train")} == {*labels}


def test_small_data_are_all_learnt_from() -> None:
    assert len(material(10 * LEAST_HELD - 1).examples("valid")) == 0
    assert len(material(10 * LEAST_HELD).examples("valid")) == LEAST_HELD
    assert len(material(400, 0.0).examples("train")) == 400


def test_the_automatic_budget_counts_steps() -> None:
    def recipe(rows: int, **keys: Any) -> Recipe:
        return Classifier(**keys)._recipe(rows)

    assert recipe(10).budget == f"{FEWEST}steps" and recipe(10).patience == PATIENCE
    assert recipe(10**6).budget == f"{MOST}steps"
    assert recipe(10**6, budget="20steps").budget == "20steps" and recipe(10, budget="1s").patience is None


def test_a_sequence_without_a_step_gets_the_average_answer() -> None:
    x, y = sentences({"good": 30, "bad": 10})
    model = Classifier(**QUICK).fit([*x, "", None], [*y, "good", "bad"])
    assert np.allclose(model.predict_proba(["", None, float("nan")]), [[11 / 42, 31 / 42]] * 3)
    assert (model.predict_proba(["film", ""])[:1] == model.predict_proba(["film"])).all()
    number = Regressor(**QUICK).fit([[1.0, 2.0], [3.0], []], [1.0, 3.0, 100.0])
    assert number.predict([[]]) == pytest.approx([104 / 3])


class NAType:
    """pandas.NA by its name; it answers no question."""

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


class Frame:
    """As much of pandas as is looked at."""

    def __init__(self, values: Any, columns: list[str] | None = None) -> None:
        self.values = np.asarray(values, object)
        if columns:
            self.columns = columns

    def to_numpy(self) -> np.ndarray:
        return self.values


def test_columns_of_a_data_frame() -> None:
    x, y = sentences({"good": 30, "bad": 30})
    model = Classifier(**QUICK).fit(Frame(x), Frame(y))
    assert (model.predict_proba(Frame([[text] for text in x], ["text"])) == model.predict_proba(x)).all()
    table = np.random.default_rng(0).normal(size=(20, 2))
    model = Classifier(**QUICK).fit(Frame(table, ["a", "b"]), [0, 1] * 10)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    assert (model.predict(Frame(table, ["a", "b"])) == model.predict(table)).all()
    with pytest.raises(ValueError, match="(?s)feature names should match.*in the same order"):
        model.predict(Frame(table, ["b", "a"]))
    with pytest.raises(ValueError, match="(?s)unseen at fit time:\n- c\n.*now missing:\n- b\n"):
        model.predict(Frame(table, ["a", "c"]))
    some = table.astype(object)
    some[0, 0], some[1, 1] = None, NAType()
    nans = np.where([[isinstance(v, float) for v in row] for row in some], table, np.nan)
    assert (model.predict_proba(Frame(some, ["a", "b"])) == model.predict_proba(nans)).all()
    assert not hasattr(model.fit(table.tolist(), [0, 1] * 10), "feature_names_in_")


BAD: list[tuple[Any, Any, str]] = [
    ("one text", ["a"], "Expected a list"),
    ([], [], "0 sample"),
    (["a", 3], [0, 1], r"X\[1\] is 3 among texts"),
    ([["a"], [1.0]], [0, 1], r"X\[1\] is \[1.0\] among lists of texts"),
    ([[1.0], {"a": 1}], [0, 1], r"X\[1\] is \{'a': 1\}"),
    ([[1.0], [[[2.0]]]], [0, 1], r"X\[1\] has the shape"),
    ([1.0, 2.0], [0, 1], "Reshape your data"),
    ([np.zeros((3, 2)), np.zeros((3, 1))], [0, 1], "1 channels"),
    (np.zeros((2, 1, 1, 1)), [0, 1], r"\(n, steps, channels\)"),
    ([[1.0], [2.0]], [0, 1, 1], "inconsistent numbers of samples"),
    ([[1.0], [2.0]], [0.5, 1], "Unknown label type: continuous"),
    ([[1.0], [2.0]], ["a", None], "None, first in row 1"),
    ([[1.0], [2.0]], [["a", "b"], ["c", "d"]], "1d array"),
    ([[1.0], [2.0]], np.array(["a", 1], object), "can't be sorted"),
    ([[1.0], [2.0]], [0, 0], "one class only"),
    ([[np.nan], [np.nan]], [0, 1], "no number in the training data"),
]


@pytest.mark.parametrize(("x", "y", "said"), BAD)
def test_what_is_not_understood_is_named(x: Any, y: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Classifier(**QUICK).fit(x, y)


def test_arguments_out_of_range_are_named_at_fit() -> None:
    x, y = waves(20)
    for option, said in (
        ({"model": "gur"}, "gru"), ({"budget": "long"}, "budget"), ({"width": 0}, "width"), ({"codec": "bpe"}, "values"),
        ({"validation": 1.0}, "validation=1.0"), ({"lr": "fast"}, "lr"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            Classifier(**QUICK | option).fit(x, y)
    with pytest.raises(ValueError, match="SequenceClassifier"):
        Regressor(**QUICK).fit(x, y)
    model = Classifier(**QUICK).fit(x, y)
    with pytest.raises(ValueError, match="fitted to series"):
        model.predict(["a text"])
    with pytest.raises(NotFittedError):
        Classifier().save("nowhere")


def test_it_is_known_for_what_it_is() -> None:
    assert is_classifier(Classifier()) and is_regressor(Regressor())
    assert (
        get_tags(Regressor()).target_tags.multi_output and not get_tags(Classifier()).target_tags.multi_output
    )
    assert get_tags(Classifier()).input_tags.allow_nan
    assert repr(Classifier(width=8)) == "SequenceClassifier(width=8)"


WITHOUT = """
import sys
sys.modules["sklearn"] = None
import numpy as np
import unrolled as un
assert "torch" not in sys.modules
made = un.SequenceClassifier(width=8, budget="60steps", lr=0.03, random_state=0)
assert repr(made) == "SequenceClassifier(budget='60steps', lr=0.03, random_state=0, width=8)", repr(made)
try:
    made.predict(np.zeros((2, 2)))
except ValueError as error:
    assert "not fitted" in str(error)
x = np.random.default_rng(0).normal(size=(60, 5))
y = x.mean(1) > 0
assert made.fit(x, y) is made and made.score(x, y) > 0.9
assert made.get_params()["width"] == 8 and made.set_params(width=4).width == 4
try:
    made.set_params(widht=4)
except ValueError as error:
    assert "width" in str(error)
assert un.SequenceRegressor(width=8, budget="60steps", random_state=0).fit(x, x[:, -1]).predict(x).shape == (60,)
assert not any(name.startswith("sklearn.") for name in sys.modules)
"""


def test_it_works_without_scikit_learn() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
