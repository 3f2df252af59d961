"""Measures against scikit-learn, their intervals, what they refuse, and temperature and threshold."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from unrolled.errors import UserError
from unrolled.tasks import calibration
from unrolled.tasks.measures import (
    Report,
    difference,
    interval,
    measure_classes,
    measure_labels,
    measure_numbers,
    measure_tags,
    paired_classes,
    paired_numbers,
    paired_tags,
)
from unrolled.tasks.measures import bootstrap as boot
from unrolled.tasks.measures import classes as one
from unrolled.tasks.measures import labels as several
from unrolled.tasks.measures import numbers as real

RNG = np.random.default_rng
quick = settings(deadline=None, max_examples=40)


@pytest.fixture(scope="module", autouse=True)
def few_resamples() -> Iterator[None]:
    """Enough for every test that doesn't ask for its own number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boot, "RESAMPLES", 100)
        patch.setattr(boot, "FEWEST", 100)
        yield


@st.composite
def classified(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Coarse probabilities (many ties) and a truth that may lack classes."""
    count, size = draw(st.integers(1, 30)), draw(st.integers(2, 5))
    raw = draw(hnp.arrays(np.int64, (count, size), elements=st.integers(0, 4))) + 0.0
    raw[raw.sum(1) == 0] = 1
    truth = draw(hnp.arrays(np.int64, count, elements=st.integers(0, size - 1)))
    return raw / raw.sum(1, keepdims=True), truth


def same(got: float, want: float) -> None:
    assert got == pytest.approx(want, rel=1e-9, abs=1e-9, nan_ok=True)


@quick
@given(classified())
def test_classes_are_measured_as_by_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    p, y = data
    size, predicted = p.shape[1], p.argmax(1)
    report = measure_classes(p, y, [f"c{i}" for i in range(size)], seed=1)
    every = list(range(size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(report.values["accuracy"], metrics.accuracy_score(y, predicted))
        same(report.values["balanced_accuracy"], metrics.balanced_accuracy_score(y, predicted))
        same(report.values["macro_f1"], metrics.f1_score(y, predicted, average="macro"))
        same(report.values["log_loss"], metrics.log_loss(y, p, labels=every))
        same(report.values["brier"], metrics.brier_score_loss(y, p, labels=every, scale_by_half="auto"))
        rows = metrics.precision_recall_fscore_support(y, predicted, labels=every, zero_division=np.nan)
        for row, precision, recall, support in zip(report.classes, rows[0], rows[1], rows[3], strict=True):
            same(row.precision, precision)
            same(row.recall, recall)
            assert row.support == support
        assert report.confusion == metrics.confusion_matrix(y, predicted, labels=every).tolist()
        chosen = [1] if size == 2 else sorted(set(y.tolist()))
        areas = [
            metrics.roc_auc_score(y == c, p[:, c]) if 0 < (y == c).sum() < len(y) else np.nan for c in chosen
        ]
        precisions = [
            metrics.average_precision_score(y == c, p[:, c]) if (y == c).any() else np.nan for c in chosen
        ]
        same(report.values["auroc"], np.nanmean(areas))
        same(report.values["auprc"], np.nanmean(precisions))
    absent = size - len(set(y.tolist()))
    assert bool(absent) == any("do not occur in the truth" in note for note in report.notes)
    check_report(report)


def check_report(report: Report) -> None:
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["kind"] == report.kind
    assert max(len(line) for line in report.text().splitlines() if line not in report.notes) <= 100
    assert report.value is report.values[report.primary]
    for name, (low, high) in report.intervals.items():
        assert low <= high, name


def test_calibration_error_by_hand() -> None:
    p = np.array([[0.8, 0.2], [0.8, 0.2], [0.62, 0.38], [1.0, 0.0]])
    # Bins 12 ((11/15, 12/15]), 10 and 15: |1/2 - 0.8| x 2/4 + |0 - 0.62| x 1/4 + 0.
    report = measure_classes(p, [0, 1, 1, 0], ["a", "b"])
    same(report.values["calibration_error"], 0.3 * 2 / 4 + 0.62 / 4)
    # A confidence on a border belongs to the bin below it.
    edge = np.array([[2 / 3, 1 / 3], [0.67, 0.33]])
    same(measure_classes(edge, [0, 1], ["a", "b"]).values["calibration_error"], (1 / 3 + 0.67) / 2)


@quick
@given(st.integers(1, 20), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_several_labels_as_by_scikit_learn(count: int, size: int, seed: int) -> None:
    rng = RNG(seed)
    p, y = np.round(rng.random((count, size)), 1), (rng.random((count, size)) < 0.4).astype(int)
    report = measure_labels(p, y, [f"l{i}" for i in range(size)])
    hit = (p >= 0.5).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = metrics.f1_score(y, hit, average=None, zero_division=np.nan) if size > 1 else []
        micro = metrics.f1_score(y.ravel(), hit.ravel(), zero_division=np.nan)
        same(report.values["micro_f1"], micro)
        if size > 1:
            same(report.values["macro_f1"], np.nanmean(rows))
        same(report.values["subset_accuracy"], (y == hit).all(1).mean())
        each = [metrics.average_precision_score(y[:, c], p[:, c]) for c in range(size) if y[:, c].any()]
        same(report.values["auprc"], np.mean(each) if each else np.nan)
    check_report(report)


@quick
@given(st.integers(1, 20), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_numbers_as_by_scikit_learn(count: int, size: int, seed: int) -> None:
    rng = RNG(seed)
    y, p = rng.normal(1e3, 1, (count, size)), rng.normal(1e3, 1, (count, size))
    report = measure_numbers(p, y, [f"t{i}" for i in range(size)])
    same(report.values["mae"], metrics.mean_absolute_error(y, p))
    same(report.values["rmse"], metrics.root_mean_squared_error(y, p))
    same(report.values["median_absolute_error"], metrics.median_absolute_error(y, p))
    if count > 1:
        assert report.values["r2"] == pytest.approx(metrics.r2_score(y, p), rel=1e-7)
    else:
        assert np.isnan(report.values["r2"]) and "R2 is undefined" in report.notes[0]
    check_report(report)


def test_tags_are_counted_by_step_and_by_sequence() -> None:
    p = [np.eye(3)[[0, 1, 2]], np.eye(3)[[0]], np.zeros((0, 3)), np.eye(3)[[1, 1]]]
    report = measure_tags(p, [[0, 1, 1], [0], [], [1, 1]], ["a", "b", "c"])
    same(report.value, 5 / 6)
    same(report.values["sequence_accuracy"], 2 / 3)
    same(report.values["macro_f1"], metrics.f1_score([0, 1, 1, 0, 1, 1], [0, 1, 2, 0, 1, 1], average="macro"))
    assert report.items == 6 and report.units == report.sequences == 3
    assert "1 sequences without a step are left out." in report.notes
    assert "6 steps of 3 sequences" in report.text()
    check_report(report)


CLASSES = [(name, measure.of) for name, measure in one.MEASURES.items()]


@pytest.mark.parametrize(("name", "make"), CLASSES, ids=[name for name, _ in CLASSES])
def test_a_weight_is_so_many_copies(name: str, make: Callable[..., boot.Statistic]) -> None:
    """What the bootstrap computes from weights is what the measure says of the resampled rows themselves."""
    rng = RNG(3)
    for size in (2, 4):
        p, y = np.round(rng.dirichlet(np.ones(size), 40), 2) + 1e-3, rng.integers(size, size=40)
        p /= p.sum(1, keepdims=True)
        weights = rng.integers(3, size=(5, 40)).astype(float)
        got = make(p, y)(weights)
        for row, value in zip(weights.astype(int), got, strict=True):
            drawn = np.repeat(np.arange(40), row)
            same(value, boot.value_of(make(p[drawn], y[drawn]), len(drawn)))


@pytest.mark.parametrize("name", real.MEASURES)
def test_a_weight_is_so_many_copies_of_numbers_too(name: str) -> None:
    rng = RNG(4)
    p, y = rng.normal(size=(2, 31))
    weights = rng.integers(3, size=(5, 31)).astype(float)
    make = real.MEASURES[name].of
    for row, value in zip(weights.astype(int), make(p, y)(weights), strict=True):
        drawn = np.repeat(np.arange(31), row)
        same(value, boot.value_of(make(p[drawn], y[drawn]), len(drawn)))


@pytest.mark.parametrize("name", several.MEASURES)
def test_a_weight_is_so_many_copies_of_labels_too(name: str) -> None:
    rng = RNG(5)
    p, y = np.round(rng.random((31, 3)), 1), rng.random((31, 3)) < 0.5
    weights = rng.integers(3, size=(5, 31)).astype(float)
    make, given = several.MEASURES[name].of, p if name == "auprc" else p >= 0.5
    for row, value in zip(weights.astype(int), make(given, y)(weights), strict=True):
        drawn = np.repeat(np.arange(31), row)
        same(value, boot.value_of(make(given[drawn], y[drawn]), len(drawn)))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 200 samples of 80 coins, the interval of the mean holds the coin's chance about 95 times in 100."""
    rng, held = RNG(0), 0
    for _ in range(200):
        hits = (rng.random(80) < 0.7).astype(float)
        found = interval(lambda w, h=hits: w @ h / w.sum(1), 80, resamples=400)
        held += found.low <= 0.7 <= found.high
    assert 0.90 <= held / 200 <= 0.98


def test_grouped_items_are_drawn_together() -> None:
    """Ten copies of an item tell as much as one: the interval is that of the groups."""
    hits = (RNG(1).random(50) < 0.6).astype(float)
    alone = interval(lambda w: w @ hits / w.sum(1), 50, seed=5)
    many = np.repeat(hits, 10)
    grouped = interval(lambda w: w @ many / w.sum(1), 500, groups=np.repeat(np.arange(50), 10), seed=5)
    loose = interval(lambda w: w @ many / w.sum(1), 500, seed=5)
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high)) and grouped.units == 50
    assert loose.high - loose.low < 0.5 * (grouped.high - grouped.low)
    named = interval(
        lambda w: w @ many / w.sum(1), 500, groups=np.repeat([f"s{i:02}" for i in range(50)], 10), seed=5
    )
    assert named == grouped


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    rng = RNG(2)
    y = rng.integers(2, size=400)
    first = np.where(rng.random(400) < 0.8, y, 1 - y)
    second = np.where(rng.random(400) < 0.06, 1 - first, first)  # mostly the same answers
    p, q = np.eye(2)[first], np.eye(2)[second]
    paired = paired_classes("accuracy", p, q, y)
    assert paired.value == pytest.approx((first == y).mean() - (second == y).mean())
    alone = measure_classes(p, y, ["a", "b"], primary="accuracy").interval
    assert alone is not None and paired.high - paired.low < 0.6 * (alone[1] - alone[0])
    assert paired_classes("accuracy", p, p, y).value == 0 and not paired_classes("accuracy", p, p, y).clear
    far = paired_numbers("mae", y + 1.0, y + 0.1 * first, y)
    assert far.clear and far.low > 0
    tagged = paired_tags("accuracy", [p[:200], p[200:]], [q[:200], q[200:]], [y[:200], y[200:]])
    assert tagged.value == pytest.approx(paired.value) and tagged.units == 2
    assert difference(lambda w: w.sum(1), lambda w: w.sum(1), 5).value == 0


def test_the_same_numbers_for_the_same_seed_and_any_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = RNG(6)
    p, y = rng.dirichlet(np.ones(3), 90), rng.integers(3, size=90)
    first = measure_classes(p, y, ["a", "b", "c"], seed=3)
    assert first.to_dict() == measure_classes(p, y, ["a", "b", "c"], seed=3).to_dict()
    assert first.intervals != measure_classes(p, y, ["a", "b", "c"], seed=4).intervals
    monkeypatch.setattr(boot, "CHUNK", 1000)
    again = measure_classes(p, y, ["a", "b", "c"], seed=3).intervals
    assert all(again[name] == pytest.approx(found) for name, found in first.intervals.items())


def test_one_item_has_no_interval_and_is_not_an_error() -> None:
    report = measure_classes([[0.9, 0.1]], [0], ["a", "b"])
    assert report.value == 1.0 and report.interval is None
    assert report.to_dict()["values"]["auroc"] is None and "95 %" not in report.headline()


def test_many_classes_are_shown_in_part() -> None:
    y = np.arange(40)
    report = measure_classes(
        np.eye(40)[np.roll(y, 1)], y, [f"a rather long name of class number {i}" for i in y]
    )
    assert "10 classes with a better F1 are left out" in report.text() and "truth \\" not in report.text()
    check_report(report)
    check_report(
        measure_classes(np.eye(40)[:12, :12], y[:12], [f"a rather long name {i}" for i in range(12)])
    )


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: measure_classes(np.zeros((0, 2)), [], ["a", "b"]), "nothing to score"),
    (lambda: measure_labels(np.zeros((0, 2)), np.zeros((0, 2)), ["a", "b"]), "nothing to score"),
    (lambda: measure_numbers([], []), "nothing to score"),
    (lambda: measure_tags([], [], ["a"]), "nothing to score"),
    (lambda: measure_tags([np.zeros((0, 1))], [[]], ["a"]), "nothing to score"),
    (lambda: measure_classes([[0.5, 0.6]], [0], ["a", "b"]), "add up to 1"),
    (lambda: measure_classes([[np.nan, 1]], [0], ["a", "b"]), "add up to 1"),
    (lambda: measure_classes([[-0.5, 1.5]], [0], ["a", "b"]), "add up to 1"),
    (lambda: measure_classes([[0.5, 0.5]], [2], ["a", "b"]), "truth from 2 to 2"),
    (lambda: measure_classes([[0.5, 0.5]], [0], ["a"]), "shape"),
    (lambda: measure_classes([[1.0]], [0], ["a"], primary="acuracy"), "Did you mean 'accuracy'"),
    (lambda: measure_classes([[1.0]], [0], ["a"], groups=[1, 2]), "one group an item"),
    (lambda: measure_labels([[0.5]], [[2]], ["a"]), "other values than 0 and 1"),
    (lambda: measure_labels([[1.5]], [[1]], ["a"]), "from 1.5 to 1.5"),
    (lambda: measure_numbers([np.nan], [1.0]), "prediction of item 0 is"),
    (lambda: measure_numbers([1.0], [np.inf]), "true value of item 0 is"),
    (lambda: measure_tags([np.ones((2, 1))], [[0]], ["a"]), "sequence 0: 2 predictions for 1 tags"),
    (lambda: measure_tags([np.ones((1, 1))], [[0]], ["a"], groups=[1, 2]), "2 groups for 1 sequences"),
    (lambda: calibration.temperature(np.zeros((0, 2)), []), "at least one item"),
    (lambda: calibration.temperature([[np.nan, 1]], [0]), "not finite"),
    (lambda: calibration.threshold([0.5], [1], "f2"), "expected 'f1'"),
    (lambda: calibration.threshold([], []), "at least one item"),
]


@pytest.mark.parametrize(("call", "words"), BAD, ids=[words for _, words in BAD])
def test_what_cannot_be_scored_is_said(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        call()


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 7.0])
def test_a_known_temperature_is_found(true: float) -> None:
    rng = RNG(8)
    z = rng.normal(0, 2, (20_000, 4))
    p = calibration.softened(z, 1.0)
    y = (p.cumsum(1) > rng.random((len(p), 1))).argmax(1)
    assert calibration.temperature(z * true, y) == pytest.approx(true, rel=0.05)


@quick
@given(
    hnp.arrays(np.float64, (6, 3), elements=st.floats(-30, 30)),
    hnp.arrays(np.int64, 6, elements=st.integers(0, 2)),
)
def test_temperature_never_worsens_and_is_a_minimum(z: np.ndarray, y: np.ndarray) -> None:
    found = calibration.temperature(z, y)
    best = calibration.loss_at(z, y, found)
    assert calibration.RANGE[0] * 0.999 <= found <= calibration.RANGE[1] * 1.001
    assert best <= calibration.loss_at(z, y, 1.0)
    for other in np.geomspace(*calibration.RANGE, 41):
        assert best <= calibration.loss_at(z, y, other) + 1e-9
    ranks = np.argsort(z, 1, kind="stable")
    ordered = np.take_along_axis(calibration.softened(z, found), ranks, 1)
    assert (np.diff(ordered, axis=1) >= 0).all()


def test_logits_that_say_nothing_stay_as_they_are() -> None:
    assert calibration.temperature(np.full((5, 3), 2.0), [0, 1, 2, 0, 1]) == 1.0


def test_temperature_scales_with_the_logits() -> None:
    rng = RNG(9)
    z, y = rng.normal(size=(300, 3)), rng.integers(3, size=300)
    z[np.arange(300), y] += 1
    assert calibration.temperature(z * 3, y) == pytest.approx(3 * calibration.temperature(z, y), rel=1e-6)
    assert calibration.temperature(z + 1000.0, y) == pytest.approx(calibration.temperature(z, y), rel=1e-6)


@quick
@given(
    hnp.arrays(np.int64, 12, elements=st.integers(0, 10)),
    hnp.arrays(np.bool_, 12),
    st.sampled_from(["f1", "balanced_accuracy"]),
)
def test_no_threshold_is_better(tenths: np.ndarray, y: np.ndarray, measure: str) -> None:
    assume(y.any() and not y.all())
    p = tenths / 10
    score = {"f1": metrics.f1_score, "balanced_accuracy": metrics.balanced_accuracy_score}[measure]
    found = calibration.threshold(p, y, measure)
    assert found.score == pytest.approx(score(y, p >= found.value))
    for other in np.linspace(0, 1.05, 22):
        assert score(y, p >= other) <= found.score + 1e-12


def test_a_threshold_of_one_class_is_a_half() -> None:
    assert calibration.threshold([0.2, 0.9], [1, 1]).value == 0.5
    assert calibration.threshold([0.2, 0.3, 0.9], [0, 0, 1]).value == 0.5
    assert calibration.threshold([0.1, 0.2, 0.3], [0, 1, 1]).value == pytest.approx(0.15)
    # F1 is 2/3 at 0.575 and at 0.85.
    assert calibration.threshold([0.55, 0.6, 0.7, 0.8, 0.9], [0, 1, 0, 0, 1]).value == pytest.approx(0.575)


# --- what every row adds


@quick
@given(st.integers(2, 40), st.integers(2, 5), st.integers(0, 2**31), st.booleans())
def test_what_each_row_adds_makes_the_value(items: int, classes: int, seed: int, in_groups: bool) -> None:
    """Paired differences are taken of these: they must add up to the figure that stands in the table."""
    draw = RNG(seed)
    p, y = draw.dirichlet(np.ones(classes), items), draw.integers(classes, size=items)
    groups = draw.integers(3, size=items) if in_groups else None
    names = [str(c) for c in range(classes)]
    found = measure_classes(p, y, names, groups=groups, primary="accuracy")
    numbers = measure_numbers(p, draw.normal(size=p.shape), names, groups=groups, primary="mae")
    for report in (found, numbers):
        assert report.each is not None and report.each.value == pytest.approx(report.value)
        assert len(report.each.sums) == report.units and report.each.weights.sum() == items
        assert "each" not in report.to_dict()
    assert measure_classes(p, y, names, primary="macro_f1").each is None, "no mean over rows"
    cut = np.sort(draw.integers(1, items, size=2))
    tags = measure_tags(np.split(p, cut), np.split(y, cut), names)
    assert (
        tags.each is not None
        and tags.each.value == pytest.approx(tags.value)
        and len(tags.each.sums) == tags.units
    )
