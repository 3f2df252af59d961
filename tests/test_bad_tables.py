"""Broken tables and series: each is a UserError with its file and line or row, quick and small in memory."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.datasets.readers import records
from unrolled.errors import UserError

TS = "@problemName a\n@timeStamps false\n@dimensions 2\n@classLabel true a b\n@data\n"
GOOD_TS = TS + "1,2:3,4:a\n"


def npz(**arrays: object) -> bytes:
    """An archive as numpy.savez writes it, object arrays included."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def packed(name: str, data: bytes) -> bytes:
    """A compressed archive of one member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def npy(declared: str, numbers: bytes = b"") -> bytes:
    """An array file with any header."""
    head = declared.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + numbers


def parquet(*columns: tuple[str, object], rows: int = 3) -> bytes:
    """A Parquet file of these columns."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as writer

    file = io.BytesIO()
    arrays = [pyarrow.array([value] * rows) for _, value in columns]
    writer.write_table(pyarrow.Table.from_arrays(arrays, names=[name for name, _ in columns]), file)
    return file.getvalue()


def flipped(data: bytes, begin: int, end: int) -> bytes:
    """The data with some bytes inverted."""
    return data[:begin] + bytes(byte ^ 0xFF for byte in data[begin:end]) + data[end:]


Case = tuple[str, "bytes | str | Callable[[], bytes]", str]

CSV: list[Case] = [
    ("empty.csv", "", r"empty\.csv: the file is empty \(0 bytes\)"),
    ("blank.csv", "\n \n\n", r"blank\.csv: the file holds nothing but blank lines"),
    ("header.csv", "text,label\n", r"header\.csv:1: only the names of columns \(text, label\)"),
    ("header2.csv", "\n\ntext,label\n\n", r"header2\.csv:3: only the names"),
    ("utf16.csv", "a,b\n1,2\n".encode("utf-16"), r"utf16\.csv: this is UTF-16 text.*iconv -f UTF-16"),
    ("latin.csv", "name,n\nJos\xe9,1\n".encode("latin-1"), r"latin\.csv:2: byte 0xe9 at offset 10"),
    ("cut.csv", b"name,n\nJos\xc3", r"cut\.csv:2: byte 0xc3"),
    ("nul.csv", b"a,b\n1,\x00\n", r"nul\.csv:2: byte 6 is NUL"),
    ("picture.csv", b"\x89PNG\r\n\x1a\n", r"picture\.csv: this is a PNG"),
    ("excel.csv", b"PK\x03\x04 sheet", r"excel\.csv: this is a zip archive or an office document"),
    ("packed.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), r"gzip data \(give it a name ending in \.gz\)"),
    ("plain.csv.gz", "a,b\n1,2\n", r"plain\.csv\.gz: not a whole gzip file"),
    ("short.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 99)[:-9], r"short\.csv\.gz: not a whole gzip file"),
    ("ragged.csv", "a,b\n1,2\n1\n1,2,3\n", r"ragged\.csv:3: 1 cells.*\n.*ragged\.csv:4: 3 cells where 2"),
    ("twice.csv", "text,n,text,n\nx,1,y,2\n", r"twice\.csv:1: column 3 .*'text' like column 1.*\n.*column 4"),
    (
        "unnamed.csv",
        ",text\n0,x\n",
        r"unnamed\.csv:1: column 1 of 2 has no name\. An index that pandas wrote",
    ),
    ("gap.csv", "text,,label\nx,1,a\n", r"gap\.csv:1: column 2 of 3 has no name"),
    ("open.csv", 'text,label\nx,a\n"y,b\nz,c\n', r"open\.csv:3: the quote that opens cell 1 is not closed"),
    ("late.csv", 'text,label\n"x\ny","b\nz\n', r"late\.csv:3: the quote that opens cell 2"),
    (
        "stray.csv",
        'text,label\n"x"y,a\n"x\n" z,b\n',
        r"stray\.csv:2: 'y,a' behind.*\n.*csv:4: ' z,b' behind.*1 line",
    ),
    ("quote.csv", '"', r"quote\.csv:1: the quote"),
    ("one.csv", "review\nI like it, much\n", r"one\.csv:2: 2 cells where 1 were expected"),
    ("many.csv", "a,b\n1,2\n" + "1\n" * 50, r"many\.csv:22: 1 cells.*\n\(there may be more"),
    ("short.tsv", "en\tes\na\n", r"short\.tsv:2: 1 cells where 2"),
    ("empty.tsv", "", r"empty\.tsv: the file is empty"),
]

JSON_LINES: list[Case] = [
    ("empty.jsonl", "", r"the file is empty \(0 bytes\)"),
    ("blank.jsonl", "\n\n", r"nothing but blank lines"),
    ("cut.jsonl", '{"a": 1}\n{"a": ', r"cut\.jsonl:2: no whole JSON object"),
    ("array.jsonl", '[{"a": 1}, {"a": 2}]\n', r"array\.jsonl:1: got \[.*jq -c"),
    ("pretty.jsonl", '{\n  "a": 1\n}\n', r"pretty\.jsonl:1: no whole.*\n.*:2: .*\n.*:3: "),
    ("scalar.jsonl", '{"a": 1}\n7\n', r"scalar\.jsonl:2: got 7, expected one JSON object"),
    ("twice.jsonl", '{"a": 1, "a": 2}\n', r"twice\.jsonl:1: the key 'a' stands there twice"),
    ("deep.jsonl", '{"a": 1}\n' + "[" * 100_000 + "\n", r"deep\.jsonl:2: .*nested too deeply"),
    ("nested.jsonl", '{"a": {"b": 1}}\n', r"nested\.jsonl:1: column 'a' holds an object"),
    ("ragged.jsonl", '{"a": [[1, 2], [3]]}\n', r"ragged\.jsonl:1: column 'a': .*unequal numbers.*\(1 to 2\)"),
    ("mixed.jsonl", '{"a": [1, "x"]}\n', r"mixed\.jsonl:1: column 'a': a list that holds int, str"),
    ("large.jsonl", '{"a": [1e300]}\n', r"large\.jsonl:1: column 'a': 1e\+300 is beyond"),
    ("digits.jsonl", '{"a": ' + "9" * 5000 + "}\n", r"digits\.jsonl:1: "),
    ("nothing.jsonl", '{"a": 1}\n{}\n', r"nothing\.jsonl:2: an empty object"),
    ("unnamed.jsonl", '{"": 1}\n', r"unnamed\.jsonl:1: a key without a name"),
    ("half.jsonl", '{"a": "\\ud800"}\n', r"half\.jsonl:1: half a surrogate pair"),
    ("nul.jsonl", b'{"a": "\x00"}\n', r"nul\.jsonl:1: byte 7 is NUL"),
    ("utf16.jsonl", '{"a": 1}'.encode("utf-16"), r"UTF-16 text"),
    ("latin.jsonl", b'{"a": "\xe9"}\n', r"latin\.jsonl:1: byte 0xe9"),
    ("plain.jsonl.gz", '{"a": 1}\n', r"not a whole gzip file"),
]

SERIES: list[Case] = [
    ("empty.ts", "", r"the file is empty \(0 bytes\)"),
    ("blank.ts", "\n# nothing\n", r"empty but for white space and comments"),
    ("cut.ts", "@problemName a\n@classLabel true a\n", r"cut\.ts: no line @data"),
    ("header.ts", TS, r"header\.ts:5: no series behind @data"),
    ("code.ts", "export const a = 1;\n", r"code\.ts:1: 'export const a = 1;' before any @data"),
    ("label.ts", GOOD_TS + "1:2:c\n1:2\n", r"label\.ts:7: the label 'c' .*\n.*ts:8: the label '2'"),
    ("half.ts", GOOD_TS + "1,2:3", r"half\.ts:7: the label '3' is not among"),
    ("unequal.ts", GOOD_TS + "1,2:3:a\n", r"unequal\.ts:7: its dimensions have unequal lengths \(1 to 2"),
    ("dimension.ts", GOOD_TS + "1,2:a\n", r"dimension\.ts:7: 1 dimensions where 2 were expected"),
    ("word.ts", GOOD_TS + "1,x:3,4:a\n", r"word\.ts:7: dimension 1: 'x' is no number"),
    ("gap.ts", GOOD_TS + "1,2:3,:a\n", r"gap\.ts:7: dimension 2: an empty value"),
    ("beyond.ts", GOOD_TS + "1,1e300:3,4:a\n", r"beyond\.ts:7: dimension 1: 1e\+300 is beyond"),
    ("stamps.ts", TS.replace("timeStamps false", "timeStamps true"), r"stamps\.ts:2: @timeStamps true"),
    ("stamp.ts", TS + "(0,1),(1,2):(0,1),(1,2):a\n", r"stamp\.ts:6: dimension 1 holds time stamps"),
    ("key.ts", "@dimenson 2\n@data\n1\n", r"key\.ts:1: unknown header line '@dimenson'"),
    ("twice.ts", "@dimensions 2\n@dimensions 3\n@data\n", r"twice\.ts:2: @dimensions stands there twice"),
    ("maybe.ts", "@missing maybe\n@dimensions x\n@univariate\n@data\n", r"maybe\.ts:1.*\n.*:2: .*\n.*:3: "),
    ("classes.ts", "@classLabel true\n@data\n1:a\n", r"classes\.ts:1: @classLabel true without classes"),
    ("equal.ts", "@equalLength true\n@data\n1,2\n1\n", r"equal\.ts:4: 1 values where 2 were expected"),
    ("utf16.ts", TS.encode("utf-16"), r"UTF-16 text"),
    ("nul.ts", b"@data\n1\x00\n", r"nul\.ts:2: byte 7 is NUL"),
    ("plain.ts.gz", GOOD_TS, r"not a whole gzip file"),
]

ARRAYS: list[Case] = [
    ("empty.npz", "", r"the file is empty \(0 bytes\)"),
    ("text.npz", "a,b\n1,2\n", r"text\.npz: its first bytes are b'a,b.*no \.npz archive"),
    ("array.npz", npy("{}"), r"array\.npz: a single \.npy array"),
    ("hollow.npz", npz(), r"hollow\.npz: no \.npy array inside"),
    ("other.npz", packed("a.txt", b"x"), r"no \.npy array inside \(found a\.txt\)"),
    ("cut.npz", npz(x=np.ones(99))[:-30], r"cut\.npz: a damaged \.npz archive"),
    ("flipped.npz", flipped(npz(x=np.ones(99)), 300, 330), r"flipped\.npz: a damaged .*CRC"),
    ("object.npz", npz(x=np.array([{}, 1], dtype=object)), r"array 'x': holds Python objects"),
    ("fields.npz", npz(x=np.zeros(3, "i4,f4")), r"array 'x': holds .*expected numbers"),
    ("complex.npz", npz(x=np.zeros(3, complex), y=np.zeros(3, "V3")), r"array 'x': .*\n.*array 'y': "),
    ("rows.npz", npz(x=np.ones((3, 4)), y=np.ones(2)), r"unequal numbers of rows: x \(3, 4\), y \(2,\)"),
    ("none.npz", npz(x=np.ones((0, 4))), r"none\.npz: no rows"),
    ("single.npz", npz(x=np.float32(1)), r"only single values inside \(x"),
    ("deep.npz", npz(x=np.ones((2, 3, 4, 5))), r"array 'x': has the shape \(2, 3, 4, 5\)"),
    (
        "split.npz",
        npz(x_train=np.ones(2), y_train=np.ones(2), x_test=np.ones(2)),
        r"train holds x_train.*test x_test",
    ),
    (
        "wide.npz",
        npz(x_train=np.ones((2, 4, 2)), x_test=np.ones((2, 4, 3))),
        r"train holds.*test x_test \(2, 4, 3\)",
    ),
    ("beyond.npz", npz(x=np.full((2, 2), 1e300)), r"1e\+300 is beyond"),
    ("head.npz", packed("x.npy", b"\x93NUMPY\x01"), r"array 'x': "),
    ("evil.npz", packed("x.npy", npy("__import__('os').abort()")), r"array 'x': "),
    (
        "shape.npz",
        packed("x.npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,)}", b"1" * 8)),
        r"array 'x': declares 7,999,999,999,992 bytes and holds 8: damaged",
    ),
    ("bomb.npz", lambda: packed("x.npy", bytes(300 << 20)), r"array 'x': declares .*decompression bomb"),
    ("x.npz.gz", gzip.compress(b"x"), r"an \.npz is packed inside already"),
]

PARQUET: list[Case] = [
    ("empty.parquet", "", r"the file is empty \(0 bytes\)"),
    ("text.parquet", "a,b\n1,2\n", r"its first bytes are b'a,b.*no Parquet file"),
    ("cut.parquet", lambda: parquet(("a", 1))[:-20], r"cut\.parquet: its last bytes .*cut short"),
    ("mark.parquet", b"PAR1", r"cut short"),
    ("hollow.parquet", b"PAR1PAR1PAR1", r"hollow\.parquet: damaged"),
    ("footer.parquet", lambda: flipped(parquet(("a", 1)), -60, -20), r"footer\.parquet: damaged"),
    ("length.parquet", lambda: parquet(("a", 1))[:-8] + b"\xff\xff\xff\x7fPAR1", r"length\.parquet: damaged"),
    (
        "page.parquet",
        lambda: flipped(parquet(("a", "text"), rows=999), 4, 30),
        r"page\.parquet: damaged.*row 0",
    ),
    ("rows.parquet", lambda: parquet(("a", 1), rows=0), r"rows\.parquet: no "),
    ("twice.parquet", lambda: parquet(("a", 1), ("a", 2)), r"column 2 is called 'a' like another"),
    ("unnamed.parquet", lambda: parquet(("", 1), ("b", 2)), r"column 1 has no name"),
    (
        "binary.parquet",
        lambda: parquet(("a", b"x"), ("b", {"c": 1})),
        r"no column that can be read \(found a: b",
    ),
    ("ragged.parquet", lambda: parquet(("a", [[1], [2, 3]])), r"ragged\.parquet: .*unequal numbers"),
    ("beyond.parquet", lambda: parquet(("a", [1e300])), r"beyond\.parquet: .*1e\+300 is beyond"),
    ("secret.parquet", b"PARE" + b"\0" * 20 + b"PARE", r"encrypted"),
    ("a.parquet.gz", gzip.compress(b"x"), r"Parquet is packed inside already"),
]

ALL = CSV + JSON_LINES + SERIES + ARRAYS + PARQUET


@pytest.mark.parametrize(("name", "data", "says"), ALL, ids=[name for name, _, _ in ALL])
def test_a_broken_file_is_answered_in_words(tmp_path: Path, name: str, data: Any, says: str) -> None:
    made = data() if callable(data) else data
    path = tmp_path / name
    path.write_bytes(made.encode() if isinstance(made, str) else made)
    begun = time.perf_counter()
    with pytest.raises(UserError) as caught:
        list(records(path))
    assert time.perf_counter() - begun < 2
    message = str(caught.value)
    assert re.search(says, message), message
    assert all(str(path) in line for line in message.split("\n")[:20]) and len(message) < 8000
    assert len(message.split("\n")) <= 21


def test_each_format_has_at_least_twelve() -> None:
    assert all(len(cases) >= 12 for cases in (CSV, JSON_LINES, SERIES, ARRAYS, PARQUET))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "v\n1\nNaN\ninf\n\n-Infinity\n"),
        ("mixed.csv", "a,b\n1,x\ny,2\n"),
        ("a.jsonl", '{"a": NaN}\n{"a": -Infinity}\n{"a": "x"}\n{"b": 1}\n'),
        ("a.ts", TS + "NaN,inf:?,1:a\n"),
        ("bom.jsonl", '\ufeff{"a": 1}\n'),
        ("bom.ts", "\ufeff" + GOOD_TS),
        ("old.csv", "a,b\r1,2\r"),
    ],
)
def test_what_is_legal_is_kept(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert list(records(tmp_path / name))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ts", ".npz", ".parquet"])
def test_folders_and_loops_in_place_of_files(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(UserError, match="no text and no table in this folder"):
        list(records(tmp_path / f"folder{suffix}"))
    (tmp_path / f"folder{suffix}" / "round").symlink_to(tmp_path)
    with pytest.raises(UserError, match="no text and no table"):
        list(records(tmp_path / f"folder{suffix}"))
    (tmp_path / f"loop{suffix}").symlink_to(tmp_path / f"loop{suffix}")
    with pytest.raises(UserError, match=r"a link to .*loop"):
        list(records(tmp_path / f"loop{suffix}"))


HUGE = """
import sys, time
from pathlib import Path
from unrolled.datasets.readers import records
from unrolled.errors import UserError
import pyarrow.parquet
for name in sys.argv[1:]:
    begun = time.process_time()
    try:
        for record in records(Path(name)):
            pass
        print(name, "was read")
    except UserError as error:
        print(f"{time.process_time() - begun:.2f}", str(error)[:300].replace(chr(10), " "))
status = Path("/proc/self/status")
print(int(status.read_text().split("VmHWM:")[1].split()[0]) // 1024 if status.exists() else 0)
"""


def test_large_broken_files_are_refused_soon_and_within_300_megabytes(tmp_path: Path) -> None:
    made = {
        "open.csv": 'a,b\n"' + "1,2\n" * 10_000_000,
        "line.csv": "a,b\n" + "1" * 60_000_000,
        "line.jsonl": '{"a": "' + "1" * 60_000_000,
        "bad.jsonl": '{"a": 1}\nx\n' + '{"a": 1}\n' * 4_000_000,
        "ragged.csv": "a,b\n1\n" + "1,2\n" * 10_000_000,
        "deep.jsonl": '{"a": ' + "[" * 10_000_000,
        "array.jsonl": json.dumps([{"a": 1}] * 400_000),
    }
    for name, text in made.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with gzip.open(tmp_path / "bomb.csv.gz", "wb", compresslevel=1) as file:
        for _ in range(200):
            file.write(bytes(b"1" * (1 << 20)))
    names = [str(tmp_path / name) for name in (*made, "bomb.csv.gz")]
    done = subprocess.run([sys.executable, "-c", HUGE, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    *lines, peak = done.stdout.splitlines()
    assert len(lines) == len(names), lines
    for name, line in zip(names, lines, strict=True):
        seconds, _, message = line.partition(" ")
        assert float(seconds) < 4 and name in message, (
            line
        )  # of processor time, whatever else the machine does
    assert int(peak) <= 300
