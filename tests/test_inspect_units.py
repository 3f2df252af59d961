"""Units that track a mark: planted ones are found, noise isn't, and a trained network has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_runs import Heard, tiny

import unrolled
from unrolled.errors import UserError
from unrolled.inspection.marks import marks
from unrolled.inspection.tracking import Read, best_unit
from unrolled.inspection.units import of_values
from unrolled.training.train import train


def read(values: np.ndarray, stretches: int = 8) -> Read:
    size = len(values) // stretches
    names = [("core.layers.0", "hidden", unit) for unit in range(values.shape[1])]
    return Read(["a"] * len(values), [n * size for n in range(stretches)], values, names)


def mark(steps: int = 1600) -> np.ndarray:
    """Places in lines of 10 to 70 characters."""
    lines = [np.arange(n) for n in np.random.default_rng(9).integers(10, 70, steps // 10)]
    return np.concatenate(lines)[:steps].astype(float)


def test_a_planted_unit_is_found_with_its_sign() -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(1600, 50))
    values[:, 17] = -mark() / 10 + draw.normal(size=1600)
    one = best_unit(read(values), "position", mark())
    assert one.unit == 17 and one.sign == -1 and one.p == pytest.approx(1 / 201)
    assert one.score > 0.7 > 0.4 > one.chance
    found = of_values(read(values), {"position": mark()})
    assert "tracks the position" in found.lead() and len(found.charts()) == 1 and len(found.shown) == 1
    assert "upside down" in (found.line.caption if found.line else "")


def test_noise_tracks_nothing() -> None:
    """In 40 draws, few reach what 5 % do by chance."""
    beyond = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        beyond += best_unit(read(draw.normal(size=(400, 20))), "m", draw.normal(size=400)).p <= 0.05
    assert beyond <= 6
    slow = np.cumsum(np.random.default_rng(1).normal(size=(1600, 30)), 0)
    slow -= np.linspace(0, 1, 1600)[:, None] * slow[-1]
    one = best_unit(read(slow), "m", np.cumsum(np.random.default_rng(2).normal(size=1600)))
    assert one.chance > 0.3, "slow series correlate by chance, and the turned marks know it"
    found = of_values(read(np.zeros((80, 3))), {"m": mark(80)})
    assert "No unit" in found.lead() and found.charts() == []
    assert "Nothing" in of_values(read(np.zeros((80, 3))), {}).lead()


def test_noise_tracks_none_of_many_marks() -> None:
    """Six marks, any of which would be told: in 40 draws of noise 2 are to be expected."""
    told = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        known = {f"m{n}": np.roll(mark(400), int(draw.integers(400))) for n in range(3)}
        known |= {f"n{n}": draw.normal(size=400) for n in range(3)}
        found = of_values(read(draw.normal(size=(400, 20))), known)
        told += "No unit" not in found.lead()
    assert told <= 5


def test_the_score_is_of_text_that_the_unit_was_not_chosen_on() -> None:
    values = np.random.default_rng(0).normal(size=(1600, 4))
    values[:800, 2] = mark()[:800]  # tracks it on the first half only
    one = best_unit(read(values), "m", mark())
    assert one.unit == 2 and one.score < 0.15


def test_marks_of_prose() -> None:
    text = 'He said:\n“Go (now). Then\ncome!” It\n\n"is'
    found = marks(list(text))
    at = {name: dict(zip(range(len(text)), values, strict=True)) for name, values in found.items()}
    assert at["position in the line"][0] == 1 and at["position in the line"][8] == 0
    assert [at["position in the word"][i] for i in range(5)] == [1, 2, 0, 1, 2]  # He sa
    quoted = "".join(c for c, inside in zip(text, found["inside quotes"], strict=True) if inside)
    assert quoted == '“Go (now). Then\ncome!"is'
    brackets = "".join(c for c, inside in zip(text, found["inside brackets"], strict=True) if inside)
    assert brackets == "(now"
    assert at["position in the sentence"][text.index("T")] == 2
    assert marks(["a"] * 50).keys() <= {
        "position in the line",
        "position in the word",
        "position in the sentence",
    }
    assert marks([]) == {}


def test_marks_of_tunes() -> None:
    text = 'X:1\nK:D\n"Am"A2|B2 c|\n'
    found = marks(list(text), music=True)
    header = "".join(c for c, inside in zip(text, found["inside a header line"], strict=True) if inside)
    assert header == ":1:D"
    assert found["position in the bar"][text.index("B")] == 1 and found["position in the bar"][2] == 0
    chord = "".join(c for c, inside in zip(text, found["inside quotes"], strict=True) if inside)
    assert chord == '"Am'
    whole = marks(
        ["X:", "1", "\n", "A2|"], music=True
    )  # tokens of several characters: what holds at their end
    assert whole["position in the bar"][-1] == 0


def test_a_network_trained_on_tunes_has_units_that_know_where_they_are(tmp_path: Path) -> None:
    run = train(
        data="irish", model="lstm", budget="150steps", runs=str(tmp_path), talk=Heard(), device="cpu", batch=16,
        length=64, evaluate_every=150, dtype="float32", **{"model.width": 64},
    )  # fmt: skip
    found = unrolled.inspect(run, "units")
    by_mark = {one.mark: one for one in found.found}
    for name in ("inside a header line", "position in the tune"):
        assert by_mark[name].score > 2 * by_mark[name].chance and by_mark[name].p < 0.01
    page = Path(found.page).read_text("utf-8")
    assert "tint-p" in page and Path(found.pictures[0]).read_text("utf-8").startswith("<svg")
    assert "correlation" in found.text()
    given = unrolled.inspect(run, "units", text="X:1\nT:A tune\nK:D\nABcd|efga|\n" * 20)
    assert given.found and given.notes == ["the text that was given"]


def test_it_is_of_runs_that_go_on_with_text(place: Path, tmp_path: Path) -> None:
    run = tiny(place, tmp_path, model="transformer", **{"model.width": 16, "model.layers": 1})
    assert unrolled.inspect(run, "units").units == 32, (
        "without a recurrent state the layers' outputs are looked at"
    )
    answers = train(
        data="digits", budget="1steps", runs=str(tmp_path / "b"), talk=Heard(), **{"model.width": 8}
    )
    with pytest.raises(UserError, match="doesn't go on with text"):
        unrolled.inspect(answers, "units")
