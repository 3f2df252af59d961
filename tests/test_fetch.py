"""Fetching public sets from a server of our own: whole or not at all, and what is said."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from set_files import of_files, refusal, sha, zipped

from unrolled.cli.main import main
from unrolled.datasets import fetch, samples, sets
from unrolled.datasets.fetch import get
from unrolled.datasets.holdings import located
from unrolled.datasets.inventory import inventory
from unrolled.datasets.rows import continues
from unrolled.datasets.sets import SetFile
from unrolled.errors import RunFailed

pytestmark = pytest.mark.usefixtures("cache")
PUBLIC = [name for name in sets.names() if not sets.named(name).generated]


class Source(http.server.BaseHTTPRequestHandler):
    """Answers by the path: a file as it is, cut off, of undeclared or too large size, or none."""

    files: dict[str, bytes] = {}
    asked: list[str] = []

    def do_GET(self) -> None:
        how, _, name = self.path.strip("/").partition("/")
        self.asked.append(self.path)
        data = self.files.get(name, b"")
        if how == "gone":
            self.send_error(404)
            return
        self.send_response(200)
        if how in ("whole", "short"):
            self.send_header("Content-Length", str(len(data)))
        if how == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if how == "chunked":  # breaks off before the chunk that says that it was the last
            self.wfile.write(f"{len(data):x}\r\n".encode() + data[: len(data) // 2])
        else:
            self.wfile.write(data[: len(data) // 2] if how == "short" else data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def source() -> Iterator[str]:
    """The address of a source on this machine."""
    Source.files, Source.asked = {"a.txt": b"text" * 50_000, "b.txt": b"more" * 10}, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Source)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def file_at(name: str, *url: str, **more: Any) -> SetFile:
    data = Source.files[name]
    return SetFile(name, **{"bytes": len(data), "sha256": sha(data), "url": url, **more})


def test_a_set_is_fetched_checked_and_kept(cache: Path, source: str) -> None:
    one = of_files(file_at("a.txt", f"{source}/whole/a.txt"), file_at("b.txt", f"{source}/open/b.txt"))
    said: list[str] = []
    dry = get(one, said.append, dry=True)
    assert not dry.here and not dry.fetched and not cache.exists() and not Source.asked
    assert "0.2 MB in 2 files" in said[2] and str(cache / "toy") in said[2]
    got = get(one, said.append)
    assert got.here and got.fetched == ["a.txt", "b.txt"] and got.folder == cache / "toy"
    assert {p.name: p.read_bytes() for p in got.folder.iterdir()} == Source.files
    assert os.listdir(cache) == ["toy"], "no temporary folder is left"
    again = get(one, said.append)
    assert again.here and not again.fetched and len(Source.asked) == 2
    (cache / "toy" / "b.txt").write_bytes(b"damaged")
    assert get(one, said.append).fetched and located(one)
    assert any("b.txt: not the file that is meant" in line for line in said)


@pytest.mark.parametrize(
    ("how", "more", "says"),
    [
        ("short", {}, r"cut off after 100,000 of 200,000 bytes"),
        ("chunked", {}, r"can't be fetched \(IncompleteRead"),
        ("gone", {}, r"the server answers 404 \(Not Found\)"),
        ("whole", {"sha256": sha(b"other")}, r"not the a.txt that is meant: its SHA-256"),
        ("whole", {"bytes": 199_999}, r"200,000 bytes or more where at most 199,999 were expected"),
        ("whole", {"bytes": 1000}, r"a.txt: 200,000 bytes or more where at most 1,000 were expected"),
        ("open", {"bytes": 1000}, r"where at most 1,000 were expected"),
    ],
)
def test_a_failed_download_leaves_nothing_behind(
    cache: Path, source: str, how: str, more: dict[str, Any], says: str
) -> None:
    good = file_at("b.txt", f"{source}/whole/b.txt")
    one = of_files(good, file_at("a.txt", f"{source}/{how}/a.txt", **more))
    with pytest.raises(RunFailed, match=says) as caught:
        get(one, lambda line: None)
    assert "Nothing was kept" in str(caught.value) and f"{source}/{how}/a.txt" in str(caught.value)
    assert os.listdir(cache) == []
    mended = of_files(good, file_at("a.txt", f"{source}/whole/a.txt"))
    assert get(mended, lambda line: None).fetched == ["b.txt", "a.txt"], "begins anew, and ends well"


def test_an_interrupted_download_leaves_nothing_behind(
    cache: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = of_files(file_at("a.txt", f"{source}/whole/a.txt"))

    def pressed(*_: Any) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "is_meant", pressed)
    with pytest.raises(KeyboardInterrupt):
        get(one, lambda line: None)
    assert os.listdir(cache) == []


def test_no_source_at_all_is_a_failed_run(cache: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    Source.files = {"a.txt": b"text"}
    one = of_files(file_at("a.txt", f"http://127.0.0.1:{port}/a.txt"))
    said = refusal(lambda: get(one, lambda line: None), RunFailed)
    assert "can't be fetched" in said and "Check the connection" in said and "UNROLLED_DATA" in said


def test_a_member_of_a_zip_and_the_next_address(cache: Path, source: str) -> None:
    wanted = {"T_TRAIN.ts": b"train", "T_TEST.ts": b"test"}
    Source.files = {
        **wanted,
        "new.zip": zipped({name: data + b"!" for name, data in wanted.items()}),
        "old.whl": zipped({f"package/data/T/{name}": data for name, data in wanted.items()}),
        "none.zip": zipped({"README": b"moved"}),
    }
    urls = tuple(f"{source}/whole/{name}" for name in ("new.zip", "none.zip", "old.whl"))
    one = of_files(*(file_at(name, *urls, packed=True) for name in wanted))
    got = get(one, lambda line: None)
    assert {p.name: p.read_bytes() for p in got.folder.iterdir()} == wanted
    assert len(Source.asked) == 3, "a zip that holds both is fetched once"
    bad = of_files(*(file_at(name, *urls[:2], packed=True) for name in wanted), folder="bad")
    (cache / "toy" / "T_TEST.ts").unlink()
    said = refusal(lambda: get(bad, lambda line: None), RunFailed)
    assert (
        "new.zip: not the T_TRAIN.ts that is meant" in said and "none.zip: no T_TRAIN.ts in this zip" in said
    )


def test_the_command_says_what_it_does(
    tmp_path: Path,
    cache: Path,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = Source.files["a.txt"]
    monkeypatch.setattr(sets, "FOLDER", tmp_path)
    (tmp_path / "toy.toml").write_text(
        'what = "toys"\nsource = "here"\nlicence = "CC0"\nsplit = "none"\nmetric = "bits"\nrecords = "text"\n'
        f'[[files]]\nname = "a.txt"\nbytes = {len(data)}\nsha256 = "{sha(data)}"\nurl = ["{source}/whole/a.txt"]\n'
    )
    assert main(["train", "data=toy", "--dry-run"]) == 2
    assert "unrolled data get toy" in capsys.readouterr().err
    assert main(["data", "get", "toy", "--dry-run"]) == 0 and not Source.asked
    out, err = capsys.readouterr()
    assert not out and "toys" in err and "licence: CC0; source: here" in err
    assert main(["data", "get", "toy", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["fetched"] == ["a.txt"] and f"{source}/whole/a.txt" in err
    assert main(["data", "get", "toy", "-q"]) == 0
    assert capsys.readouterr() == (f"{cache / 'toy'}\n", "")
    assert samples.resolve("toy") == cache / "toy" / "a.txt" and continues(samples.resolve("toy"))
    assert main(["data", "list"]) == 0
    assert any(
        line.split()[0] == "toy" and line.endswith("cache")
        for line in capsys.readouterr().out.splitlines()
        if line
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("irish", "ships with the package"),
        ("ball", "made here"),
        ("apt_en_fr", "no address"),
        ("mnits", "'mnist'"),
    ],
)
def test_what_can_not_be_got(name: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "get", name]) == 2
    assert says in capsys.readouterr().err


def test_the_list_has_three_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert [line[0] for line in out.splitlines() if line and not line.startswith(" ")] == ["s", "g", "p"]
    found = {one.name: one for one in inventory()}
    assert set(found) == {*samples.names(), *sets.names()} and all(
        one.what and one.licence for one in found.values()
    )
    assert found["spoken_digits"].licence == "CC BY-SA 4.0" and found["mnist"].here == ""
    assert Counter(one.group for one in found.values()) == {
        "shipped": len(samples.names()), "generated": 6, "public": len(PUBLIC),
    }  # fmt: skip
    assert main(["data", "list", "-q"]) == 0
    assert capsys.readouterr().out.splitlines() == list(found)
    assert main(["data", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sets"][0]["name"] == "air_passengers"
