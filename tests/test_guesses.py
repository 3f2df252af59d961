"""What a column is taken for by its name and its values, and that the reason is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.datasets.columns import columns
from unrolled.datasets.dealt import deal_rows
from unrolled.datasets.rows import Rows
from unrolled.datasets.spaced import LOOKED_AT, spaced
from unrolled.datasets.trial import try_out
from unrolled.datasets.understand import Asked, Reading, understand
from unrolled.errors import UserError
from unrolled.training.evaluate import evaluate
from unrolled.training.predict import predict
from unrolled.training.progress import Talk
from unrolled.training.run import Run
from unrolled.training.train import train


def reading(rows: list[dict[str, Any]], **asked: Any) -> Reading:
    return understand(columns(rows), Asked(**asked), "t.jsonl")


def put(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def quick(path: Path, **keys: Any) -> Run:
    few = {"budget": "3steps", "batch": 8, "threads": 1, "dtype": "float32", "model": "gru"}
    run = train(data=str(path), runs=str(path.parent / "runs"), talk=Talk(quiet=True), **(few | keys))
    assert run is not None
    return run


def why(found: Reading, key: str) -> str:
    return next(reason for one, _, reason in found.why if one == key)


def some(n: int) -> list[str]:
    return ["the", "quick", "brown", "fox", "ran"][: 1 + n % 5]


# --- tags and labels


@pytest.mark.parametrize("name", ["labels", "tags", "pos", "ner", "NER_tags"])
@pytest.mark.parametrize("form", ["lists", "texts", "numbers"])
def test_as_many_answers_as_steps_are_tags(name: str, form: str) -> None:
    def said(n: int) -> Any:
        tags = ["XYZ"[k % 3] for k, _ in enumerate(some(n))]
        if form == "numbers":
            return np.arange(len(tags), dtype=np.float32) % 3
        return " ".join(tags) if form == "texts" else tags

    rows = [
        {"id": str(n), "words": some(n) if form != "texts" else " ".join(some(n)), name: said(n)}
        for n in range(60)
    ]
    found = reading(rows)
    assert (found.task, found.inputs, found.targets) == ("tag", ("words",), (name,))
    assert (
        why(found, "target") == f"a column is called {name} and says as much as words has steps, in every row"
    )
    rows[7][name] = ["X"] * 9 if form == "lists" else "X " * 9
    with pytest.raises(UserError, match="which column is to be foretold"):
        reading(rows)


def test_several_kinds_of_tags_are_a_choice_and_none_is_read_for_another() -> None:
    rows = [{"tokens": some(n), "pos": ["P"] * len(some(n)), "ner": ["N"] * len(some(n))} for n in range(60)]
    with pytest.raises(UserError, match=r"target=pos\n.*target=ner$"):
        reading(rows)
    assert reading(rows, target="ner").inputs == ("tokens",)


def test_labels_beside_what_they_do_not_count_are_classes(tmp_path: Path) -> None:
    lists = [{"text": f"what a day n{n} it was", "labels": ["a", "b", "c"][: n % 4]} for n in range(60)]
    found = reading(lists)
    assert found.several and found.task == "classify" and found.targets == ("labels",)
    assert why(found, "target") == "a column is called labels and names any number of labels a row"
    parted = [row | {"labels": ";".join(row["labels"])} for row in lists]
    assert reading(parted).several and reading(parted).targets == ("labels",)
    for sign in (",", "|"):
        with pytest.raises(
            UserError, match=rf"labels seems to hold several labels with '\{sign}' between: write ';'"
        ):
            reading([row | {"labels": sign.join(row["labels"])} for row in lists])
    path = put(tmp_path, "l.jsonl", [json.dumps(row) for row in lists])
    run = quick(path)
    assert run.recipe.task == "classify" and run.recipe.target == "labels"


def test_tags_with_a_slip_are_no_labels() -> None:
    rows = [{"words": some(n), "labels": some(n)} for n in range(60)]
    rows[3]["labels"] = ["too", "many", "of", "them", "are", "here"]
    with pytest.raises(UserError, match="which column is to be foretold"):
        reading(rows)


def test_a_named_answer_stands_above_tags() -> None:
    rows = [{"text": " ".join(some(n)), "tags": " ".join(some(n)), "label": "ab"[n % 2]} for n in range(60)]
    assert reading(rows, input="text").targets == ("label",)


# --- numbers that measure


def test_a_few_numbers_with_fractions_are_estimated_and_codes_are_classes() -> None:
    def rows(*values: str) -> list[dict[str, Any]]:
        return [{"text": f"so it goes number n{n}", "y": values[n % len(values)]} for n in range(60)]

    found = reading(rows("1", "1.5", "2", "2.5"))
    assert found.task == "regress" and why(found, "task").startswith(
        "y holds numbers with fractions (for its 4 values"
    )
    assert reading(rows("1", "1.5", "2"), task="classify").task == "classify"
    for codes in (
        ("0", "1", "2"),
        ("1.0", "2.0"),
        ("1", "nan", "2"),
        ("1e3", "2e3"),
        ("1.5 ", "b"),
        ("-1", "inf"),
    ):
        assert reading(rows(*codes)).task == "classify", codes


# --- numbers with spaces between


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=9), min_size=1, max_size=40))
def test_numbers_with_spaces_come_back(rows: list[list[float]]) -> None:
    made = list(
        spaced({"origin": f"t:{n}", "x": " ".join(map(repr, row)), "y": "a b"} for n, row in enumerate(rows))
    )
    for row, wanted in zip(made, rows, strict=True):
        assert row["x"].dtype == np.float32 and np.array_equal(row["x"], np.array(wanted, np.float32))
        assert row["y"] == "a b"
    assert made[0]["notes"] == ["x holds numbers with spaces between: read as one series a row"]


@pytest.mark.parametrize(
    "cell", ["0.5", "1 a", "1_0 2", "nan nan", "- ?", "1 ?", "2020-01-01 10:00", "1,5 2,5", ""]
)
def test_one_other_cell_leaves_the_texts(cell: str) -> None:
    rows = [{"origin": f"t:{n}", "x": "1 2.5" if n != 3 else cell} for n in range(9)]
    assert list(spaced(iter([dict(row) for row in rows]))) == rows


def test_a_later_word_is_told_with_its_line() -> None:
    rows: list[dict[str, Any]] = [{"origin": f"t.csv:{n + 2}", "x": "1 ? 2.5"} for n in range(LOOKED_AT + 5)]
    assert np.isnan(next(spaced(iter([dict(rows[0])])))["x"][1])
    rows[LOOKED_AT + 1]["x"] = "1 two"
    rows[LOOKED_AT + 3]["x"] = 5.0
    with pytest.raises(
        UserError, match=r"t\.csv:23: column 'x': 'two' is no number.*\n.*t\.csv:25: .*5\.0 is no text"
    ):
        list(spaced(iter(rows)))


def test_series_with_spaces_are_learnt_and_answered(tmp_path: Path) -> None:
    def row(n: int) -> str:
        return " ".join(f"{(n * 37 + k * 11) % 17 / 7:.3f}" for k in range(5 + n % 3))

    path = put(tmp_path, "t.csv", ["ecg,label", *(f"{row(n)},{'ab'[n % 2]}" for n in range(60))])
    found = deal_rows(Rows(path), Asked(), "t.csv")
    assert (
        found.reading.kinds == ("series",)
        and found.codec == "values"
        and try_out(found).codec.steps == (5, 7)
    )
    run = quick(path)
    assert len(predict(run, str(path)).rows) == 60 == evaluate(run, data=str(path)).report.items


def test_tags_that_are_numbers_come_back_as_such(tmp_path: Path) -> None:
    lines = ["words,tags", *(f"{' '.join(some(n + 1))},{' '.join('01'[k % 2] for k, _ in enumerate(some(n + 1)))}"
                             for n in range(60) if n % 5 != 4)]  # fmt: skip
    run = quick(put(tmp_path, "t.csv", lines))
    assert run.recipe.task == "tag"
    made = predict(run, str(tmp_path / "t.csv"))
    assert made.rows[1]["given"] == "0 1 0" and json.loads(made.jsonl().splitlines()[1])["given"] == "0 1 0"


# --- series of another length


def test_a_series_of_another_length_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def wide(name: str, count: int, **more: str) -> Path:
        head = ",".join([*(f"x{k}" for k in range(1, count + 1)), *more, "y"])
        lines = [
            ",".join([*(f"{(n * 7 + k) % 13 / 3:.3f}" for k in range(count)), *more.values(), "ab"[n % 2]])
            for n in range(60)
        ]
        return put(tmp_path, name, [head, *lines])

    path = wide("t.csv", 20)
    run = quick(path)
    predict(run, str(path))
    evaluate(run, data=str(path))
    assert "number of steps" not in capsys.readouterr().err
    for count in (12, 24):
        other = wide("o.csv", count)
        predict(run, str(other))
        evaluate(run, data=str(other))
        said = (
            f"60 rows of {other} have another number of steps in series than the 20 of all training rows, the first is "
            f"o.csv:2 with {count}"
        )
        assert capsys.readouterr().err.count(said) == 2
    few = wide("f.csv", 3, colour="red")
    with pytest.raises(
        UserError,
        match=r"made of the 20 columns x1 \.\.\. x20; 17 aren't there: x4, .*Its columns: x1, x2, x3, colour, y",
    ):
        predict(run, str(few))
    with pytest.raises(UserError, match=r"a series of 20 steps, as 20 numbered columns \(x1 \.\.\. x20\)"):
        predict(run.model("cpu"), str(few))


def test_series_of_many_lengths_are_no_news(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.dumps({"x": [n % 7 + 0.5] * (3 + n % 4), "label": "ab"[n % 2]}) for n in range(60)]
    run = quick(put(tmp_path, "t.jsonl", lines))
    predict(run, [{"x": np.ones(50)}])
    assert "number of steps" not in capsys.readouterr().err
