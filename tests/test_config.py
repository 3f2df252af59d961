"""Configuration: sources in order, types, shorthands, messages, and the way to TOML and back."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled import config
from unrolled.config import parse, resolve, split_pairs
from unrolled.config.values import NotThat
from unrolled.errors import UserError


@dataclass(frozen=True)
class Model:
    kind: str = "auto"
    hidden: int | None = field(default=None, metadata={"help": "units", "at_least": 1})
    rates: tuple[float, float] = (0.5, 0.25)

    def __post_init__(self) -> None:
        if self.hidden == 13:
            raise UserError("model.hidden=13: brings bad luck.")


@dataclass(frozen=True)
class Cosine:
    kind: Literal["cosine"] = "cosine"
    cycles: int = 1


@dataclass(frozen=True)
class Flat:
    kind: Literal["flat"] = "flat"
    decay: float = 0.2


@dataclass(frozen=True)
class Settings:
    data: str = field(default="irish", metadata={"help": "a shipped set, or a file"})
    lr: float = field(default=1e-3, metadata={"help": "learning rate"})
    batch: int | str = 32
    model: Model = Model(hidden=7)
    schedule: Flat | Cosine = Flat()
    every: float = 30.0
    tied: bool = True
    wav: Path | None = None
    names: list[str] = field(default_factory=list)
    shape: Literal["auto", "wide"] = "auto"
    extra: dict[str, Any] = field(default_factory=dict)


def of(*pairs: str, **more: Any) -> Settings:
    return resolve(Settings, pairs=pairs, environ={}, **more).value


@pytest.mark.parametrize(
    ("pair", "key", "value"),
    [
        ("lr=3e-4", "lr", 3e-4),
        ("batch=64k", "batch", 64_000),
        ("batch=auto", "batch", "auto"),
        ("every=2", "every", 2.0),
        ("tied=no", "tied", False),
        ("wav=a/b.wav", "wav", Path("a/b.wav")),
        ("wav=none", "wav", None),
        ("names=[a,b]", "names", ["a", "b"]),
        ("names=a,b", "names", ["a", "b"]),
        ('names=["a, b"]', "names", ["a, b"]),
        ("names=[]", "names", []),
        ("data=x=y.txt", "data", "x=y.txt"),
        ("--data=c", "data", "c"),
        ('extra={"a": 1}', "extra", {"a": 1}),
        ("extra.a=8Ki", "extra", {"a": 8192}),
    ],
)
def test_values_get_their_types(pair: str, key: str, value: object) -> None:
    got = getattr(of(pair), key)
    assert got == value and type(got) is type(value)


def test_nested_keys_in_every_spelling() -> None:
    expected = Model(kind="auto", hidden=256)
    for pairs in (["model.hidden=256"], ["--model.hidden", "256"], ["--model.hidden=256"]):
        assert of(*pairs).model == expected
    assert resolve(Settings, pairs={"model": {"hidden": 256}}, environ={}).value.model == expected
    assert resolve(Settings, pairs={"model": expected}, environ={}).value.model == expected
    assert of("--model.rates", "[1,2]").model.rates == (1.0, 2.0)


def test_a_group_s_shorthand_names_its_kind_and_keeps_its_other_defaults() -> None:
    assert of("model=lstm").model == Model(kind="lstm", hidden=7)
    assert of("schedule=cosine", "schedule.cycles=3").schedule == Cosine(cycles=3)
    with pytest.raises(UserError, match=r"schedule.decay: Cosine has no such key"):
        of("schedule=cosine", "schedule.decay=0.1")
    with pytest.raises(
        UserError, match=r"schedule: got 'cosin', expected one of flat, cosine. Did you mean 'cosine'"
    ):
        of("schedule=cosin")


def test_precedence_and_provenance(tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text('data = "a"\nlr = 0.1\n\n[model]\nkind = "gru"\nhidden = 5\n')
    second.write_text("# comment\nlr = 0.2\n")
    resolved = resolve(
        Settings,
        pairs=["tied=false"],
        files=[first, second],
        environ={"UNROLLED_TRAIN_MODEL_HIDDEN": "6", "UNROLLED_TRAIN_TIED": "true", "UNROLLED_OTHER_LR": "9"},
        verb="train",
        recipe=("small", {"data": "r", "every": 60}),
    )
    value = resolved.value
    assert (value.data, value.lr, value.model.kind, value.model.hidden) == ("a", 0.2, "gru", 6)
    assert (value.tied, value.every) == (False, 60.0)
    assert resolved.changed() == {
        "data": f"{first}:1",
        "lr": f"{second}:2",
        "model.kind": f"{first}:5",
        "model.hidden": "environment UNROLLED_TRAIN_MODEL_HIDDEN",
        "every": "recipe small",
        "tied": "command line",
    }
    assert resolved.provenance["names"] == "default"
    assert resolve(Settings, environ={"UNROLLED_TRAIN_MODEL": "gru"}, verb="train").value.model.kind == "gru"
    assert resolve(Settings, environ={"UNROLLED_TRAIN_LR": "9"}).value.lr == 1e-3


def test_all_problems_are_told_at_once_with_their_places(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('lr = "fast"\n[model]\nhiden = 3\nhidden = true\n')
    with pytest.raises(UserError) as raised:
        resolve(
            Settings, pairs=["dta=x", "shape=wid"], files=[file], environ={"UNROLLED_T_LRR": "1"}, verb="t"
        )
    text = str(raised.value)
    assert "6 problems" in text
    assert f"lr: got 'fast', expected number ({file}:1)" in text
    assert f"unknown key 'model.hiden' ({file}:3): did you mean 'model.hidden'?" in text
    assert f"model.hidden: got True, expected whole number or none ({file}:4)" in text
    assert "unknown key 'lrr' (environment UNROLLED_T_LRR): did you mean 'lr'?" in text
    assert "unknown key 'dta' (command line): did you mean 'data'?" in text
    assert "got 'wid', expected one of auto, wide. Did you mean 'wide'?" in text


@pytest.mark.parametrize(
    "pair", ["batch=1.5", "lr=", "lr=0.1x", "tied=maybe", "model.rates=[1,2,3]", "extra=[", "every=30x"]
)
def test_wrong_values(pair: str) -> None:
    if pair == "batch=1.5":  # text is allowed there, and stays text
        assert of(pair).batch == "1.5"
    else:
        with pytest.raises(UserError, match="expected"):
            of(pair)


def test_what_limits_or_the_dataclass_itself_refuse_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"model.hidden=0 must be at least 1 \(command line\)"):
        of("model.hidden=0")
    with pytest.raises(UserError, match=r"model.hidden=13: brings bad luck\."):
        of("model.hidden=13")


@pytest.mark.parametrize("pair", ["batch=0", "context=0", "batch=-3"])
def test_the_keys_of_evaluate_have_limits(pair: str) -> None:
    from unrolled.cli.evaluate import Keys

    with pytest.raises(UserError, match=r"(batch|context)=-?\d must be at least 1 \(command line\)"):
        resolve(Keys, pairs=[pair], environ={})


def test_required_keys() -> None:
    @dataclass(frozen=True)
    class Needs:
        run: str

    globals()["Needs"] = Needs
    with pytest.raises(UserError, match="run: a value is needed"):
        resolve(Needs, environ={})
    assert resolve(Needs, pairs=["run=@last"], environ={}).value == Needs("@last")


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no configuration file"):
        of(files=[tmp_path / "none.toml"])
    for name, content, message in [
        ("a.toml", b"lr = fast", "not TOML.*line 1"),
        ("b.toml", b"\xff", "not UTF-8"),
        ("c.yaml", b"a: [", "not YAML"),
        ("d.yaml", b"- 1", "expected keys"),
        ("e.yaml", b"lr: !!python/object/apply:os.getcwd []", "not YAML"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=message):
            of(files=[tmp_path / name])


def test_yaml_with_its_strings_that_look_like_numbers(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("lr: 3e-4\nmodel:\n  kind: lstm\n  hidden: 64\nnames: [a, b]\n")
    resolved = resolve(Settings, files=[file], environ={})
    assert (resolved.value.lr, resolved.value.model.kind, resolved.value.names) == (3e-4, "lstm", ["a", "b"])
    assert resolved.provenance["model.hidden"] == f"{file}:4"
    file.write_text("")
    assert of(files=[file]) == Settings()


def test_toml_and_back(tmp_path: Path) -> None:
    resolved = resolve(
        Settings,
        pairs=[
            "model=gru",
            "wav=a b.wav",
            'data=q"\\\n\x7fü',
            "names=[x,y]",
            "schedule=cosine",
            'extra={"a b": [1, null]}',
        ],
        environ={},
    )
    text = config.to_toml(resolved.value, resolved.provenance)
    assert 'kind = "gru"         # command line' in text and "# default" in text
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    again = resolve(Settings, files=[file], environ={}).value
    assert again.extra == {"a b": [1, "none"]}  # TOML has no null inside a free table
    assert config.diff(again, resolved.value) == [("extra", again.extra, resolved.value.extra)]


@given(st.text(), st.floats(allow_nan=False), st.integers(), st.booleans(), st.lists(st.text()))
def test_toml_keeps_every_value(data: str, lr: float, hidden: int, tied: bool, names: list[str]) -> None:
    import tomllib

    before = Settings(data=data, lr=lr, model=Model(hidden=abs(hidden) + 1), tied=tied, names=names)
    read = tomllib.loads(config.to_toml(before))
    assert (read["data"], read["lr"], read["tied"], read["names"]) == (data, lr, tied, names)
    assert read["model"]["hidden"] == abs(hidden) + 1


def test_explain_diff_schema() -> None:
    resolved = resolve(Settings, pairs=["lr=0.5"], environ={})
    text = config.explain(Settings, "lr", resolved.value, resolved.provenance)
    assert "learning rate" in text and "0.001" in text and "0.5" in text and "command line" in text
    assert "at least 1" in config.explain(Settings, "model.hidden") and "default  7" in config.explain(
        Settings, "model.hidden"
    )
    assert "model.kind" in config.explain(Settings, "model")
    with pytest.raises(UserError, match="Did you mean 'data'"):
        config.explain(Settings, "dat")
    assert config.diff(Settings(), resolved.value) == [("lr", 1e-3, 0.5)]
    table = config.schema(Settings)
    assert table["model.hidden"] == {
        "type": "whole number or none",
        "default": 7,
        "required": False,
        "help": "units",
        "at_least": 1,
    }
    assert table["schedule.kind"]["type"] == "one of flat, cosine"


def test_splitting_a_command_line() -> None:
    pairs, words = split_pairs(["@last", "lr=1", "--model.hidden-size", "4", "look", "lr=2", "-1"])
    assert pairs == {"lr": "2", "model.hidden_size": "4"} and words == ["@last", "look", "-1"]
    with pytest.raises(UserError, match="--lr needs a value: write lr=VALUE"):
        split_pairs(["--lr"])
    with pytest.raises(UserError, match="needs a value"):
        split_pairs(["--lr", "data=x"])
    with pytest.raises(UserError, match="unknown switch '-z'"):
        split_pairs(["-z"])


def test_a_wrong_type_says_what_was_got() -> None:
    with pytest.raises(NotThat, match="got 'x', expected whole number"):
        parse(int, "x")


def test_configuration_needs_neither_torch_nor_numpy_nor_pydantic_until_a_value_is_read() -> None:
    heavy = "{'torch', 'numpy', 'pydantic', 'rich', 'yaml'}"
    code = f"import sys, unrolled.config; print(sorted({heavy} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_none_is_a_choice_where_it_is_one_and_nothing_elsewhere() -> None:
    assert parse(Literal["none", "dot"] | None, "none") == "none"
    assert (
        parse(Literal["none", "dot"] | None, "null") is None and parse(Literal["dot"] | None, "none") is None
    )
