"""Named sets: their facts, where their files are found and how they are known, fetching them, and their records."""

from __future__ import annotations

import gzip
import io
import wave
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from set_files import idx, of_files, refusal, sha, zipped

from unrolled.cli.main import main
from unrolled.datasets import holdings, samples, sets, synthetic
from unrolled.datasets.holdings import cache_folder, here, is_meant, located
from unrolled.datasets.media import MediaFile, array_column
from unrolled.datasets.named_records import RECORDS, named_records, set_files
from unrolled.datasets.pixels import FrameVectors, Patches, Pixels
from unrolled.datasets.rows import Rows, continues, data_files
from unrolled.datasets.sets import DataSet, SetFile
from unrolled.errors import UserError

pytestmark = pytest.mark.usefixtures("cache")
PUBLIC = [name for name in sets.names() if not sets.named(name).generated]


# --- the table of facts


@pytest.mark.parametrize("name", sets.names())
def test_every_set_states_its_facts(name: str) -> None:
    one = sets.named(name)
    assert one.path.is_file() and sets.of(one.path) == one
    assert all((one.what, one.source, one.licence, one.split, one.metric))
    assert one.records in (*RECORDS, sets.TEXT)
    assert set(one.reads) <= {"task", "input", "target", "group"}
    for file in one.files:
        assert file.bytes > 0 and Path(file.name).name == file.name
        assert all(len(digest) == 64 and int(digest, 16) for digest in (file.sha256, file.inner) if digest)
        assert all(url.startswith("https://") for url in file.url)


def test_names_are_those_of_the_issue_and_hide_no_shipped_one() -> None:
    wanted = {
        "fsdd",
        "mnist",
        "GunPoint",
        "ItalyPowerDemand",
        "ArrowHead",
        "OSULeaf",
        "tinyshakespeare",
        "ball",
        "stress",
    }
    assert wanted <= set(sets.names())
    both = set(sets.names()) & set(samples.names())
    for name in both:  # then it is made of that very file
        assert samples.FOLDER / sets.named(name).options["shipped"] in samples.names()[name]
    assert len({name.lower() for name in sets.names()}) == len(sets.names())
    assert "Did you mean 'GunPoint'" in refusal(lambda: sets.named("gunpiont"))
    assert sets.of(Path("catalogue/ball.toml")) is None, "only the table's own folder stands for sets"


# --- where files are


def test_a_set_that_is_not_here_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(lambda: samples.resolve("fsdd"))
    assert (
        "unrolled data get fsdd" in said
        and "16.2 MB" in said
        and "UNROLLED_DATA" in said
        and "./" not in said
    )
    said = refusal(lambda: samples.resolve("summaries"))
    assert "no address" in said and "data get" not in said
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fsdd").mkdir()
    assert "write ./fsdd" in refusal(lambda: samples.resolve("fsdd"))
    assert samples.resolve("./fsdd") == Path("fsdd")
    assert "Did you mean 'mnist'" in refusal(lambda: samples.resolve("mnsit"))


@pytest.mark.parametrize("inside", ["toy/a.txt", "a.txt"])
def test_a_folder_of_sets_is_read_in_both_layouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    one = of_files(SetFile("a.txt", 4, sha(b"text")))
    path = tmp_path / "held" / inside
    path.parent.mkdir(parents=True)
    path.write_bytes(b"text")
    assert here(one) == ""
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path / "held"))
    assert located(one) == {"a.txt": path} and here(one) == "UNROLLED_DATA"
    path.write_bytes(b"texT")
    said = refusal(lambda: located(one))
    assert str(path) in said and "not the file that is meant" in said and sha(b"text") in said


def test_a_damaged_file_gives_way_to_a_whole_one_behind_it(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = of_files(SetFile("a.txt", 4, sha(b"text")))
    for folder, content in ((tmp_path / "held", b"bad!"), (cache / "toy", b"text")):
        folder.mkdir(parents=True)
        (folder / "a.txt").write_bytes(content)
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path / "held"))
    assert located(one)["a.txt"] == cache / "toy" / "a.txt"


def test_a_folder_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNROLLED_DATA", "/nowhere/at/all")
    assert main(["data", "get", "mnist"]) == 2
    assert "UNROLLED_DATA=/nowhere/at/all: no such folder" in capsys.readouterr().err


def test_the_cache_is_where_the_system_wants_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache" / "sets"
    monkeypatch.delenv("UNROLLED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/x")
    assert cache_folder() == Path("/var/x/unrolled/sets")
    for unusable in ("", "relative"):  # which the XDG specification wants ignored
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache_folder() == Path.home() / ".cache/unrolled/sets"


def test_a_package_that_ships_the_files_is_found_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "shipsets"
    data = package / "datasets" / "data" / "toy"
    data.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (data / "a.txt").write_bytes(b"text")
    one = of_files(SetFile("a.txt", 4, sha(b"text")), package="shipsets")
    assert here(one) == ""
    monkeypatch.syspath_prepend(package.parent)
    assert here(one) == "shipsets" and located(one)["a.txt"] == data / "a.txt"


def test_a_file_packed_anew_is_known_by_what_it_packs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.gz"
    meant = SetFile("a.gz", 9, sha(b"other"), inner=sha(b"text" * 1000))
    for level in (1, 9):
        path.write_bytes(gzip.compress(b"text" * 1000, level, mtime=level))
        assert is_meant(path, meant)
    monkeypatch.setattr(holdings, "UNPACKED", 3999)
    path.write_bytes(gzip.compress(b"text" * 1000, 5))
    assert not is_meant(path, meant), "no more is unpacked than the cap allows"
    monkeypatch.undo()
    path.write_bytes(gzip.compress(b"text" * 999))
    assert not is_meant(path, meant)
    path.write_bytes(gzip.compress(b"text" * 1000)[:-9])
    assert not is_meant(path, meant)


def test_a_zip_is_known_by_its_sounds_whatever_is_around_them(tmp_path: Path) -> None:
    sounds = {"recordings/0_a_0.wav": b"one", "recordings/1_a_0.wav": b"two"}
    path = tmp_path / "a.zip"
    inner = sha("".join(f"{sha(data)}  {name[11:]}\n" for name, data in sounds.items()).encode())
    meant = SetFile("a.zip", 9, sha(b"other"), inner=inner)
    around = {f"repository-master/{name}": data for name, data in reversed(sounds.items())}
    apart = {"z/0_a_0.wav": b"one", "b/1_a_0.wav": b"two"}
    for members in (sounds, {"README.md": b"words", **around}, apart):
        path.write_bytes(zipped(members, compression=zipfile.ZIP_DEFLATED))
        assert is_meant(path, meant)
    for members in ({**sounds, "recordings/1_a_0.wav": b"twO"}, {"recordings/0_a_0.wav": b"one"}, {}):
        path.write_bytes(zipped(members))
        assert not is_meant(path, meant)
    path.write_bytes(b"no zip")
    assert not is_meant(path, meant)


# --- records of names


def test_ball_is_deterministic_and_needs_no_file() -> None:
    path = samples.resolve("ball")
    read = Rows(path)
    rows, notes = list(read), read.notes
    assert (
        len(rows) == 1200
        and not notes
        and not continues(path)
        and data_files(path) == [sets.named("ball").path]
    )
    assert set(Counter(row["label"] for row in rows).values()) == {150}
    assert array_column(rows[0]["frames"]) == "frames"
    again = list(synthetic.ball(1200, 0))
    assert all(
        (a["frames"] == b["frames"]).all() and a["label"] == b["label"]
        for a, b in zip(rows, again, strict=True)
    )
    codec = FrameVectors().fit(row["frames"] for row in rows[:50])
    assert codec.encode(rows[0]["frames"]).shape == (16, 256)


def test_stress_is_cmudict_phone_by_phone() -> None:
    path = samples.resolve("stress")
    read = named_records(sets.named("stress"))
    first = next(read)
    assert first == {
        "word": "'bout", "phones": ["B", "AW", "T"], "stress": ["-", "1", "-"], "origin": "cmudict.tsv.gz:1",
    }  # fmt: skip
    with gzip.open(samples.FOLDER / "cmudict.tsv.gz", "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    rows = [first, *read]
    assert len(rows) == len(lines) == 126_052
    for line, row in zip(lines, rows, strict=True):
        marks = (mark.replace("-", "") for mark in row["stress"])
        spoken = " ".join(phone + mark for phone, mark in zip(row["phones"], marks, strict=True))
        assert line == f"{row['word']}\t{spoken}"
    phones = {phone for row in rows for phone in row["phones"]}
    vowels = {
        phone for row in rows for phone, mark in zip(row["phones"], row["stress"], strict=True) if mark != "-"
    }
    assert len(phones) == 39 and len(vowels) == 15  # ARPAbet
    assert not any(
        mark == "-"
        for row in rows
        for phone, mark in zip(row["phones"], row["stress"], strict=True)
        if phone in vowels
    )
    assert data_files(path) == [samples.FOLDER / "cmudict.tsv.gz"] and not continues(path)


def test_fsdd_is_split_as_its_makers_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(bytes(1600))
    names = [
        f"recordings/{digit}_{who}_{take}.wav"
        for digit in "01"
        for who in ("jo", "al")
        for take in (0, 4, 5, 49)
    ]
    made = {
        "README.md": b"words",
        **{f"x-master/{name}": sound.getvalue() for name in names},
        "x-master/odd.wav": b"",
    }
    path = tmp_path / "fsdd.zip"
    path.write_bytes(zipped(made))
    meant = SetFile("fsdd.zip", 1, sha(path.read_bytes()))
    rows = list(RECORDS["spoken"](of_files(meant), {"fsdd.zip": path}))
    assert len(rows) == 16 and [row["origin"] for row in rows[:4]] == [
        f"0_al_{take}.wav" for take in (0, 4, 49, 5)
    ]
    assert [row["split"] for row in rows[:4]] == ["test", "test", "train", "train"]
    assert Counter((row["label"], row["speaker"]) for row in rows) == dict.fromkeys(
        [("0", "al"), ("0", "jo"), ("1", "al"), ("1", "jo")], 4
    )
    assert rows[0]["sound"] == MediaFile(path, "x-master/recordings/0_al_0.wav")
    rows = list(RECORDS["spoken"](of_files(meant, options={"test": ["jo"]}), {"fsdd.zip": path}))
    assert {(row["speaker"], row["split"]) for row in rows} == {("jo", "test"), ("al", "train")}


def test_three_pairs_of_speakers_are_held_out_of_the_same_files() -> None:
    whole = sets.named("fsdd")
    pairs = [sets.named(name) for name in sets.names() if name.startswith("fsdd_")]
    held = [speaker for one in pairs for speaker in one.options["test"]]
    assert sorted(held) == ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    assert all(one.files == whole.files and one.folder == "fsdd" and one.records == "spoken" for one in pairs)
    assert all(one.split != whole.split and one.licence == whole.licence for one in pairs)


def at(tmp_path: Path, name: str, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> DataSet:
    """The set of this name with other contents: facts from the table, files made here."""
    one = sets.named(name)
    folder = tmp_path / "held" / one.folder
    folder.mkdir(parents=True)
    files = []
    for file, data in contents.items():
        (folder / file).write_bytes(data)
        files.append(SetFile(file, len(data), sha(data)))
    assert [file.name for file in files] == [file.name for file in one.files]
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path / "held"))
    made = DataSet(**{**vars(one), "files": tuple(files)})
    monkeypatch.setattr(sets, "named", lambda _: made)
    monkeypatch.setattr(sets, "of", lambda path: made if path == one.path else None)
    return made


def test_mnist_reads_row_by_row_or_as_patches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    contents = {}
    for stem, count in (("train", 6), ("t10k", 2)):
        pictures = draw.integers(0, 256, (count, 28, 28), np.uint8)
        contents[f"{stem}-images-idx3-ubyte.gz"] = gzip.compress(idx(pictures.shape, pictures.tobytes()))
        contents[f"{stem}-labels-idx1-ubyte.gz"] = gzip.compress(idx((count,), bytes(range(count))))
    at(tmp_path, "mnist", contents, monkeypatch)
    path = samples.resolve("mnist")
    rows = list(Rows(path))
    assert [row["split"] for row in rows] == ["train"] * 6 + ["test"] * 2
    assert [row["label"] for row in rows] == list("01234501")
    assert array_column(rows[0]["image"]) == "image"
    assert [file.name for file in data_files(path)] == list(contents)
    images = [row["image"] for row in rows]
    assert Pixels().fit(images).encode(images[0]).shape == (28, 28)
    assert Patches(patch=7).fit(images).encode(images[0]).shape == (16, 49)


def test_series_pairs_and_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = b"@problemName x\n@univariate true\n@classLabel true a b\n@data\n1,2,3:a\n4,5,6:b\n"
    made = at(
        tmp_path / "1", "GunPoint", {f"GunPoint_{part}.ts": series for part in ("TRAIN", "TEST")}, monkeypatch
    )
    rows = list(named_records(made))
    assert [(row["split"], row["label"], row["series"].shape) for row in rows] == [
        ("train", "a", (3, 1)), ("train", "b", (3, 1)), ("test", "a", (3, 1)), ("test", "b", (3, 1)),
    ]  # fmt: skip
    monkeypatch.undo()
    text = "".join(f"long {n}\tshort {n}\n" for n in range(2100))
    made = at(tmp_path / "2", "summaries", {"summaries.tsv.gz": gzip.compress(text.encode())}, monkeypatch)
    rows = list(named_records(made))
    assert Counter(row["split"] for row in rows) == {"train": 1800, "test": 200, "valid": 100}
    assert [rows[n]["split"] for n in (0, 99, 100, 199, 200, 2000)] == [
        "test",
        "test",
        "valid",
        "valid",
        "train",
        "test",
    ]
    assert rows[5] == {"long": "long 5", "short": "short 5", "origin": "summaries.tsv.gz:6", "split": "test"}
    monkeypatch.undo()
    made = at(
        tmp_path / "3",
        "exchange_rate",
        {"exchange_rate.txt.gz": gzip.compress(b"1,2,3,4,5,6,7,8\n" * 3)},
        monkeypatch,
    )
    rows = list(named_records(made))
    assert (
        [row["day"] for row in rows] == ["0", "1", "2"] and rows[0]["Singapore"] == "8" and len(rows[0]) == 10
    )
    (path,) = set_files(made)
    path.write_bytes(gzip.compress(b"1,2,3\n"))
    assert "not the file that is meant" in refusal(lambda: list(named_records(made)))
    with pytest.raises(UserError, match=r"exchange_rate.txt.gz:1: 3 cells where 8 were expected"):
        list(RECORDS["columns"](made, {path.name: path}))


def test_parallel_texts_keep_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {
        file.name: gzip.compress(f"{file.name[:-3]} one\n{file.name[:-3]} two\n".encode())
        for file in sets.named("multi30k").files
    }
    made = at(tmp_path, "multi30k", contents, monkeypatch)
    rows = list(named_records(made))
    assert [row["split"] for row in rows] == ["train"] * 2 + ["valid"] * 2 + ["test"] * 2
    assert (rows[3]["en"], rows[3]["de"]) == ("val.en two", "val.de two")
    files = {path.name: path for path in set_files(made)}
    files["val.de.gz"].write_bytes(gzip.compress(b"one\n"))
    with pytest.raises(
        UserError, match=r"val.en.gz:2: val.en.gz and val.de.gz have unequal numbers of lines"
    ):
        list(RECORDS["parallel"](made, files))


def test_the_digits_table_is_read_as_sixteen_patches() -> None:
    rows = list(Rows(samples.resolve("digits")))
    grids = [row["series"] for row in rows]
    codec = Patches().fit(grids[:1000])
    steps = codec.encode(grids[0])
    assert (steps.shape, codec.patch, codec.height, codec.width_pixels, codec.channels) == (
        (16, 4),
        2,
        8,
        8,
        1,
    )
    everything = np.concatenate([codec.encode(grid).reshape(-1) for grid in grids[:1000]])
    assert abs(everything.mean()) < 1e-3 and abs(everything.std() - 1) < 1e-3
    unscaled = steps * codec.deviation[0] + codec.mean[0]
    np.testing.assert_allclose(unscaled[1], grids[0][:2, 2:4].reshape(-1), atol=1e-4)
    np.testing.assert_allclose(unscaled[4], grids[0][2:4, :2].reshape(-1), atol=1e-4)
    assert Pixels().fit(grids).encode(grids[0]).shape == (8, 8)


@pytest.mark.parametrize(
    ("shape", "kind", "column"),
    [
        ((28, 28), np.uint8, "image"), ((28, 28, 3), np.uint8, "image"), ((9, 28, 28), np.uint8, "frames"),
        ((9, 28, 28, 3), np.uint8, "frames"), ((28,), np.uint8, "series"), ((8, 8), np.float32, "series"),
        ((28, 28), np.int64, "series"),
    ],
)  # fmt: skip
def test_bytes_of_two_dimensions_and_more_are_pictures(
    shape: tuple[int, ...], kind: type, column: str
) -> None:
    assert array_column(np.zeros(shape, kind)) == column


# --- the sets themselves, where a folder of them is named


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count", "split"),
    [
        ("fsdd", 3000, {"train": 2700, "test": 300}),
        ("fsdd_theo_yweweler", 3000, {"train": 2000, "test": 1000}),
        ("mnist", 70_000, {"train": 60_000, "test": 10_000}),
        ("multi30k", 31_014, {"train": 29_000, "valid": 1014, "test": 1000}),
        ("summaries", 61_382, {"train": 55_182, "valid": 3100, "test": 3100}),
        ("apt_en_fr", 65_201, {"train": 58_601, "valid": 3300, "test": 3300}),
        ("etth1", 17_420, {None: 17_420}),
        ("etth2", 17_420, {None: 17_420}),
        ("exchange_rate", 7588, {None: 7588}),
    ],
)
def test_the_real_files_are_the_ones_that_are_meant(
    name: str, count: int, split: dict[str | None, int], bench: None
) -> None:
    rows = list(Rows(samples.resolve(name)))
    assert len(rows) == count and Counter(row.get("split") for row in rows) == split
