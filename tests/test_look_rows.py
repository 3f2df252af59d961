"""`data look` on rows: what it says of shipped sets and of tables made here; and what is refused before torch."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from unrolled.cli.main import main
from unrolled.datasets import look_rows as looking
from unrolled.datasets.histogram import bars, histogram, ranges
from unrolled.datasets.look_rows import RowsLook, look_rows, sampled
from unrolled.datasets.precheck import precheck
from unrolled.datasets.samples import FOLDER, resolve
from unrolled.datasets.sketch import sparkline
from unrolled.datasets.understand import Asked
from unrolled.errors import UserError

READ = ("sentiment", "digits", "japanese_vowels", "spoken_digits")
UNREAD = ("air_passengers", "co2_weekly", "sunspots")


def looked(data: str) -> RowsLook:
    return look_rows(data, resolve(data))


def table(path: Path, rows: list[str], head: str = "text,label") -> str:
    path.write_text(head + "\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return str(path)


def sentences(count: int) -> list[str]:
    nouns = ("film", "phone", "place", "story", "food", "battery", "music")
    return [
        f"this {nouns[n % 7]} number {n} was {'good' if n % 2 else 'bad'} to me,{n % 2}" for n in range(count)
    ]


@pytest.mark.parametrize("data", READ)
def test_a_shipped_set_is_read_dealt_and_drawn(data: str) -> None:
    found = looked(data)
    assert found.reading is not None and found.dealt is not None and not found.open
    assert sum(found.dealt.parts.values()) + found.dealt.left == found.rows == found.looked
    assert found.dealt.seen and all(one.lines for one in found.dealt.seen)
    assert found.classes and sum(found.classes.values()) == found.rows
    assert max(map(len, found.text().splitlines())) <= 100


@pytest.mark.parametrize("data", UNREAD)
def test_a_set_without_a_task_says_so_and_offers_nothing_that_fails(data: str) -> None:
    found = looked(data)
    assert found.reading is None and found.dealt is None
    assert "task=forecast" in found.open and "unrolled train" not in found.text()
    assert max(map(len, found.text().splitlines())) <= 100


@pytest.mark.parametrize("data", ["verses_en_es", "cmudict"])
def test_pairs_are_read_dealt_and_drawn(data: str) -> None:
    found = looked(data)
    assert found.reading is not None and found.reading.task == "translate" and found.dealt is not None
    assert found.dealt.seen and all(one.lines for one in found.dealt.seen) and not found.classes
    assert max(map(len, found.text().splitlines())) <= 100


def test_texts_are_shown_with_their_borders_as_training_knows_them(tmp_path: Path) -> None:
    rows = [*sentences(60), "this zyzzyva was good to me,1"]
    seen = looked(table(tmp_path / "a.csv", rows[::-1])).dealt
    assert seen is not None and seen.seen[0].lines == ["this·[?]·was·good·to·me"]
    assert seen.seen[0].shape == (6,) and "1 of them unknown" in seen.seen[0].says


def test_a_sound_is_a_waveform_above_its_bands_in_one_time() -> None:
    dealt = looked("spoken_digits").dealt
    assert dealt is not None
    one = dealt.seen[0]
    steps, bands = one.shape
    assert bands == 40 and "log-mel" in one.says and f"{steps} steps" in one.says
    assert len(one.lines) == 9 and {len(line) for line in one.lines} == {min(steps, 92)}


def test_pictures_and_frames_are_shades(tmp_path: Path) -> None:
    for n in range(12):
        for name in (
            f"pictures/{'ab'[n % 2]}/{n}.png",
            *(f"films/{'ab'[n % 2]}/c{n}/{k}.png" for k in range(4)),
        ):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            grey = np.full((8, 8), 10 * n, np.uint8)
            grey[:, 4:] = 255
            Image.fromarray(grey).save(path)
    picture = looked(str(tmp_path / "pictures")).dealt
    film = looked(str(tmp_path / "films")).dealt
    assert picture is not None and film is not None
    assert picture.seen[0].lines == [" " * 8 + "█" * 8] * 8
    assert film.seen[0].shape == (4, 64) and film.seen[0].lines == [(" " * 8 + "█" * 8) * 3] * 8
    assert film.repeats.identical == 0 and picture.repeats.identical == 0


def test_a_picture_twice_is_a_repeat(tmp_path: Path) -> None:
    for n in range(20):
        path = tmp_path / "ab"[n % 2] / f"{n}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), min(n, 17), np.uint8)).save(path)
    found = looked(str(tmp_path)).dealt
    assert found is not None and found.repeats.identical == 2


def test_missing_values_are_dots_in_the_line() -> None:
    assert sparkline(np.array([0, 1, np.nan, 7])) == "▁▂·█"
    assert sparkline(np.array([np.nan])) == "·" and sparkline(np.ones(3)) == "▁▁▁"
    assert sparkline(np.repeat([0.0, 1, 2], 50), 3) == "▁▅█" and len(sparkline(np.arange(1000))) == 60


def test_repeats_and_leaks_are_told(tmp_path: Path) -> None:
    rows = [f"{row},u{n % 5},{'train' if n % 3 else 'test'}" for n, row in enumerate(sentences(90))]
    rows += ["this was it!,0,u1,train", "This was it,0,u1,test", "this was it!,0,u1,test"]
    data = table(tmp_path / "a.csv", rows, "text,label,user,split")
    found = looked(data)
    assert found.dealt is not None and (found.dealt.repeats.identical, found.dealt.repeats.alike) == (1, 1)
    assert {leak.kind for leak in found.dealt.leaks} >= {"identical", "id"}
    assert "leak: 5 values of the column 'user' stand in more than one part" in found.text()


def test_a_table_that_cannot_be_trained_on_is_looked_at_all_the_same(tmp_path: Path) -> None:
    found = looked(table(tmp_path / "a.csv", [f"word {n} is here,a" for n in range(30)]))
    assert found.dealt is None and "one class only" in found.open
    assert "It can't be trained on as it is" in found.text()


def test_many_rows_are_looked_at_in_part_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(looking, "COSTLY", 100)
    monkeypatch.setattr(looking, "sampled", lambda rows, asked: sampled(rows, 150, 1 << 30, asked))
    found = looked(table(tmp_path / "a.csv", sentences(1000)))
    assert found.rows == 1000 and 100 < found.looked <= 150
    assert set(found.classes) == {"0", "1"}, "every n-th row would be of one class"
    assert found.dealt is not None and found.dealt.rows == 100
    assert f"looked at {found.looked} of them, spread over all" in found.text()
    assert "tried with 100 rows, spread over all" in found.text()


@pytest.mark.parametrize(("most", "room"), [(100, 1 << 30), (1000, 10_000)])
def test_a_sample_is_spread_and_bounded(most: int, room: int) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for n in range(10_000):
            yield {"x": str(n), "notes": ["said"]} if n == 9999 else {"x": str(n)}

    held, total, notes = sampled(rows(), most, room)
    numbers = np.array([int(row["x"]) for row in held])
    assert total == 10_000 and notes == ["said"] and 30 <= len(held) <= min(most, 110)
    assert (np.diff(numbers) > 0).all() and numbers[0] < 1000 and numbers[-1] > 9000
    for period in (2, 3, 8):
        assert set(numbers % period) == set(range(period))
    assert sampled(rows(), most, room)[0] == held
    assert len(sampled(rows(), 10_000)[0]) == 10_000


@pytest.mark.parametrize(
    ("asked", "whole"),
    [(Asked(id="who"), True), (Asked(), False), (Asked(id=None, time="who"), False)],
)
def test_a_sample_keeps_the_steps_of_an_asked_sequence_together(asked: Asked, whole: bool) -> None:
    rows = ({"who": str(n // 7), "heat": str(n)} for n in range(7000))
    counts = Counter(row["who"] for row in sampled(rows, 500, asked=asked)[0])
    assert (set(counts.values()) == {7}) is whole and len(counts) < 1000


def test_bars_show_the_least_count_and_fit() -> None:
    drawn = bars([("a", 10_000), ("bb", 1), ("c", 0)])
    assert drawn[0].count("█") == 30 and "▏" in drawn[1] and drawn[2].split() == ["c", "0"]
    assert ranges(histogram(Counter({16: 1, 86: 2})), hundredths=True)[0] == ("0.10 to 0.19", 1)


def test_as_json_it_is_plain_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "look", "japanese_vowels", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["dealt"]["parts"] == {"train": 240, "valid": 30, "test": 370} and said["rows"] == 640
    assert said["dealt"]["seen"][0]["shape"][1] == 24


# --- what is refused before anything heavy is imported

TONE = np.sin(np.arange(4000) / 5)


def sound(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV")
    return file.getvalue()


def broken_sound(folder: Path) -> str:
    for n in range(12):
        (folder / "ab"[n % 2]).mkdir(exist_ok=True)
        (folder / "ab"[n % 2] / f"{n}.wav").write_bytes(sound(TONE / (n + 1)))
    (folder / "b" / "broken.wav").write_bytes(sound(TONE)[:3000])
    return str(folder)


def broken(folder: Path) -> dict[str, tuple[str, str]]:
    """Data -> what the refusal says."""
    (folder / "sounds").mkdir()
    split = [f"{row},train" for row in sentences(40)] + ["this is new,c,test"]
    (folder / "utf16.txt").write_text("text " * 100, encoding="utf-16")
    return {
        table(folder / "ragged.csv", ["a,b,c"]): r"ragged.csv:2",
        table(
            folder / "class.csv", [f"word {n} is here,a" for n in range(30)]
        ): "class.csv: .*one class only",
        table(folder / "two.csv", sentences(2)): "two.csv: ",
        table(
            folder / "new.csv", split, "text,label,split"
        ): "new.csv.*the class 'c' does not occur in training",
        broken_sound(folder / "sounds"): "broken.wav",
        str(folder / "utf16.txt"): "UTF-16",
        str(folder / "gone.csv"): "gone.csv",
    }


def test_broken_data_is_refused_by_the_precheck_in_words(tmp_path: Path) -> None:
    for data, says in broken(tmp_path).items():
        with pytest.raises(UserError, match=says):
            precheck(data, Asked())


MEASURED = """
import sys
from pathlib import Path
from unrolled.cli.main import main
for data in sys.argv[1:]:
    for verb in (["train"], ["data", "look"]):
        print(main([*verb, f"data={data}"]))
status = Path("/proc/self/status")
assert "torch" not in sys.modules
print(int(status.read_text().split("VmHWM:")[1].split()[0]) // 1024 if status.exists() else 0)
"""


def test_the_commands_refuse_it_without_torch_and_in_little_memory(tmp_path: Path) -> None:
    """`benchmarks/broken.py` asks for every kind of broken file that the tests know."""
    data = list(broken(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *data], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    *lines, peak = [line for line in done.stdout.splitlines() if line.isdigit()]
    assert len(lines) == 2 * len(data) and int(peak) <= 300
    looked_at = {
        str(tmp_path / name) for name in ("class.csv", "two.csv", "new.csv")
    }  # whole files, that say too little
    assert lines == [code for path in data for code in ("2", "0" if path in looked_at else "2")]


@pytest.mark.parametrize("data", [*READ, "irish"])
def test_what_ships_passes_the_precheck(data: str) -> None:
    precheck(data, Asked())


def test_a_large_table_is_read_in_part_only(tmp_path: Path) -> None:
    """What is broken far behind is left to the reading that follows: data isn't read twice."""
    rows = [*sentences(21_000), "one cell too many,1,2"]
    precheck(table(tmp_path / "a.csv", rows), Asked())
    with pytest.raises(UserError, match=r"a\.csv:21002"):
        looked(str(tmp_path / "a.csv"))


def test_every_shipped_set_has_a_look() -> None:
    """The largest two are looked at by the benchmark only."""
    names = {path.name.split(".")[0] for path in FOLDER.iterdir() if path.suffix in (".csv", ".gz", ".zip")}
    assert names <= {*READ, *UNREAD, "cmudict", "verses_en_es", "flights", "seattle_temps", "moby_dick"}


@pytest.mark.parametrize("head", ["image", "y", "label", "text"])
def test_one_column_alone_ends_in_words(head: str, tmp_path: Path) -> None:
    """Nothing is left to read once the one column is the answer; what could be asked is not asked for ever."""
    path = tmp_path / "one.csv"
    path.write_text(head + "\n" + "a\nb\n" * 20)
    done = subprocess.run(
        [sys.executable, "-m", "unrolled", "train", f"data={path}", "--dry-run"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "RecursionError" not in done.stderr and str(path) in done.stderr
