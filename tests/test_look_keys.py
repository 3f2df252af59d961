"""`data look` takes the keys by which `train` reads data; keys about columns are refused beside plain text."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from unrolled.cli import data
from unrolled.cli.main import main
from unrolled.datasets.asked import KEYS, Asked
from unrolled.datasets.look import look
from unrolled.datasets.look_rows import look_rows
from unrolled.datasets.precheck import precheck
from unrolled.datasets.samples import resolve
from unrolled.errors import UserError
from unrolled.training.rows import prepare_rows
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.setup import material_of


def steps_table(folder: Path) -> str:
    lines = ["who,step,heat,state,speaker,mood,score"] + [
        f"{n // 4},{3 - n % 4},{n % 13}.5,{'on' if n % 3 else 'off'},s{n // 4 % 5},{'ab'[n // 4 % 2]},{n // 4}.5"
        for n in range(400)
    ]
    path = folder / "steps.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


READ: list[dict[str, Any]] = [
    {"id": "who", "time": "step", "target": "mood", "group": "none"},
    {"id": "who", "time": "step", "target": "score", "group": "speaker", "held": "s1,s3"},
    {"id": "none", "target": "state", "input": "heat", "split": (0.5, 0.25, 0.25)},
    {"id": "none", "target": "heat", "input": "state", "task": "classify", "codec": "characters", "time": "who"},
]  # fmt: skip


@pytest.mark.parametrize("keys", READ)
def test_a_look_sees_what_training_sees(keys: dict[str, Any], tmp_path: Path) -> None:
    recipe = Recipe.of(data=steps_table(tmp_path), **keys)
    made = prepare_rows(recipe)
    looked = look_rows(recipe.data, Path(recipe.data), recipe.asked())
    assert looked.reading is not None and looked.dealt is not None and not looked.open
    assert (looked.reading.inputs, looked.reading.targets) == (
        made.dealt.reading.inputs,
        made.dealt.reading.targets,
    )
    assert looked.reading.task == made.dealt.reading.task
    assert looked.dealt.parts == {part: made.dealt.count(part) for part in ("train", "valid", "test")}
    codec = made.task_codec
    read = codec.fields if hasattr(codec, "fields") else []
    kinds = {f.name: f.codec.kind for f in read} or {made.dealt.reading.inputs[0]: codec.kind}
    assert looked.dealt.codecs == kinds


def test_the_command_takes_every_key_as_train_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, train = get_type_hints(data.keys()), get_type_hints(Recipe)
    assert {*KEYS} == {*own} - {"action", "data"} and all(own[key] == train[key] for key in KEYS)
    assert len(KEYS) == len(fields(Asked))
    path = steps_table(tmp_path)
    for keys in READ:
        typed = [
            f"{key}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
            for key, value in keys.items()
        ]
        assert main(["data", "look", path, *typed, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        wanted = look_rows(path, Path(path), Recipe.of(data=path, **keys).asked())
        assert (
            said["reading"]["inputs"] == list(wanted.reading.inputs)
            and said["dealt"]["parts"] == wanted.dealt.parts
        )  # type: ignore[union-attr]
    for wrong, says in (
        (["look", path, "target=moon"], "Did you mean 'mood'"),
        (["look", path, "targt=mood"], "did you mean 'target'"),
        (["look", path, "target=mood", "split=0.5,0.5,0.5"], "add up to 1"),
        (["look", path, "target=mood", "task=generate"], "task=generate goes on with text"),
        (["list", "target=mood"], "target= is for unrolled data look"),
        (["get", "fsdd", "codec=mfcc"], "codec= is for unrolled data look"),
    ):
        assert main(["data", *wrong]) == 2
        assert says in capsys.readouterr().err


def test_text_is_looked_at_in_another_codec_and_other_shares() -> None:
    plain, other = look("irish"), look("irish", Asked(codec="bytes", shares=(0.5, 0.25, 0.25)))
    assert plain.codec == "abc" and (other.codec, other.vocabulary) == ("bytes", 257)
    assert other.split["test"][0] > 2 * plain.split["test"][0]
    with pytest.raises(UserError, match="unknown codec of plain text 'mfcc'"):
        look("irish", Asked(codec="mfcc"))


ABOUT = [("target", "x"), ("input", "text"), ("group", "who"), ("group", None), ("held", "a"), ("id", "x")]


@pytest.mark.parametrize(("key", "value"), ABOUT)
def test_keys_about_columns_are_refused_beside_plain_text(
    key: str, value: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("It was a dark and stormy night.\n" * 50, encoding="utf-8")
    asked = Asked(**{key: value})
    for use in (
        lambda: precheck(str(path), asked),
        lambda: look(str(path), asked),
        lambda: material_of(Recipe.of(data=str(path), **{key: value}), Talk(quiet=True)),
    ):
        with pytest.raises(UserError, match=rf"{key}={value or 'none'} is about the columns of a table"):
            use()


def test_the_verbs_refuse_them_too(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in (["train"], ["data", "look"]):
        assert main([*verb, "data=irish", "target=key"]) == 2
        assert "this is plain text, which is gone on with" in capsys.readouterr().err
        assert main([*verb, "data=irish", "task=tag"]) == 2
        assert "task=tag needs rows with an answer" in capsys.readouterr().err
    precheck("irish", Asked(codec="characters", shares=(0.8, 0.1, 0.1), task="generate"))
    assert resolve("irish").exists()
