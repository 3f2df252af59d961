"""Readers of tables and series, and the reshaping of their records: exact cells, streams, all shipped tables."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.datasets import assemble, decoding
from unrolled.datasets.assemble import gather, grid, group_rows, numbered, seconds
from unrolled.datasets.readers import describe, records
from unrolled.datasets.samples import names, resolve
from unrolled.datasets.values import number, sequence
from unrolled.errors import MissingExtra, UserError


def put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """The records without notes."""
    return [{key: value for key, value in record.items() if key != "notes"} for record in records(path)]


def notes(path: Path) -> list[str]:
    return [note for record in records(path) for note in record.get("notes", [])]


def plain(path: Path) -> list[list[Any]]:
    """Cells only."""
    return [[value for key, value in record.items() if key != "origin"] for record in read(path)]


# --- shipped tables


def shipped(name: str) -> Path:
    """The file itself: what a name stands for may be made of it."""
    (path,) = names()[name]
    return path


@pytest.mark.parametrize(
    ("name", "count", "first", "origin"),
    [
        ("air_passengers", 144, {"month": "1949-01", "passengers": "112"}, "air_passengers.csv:2"),
        ("co2_weekly", 2284, {"date": "1958-03-29", "co2_ppm": "316.1"}, "co2_weekly.csv.gz:2"),
        ("seattle_temps", 8759, {"time": "2010-01-01T00:00", "temperature": "39.4"}, "seattle_temps.csv:2"),
        ("sunspots", 309, {"year": "1700", "sunspots": "5"}, "sunspots.csv:2"),
        ("cmudict", 126052, {"c0": "'bout", "c1": "B AW1 T"}, "cmudict.tsv.gz:1"),
        ("sentiment", 3000, {"label": "negative", "source": "amazon"}, "sentiment.csv:2"),
        ("flights", 45081, {"id": "1", "time_s": "0", "track_deg": "292.4"}, "flights.csv.gz:2"),
        ("digits", 1797, {"label": "0", "p02": "5", "p77": "0"}, "digits.csv.gz:2"),
        ("verses_en_es", 4781, {}, "verses_en_es.tsv.gz:1"),
    ],
)
def test_shipped_tables_read(name: str, count: int, first: dict[str, str], origin: str) -> None:
    found = list(records(shipped(name)))
    assert len(found) == count
    assert found[0].items() >= {**first, "origin": origin}.items()
    assert all(isinstance(v, str) or v is None for r in found[:100] for k, v in r.items() if k != "notes")


def test_missing_cells_of_a_shipped_table_are_none() -> None:
    assert sum(record["co2_ppm"] is None for record in records(resolve("co2_weekly"))) == 59


def test_tables_without_names_say_so() -> None:
    assert ["first row is data" in note for note in notes(shipped("cmudict"))] == [True]
    assert ["first row is data" in note for note in notes(shipped("verses_en_es"))] == [True]
    assert notes(resolve("sentiment")) == []


def test_japanese_vowels_come_with_their_split() -> None:
    found = list(records(resolve("japanese_vowels")))
    assert Counter(record["split"] for record in found) == {"test": 370, "train": 270}
    assert set(Counter(record["label"] for record in found if record["split"] == "train").values()) == {30}
    assert {record["series"].shape[1] for record in found} == {12}
    lengths = [len(record["series"]) for record in found]
    assert (min(lengths), max(lengths)) == (7, 29) and found[0]["series"].dtype == np.float32
    with gzip.open(resolve("japanese_vowels").with_name("japanese_vowels.train.ts.gz"), "rt") as file:
        last = [line for line in file if line.strip()][-1].strip().split(":")
    train = [record for record in found if record["split"] == "train"]
    assert train[-1]["label"] == last[-1]
    assert train[-1]["series"][:, 11].tolist() == [np.float32(cell) for cell in last[11].split(",")]


# --- delimited text

CELLS = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(
    lambda cell: cell not in ("id", "b")
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from([1, 7, 1 << 20]),
)
def test_what_the_csv_module_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], quoting: Any, piece: int
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting).writerows([("id", "b"), *rows])
    path = put(tmp_path_factory.mktemp("csv") / "a.csv", text.getvalue())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PIECE", piece)
        found = read(path)
    assert [(r["id"], r["b"]) for r in found] == [tuple(cell or None for cell in row) for row in rows]
    lines = text.getvalue().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    last = int(found[-1]["origin"].partition(":")[2])
    assert last <= len(lines)


def test_quotes_line_breaks_and_empty_cells(tmp_path: Path) -> None:
    text = 'text,label\r\n"a, ""b""\r\nc", x \r\n,y\r\n5" disk,""\r\n'
    found = read(put(tmp_path / "a.csv", text))
    assert [(r["text"], r["label"], r["origin"]) for r in found] == [
        ('a, "b"\r\nc', " x ", "a.csv:2"),
        (None, "y", "a.csv:4"),
        ('5" disk', None, "a.csv:5"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_and_a_cut_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    path = put(tmp_path / "a.csv", end.join(["id,b", "1,2", '3,"4', '5"', "6,7"]))
    for piece in range(1, 12):
        monkeypatch.setattr(decoding, "PIECE", piece)
        found = [(r["id"], r["b"], r["origin"]) for r in records(path)]
        assert found == [("1", "2", "a.csv:2"), ("3", f"4{end}5", "a.csv:3"), ("6", "7", "a.csv:5")], piece


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_other_delimiters_are_found_and_said(tmp_path: Path, mark: str, word: str) -> None:
    path = put(tmp_path / "a.csv", f"name{mark}value\nmiller, j{mark}1,5\nx{mark}\n")
    assert [(r["name"], r["value"]) for r in records(path)] == [("miller, j", "1,5"), ("x", None)]
    assert notes(path) == [f"a.csv: read as cells cut by {word}, not commas"]


def test_a_byte_order_mark_blank_lines_and_reserved_names_are_said(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "\ufefforigin,notes\n\nUSA,good\n\nEU,bad\n\n")
    assert read(path)[1] == {"origin_": "EU", "notes_": "bad", "origin": "a.csv:5"}
    said = " / ".join(notes(path))
    assert "byte order mark" in said and "'notes' is called 'notes_'" in said and "left out 3 blank" in said


def test_a_blank_line_of_a_single_column_is_a_missing_value(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "value\n1\n\n3\n4\n\n\n")
    assert [(r["value"], r["origin"]) for r in records(path)] == [
        ("1", "a.csv:2"),
        (None, "a.csv:3"),
        ("3", "a.csv:4"),
        ("4", "a.csv:5"),
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1,2\n", ["a", "b"]),
        ("5.1,setosa\n4.9,setosa\n", ["c0", "c1"]),
        ("1,2\n3,4\n", ["c0", "c1"]),
        ("fine film,good\ndull,bad\nlong,good\n", ["c0", "c1"]),
        ("review,verdict\nfine film,good\ndull,bad\n", ["review", "verdict"]),
        ("label,0,1,2,3\na,5,5,5,5\n", ["label", "0", "1", "2", "3"]),
        ("city,1990,1991,1992,1993\nBonn,1,2,3,4\n", ["city", "1990", "1991", "1992", "1993"]),
        ("na,1\n2,3\n", ["c0", "c1"]),
        ("text,label\nso,a\ntext,label\n", ["text", "label"]),
        ("How do you like it?,Score\nA lot,x\nYou do,y\n", ["How do you like it?", "Score"]),
    ],
)
def test_a_first_row_is_names_or_data(tmp_path: Path, text: str, names: list[str]) -> None:
    assert [
        key for key in next(records(put(tmp_path / "a.csv", text))) if key not in ("origin", "notes")
    ] == names


def test_quotes_in_tab_separated_text_are_characters_unless_they_are_needed(tmp_path: Path) -> None:
    assert plain(put(tmp_path / "a.tsv", 'en\tde\n"Go!" he said\tGeh\n"Hi."\tHe\n')) == [
        ['"Go!" he said', "Geh"],
        ['"Hi."', "He"],
    ]
    assert plain(put(tmp_path / "b.tsv", 'en\tde\n"a ""b"""\tc\n')) == [['a "b"', "c"]]
    assert plain(put(tmp_path / "c.tsv", 'en\tde\n"a\tb"\tc\n')) == [["a\tb", "c"]]
    assert plain(put(tmp_path / "d.tsv", '"en"\t"de"\n"a"\t"b"\n')) == [["a", "b"]]


def test_a_long_table_streams(tmp_path: Path) -> None:
    row = "12,abc,3.5,some words that stand here\n"
    path = put(tmp_path / "a.csv", "id,b,c,text\n" + row * (12_000_000 // len(row)))
    tracemalloc.start()
    count = sum(1 for _ in records(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count > 300_000 and peak < 12_000_000


# --- JSON lines, Parquet, .ts, .npz


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {"text": "a\nb", "n": 1, "f": 0.5, "yes": True, "x": [1, None, 2.5]},
        {"text": None, "x": [], "xy": [[1, 2], [3, 4], [5, 6]], "tags": ["p", "q"], "origin": "EU"},
    ]
    path = put(tmp_path / "a.jsonl", "\n\n".join(map(json.dumps, rows)) + "\n")
    first, second = records(path)
    assert (first["text"], first["n"], first["f"], first["yes"]) == ("a\nb", 1, 0.5, True)
    np.testing.assert_array_equal(first["x"], np.array([1, np.nan, 2.5], np.float32))
    assert first["x"].dtype == np.float32 and second["x"].shape == (0,) and second["xy"].shape == (3, 2)
    assert second["n"] is None and second["tags"] == ["p", "q"]
    assert (second["origin"], second["origin_"]) == ("a.jsonl:3", "EU")
    assert notes(path) == ["a.jsonl: left out 1 blank lines"]
    assert read(put(tmp_path / "b.ndjson.gz", gzip.compress(b'{"a": NaN}'))) != []


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table(
        {
            "text": ["a", None, ""],
            "n": pa.array([1, 2, None], pa.int16()),
            "cat": pa.array(["u", "v", "u"]).dictionary_encode(),
            "when": pa.array([0, 86_400_000_000_001, None], pa.timestamp("ns")),
            "x": pa.array([[1, 2, 3], [None, 0.5], None], pa.list_(pa.float64())),
            "xy": [[[1.0, 2.0]], [], None],
            "raw": [b"1", b"2", b"3"],
            "tags": [["p"], ["q", "r"], []],
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    first, second, third = read(tmp_path / "a.parquet")
    assert (first["text"], first["n"], first["cat"], first["origin"]) == ("a", 1, "u", "a.parquet:1")
    assert (third["text"], third["n"], third["x"], third["when"]) == (None, None, None, None)
    assert second["when"].startswith("1970-01-02 00:00:00")
    np.testing.assert_array_equal(second["x"], np.array([np.nan, 0.5], np.float32))
    assert first["xy"].shape == (1, 2) and second["tags"] == ["q", "r"]
    assert notes(tmp_path / "a.parquet") == ["a.parquet: left out raw (binary)"]


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r'pip install "unrolled\[data\]"'):
        read(put(tmp_path / "a.parquet", b"PAR1" + b"\0" * 8 + b"PAR1"))


HEAD = "#made\n@problemName a\n@timeStamps false\n@univariate false\n"


def test_ts_targets_missing_values_and_unequal_lengths(tmp_path: Path) -> None:
    text = f"{HEAD}@targetLabel true\n@data\n1,?,3:4,5,NaN:0.5\n6:7:?\n"
    first, second = read(put(tmp_path / "Ab_TEST.ts", text))
    assert first["target"] == 0.5 and second["target"] is None and first["split"] == "test"
    np.testing.assert_array_equal(first["series"], np.array([[1, 4], [np.nan, 5], [3, np.nan]], np.float32))
    assert second["series"].shape == (1, 2) and second["origin"] == "Ab_TEST.ts:8"
    (unlabelled,) = read(put(tmp_path / "b.ts", "@univariate true\n@classLabel false\n@data\n1,2\n"))
    assert set(unlabelled) == {"series", "origin"}


def test_npz_rows_equal_the_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.datasets.arrays.BLOCK", 64)
    generator = np.random.default_rng(0)
    arrays = {
        "x": generator.normal(size=(23, 7)),
        "frames": np.asfortranarray(generator.normal(size=(23, 5, 2)).astype(np.float32)),
        "label": np.array(["", "yes", "no"])[generator.integers(3, size=23)],
        "byte": np.array([b"a", b"b\xc3\xa9"])[generator.integers(2, size=23)],
        "n": np.arange(23, dtype=">i4"),
        "day": np.arange("2020-01-01", "2020-01-24", dtype="datetime64[D]"),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", version=np.array("1"), **arrays)
        found = read(tmp_path / "a.npz")
        np.testing.assert_array_equal(
            np.stack([r["x"] for r in found]), arrays["x"][..., None].astype(np.float32)
        )
        np.testing.assert_array_equal(np.stack([r["frames"] for r in found]), arrays["frames"])
        assert [r["label"] or "" for r in found] == arrays["label"].tolist()
        assert [r["byte"].encode() for r in found] == arrays["byte"].tolist()
        assert [r["n"] for r in found] == list(range(23)) and found[0]["day"] == "2020-01-01"
        assert notes(tmp_path / "a.npz") == ["a.npz: left out version (a single value)"]


def test_npz_with_a_split(tmp_path: Path) -> None:
    pixels = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    np.savez(tmp_path / "m.npz", x_train=pixels, y_train=[7, 8], x_test=pixels[:1], y_test=[9])
    found = read(tmp_path / "m.npz")
    assert [(r["split"], r["y"], r["origin"]) for r in found] == [
        ("train", 7, "m.npz:train:1"),
        ("train", 8, "m.npz:train:2"),
        ("test", 9, "m.npz:test:1"),
    ]
    assert found[2]["x"].shape == (28, 28)


# --- folders


def test_a_folder_reads_its_texts_or_else_its_one_kind_of_table(tmp_path: Path) -> None:
    put(tmp_path / "README.md", "what this is")
    put(tmp_path / "one.csv", "a,b\n1,2\n")
    put(tmp_path / "sub" / "two.csv.gz", gzip.compress(b"a,b\n3,4\n"))
    assert [r["origin"] for r in read(tmp_path)] == ["one.csv:2", "sub/two.csv.gz:2"]
    assert notes(tmp_path) == [f"{tmp_path.name}: left out 1 .md"]
    assert describe(tmp_path).endswith("2 files, a table, a row is a record")
    put(tmp_path / "novel.txt", "some text")
    assert [set(r) for r in read(tmp_path)] == [{"text", "origin"}] * 2
    assert notes(tmp_path) == [f"{tmp_path.name}: left out 2 .csv"]


def test_a_folder_with_two_kinds_of_tables_is_never_guessed(tmp_path: Path) -> None:
    put(tmp_path / "one.csv", "a,b\n1,2\n")
    put(tmp_path / "two.jsonl", '{"a": 1}\n')
    for path in (tmp_path, tmp_path / "*"):
        with pytest.raises(UserError, match=r"several kinds \(1 \.csv, 1 \.jsonl\).*\*\.csv\*'"):
            read(path)


# --- reshaping


@pytest.mark.parametrize(
    ("columns", "stem", "count", "shape"),
    [
        ([f"p{n:02}" for n in range(64)], "p", 64, None),
        ([f"x{n}" for n in range(12, 0, -1)], "x", 12, None),
        ([f"t_{n}" for n in range(100)], "t_", 100, None),
        ([str(n) for n in range(5)], "", 5, None),
        ([f"p{r}{c}" for r in range(8) for c in range(8)], "p", 64, (8, 8)),
        ([f"{r}x{c}" for r in range(1, 29) for c in range(1, 29)], "", 784, (28, 28)),
    ],
)
def test_numbered_columns(columns: list[str], stem: str, count: int, shape: tuple[int, int] | None) -> None:
    shuffled = ["label", *random.Random(0).sample(columns, len(columns)), "q1"]
    found = numbered(shuffled)
    assert list(found) == [stem] and len(found[stem]) == count
    assert found[stem] == sorted(columns, key=columns.index, reverse=columns[0] == "x12")
    assert grid(found[stem]) == shape


@pytest.mark.parametrize(
    "columns",
    [["x1", "x2", "x3"], ["x1", "x2", "x4", "x5"], ["x1", "x01", "x2", "x3"], ["a", "b", "c", "d"]],
)
def test_too_few_gaps_and_doubles_are_no_series(columns: list[str]) -> None:
    assert numbered(columns) == {} and grid(columns) is None


def test_digits_become_series_in_reading_order() -> None:
    table = list(records(resolve("digits")))
    columns = numbered(table[0])["p"]
    assert grid(columns) == (8, 8)
    found = list(gather(iter(table), "p", columns))
    assert set(found[0]) == {"label", "series", "origin"} and found[0]["series"].shape == (64, 1)
    raw = np.loadtxt(resolve("digits"), delimiter=",", skiprows=1, dtype=np.float32)
    np.testing.assert_array_equal(np.stack([r["series"][:, 0] for r in found]), raw[:, 1:])


def test_gather_keeps_missing_cells_and_names_every_wrong_one(tmp_path: Path) -> None:
    row = {"origin": "a.csv:2", "x0": "1", "x1": None, "x2": "NA", "x3": "inf", "x4": 7}
    names = [f"x{n}" for n in range(5)]
    (found,) = gather([row], "x", names)
    np.testing.assert_array_equal(found["series"][:, 0], np.array([1, np.nan, np.nan, np.inf, 7], np.float32))
    wrong = [{**row, "x1": "1,5"}, {**row, "origin": "a.csv:3", "x2": "two", "x4": "1_0", "x0": "1e39"}]
    with pytest.raises(UserError) as caught:
        list(gather(wrong, "x", names))
    said = str(caught.value).split("\n")
    assert "a.csv:2: column 'x1': '1,5' is no number (a decimal comma? write a point)" in said[0]
    assert [line[:20] for line in said[1:]] == [
        "a.csv:3: column 'x0'",
        "a.csv:3: column 'x2'",
        "a.csv:3: column 'x4'",
    ]
    assert "float32" in said[1]


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-50, 50), st.floats(width=32)), min_size=1)


@settings(deadline=None)
@given(ROWS)
def test_grouping_is_sorting_by_id_and_time(rows: list[tuple[str, int, float]]) -> None:
    table = [
        {"origin": f"a.csv:{n}", "id": i, "t": str(t), "v": str(v), "kind": f"k{i}", "e": f"e{n}"}
        for n, (i, t, v) in enumerate(rows, 2)
    ]
    expected = {}
    for own in dict.fromkeys(i for i, _, _ in rows):
        mine = sorted((t, n, v) for n, (i, t, v) in enumerate(rows, 2) if i == own)
        expected[own] = ([v for _, _, v in mine], [f"e{n}" for _, n, _ in mine], f"k{own}")
    arguments: Any = ("id", "t", ["v"], ["kind"], ["e"])
    together = sorted(table, key=lambda row: row["id"])
    for given_rows in (table, lambda: iter(table), together, lambda: iter(together)):
        found = list(group_rows(given_rows, *arguments))
        result = {r["id"]: (r["series"], r["e"], r["kind"]) for r in found}
        assert set(result) == set(expected)
        for own, (values, events, kind) in expected.items():
            np.testing.assert_array_equal(result[own][0][:, 0], np.array(values, np.float32))
            assert result[own][1:] == (events, kind)


def test_ids_together_stream_and_apart_are_said() -> None:
    taken = 0

    def table() -> Any:
        nonlocal taken
        for n in range(1000):
            taken += 1
            yield {"origin": f"a:{n}", "id": n // 10, "t": n, "v": n}

    stream = group_rows(table, "id", "t", ["v"])
    next(stream)
    assert taken == 1000 + 11
    mixed = [{"origin": f"a:{n}", "id": n % 2, "t": n, "v": n} for n in range(6)]
    found = list(group_rows(mixed, "id", None, ["v"]))
    assert [r["series"][:, 0].tolist() for r in found] == [[0, 2, 4], [1, 3, 5]]
    assert found[0]["notes"] == ["a:2: the rows of id 0 do not stand together: all were held"]


def test_flights_are_400_tracks() -> None:
    path = resolve("flights")
    found = list(group_rows(lambda: records(path), "id", "time_s", ["lat", "lon"]))
    assert len(found) == 400 and {r["series"].shape[1] for r in found} == {2}
    lengths = [len(r["series"]) for r in found]
    assert (min(lengths), max(lengths), sum(lengths)) == (61, 180, 45081)


def test_a_long_table_with_wrong_rows_names_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"origin": "a:1", "id": "1", "t": "2020-01", "v": "1", "sex": "f"}
    wrong = [
        good,
        {**good, "origin": "a:2", "id": None},
        {**good, "origin": "a:3", "t": "soon"},
        {**good, "origin": "a:4", "t": None},
        {**good, "origin": "a:5", "v": "x"},
        {**good, "origin": "a:6", "sex": "m"},
        {**good, "origin": "a:7", "v": "-1e300"},
    ]
    for given_rows in (wrong, lambda: iter(wrong)):
        with pytest.raises(UserError) as caught:
            list(group_rows(given_rows, "id", "t", ["v"], ["sex"]))
        said = str(caught.value).split("\n")
        assert [line[:3] for line in said] == [f"a:{n}" for n in range(2, 8)]
        assert "'m', but 'f' at a:1" in said[4]
    monkeypatch.setattr(assemble, "MOST_VALUES", 5)
    with pytest.raises(UserError, match="Sort the file by 'id'"):
        list(group_rows([good] * 3, "id", "t", ["v"]))


def test_times_sort_as_numbers_or_dates() -> None:
    assert seconds("10") > seconds("9") and seconds("1970-01") == 0 and seconds("1970-01-02") == 86400
    assert seconds("2020-05-01T10:00+02:00") == seconds("2020-05-01 08:00Z")
    for wrong in ("1/2/2020", None, "nan", "inf", ""):
        with pytest.raises(ValueError, match="no time"):
            seconds(wrong)


def test_numbers_and_lists_in_words() -> None:
    assert number(" 1e3 ") == 1000 and np.isnan(number("N/A")) and number(True) == 1
    for wrong in ("one", "1_000", [1], 10**400):
        with pytest.raises(ValueError, match="no number|too large"):
            number(wrong)
    for items in ([1, "a"], [[1], [2, 3]], [["a"]], [[1], 2], [{}], [1e300], [[1e300]]):
        with pytest.raises(ValueError):
            sequence(items)
