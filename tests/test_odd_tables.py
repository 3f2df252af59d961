"""Tables as people have them: what was once misread, answered wrongly or ended in a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unrolled.datasets.augment import augmented, for_codec
from unrolled.datasets.dealt import deal_rows
from unrolled.datasets.rows import Rows
from unrolled.datasets.standard import Numbers
from unrolled.datasets.trial import try_out
from unrolled.datasets.understand import Asked
from unrolled.errors import UserError
from unrolled.model.heads import NumberHead
from unrolled.running.generate import generate
from unrolled.running.stream import Stream
from unrolled.tasks import Regress
from unrolled.tasks.calibration import careful_temperature, temperature
from unrolled.training.evaluate import evaluate
from unrolled.training.predict import predict
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.run import Run
from unrolled.training.setup import set_up
from unrolled.training.train import train

FEW: dict[str, Any] = {"budget": "3steps", "batch": 8, "threads": 1, "dtype": "float32", "model": "gru"}


def put(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def dealt(path: Path, **asked: Any) -> Any:
    return deal_rows(Rows(path), Asked(**asked), path.name)


def quick(path: Path, **keys: Any) -> Run:
    run = train(data=str(path), runs=str(path.parent), talk=Talk(quiet=True), **(FEW | keys))
    assert run is not None
    return run


def texts(count: int, label: Any = lambda n: "ab"[n % 2]) -> list[str]:
    return ["text,label", *(f"so it goes number n{n} again,{label(n)}" for n in range(count))]


# --- answers


def test_far_answers_count_in_the_score_and_not_in_the_loss() -> None:
    codec = Numbers().fit([n / 7 for n in range(7)])
    assert codec.decode(codec.encode(1e7))[0] == pytest.approx(1e7)
    task = Regress(codec=None, answers=codec, inputs=("x",), targets=("y",))  # type: ignore[arg-type]
    assert task.rated(np.zeros((1, 1)), codec.encode(1e7)[None]).value == pytest.approx(1e7, rel=1e-5)
    loss, _ = NumberHead(2, 1).loss(torch.zeros(1, 1, 1), torch.tensor([[1e9]]))
    assert loss.item() == pytest.approx(0.5e8)


def test_a_threshold_lies_between_two_classes(tmp_path: Path) -> None:
    path = put(tmp_path, "t.csv", texts(60, lambda n: "abc"[n % 3]))
    with pytest.raises(UserError, match=r"threshold=0\.3: label has 3 classes"):
        quick(path, threshold=0.3)


def test_what_is_foretold_is_not_read(tmp_path: Path) -> None:
    path = put(tmp_path, "t.csv", texts(60))
    for asked in ({"input": "text,label"}, {"input": "text,text"}, {"target": "label,label"}):
        with pytest.raises(UserError, match="can't be read and foretold, or named twice"):
            dealt(path, **asked)


def test_a_handful_of_validation_rows_fits_nothing(tmp_path: Path) -> None:
    run = quick(put(tmp_path, "t.csv", texts(80)))
    assert run.model("cpu").task.temperature == 1.0


def test_shuffled_tags_go_with_their_steps(tmp_path: Path) -> None:
    lines = [
        json.dumps({"w": list("abab" * (n % 3 + 1)), "label": list("XYXY" * (n % 3 + 1)), "n": n})
        for n in range(40)
    ]
    recipe = Recipe.of(data=str(put(tmp_path, "t.jsonl", lines)), input="w", shuffled=True, **FEW)
    examples: Any = set_up(recipe, {}, Talk(quiet=True)).material
    made = examples.examples("train")
    pairs = {
        (int(x), int(y))
        for row, tags in zip(made.inputs, made.targets, strict=True)
        for x, y in zip(row, tags, strict=True)
    }
    assert len(pairs) == 2


def test_a_class_that_training_would_lack_goes_there(tmp_path: Path) -> None:
    found = dealt(put(tmp_path, "t.csv", texts(100, lambda n: f"rare{n}" if n % 30 == 0 else "ab"[n % 2])))
    seen = {row["label"] for row in found.of("train")}
    assert seen >= {row["label"] for part in ("valid", "test") for row in found.of(part)} and "rare30" in seen
    with pytest.raises(UserError, match="100 classes in 100 rows: too few of each"):
        dealt(put(tmp_path, "u.csv", texts(100, lambda n: f"own name {n}")))


# --- columns


def test_two_families_of_numbered_columns_are_two_series(tmp_path: Path) -> None:
    head = ",".join([f"x{n}" for n in range(5)] + [f"y{n}" for n in range(5)])
    path = put(
        tmp_path,
        "t.csv",
        [f"{head},label", *(",".join(["1"] * 5 + ["2"] * 5 + ["ab"[n % 2]]) for n in range(9))],
    )
    row = next(iter(Rows(path)))
    assert row["x"].ravel().tolist() == [1] * 5 and row["y"].ravel().tolist() == [2] * 5
    kept = put(tmp_path, "s.csv", ["x0,x1,x2,x3,series,label", *(f"1,2,3,4,S{n},a" for n in range(3))])
    row = next(iter(Rows(kept)))
    assert row["series"] == "S0" and row["series_"].shape == (4, 1)


def test_missing_cells_empty_lists_and_numbers_don_t_hide_a_kind(tmp_path: Path) -> None:
    tags = [
        "words,tags",
        *(f"a{n} b c{'' if n % 2 else ' d'},X Y Z{'' if n % 2 else ' Z'}" for n in range(40)),
        ",X",
    ]
    assert dealt(put(tmp_path, "t.csv", tags), target="tags").reading.task == "tag"
    lists = [
        json.dumps({"text": f"word number {n} goes here", "label": ["p", "q"][: n % 3]}) for n in range(60)
    ]
    reading = dealt(put(tmp_path, "l.jsonl", lists)).reading
    assert reading.several and reading.task == "classify"
    numbered = [
        json.dumps({"w": list("abc")[: 1 + n % 3], "label": [0, 1, 0][: 1 + n % 3], "n": n})
        for n in range(60)
    ]
    found = dealt(put(tmp_path, "n.jsonl", numbered), input="w")
    assert found.reading.task == "tag" and try_out(found).answers.names == ("0", "1")
    gaps = ["age,label", *(f"{'NaN' if n % 5 == 0 else n},{'ab'[n % 2]}" for n in range(60))]
    assert dealt(put(tmp_path, "g.csv", gaps), input="age").reading.kinds == ("number",)


def test_only_steps_are_gathered(tmp_path: Path) -> None:
    reviews = [
        "id,date,text,label",
        *(f"u{n % 9},2020-01-{n % 28 + 1:02d},a fine long text {n} here,{'ab'[n % 2]}" for n in range(90)),
    ]
    found = dealt(put(tmp_path, "r.csv", reviews))
    assert found.rows.long is None and found.reading.inputs == ("text",)
    steps = [
        "id,time,event,x,label",
        *(f"{n // 3},{n % 3},e{n % 2},{n},{'ab'[n // 3 % 2]}" for n in range(120)),
    ]
    path = put(tmp_path, "s.csv", steps)
    assert dealt(path).reading.inputs == ("series", "event") and len(list(dealt(path).rows)) == 40
    assert dealt(path, input="event,x").reading.inputs == ("event", "series")
    assert dealt(path, id=None, input="event,x").rows.long is None
    each = ["id,time,x,label", *(f"{n // 3},{n % 3},{n}.5,{n % 2}" for n in range(120))]
    found = dealt(put(tmp_path, "e.csv", each))
    assert found.reading.task == "tag" and found.reading.inputs == ("series",)


def test_what_ends_like_a_path_is_one_only_where_the_file_is(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        "t.csv",
        ["text,label", *(f"see the picture {n} in logo.png,{'ab'[n % 2]}" for n in range(50))],
    )
    assert dealt(path).reading.kinds == ("text",)


def test_two_groups_are_no_groups(tmp_path: Path) -> None:
    lines = ["text,group,label", *(f"so it goes n{n} again,g{n % 2},{'ab'[n % 2]}" for n in range(60))]
    found = dealt(put(tmp_path, "t.csv", lines))
    assert any("too few values to part rows by" in note for note in found.notes)


def test_a_codec_must_suit_its_column(tmp_path: Path) -> None:
    path = put(tmp_path, "t.csv", texts(60))
    for codec in ("log_mel", "values", "patches"):
        with pytest.raises(UserError, match=f"codec={codec}: it can't read text, which is text"):
            dealt(path, codec=codec)
    mixed = [
        json.dumps({"text": 5 if n == 7 else f"a text number {n}", "label": "ab"[n % 2]}) for n in range(60)
    ]
    try_out(dealt(put(tmp_path, "m.jsonl", mixed))).check()


def test_the_mask_of_missing_values_takes_no_noise() -> None:
    changes = for_codec("noise", "values", 2)
    x = np.zeros((5, 4), np.float32)
    noisy = augmented(x, changes, seed=0, epoch=0, sample=0)
    assert (noisy[:, 2:] == 0).all() and (noisy[:, :2] != 0).all()
    assert [name for name, _ in for_codec("crop", "words")] == ["crop"]
    with pytest.raises(UserError, match="doesn't suit what the codec together gives"):
        for_codec("word_dropout", "together")


def test_a_text_column_called_subject_is_no_group(tmp_path: Path) -> None:
    lines = [
        "id,subject,label",
        *(f"{n},my printer number {n} is broken again,{'ab'[n % 2]}" for n in range(80)),
    ]
    reading = dealt(put(tmp_path, "t.csv", lines)).reading
    assert reading.inputs == ("subject",) and reading.group is None


def test_no_error_is_no_ground_for_certainty() -> None:
    z = np.array([[2.0, -2.0], [-1.0, 1.0]] * 20)
    right = z.argmax(1)
    assert temperature(z, right) < 0.1 and careful_temperature(z, right) == 1.0
    often = np.concatenate([z] * 20), np.concatenate([right] * 19 + [1 - right])
    assert careful_temperature(*often) == temperature(*often) != 1.0


# --- round trips


def test_a_model_that_answers_does_not_go_on(tmp_path: Path) -> None:
    run = quick(put(tmp_path, "t.csv", texts(60)))
    stream = Stream(run.model("cpu"))
    stream.push("so it goes")
    assert {name for name, _ in stream.likeliest(2)} == {"a", "b"}
    said = predict(run.model("cpu"), [{"text": "so it goes"}]).rows[0]
    assert dict(stream.likeliest(2))["a"] == pytest.approx(said["p(a)"], abs=1e-5)
    with pytest.raises(UserError, match="doesn't go on with text: use unrolled predict"):
        generate(run.model("cpu"), length=3)


def test_a_missing_column_of_steps_is_told(tmp_path: Path) -> None:
    steps = [f"{n // 3},{n % 3},e{n % 2},{n},{'ab'[n // 3 % 2]}" for n in range(120)]
    run = quick(put(tmp_path, "s.csv", ["id,time,event,x,label", *steps]))
    less = put(
        tmp_path, "l.csv", ["id,time,event,label", *(",".join(np.delete(s.split(","), 3)) for s in steps)]
    )
    for use in (predict, lambda run, data: evaluate(run, data=data)):
        with pytest.raises(UserError, match="this run reads the column 'x'"):
            use(run, str(less))


def test_rows_with_gaps_are_learnt_and_answered(tmp_path: Path) -> None:
    lines = [
        "text,age,label",
        *(f"so it goes n{n} again,{'' if n % 4 == 0 else n},{'ab'[n % 2]}" for n in range(80)),
    ]
    path = put(tmp_path, "t.csv", lines)
    run = quick(path, input="text,age")
    assert len(predict(run, str(path)).rows) == 80 == evaluate(run, data=str(path)).report.items


def test_a_row_with_nothing_to_read_gets_no_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = quick(put(tmp_path, "t.csv", texts(60)))
    odd = put(tmp_path, "o.csv", ["text,label", "so it goes,a", "...,b", " ,a"])
    rows = predict(run, str(odd)).rows
    assert [bool(row["label"]) for row in rows] == [True, True, False]
    assert "1 rows have nothing in text, the first is o.csv:4" in capsys.readouterr().err
    assert evaluate(run, data=str(odd)).report.items == 2
    with pytest.raises(UserError, match="there is no folder"):
        predict(run, str(odd), out=str(tmp_path / "none" / "o.csv"))


def test_one_number_a_row_and_names_with_commas(tmp_path: Path) -> None:
    lines = ["age,label", *(f"{n % 37},{'ab'[n % 2]}" for n in range(80))]
    assert quick(put(tmp_path, "n.csv", lines), input="age").finished
    named = put(
        tmp_path, "c.csv", ['"te, xt",p(a),label', *(f"so it goes n{n},own,{'ab'[n % 2]}" for n in range(60))]
    )
    run = quick(named, input="te, xt")
    assert evaluate(run).value == run.test["value"]  # type: ignore[index]
    assert predict(run, str(named)).rows[0]["p(a) (given)"] == "own"
