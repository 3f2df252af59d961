"""What is asked where a table has no one reading: every command that is offered works when it is pasted."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.cli.main import main
from unrolled.datasets.asked import Asked, Open
from unrolled.datasets.columns import columns
from unrolled.datasets.look_rows import look_rows
from unrolled.datasets.precheck import precheck
from unrolled.datasets.understand import understand
from unrolled.errors import UserError


def put(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def number(n: int, k: int) -> str:
    return f"{(n * 7919 + k * 104729) % 997 / 31:.3f}"


def table(head: str, row: Callable[[int], str], count: int = 90) -> list[str]:
    return [head, *(row(n) for n in range(count))]


def many(n: int) -> str:
    return ",".join(number(n, k) for k in range(20))


ODD = {
    "numbers.csv": table("height,weight,age,price", lambda n: ",".join(number(n, k) for k in range(4))),
    "series.csv": table(
        ",".join(f"x{k}" for k in range(1, 21)) + ",out,kind", lambda n: f"{many(n)},{number(n, 30)},{'ab'[n % 2]}"
    ),
    "two answers.csv": table(
        "text,label,class", lambda n: f"so it goes number n{n},{'ab'[n % 2]},{'xyz'[n % 3]}"
    ),
    "texts.csv": table(
        "title,body,kind", lambda n: f"a title number n{n},a body of many words n{n},{'ab'[n % 2]}"
    ),
    "codes.csv": table("city,colour,size", lambda n: f"c{n % 7},{'rgb'[n % 3]},{n % 4}"),
    "dated.csv": table("date,rain,wind,city", lambda n: f"{2000 + n}-01-01,{number(n, 1)},{number(n, 2)},c{n % 3}"),
    "named.csv": table("user_id,age,plan", lambda n: f"{n + 17},{number(n, 3)},{'ab'[n % 2]}"),
    "lists.jsonl": [
        json.dumps({"left": [n % 5, 1, 2], "right": [n % 3, 4], "kind": "ab"[n % 2]}) for n in range(90)
    ],
    "own $name's.csv": table("the text,kind of it", lambda n: f"so it goes number n{n},{'ab'[n % 2]}"),
}  # fmt: skip


def offered(said: str) -> list[list[str]]:
    return [shlex.split(line) for line in said.splitlines() if line.startswith("  unrolled ")]


@pytest.mark.parametrize("name", ODD)
def test_each_offer_works_when_pasted(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, name, ODD[name])
    monkeypatch.chdir(tmp_path)
    assert main(["train", f"data={name}", "model=bag", "threads=1"]) == 2
    said = capsys.readouterr().err
    commands = offered(said)
    assert 1 <= len(commands) <= 3 and len({*map(tuple, commands)}) == len(commands), said
    for words in commands:
        assert words[:2] == ["unrolled", "train"] and words[-2:] == ["model=bag", "threads=1"]
        assert main([*words[1:], "--dry-run"]) == 0, shlex.join(words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ODD)
def test_a_look_offers_what_training_offers(name: str, tmp_path: Path) -> None:
    path = put(tmp_path, name, ODD[name])
    with pytest.raises(UserError) as refused:
        precheck(str(path), Asked())
    looked = look_rows(str(path), path)
    assert looked.open == str(refused.value) and offered(looked.text()) == offered(looked.open)


def test_what_was_typed_is_kept_and_settles_the_rest(tmp_path: Path) -> None:
    path = put(tmp_path, "numbers.csv", ODD["numbers.csv"])
    with pytest.raises(UserError) as refused:
        precheck(
            str(path),
            Asked(target="price", shares=(0.7, 0.2, 0.1), group=None),
            ["model=lstm", "-c", "a b.toml"],
        )
    commands = offered(str(refused.value))
    kept = [f"data={path}", "target=price", "group=none", "split=0.7,0.2,0.1", "model=lstm", "-c", "a b.toml"]
    assert len(commands) == 3 and all([w for w in words if w in kept] == [w for w in words[2:] if "input" not in w]
                                      and {*kept} <= {*words} for words in commands)  # fmt: skip
    assert "input=height,weight,age" in commands[0], "all that a row says comes first"


def test_no_time_is_read_with_others_or_foretold(tmp_path: Path) -> None:
    path = put(tmp_path, "dated.csv", ODD["dated.csv"])
    open_ = look_rows(str(path), path).open
    assert "date" not in "".join(word for words in offered(open_) for word in words[3:])
    assert open_.splitlines()[-1].startswith("  It looks like"), "what works comes before what no task does"


def test_what_has_no_task_is_no_command(tmp_path: Path) -> None:
    path = put(tmp_path, "sun.csv", table("year,spots", lambda n: f"{1900 + n},{number(n, 1)}"))
    open_ = look_rows(str(path), path).open
    assert "to be forecast: say task=forecast" in open_ and not offered(open_) and "Say so" not in open_


def test_commands_that_fail_on_the_rows_are_not_offered(tmp_path: Path) -> None:
    """`same` is of one value, which no training takes: only the rows tell."""
    path = put(
        tmp_path, "a.csv", table("text,kind,same", lambda n: f"so it goes number n{n},{'ab'[n % 2]},1")
    )
    assert [words[3:] for words in offered(look_rows(str(path), path).open)] == [["target=kind"]]
    rows = [{"text": f"so it goes number n{n}", "kind": "ab"[n % 2], "same": "one"} for n in range(9)]
    with pytest.raises(Open) as choice:
        understand(columns(rows), Asked(), "a.csv")
    assert {reading.target for reading in choice.value.readings} == {"kind", "same"}


def test_dates_are_no_words_to_be_read(tmp_path: Path) -> None:
    lines = table(
        "date,rain,wind,label", lambda n: f"{1900 + n}-01-01,{number(n, 1)},{number(n, 2)},{'ab'[n % 2]}"
    )
    path = put(tmp_path, "dated.csv", lines)
    commands = offered(look_rows(str(path), path).open)
    assert commands[0][3:] == ["input=rain,wind"], "not silently the date, the one column of texts"
