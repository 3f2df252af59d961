"""Readers and shipped samples: exact text, bounded pieces, and every kind of bad input answered in words."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.datasets import decoding
from unrolled.datasets.decoding import PIECE
from unrolled.datasets.look import look
from unrolled.datasets.readers import describe, read_abc, records
from unrolled.datasets.samples import FOLDER, listing, names, resolve
from unrolled.errors import UserError


def put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def whole(path: Path) -> str:
    return "".join(record["text"] for record in records(path))


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        list(records(path))
    return str(caught.value)


# --- shipped samples


def test_the_samples_are_the_ones_their_licences_name() -> None:
    table = re.findall(
        r"^\| `([^`]+)`.*\| `([0-9a-f]{64})` \|$", (FOLDER / "LICENSES.md").read_text(), re.MULTILINE
    )
    assert len(table) == 15
    for name, digest in table:
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_irish_is_804_tunes_whose_records_join_to_the_file() -> None:
    path = resolve("irish")
    found = list(records(path))
    assert len(found) == 804
    assert whole(path) == path.read_bytes().decode()
    assert all(record["text"].startswith("X:") and "continues" not in record for record in found)
    lines = path.read_text().split("\n")
    for record in found[::97]:
        name, _, line = record["origin"].partition(":")
        assert name == "irish.abc" and lines[int(line) - 1] == record["text"].split("\n")[0]


def test_moby_dick_is_one_document_in_pieces() -> None:
    path = resolve("moby_dick")
    found = list(records(path))
    assert [bool(record.get("continues")) for record in found] == [False, True][: len(found)]
    assert "".join(r["text"] for r in found) == gzip.decompress(path.read_bytes()).decode()
    assert describe(path) == "moby_dick.txt.gz: plain text, a file is a document"


def test_names_listing_and_sets_of_several_files() -> None:
    assert {"irish", "moby_dick", "japanese_vowels", "cmudict"} <= set(names())
    assert {name: what for name, what, _ in listing()}["irish"].startswith("Irish traditional tunes")
    assert resolve("japanese_vowels").name == "japanese_vowels.*"
    assert "no reader" in refusal(resolve("spoken_digits"))


def test_unknown_and_missing_data_name_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown data 'irsh'.*Did you mean 'irish'.*moby_dick"):
        resolve("irsh")
    put(tmp_path / "novel.txt", "text")
    with pytest.raises(UserError, match=r"no such file or folder. Did you mean .*novel\.txt\?"):
        resolve(str(tmp_path / "novle.txt"))
    with pytest.raises(UserError, match="no folder"):
        resolve(str(tmp_path / "nowhere" / "novel.txt"))
    with pytest.raises(UserError, match="data is empty"):
        resolve(" ")
    assert "no file matches" in refusal(tmp_path / "*.abc")


def test_a_pipe_and_a_link_to_nothing_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert "a pipe or a device" in refusal(tmp_path / "pipe.txt")
    (tmp_path / "link.txt").symlink_to("gone.txt")
    assert "a link to gone.txt, which is not there" in refusal(tmp_path / "link.txt")


# --- exact text


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_plain_text_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = put(tmp_path_factory.mktemp("plain") / "a.txt", text)
    if not text.strip():
        assert "empty" in refusal(path)
    elif not text.startswith("\ufeff") and not any(re.match(s, text.encode()) for s in decoding.SIGNATURES):
        assert whole(path) == text


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["X:1\n", "T:a\r\n", "abc|\n", "\n", "X", ":", "d X:|\n", "%c\n"]), max_size=30)
)
def test_abc_records_join_to_the_file_and_begin_with_x(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    text = "X:1\n" + "".join(lines)
    path = put(tmp_path_factory.mktemp("abc") / "a.abc", text)
    found = list(records(path))
    assert "".join(record["text"] for record in found) == text
    assert all(record["text"].startswith("X:") for record in found)
    assert len(found) == len(re.findall(r"(?m)^X:", text))


def test_abc_keeps_what_stands_before_the_first_tune(tmp_path: Path) -> None:
    path = put(tmp_path / "a.abc", "%abc-2.1\n\nX:1\nK:C\nabc|\n\nX:2\nK:C\ndef|\n")
    assert [r["text"][:8] for r in records(path)] == ["%abc-2.1", "X:2\nK:C\n"]


def test_abc_tunes_are_found_across_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = resolve("irish")
    expected = [record["text"] for record in records(path)]
    monkeypatch.setattr(decoding, "PIECE", 61)
    assert [record["text"] for record in read_abc(path)] == expected


def test_line_ends_and_the_byte_order_mark(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    (record,) = records(path)
    assert record["text"] == "one\r\ntwo\rthree\n"
    assert record["notes"] == ["a.txt: dropped the byte order mark at its start"]


def test_a_long_document_comes_in_bounded_pieces(tmp_path: Path) -> None:
    line = "a line of text, ä é, of no importance\n"
    text = line * (24 * PIECE // len(line))
    path = put(tmp_path / "long.txt", text)
    joined = hashlib.sha256()
    tracemalloc.start()
    pieces = 0
    for record in records(path):
        assert len(record["text"]) <= 2 * PIECE and record["text"].endswith("\n")
        assert bool(record.get("continues")) == (pieces > 0)
        joined.update(record["text"].encode())
        pieces += 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pieces >= 12 and peak < 12 * PIECE
    assert joined.hexdigest() == hashlib.sha256(text.encode()).hexdigest()


def test_a_long_document_without_lines_comes_in_pieces_too(tmp_path: Path) -> None:
    text = "ab" * (PIECE + 7)
    found = list(records(put(tmp_path / "long.txt", text)))
    assert len(found) > 1 and "".join(record["text"] for record in found) == text


def test_a_folder_reads_its_text_files_in_order_and_says_what_it_left_out(tmp_path: Path) -> None:
    put(tmp_path / "b.txt", "second\n")
    put(tmp_path / "a.md", "first\n")
    put(tmp_path / "sub" / "c.txt.gz", gzip.compress(b"third\n"))
    put(tmp_path / "empty.txt", "")
    put(tmp_path / ".hidden.txt", "no")
    put(tmp_path / "picture.png", b"\x89PNG")
    found = list(records(tmp_path))
    assert [r["text"] for r in found] == ["first\n", "second\n", "third\n"]
    assert [r["origin"] for r in found] == ["a.md:1", "b.txt:1", "sub/c.txt.gz:1"]
    notes = [note for r in found for note in r.get("notes", [])]
    assert any("left out 1 .png" in note for note in notes) and "empty.txt: empty, left out" in notes
    assert [r["text"] for r in records(tmp_path / "*.txt")] == ["second\n"]
    assert describe(tmp_path).endswith("4 files, plain text, a file is a document")


def test_what_is_left_out_behind_the_last_text_is_said_too(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "text\n")
    put(tmp_path / "z.txt", "")
    put(tmp_path / "zz.txt", " \n")
    (record,) = records(tmp_path)
    assert record["notes"] == ["z.txt: empty, left out", "zz.txt: empty, left out"]


def test_suffixes_in_capitals_and_prose_that_begins_like_a_sound_are_read(tmp_path: Path) -> None:
    assert whole(put(tmp_path / "UP.TXT.GZ", gzip.compress(b"text\n"))) == "text\n"
    assert whole(put(tmp_path / "a.txt", "RIFF and RAFF\n")) == "RIFF and RAFF\n"


# --- bad input


def test_an_empty_file_and_one_of_white_space(tmp_path: Path) -> None:
    assert "the file is empty (0 bytes)" in refusal(put(tmp_path / "a.txt", ""))
    assert "empty but for white space" in refusal(put(tmp_path / "b.txt", " \n\n"))
    assert "empty but for white space" in refusal(put(tmp_path / "b.abc", "\n"))
    assert "empty" in refusal(put(tmp_path / "c.txt.gz", gzip.compress(b"")))


def test_a_folder_of_empty_files(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "")
    put(tmp_path / "b.txt", "")
    assert "all 2 files are empty" in refusal(tmp_path)


def test_a_one_character_file_reads_but_cannot_be_looked_at(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "x")
    assert whole(path) == "x"
    with pytest.raises(UserError, match="the data holds 1 character; expected at least 100"):
        look(str(path))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"abc\ndef\0ghi", r":2: byte 7 is NUL, so this is a binary file"),
        (b"\xef\xbb\xbfabc\n\0", r":2: byte 7 is NUL"),
        (b"\x89PNG\r\n", "a PNG picture, not text"),
        (b"PK\x03\x04zip", "a zip archive"),
        (gzip.compress(b"text", mtime=0), r"gzip data \(give it a name ending in .gz\)"),
        ("text".encode("utf-16"), "UTF-16 text .byte order mark ff fe.*iconv -f UTF-16 -t UTF-8"),
        (b"\xfe\xff\0t", "UTF-16 text"),
        ("text".encode("utf-32"), "UTF-32 text"),
        (
            b"one\ntwo \xe9t\xe9\nthree\n\xe8\n",
            r":2: byte 0xe9 at offset 8 is not valid UTF-8. Also on line 4\. ",
        ),
        (b"RIFF\x24\x08\0\0WAVEfmt ", "a WAV or AVI file, not text"),
        (b"one \xe9 \xe9 \xe9\n", r":1: byte 0xe9 at offset 4 is not valid UTF-8. Probably"),
        (b"cut \xe2\x82", r":1: byte 0xe2 at offset 4 is not valid UTF-8"),
    ],
)
def test_what_is_not_utf8_text_is_named_with_its_place(tmp_path: Path, data: bytes, says: str) -> None:
    assert re.search(says, refusal(put(tmp_path / "a.txt", data)))


def test_the_bad_byte_behind_the_first_piece_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "PIECE", 7)
    path = put(tmp_path / "a.txt", "é€\n".encode() * 100 + b"\xff\n")
    assert ":101: byte 0xff at offset 600 is not valid UTF-8." in refusal(path)
    assert decoding.bad_places(path) == [(101, 600, 0xFF)]


def test_at_most_twenty_problems_of_a_file_are_listed(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", b"\xe9\n" * 50)
    assert len(decoding.bad_places(path)) == 20 and "and perhaps more" in refusal(path)


def test_all_bad_files_of_a_folder_are_listed_together(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "good text\n")
    put(tmp_path / "b.txt", b"\xff\xfe\0")
    put(tmp_path / "c.txt", b"bad \xe9")
    message = refusal(tmp_path)
    assert len(message.split("\n")) == 2 and "b.txt" in message and "c.txt:1" in message


def test_a_folder_without_text_says_what_is_there(tmp_path: Path) -> None:
    assert "found no files at all" in refusal(tmp_path)
    put(tmp_path / "a.png", b"\x89PNG")
    put(tmp_path / "b", b"x")
    assert "found 1 without suffix, 1 .png" in refusal(tmp_path)


def test_damaged_gzip_unknown_kind_and_abc_without_a_tune(tmp_path: Path) -> None:
    packed = gzip.compress(b"some text " * 1000)
    assert "not a whole gzip file" in refusal(put(tmp_path / "a.txt.gz", packed[:-20]))
    assert "not a whole gzip file" in refusal(put(tmp_path / "b.txt.gz", b"plain text"))
    assert "files ending in '.log' have no reader" in refusal(put(tmp_path / "a.log", "x"))
    assert "no line begins with 'X:'" in refusal(put(tmp_path / "a.abc", "abc|\n"))
    assert "no line begins with 'X:'" in refusal(put(tmp_path / "b.abc", "abc|\n" * PIECE))


def test_an_unreadable_file_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.txt", "text")

    def refuse(*_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read (Permission denied)" in refusal(path)


# --- look


def test_look_fits_a_screen_and_counts_right() -> None:
    found = look("irish")
    lines = found.text().split("\n")
    assert len(lines) <= 30 and max(map(len, lines)) <= 100 and "\033" not in found.text()
    assert (found.documents, found.characters, found.distinct, found.codec) == (804, 197618, 83, "abc")
    assert sum(number for _, _, number in found.lengths) == 804
    assert sum(documents for documents, _ in found.split.values()) == 804
    assert sum(characters for _, characters in found.split.values()) == 197618
    assert found.duplicates == 6 and "6 near-duplicate documents in 3 groups" in found.text()
    assert str(found) == found.text()


def test_look_at_a_few_files_shows_lines_and_notes(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "\ufeff" + "one two three four\n" * 30)
    put(tmp_path / "b.txt", "five\r\n" * 30)
    for n in range(5):
        put(tmp_path / f"empty{n}.txt", "")
    found = look(str(tmp_path))
    assert (found.measured, found.cut, found.codec, found.files) == ("line", True, "characters", 7)
    assert "byte order mark" in found.text() and "␣" in found.text()
    assert len(found.text().split("\n")) <= 30


def test_look_says_when_its_vocabulary_is_of_a_part_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "a.txt", "".join(f"line {n}\n" for n in range(1000)))
    assert "a run reads all" not in look(str(path)).text()
    monkeypatch.setattr("unrolled.datasets.decoding.PIECE", 1000)
    monkeypatch.setattr("unrolled.datasets.readers.PIECE", 1000)
    monkeypatch.setattr("unrolled.datasets.look.FITTED", 2000)
    found = look(str(path))
    assert 2000 <= found.fitted < 3000
    said = f"tokens of the first {found.fitted:,} characters (a run reads all)"
    assert said in found.text() and max(map(len, found.text().split("\n"))) <= 100


def test_nothing_here_imports_torch() -> None:
    code = (
        "import sys; from unrolled.datasets import look, split, samples, tokens, sampler, collate; "
        "look.look('irish'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0
