"""`inspect embeddings`: nearest neighbours and a map that are right, of any run with a table of tokens."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity
from tiny_runs import Heard, tiny

import unrolled
from unrolled.cli.main import main
from unrolled.errors import UserError
from unrolled.inspection.embeddings import frequent, telling
from unrolled.inspection.geometry import by_chance, cosines, directions, neighbours, plane
from unrolled.training.run import Run
from unrolled.training.train import train

torch.set_num_threads(1)
PAGE = "inspect-embeddings.html"
GOOD, BAD = ("good", "great", "lovely", "fine"), ("bad", "awful", "poor", "dull")
CLOUD = arrays(
    np.float64, st.tuples(st.integers(2, 12), st.integers(1, 6)), elements=st.floats(-9, 9, width=16)
)


@given(CLOUD)
def test_cosines_are_those_of_scikit_learn(rows: np.ndarray) -> None:
    assert np.allclose(cosines(rows, rows[::-1]), cosine_similarity(rows, rows[::-1]), atol=1e-12)
    assert np.allclose(np.linalg.norm(directions(rows), axis=1), (np.abs(rows).sum(1) > 0).astype(float))


@given(CLOUD, st.data())
def test_neighbours_are_the_largest_cosines_without_the_token_itself(
    rows: np.ndarray, data: st.DataObject
) -> None:
    of = data.draw(st.integers(0, len(rows) - 1))
    among = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True)), np.int64)
    found = neighbours(rows, of, among, 3)
    cosine = cosines(rows, rows)[of]
    others = [i for i in among.tolist() if i != of]
    assert [round(c, 9) for _, c in found] == [round(c, 9) for c in sorted(cosine[others], reverse=True)[:3]]
    assert all(i in others and c == pytest.approx(cosine[i]) for i, c in found)


@settings(deadline=None)
@given(st.integers(3, 30), st.integers(2, 8), st.integers(0, 99))
def test_the_plane_is_that_of_scikit_learn(rows: int, width: int, seed: int) -> None:
    cloud = np.random.default_rng(seed).normal(size=(rows, width)) * np.arange(1, width + 1) + 5
    wanted = PCA(2).fit(cloud)
    flat = plane(cloud)
    assert np.allclose(np.abs(flat.points), np.abs(wanted.transform(cloud)), atol=1e-6)
    assert np.allclose(flat.shares, wanted.explained_variance_ratio_)
    assert np.allclose(plane(cloud + 3).points, flat.points), "the mean is taken off, and the sign is fixed"


def test_the_plane_of_few_points_or_equal_ones_is_flat_not_broken() -> None:
    for cloud in (np.ones((4, 3)), np.ones((1, 3)), np.arange(5.0)[:, None]):
        flat = plane(cloud)
        assert (
            flat.points.shape == (len(cloud), 2)
            and np.isfinite(flat.points).all()
            and (flat.points[:, 1] == 0).all()
        )


def test_chance_is_what_random_vectors_have() -> None:
    draw = np.random.default_rng(5)
    for rows, width in ((50, 8), (2000, 64)):
        cloud = draw.normal(size=(rows, width))
        measured = np.mean([neighbours(cloud, i, np.arange(rows), 1)[0][1] for i in range(50)])
        assert by_chance(rows - 1, width) == pytest.approx(measured, abs=0.03)
    assert by_chance(0, 4) == 0


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences whose label one of eight words decides, four a mood; runs on them beside."""
    folder = tmp_path_factory.mktemp("moods")
    draw = np.random.default_rng(0)
    with (folder / "moods.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(600):
            filler = draw.choice(["the", "phone", "case", "was", "and", "it", "sound"], 5)
            word = draw.choice((GOOD, BAD)[number % 2])
            writer.writerow([f"{' '.join(filler)} {word} {number % 9} .", ("good", "bad")[number % 2]])
    keys = {"model.width": 16, "batch": 16, "evaluate_every": 50, "dtype": "float32", "device": "cpu"}
    run = train(
        data=str(folder / "moods.csv"), model="bag", lr=0.02, budget="200steps", runs=str(folder / "runs"),
        talk=Heard(), **keys,
    )  # fmt: skip
    assert run is not None
    return folder


def test_words_of_one_mood_lie_together(moods: Path) -> None:
    found = unrolled.inspect(words=["good", "Awful"], count=3, runs=str(moods / "runs"))
    assert {n.token for n in found.neighbours["good"]} == set(GOOD) - {"good"}
    assert {n.token for n in found.neighbours["awful"]} == set(BAD) - {"awful"}
    assert all(n.cosine > found.chance for near in found.neighbours.values() for n in near)
    first = [n.cosine for n in found.neighbours["good"]]
    assert first == sorted(first, reverse=True) and 0.5 < sum(found.shares) <= 1
    page = Path(found.page).read_text("utf-8")
    assert Path(found.page) == Run.open("@last", moods / "runs").path / PAGE
    assert "asked for" in page and "lovely" in page and not re.search(r"""(src|href)=["']?https?:""", page)


def test_without_words_the_closest_frequent_tokens_are_listed(moods: Path, tmp_path: Path) -> None:
    found = unrolled.inspect("@last", "embeddings", runs=str(moods / "runs"), out=str(tmp_path))
    assert Path(found.page) == tmp_path / PAGE and len(found.neighbours) == 12
    firsts = [near[0].cosine for near in found.neighbours.values()]
    assert firsts == sorted(firsts, reverse=True)
    assert set(list(found.neighbours)[:6]) <= {*GOOD, *BAD}
    page = (tmp_path / PAGE).read_text("utf-8")
    assert "unknown&gt;" not in page and "end&gt;" not in page and found.mapped == found.tokens - 2
    codec = Run.open("@last", moods / "runs").model().task.codec
    assert telling("good", codec) and not telling(".", codec)


def test_a_model_that_writes_has_a_table_too(place: Path, tmp_path: Path) -> None:
    run = tiny(place, tmp_path)
    data = (place / "tunes.abc").read_text("utf-8")
    found = unrolled.inspect(run, words=["X", "\n"], count=4)
    assert set(found.neighbours) == {"X", "\n"} and found.width == run.model().embedder.width
    page = Path(found.page).read_text("utf-8")
    assert "↵" in page and found.notes == []
    model = run.model()
    ranked = [model.task.codec.token_text(token) for token in frequent(run, model, [])]
    assert ranked[:5] == [letter for letter, _ in Counter(data).most_common(5)] and len(ranked) == len(
        set(ranked)
    )
    every = unrolled.inspect(run, "embeddings")
    assert 0 < len(every.neighbours) <= 12 and every.mapped == min(200, every.tokens - 1)
    (place / "tunes.abc").unlink()
    try:
        assert "the data can't be read" in unrolled.inspect(run, "embeddings").notes[0]
    finally:
        (place / "tunes.abc").write_text(data, encoding="utf-8")


def test_byte_pairs_are_found_with_the_space_before_them(place: Path, tmp_path: Path) -> None:
    (tmp_path / "prose.txt").write_text(
        "the whale saw the ship and the ship saw the whale\n" * 400, encoding="utf-8"
    )
    run = tiny(place, tmp_path / "runs", data=str(tmp_path / "prose.txt"), codec="bpe", budget="2steps")
    assert list(unrolled.inspect(run, words=["whale"]).neighbours) in ([" whale"], ["whale"])
    with pytest.raises(
        UserError, match=r"'whalesaw' is not one of this run's .* tokens\. It is made of 'whal"
    ):
        unrolled.inspect(run, words=["whalesaw"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["words=goood"], "'goood' is not one of this run's 27 tokens. Did you mean 'good'?"),
        (["@last", "embedings"], "Did you mean 'embeddings'?"),
        (["nobody"], "no run is called 'nobody'"),
        (["count=0"], "count"),
    ],
)
def test_mistakes_are_told(
    moods: Path, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *argv, f"runs={moods / 'runs'}"]) == 2
    assert message in capsys.readouterr().err


def test_a_run_that_reads_numbers_has_no_table(tmp_path: Path) -> None:
    run = train(data="digits", budget="1steps", runs=str(tmp_path), talk=Heard(), **{"model.width": 8})
    with pytest.raises(
        UserError, match=r"embeddings: not of .*: it reads numbers \(.*It has: gradients, memory"
    ):
        unrolled.inspect(run, "embeddings")


def test_the_command_prints_neighbours_one_document_or_the_page(
    moods: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["inspect", "@last", "embeddings", "words=good,bad", "count=3", f"runs={moods / 'runs'}"]
    assert main(keys) == 0
    out, err = capsys.readouterr()
    assert re.match(r"good  \w+ 0\.\d\d  \w+ 0\.\d\d  \w+ 0\.\d\d\nbad   ", out) and err.startswith("run ")
    assert main([*keys, "--json", "-q"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verb"] == "inspect" and len(document["neighbours"]["bad"]) == 3
    assert document["neighbours"]["bad"][0]["token"] in BAD
    assert main([*keys, "-q"]) == 0
    assert capsys.readouterr().out.strip() == document["page"] and Path(document["page"]).is_file()
