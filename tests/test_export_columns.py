"""Exports of models that read several columns: the program and the page take rows as people have them."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jaxtyping
import numpy as np
import pytest
from test_export import ran, reader
from tiny_models import TEXTS, model_of, task_of

import unrolled as un
from unrolled.datasets.items import Items
from unrolled.datasets.rows import Long
from unrolled.datasets.standard import Values
from unrolled.datasets.together import Field, Together
from unrolled.datasets.words import Words
from unrolled.exports.export import _example
from unrolled.exports.runner import items
from unrolled.tasks import Classify, Tag

pytest.importorskip("onnxruntime")
COUNTRIES = ["FR", "New York", "3", "Chile, south"]


@pytest.fixture(scope="module", autouse=True)
def unchecked() -> Iterator[None]:
    """As in test_export.py: traced sizes are symbols."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def columns_model() -> Any:
    """A model that reads two texts, a number and a category."""
    fields = [
        Field("title", Words(1).fit(TEXTS), True),
        Field("text", Words(1).fit(TEXTS), True),
        Field("age", Values().fit([[20.0], [35.0], [70.0]]), False),
        Field("country", Items().fit(COUNTRIES), False),
    ]
    codec = Together(fields)
    names = ("title", "text", "age", "country")
    return model_of(
        Classify(codec=codec, answers=task_of("classify").answers, inputs=names, targets=("y",)), "gru"
    )


def some_rows(count: int) -> list[dict[str, Any]]:
    """Rows with gaps, quotes, commas and line breaks."""
    draw = random.Random(0)
    return [
        {
            "title": draw.choice([*TEXTS, None]),
            "text": draw.choice([f'a "cat", far\naway {n}', "the dog", "naïve", None]),
            "age": draw.choice([str(draw.randint(1, 99)), f"{draw.uniform(0, 99):.3f}", None]),
            "country": draw.choice([*COUNTRIES, " FR ", "Peru", None]),
        }
        for n in range(count)
    ] + [
        dict.fromkeys(("title", "text", "age", "country")),
        {**dict.fromkeys(("title", "text")), "age": "4", "country": "FR"},
    ]


def written(file: Path, rows: list[dict[str, Any]], mark: str = ",") -> str:
    """The rows as a table."""
    with open(file, "w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), delimiter=mark)
        writer.writeheader()
        writer.writerows(rows)
    return str(file)


def same(said: list[str], wanted: list[dict[str, Any]]) -> None:
    """Each line says what `predict` says."""
    assert len(said) == len(wanted)
    for mine, theirs in zip(map(json.loads, said), wanted, strict=True):
        assert mine["y"] == theirs["y"]
        assert mine == pytest.approx({key: theirs[key] for key in mine}, abs=1e-5)
        assert len(mine) == sum(key not in ("title", "text", "age", "country", "row") for key in theirs)


def test_rows_of_several_columns_are_answered_as_predict_does(tmp_path: Path) -> None:
    model = columns_model()
    made = un.export(model, out=str(tmp_path / "out"))
    assert "encode-2.onnx" in made.files or "encode-3.onnx" in made.files
    rows = some_rows(100)
    table = written(tmp_path / "rows.csv", rows)
    wanted = un.predict(model, table).rows
    assert (
        sum(not row["y"] for row in wanted) >= 1 and len({row["p(good)"] for row in wanted if row["y"]}) > 50
    )
    same(ran(tmp_path / "out", table), wanted)
    same(ran(tmp_path / "out", written(tmp_path / "semicolons.csv", rows, ";")), wanted)
    lines = tmp_path / "rows.jsonl"
    numbered = [
        row if n % 2 else row | {"age": row["age"] and float(row["age"])} for n, row in enumerate(rows)
    ]
    lines.write_text("".join(json.dumps(row) + "\n" for row in numbered), "utf-8")
    same(ran(tmp_path / "out", str(lines)), un.predict(model, str(lines)).rows)
    typed = [json.dumps(rows[0]), "a cat,the dog,30,New York"]
    cells = dict(zip(rows[0], typed[1].split(","), strict=True))
    same(ran(tmp_path / "out", *typed), un.predict(model, [rows[0], cells]).rows)
    un.export(model, out=str(tmp_path / "out"))  # what it wrote is known for its own


def test_steps_of_a_long_table_are_put_together_as_predict_does(tmp_path: Path) -> None:
    steps = [[f"e{n % 3}" for n in range(9)]]
    fields = [
        Field("event", Items().fit(steps), True),
        Field("series", Values().fit([np.random.default_rng(0).normal(3, 2, (9, 2))]), True),
        Field("age", Values().fit([[20.0], [35.0]]), False),
    ]
    long = Long("user", "day", ("x", "z"), ("event",), ("age",))
    shared: dict[str, Any] = {
        "codec": Together(fields, aligned=True),
        "inputs": ("event", "series", "age"),
        "long": long,
    }
    model = model_of(Tag(answers=task_of("tag").answers, targets=("y",), **shared), "lstm")
    draw = random.Random(1)
    rows: list[dict[str, Any]] = [
        {
            "user": n % 20, "day": f"2024-{1 + draw.randrange(12):02}-{1 + draw.randrange(28):02}", "x": draw.uniform(0, 9),
            "z": draw.choice([1.5, None]), "event": draw.choice(["e1", "e2", "new", None]), "age": 20 + n % 20,
        }
        for n in range(300)
    ]  # fmt: skip
    un.export(model, out=str(tmp_path / "out"))
    table = written(tmp_path / "events.csv", rows)
    wanted = un.predict(model, table).rows
    said = [json.loads(line) for line in ran(tmp_path / "out", table)]
    assert [each["y"] for each in said] == [each["y"] for each in wanted] and len(said) == 20
    for mine, theirs in zip(said, wanted, strict=True):
        assert mine["least sure"] == pytest.approx(theirs["least sure"], abs=1e-5)


def test_an_example_comes_from_the_runs_data(tmp_path: Path) -> None:
    model = columns_model()
    run: Any = SimpleNamespace(
        recipe=SimpleNamespace(data=written(tmp_path / "rows.csv", some_rows(20)[:20]))
    )
    example = _example(run, model)
    assert example is not None and list(example) == ["title", "text", "age", "country"]
    assert None not in example.values()
    run.recipe.data = str(tmp_path / "gone.csv")
    assert _example(run, model) is None


def test_a_category_with_a_space_is_one_item() -> None:
    codec = Items().fit(COUNTRIES)
    for value in (*COUNTRIES, " New York ", "Old York", 3, 3.0, None, float("nan"), True):
        np.testing.assert_array_equal(reader(codec, items.Codec).encode(value), codec.encode(value))
