"""Pairs as material: what is chosen, trained, scored beside rivals, predicted, and kept with a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import unrolled as un
from unrolled.datasets.asked import Asked
from unrolled.datasets.dealt import deal_rows
from unrolled.datasets.rows import Rows
from unrolled.errors import UserError
from unrolled.tasks import task_from_dict
from unrolled.tasks.simple.texts import Copy, FirstSentence, MostFrequent, WordByWord
from unrolled.tasks.translate import Lengths, Translate
from unrolled.training.metric import choose_metric
from unrolled.training.recipe import Recipe
from unrolled.training.rows import prepare_rows
from unrolled.training.run import Run

SIZES = {
    "model.width": 24,
    "model.embedding": 8,
    "threads": 1,
    "device": "cpu",
    "dtype": "float32",
    "log_every": 10,
}


def pairs_file(folder: Path, extra: list[tuple[str, str]] = []) -> Path:  # noqa: B006
    draw = np.random.default_rng(0)
    rows = [("word", "spelt")]
    for _ in range(300):
        letters = draw.choice(list("abcdef"), draw.integers(2, 7))
        rows.append(("".join(letters), " ".join(letter.upper() * 2 for letter in letters)))
    path = folder / "spelt.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in [*rows, *extra]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("paired")
    return un.train(data=str(pairs_file(folder)), budget="60steps", runs=str(folder / "runs"), **SIZES)


def test_a_run_says_what_it_chose_and_stands_beside_its_rivals(run: Run) -> None:
    assert (run.recipe.task, run.recipe.metric, run.recipe.smoothing) == ("translate", "per", 0.0)
    assert run.test is not None and run.test["unit"] == "symbol error rate" and run.test["better"] == "lower"
    assert set(run.test["values"]) == {"per", "wrong"} and run.test["objective"] > run.test["value"]
    low, high = run.test["interval"]
    assert low <= run.test["value"] <= high
    assert run.baseline is not None and run.naive is not None
    assert run.baseline["name"] == "word by word" and run.baseline["value"] < 0.05
    assert run.naive["name"] in (Copy.name, MostFrequent.name)
    assert "wanted:" in next((run.path / "samples").glob("*.txt")).read_text("utf-8")


def test_a_notebook_shows_a_run(run: Run) -> None:
    shown = replace(run, name="<script>alert(1)</script>")._repr_html_()
    assert run.test is not None and f"{run.test['value']:.4f}" in shown and run.verdict.split(":")[0] in shown
    assert "<svg" in shown and "<script" not in shown and "&lt;script&gt;" in shown


def test_predictions_are_texts_and_the_same_whatever_the_batch(run: Run, tmp_path: Path) -> None:
    rows = [{"word": word} for word in ("abc", "f", "deadbeef", "cab")]
    one = un.predict(run, rows, batch=1).rows
    assert [set(row) for row in one] == [{"word", "spelt"}] * 4 and one == un.predict(
        run, rows, batch=64
    ).rows
    model = run.model()
    inputs = [model.task.steps(row["word"]) for row in rows]
    truth = [model.task.answers.encode(text) for text in ("AA BB CC", "FF", "DD", "CC")]
    nats = [model.task.nats(model, inputs, truth, batch) for batch in (1, 4)]
    assert nats[0] == pytest.approx(nats[1], rel=1e-5)


def test_unlike_sources_are_counted_aloud(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = un.predict(run, [{"word": "añb"}, {"word": "abcdefabcdef"}, {"word": ""}]).rows
    said = capsys.readouterr().err
    assert "1 sources hold characters that training hadn't (ñ): spelled byte by byte" in said
    assert "sources are longer than any of training's (6 steps)" in said and "get no answer" in said
    assert found[2]["spelt"] == "" and len(found) == 3


def test_a_task_comes_back_and_scores_the_same(run: Run) -> None:
    model = run.model()
    again = task_from_dict(model.task.to_dict())
    assert isinstance(again, Translate) and again.to_dict() == model.task.to_dict()
    assert again.lengths == model.task.lengths and again.forbidden == (1,)
    found = un.evaluate(run, split="test")
    assert found.value == run.test["value"]  # type: ignore[index]
    with pytest.raises(UserError, match="no early answers"):
        un.predict(run, [{"word": "abc"}], every=True)


def test_lengths_hold_all_of_trainings_and_bound_what_is_written() -> None:
    sources, targets = np.array([1, 5, 10, 30]), np.array([9, 5, 10, 31])
    lengths = Lengths.of(sources, targets)
    assert all(lengths.longest(int(s)) >= t for s, t in zip(sources, targets, strict=True))
    assert 40 < lengths.longest(40) < 200 and lengths.longest(1) < 60


def test_rows_with_an_empty_side_are_left_out_and_counted(tmp_path: Path) -> None:
    material = prepare_rows(
        Recipe.of(data=str(pairs_file(tmp_path, [("abc", ""), ("", "AA"), ("abd", "  ")])))
    )
    assert any(
        "3 rows have no spelt or no word" in note or "2 rows have no" in note for note in material.notes
    )
    total = sum(len(material.examples(part)) for part in ("train", "valid", "test"))
    assert total == 300


@pytest.mark.parametrize(
    ("sources", "targets", "metric"),
    [
        (["cat"] * 60, ["K AE T"] * 60, "per"),
        ([f"{n}. May" for n in range(60)], [f"2020-05-{n}" for n in range(60)], "exact"),
        ([f"this is sentence {n}" for n in range(60)], [f"das ist also Satz {n}" for n in range(60)], "bleu"),
        ([f"{n} words and more. " * 12 for n in range(60)], [f"a short text on {n}" for n in range(60)], "rouge"),
    ],
)  # fmt: skip
def test_the_metric_follows_the_answers(sources: list[str], targets: list[str], metric: str) -> None:
    rows = [
        {"a": f"{a} {n}" if metric != "per" else a + "abc"[n % 3] * n, "b": b, "origin": f"row {n}"}
        for n, (a, b) in enumerate(zip(sources, targets, strict=True))
    ]
    dealt = deal_rows(Rows(rows), Asked(task="translate", input="a", target="b"), "rows")  # type: ignore[arg-type]
    assert choose_metric(dealt, "auto")[0] == metric and choose_metric(dealt, "chrf") == ("chrf", "as asked")


def test_rivals_are_what_they_say() -> None:
    sources, targets = ["a b", "b c", "a c"] * 4, ["x y", "y z", "x z"] * 3 + ["x y", "x y", "x z"]
    assert Copy().fit(sources, targets).predict(["q"]) == ["q"]
    assert MostFrequent().fit(sources, targets).predict(["q", "r"]) == ["x y", "x y"]
    assert FirstSentence().fit(sources, targets).predict(["One. Two.", "none"]) == ["One.", "none"]
    words = WordByWord(str.split, str.split, " ").fit(["a b", "b c", "a c"] * 4, ["x y", "y z", "x z"] * 4)
    assert words.predict(["c b a q"]) == ["z y x q"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"threshold": 0.5}, "threshold: it is for tasks"),
        ({"shuffled": True}, "shuffled: it is for tasks"),
        ({"codec": "log_mel"}, "reads no text"),
        ({"joint": True}, "no one codec"),
        ({"metric": "blue"}, "bleu"),
    ],
)
def test_keys_of_other_tasks_are_refused(tmp_path: Path, keys: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        prepare_rows(Recipe.of(data=str(pairs_file(tmp_path)), **keys))


def test_pairs_keys_are_refused_elsewhere() -> None:
    with pytest.raises(UserError, match="joint: it is for task=translate"):
        prepare_rows(replace(Recipe.of(data="sentiment", input="text"), joint=True))


def test_resuming_repeats_the_run_bit_for_bit(run: Run, tmp_path: Path) -> None:
    data = run.recipe.data
    first = un.train(data=data, budget="20steps", runs=str(tmp_path), accumulate=2, batch=16, **SIZES)
    longer = un.train(resume=str(first.path), budget="+20steps", runs=str(tmp_path))
    again = un.train(resume=str(first.path), budget="+20steps", runs=str(tmp_path))
    assert longer.test == again.test and longer.step == 40


def test_attention_can_be_left_out(tmp_path: Path) -> None:
    """`none` is a choice, not a key left open: the target looks at nothing and knows its first state only."""
    rows = "".join(f"{a}{b},{b}{a}\n" for a in "abcdefgh" for b in "ijklmnop")
    (tmp_path / "pairs.csv").write_text(f"source,target\n{rows}")
    recipes = [
        Recipe.of(
            data=str(tmp_path / "pairs.csv"),
            task="translate",
            **{"model.kind": "gru", "model.attention": score},
        )
        for score in ("none", "dot")
    ]
    specs = [prepare_rows(recipe).spec(replace(recipe.model, width=8)) for recipe in recipes]
    kinds = [[layer["kind"] for layer in spec["core"]["layers"]] for spec in specs]
    assert "cross" not in kinds[0] and "cross" in kinds[1]


def test_files_line_by_line_are_translations_whatever_their_words(tmp_path: Path) -> None:
    """As many words on both sides, as tags have: two files of texts are still no tags."""
    words = [("one", "eins"), ("two", "zwei"), ("three", "drei"), ("four", "vier")]
    lines = [[a, b, c] for a in words for b in words for c in words]
    for side, name in enumerate(("a.en", "a.de")):
        (tmp_path / name).write_text("\n".join(" ".join(word[side] for word in line) for line in lines))
    made = prepare_rows(Recipe.of(data=f"{tmp_path / 'a.en'},{tmp_path / 'a.de'}"))
    assert made.reads == "pairs" and made.rows == made.examples("train").inputs.lengths.size
    assert made.epoch == made.examples("train").count


def test_a_pair_far_longer_than_all_others_is_told(tmp_path: Path) -> None:
    rows = [f"{a}{b}{c},{c}{b}{a}\n" for a in "abcdefg" for b in "hijklmn" for c in "opqrstu"]
    part = ["train"] * (len(rows) - 60) + ["valid"] * 30 + ["test"] * 30
    table = "".join(f"{row.strip()},{p}\n" for row, p in zip(rows, part, strict=True))
    for more, told in (("", False), (f"{'abc' * 400},cba,train\n", True)):
        (tmp_path / "pairs.csv").write_text(f"source,target,split\n{table}{more}")
        made = prepare_rows(Recipe.of(data=str(tmp_path / "pairs.csv"), task="translate"))
        assert any("longest training source" in note for note in made.notes) == told
