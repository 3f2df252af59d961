"""What one vector lets through: the grid of `reproduce bottleneck`, how it is judged, and what is written by length."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unrolled.comparison import bottleneck
from unrolled.comparison.board import Board
from unrolled.comparison.bottleneck import Cell, Grid
from unrolled.comparison.bottleneck_report import claims, write_report
from unrolled.comparison.reproduce import Reproduction, reproduce
from unrolled.datasets.pairs import Pairs
from unrolled.datasets.store import Ragged
from unrolled.errors import RunFailed
from unrolled.inspection.by_length import judge, places, written
from unrolled.model import Seq2Seq, build, paired

SMALL = Grid(widths=(8,), attentions=("none", "dot"), steps=2, words=300, longest=8, beyond=10, tested=12)


def cell(attention: str, width: int, exact: list[float], weights: int = 1000) -> Cell:
    return Cell(attention, width, weights, 4 * width, 1.0, exact, exact, [9] * 5)


def grid_of(changed: dict[tuple[str, int], list[float]]) -> list[Cell]:
    """A grid in which quality falls without attention and doesn't with it, but for what is changed."""
    usual = {"none": [0.99, 0.5, 0.1, 0.02, 0.0], "dot": [0.99, 0.98, 0.97, 0.96, 0.5]}
    return [
        cell(attention, width, changed.get((attention, width), usual.get(attention, usual["dot"])))
        for attention in bottleneck.ATTENTIONS
        for width in bottleneck.WIDTHS
    ]


def model_of(attention: str = "dot") -> Seq2Seq:
    torch.manual_seed(0)
    model = build(paired("gru", {"kind": "tokens", "vocabulary": 9}, 9, attention=attention, width=8))
    assert isinstance(model, Seq2Seq)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model.eval()


def pairs_of(count: int = 40) -> Pairs:
    draw = np.random.default_rng(0)
    sources = [draw.integers(1, 9, draw.integers(1, 8)) for _ in range(count)]
    return Pairs(Ragged.of(sources), Ragged.of(source[::-1] for source in sources))


def test_the_experiment_runs_and_goes_on_where_it_was_broken_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = reproduce("bottleneck", quick=True, runs=str(tmp_path), board=Board())
    assert isinstance(done, Reproduction) and len(done.figures) == 3 and not done.met
    assert "3 of 3 networks to train" in capsys.readouterr().err
    page = (done.path / "report.html").read_text("utf-8")
    assert "<svg" in page and "mean nothing" in page and "quick=true" in page
    assert (done.path / "bottleneck.svg").read_text("utf-8").startswith("<svg")
    kept = json.loads((done.path / "dot-16.json").read_bytes())
    assert kept["state"] > json.loads((done.path / "none-16.json").read_bytes())["state"] == 4 * 16
    (done.path / "reproduce.json").unlink()
    (done.path / "none-16.json").unlink()
    again = reproduce("bottleneck", quick=True, runs=str(tmp_path), board=Board())
    assert isinstance(again, Reproduction) and again.path == done.path
    assert "1 of 3 networks to train" in capsys.readouterr().err
    assert json.loads((done.path / "dot-16.json").read_bytes()) == kept
    new, lock = bottleneck._folder(bottleneck.QUICK, tmp_path, print)
    lock.release()
    assert new != done.path, "a finished one is left alone"


def test_a_cell_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"wrong attention, 8 units: .*score='wrong'.*kept"):
        bottleneck.measure(replace(SMALL, attentions=("wrong",)), tmp_path, 1, print)


def test_a_grid_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    path, lock = bottleneck._folder(SMALL, tmp_path, print)
    other, second = bottleneck._folder(SMALL, tmp_path, print)
    assert other != path
    for held in (lock, second):
        held.release()
    same, third = bottleneck._folder(replace(SMALL, seed=0), tmp_path, print)
    third.release()
    assert same in (path, other)
    different, fourth = bottleneck._folder(replace(SMALL, steps=3), tmp_path, print)
    fourth.release()
    assert different not in (path, other)


def test_a_process_finds_what_this_one_finds(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    path, (without, _) = bottleneck.measure(SMALL, tmp_path, 2, print)
    torch.manual_seed(1)
    same = bottleneck.train_cell(SMALL, "none", 8)
    torch.set_num_threads(threads)
    assert replace(same, seconds=0.0) == replace(without, seconds=0.0)
    assert sum(same.counts) == len(bottleneck.words(SMALL)[1]) and len(same.counts) == len(SMALL.stretches)


def test_words_are_turned_round_and_none_is_on_both_sides() -> None:
    train, test = bottleneck.words(SMALL)
    sources = [{tuple(row) for row in part.inputs} for part in (train, test)]
    assert not sources[0] & sources[1]
    assert all((a == b[::-1]).all() for a, b in zip(test.inputs, test.targets, strict=True))
    assert min(row.min() for row in train.inputs) >= 1 and max(row.max() for row in train.inputs) <= 26
    assert train.lengths.max() == SMALL.longest and test.lengths.max() > SMALL.longest
    assert SMALL.stretches == [(1, 2), (3, 4), (5, 6), (7, 8), (9, 12)]
    assert Grid().stretches[3:] == [(16, 20), (21, 30)]
    assert set(Grid().cells) == {(a, w) for a in bottleneck.ATTENTIONS for w in bottleneck.WIDTHS}


def test_each_claim_is_held_against_the_size_that_speaks_against_it() -> None:
    assert [claim.met for claim in claims(grid_of({}), Grid())] == [True, True, True]
    wide = grid_of({("none", 512): [0.99, 0.9, 0.8, 0.6, 0.1]})
    assert [claim.met for claim in claims(wide, Grid())] == [False, True, True]
    assert "state of 512" in claims(wide, Grid())[0].what
    fallen = grid_of({("additive", 128): [0.99, 0.95, 0.9, 0.85, 0.5]})
    assert [claim.met for claim in claims(fallen, Grid())] == [True, True, False]
    nothing = grid_of({("dot", 64): [0.0] * 5, ("none", 64): [0.0] * 5})
    assert [claim.met for claim in claims(nothing, Grid())] == [False, False, True]


def test_the_report_holds_every_cell(tmp_path: Path) -> None:
    page = write_report(tmp_path, grid_of({}), Grid(), False).read_text("utf-8")
    assert page.count("additive attention") >= 4 and "at most 2.0 %" in page and "reach 96.0 %" in page
    drawn = (tmp_path / "bottleneck.svg").read_text("utf-8")
    assert all(f"none, {width}" in drawn for width in bottleneck.WIDTHS) and "dot, all sizes" in drawn


def test_what_is_written_together_is_what_each_source_gets_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pairs = model_of(), pairs_of()
    together = written(model, pairs)
    monkeypatch.setattr("unrolled.inspection.by_length.ROWS", 1)
    assert written(model, pairs) == together and len(set(together)) > 5
    judged = judge(model, pairs)
    wanted = [tuple(row.tolist()) for row in pairs.targets]
    assert judged.exact.tolist() == [a == b for a, b in zip(together, wanted, strict=True)]
    assert judged.symbols.tolist() == [places(a, b) for a, b in zip(together, wanted, strict=True)]
    assert len(judged.within(2, 3)) == int(np.isin(pairs.lengths, (2, 3)).sum())


def test_places_are_counted_of_the_longer() -> None:
    assert places((1, 2, 3), (1, 2, 3)) == 1.0 == places((), ())
    assert places((1, 2), (1, 2, 3, 4)) == 0.5 == places((1, 2, 3, 4), (1, 2))
    assert places((2, 1), (1, 2)) == 0.0
