"""Broken sound, images, videos, folders and zips: each answered in words, within 2 s and 300 MB, and by its header
alone where that is enough.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import wave
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unrolled.datasets import archives, images, sound
from unrolled.datasets.archives import member_bytes, members
from unrolled.datasets.folders import class_folder, load, media_records
from unrolled.datasets.images import image_header, read_frames, read_image
from unrolled.datasets.media import MediaFile
from unrolled.datasets.sound import read_sound
from unrolled.errors import MissingExtra, UserError

Build = Callable[[Path], Any]
TONE = (0.3 * np.sin(np.arange(8000) / 5)).astype(np.float32)


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def recording(kind: str = "WAV", samples: Any = TONE, rate: int = 8000, **settings: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, **settings)
    return file.getvalue()


def wav_header(
    channels: int = 1, rate: int = 8000, declared: int = 200, held: int = 200, bits: int = 16
) -> bytes:
    align = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * align, align, bits)
    return (
        b"RIFF" + struct.pack("<I", 36 + declared) + b"WAVEfmt " + struct.pack("<I", 16) + form
        + b"data" + struct.pack("<I", declared) + b"\1" * held
    )  # fmt: skip


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, rows: bytes = b"", depth: int = 8, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def picture(kind: str = "PNG", size: tuple[int, int] = (8, 8), mode: str = "L", **settings: Any) -> bytes:
    file = io.BytesIO()
    shades = (np.arange(size[0] * size[1]) ** 2 // 7 % 251).astype(
        np.uint8
    )  # nothing that packs to a few bytes
    drawn = Image.fromarray(shades.reshape(size[::-1])).convert(mode)
    drawn.save(file, kind, **settings)
    return file.getvalue()


def film() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 90, 200)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def locked() -> bytes:
    """A zip whose only member claims to be encrypted, in its own header and in the table of contents."""
    data = zipped({"a/1.wav": recording()})
    central = data.rindex(b"PK\x01\x02")
    return patched(patched(data, 6, b"\x01\x00"), central + 8, b"\x01\x00")


def lying(size: int) -> bytes:
    """A zip whose table of contents declares another unpacked size than its member has."""
    data = zipped({"a/1.wav": recording()})
    return patched(data, data.rindex(b"PK\x01\x02") + 24, struct.pack("<I", size))


def folder(root: Path, entries: dict[str, bytes]) -> Path:
    root.mkdir(exist_ok=True)
    for name, data in entries.items():
        put(root / name, data)
    return root


def linked(path: Path, target: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def a_pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def nan_at_5() -> Any:
    samples = TONE.copy()
    samples[5] = np.nan
    return samples


SOUNDS: dict[str, tuple[Build, str]] = {
    "missing": (lambda p: p / "x.wav", "cannot be read .No such file"),
    "empty": (lambda p: put(p / "x.wav", b""), "the file is empty .0 bytes"),
    "half a header": (lambda p: put(p / "x.wav", recording()[:20]), "without a data chunk in 20 bytes"),
    "cut short": (
        lambda p: put(p / "x.wav", recording()[:9000]),
        "promises 16,000 bytes of samples, the file has 8,956",
    ),
    "more declared than held": (
        lambda p: put(p / "x.wav", wav_header(declared=10**9)),
        "promises 1,000,000,000 .* has 200",
    ),
    "no channels": (
        lambda p: put(p / "x.wav", wav_header(channels=0)),
        "byte 20: the header declares 0 channels",
    ),
    "no rate": (lambda p: put(p / "x.wav", wav_header(rate=0)), "at 0 Hz"),
    "a rate of 1 Hz": (
        lambda p: put(p / "x.wav", wav_header(rate=1)),
        "1 samples a second. Expected 1,000 to",
    ),
    "no samples": (lambda p: put(p / "x.wav", wav_header(declared=0, held=0)), "a header and no samples"),
    "too many channels": (
        lambda p: put(p / "x.wav", wav_header(channels=200, declared=400, held=400)),
        "200 channels",
    ),
    "NaN": (
        lambda p: put(p / "x.wav", recording(samples=nan_at_5(), subtype="FLOAT")),
        "frame 5 is nan .1 such",
    ),
    "text": (
        lambda p: put(p / "x.wav", b"Not a sound at all, but words.\n"),
        "this is text, whatever its name",
    ),
    "a web page": (lambda p: put(p / "x.mp3", b"<!DOCTYPE html><html>404</html>"), "a download that failed"),
    "a picture": (lambda p: put(p / "x.wav", picture()), "this is a PNG picture"),
    "a pointer": (
        lambda p: put(p / "x.wav", b"version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "zeros": (lambda p: put(p / "x.wav", bytes(4000)), "nothing but zeros"),
    "an unknown magic": (lambda p: put(p / "x.wav", bytes(range(1, 9)) * 9), "begins with 01 02 03 04"),
    "a film": (lambda p: put(p / "x.wav", b"\0\0\0\x18ftypmp42" + bytes(90)), "this is a film"),
    "flac cut short": (lambda p: put(p / "x.flac", recording("FLAC")[:2000]), "damaged at frame"),
    "flac damaged": (
        lambda p: put(p / "x.flac", patched(recording("FLAC"), 2000, b"\xa5" * 300)),
        "damaged at frame",
    ),
    "flac of hours": (
        lambda p: put(p / "x.flac", patched(recording("FLAC"), 18, b"\x01\xf4\x02\xff\xff\xff\xff\xff")),
        "minutes., more than 33,554,432|no whole WAV",
    ),
    "ogg cut short": (lambda p: put(p / "x.ogg", recording("OGG")[:1700]), "no whole WAV, FLAC, OGG or MP3"),
    "mp3 cut short": (lambda p: put(p / "x.mp3", recording("MP3")[:1000]), "promises 8,000 frames"),
    "mp3 header alone": (lambda p: put(p / "x.mp3", recording("MP3")[:60]), "no whole WAV, FLAC, OGG or MP3"),
    "a folder": (lambda p: folder(p / "x.wav", {}), "a folder, not a file"),
    "a link to itself": (lambda p: linked(p / "x.wav", "x.wav"), "cannot be read .Too many levels"),
    "a link to nothing": (lambda p: linked(p / "x.wav", "gone.wav"), "cannot be read .No such file"),
    "a pipe": (lambda p: a_pipe(p / "x.wav"), "a pipe or a device"),
}

IMAGES: dict[str, tuple[Build, str]] = {
    "missing": (lambda p: p / "x.png", "cannot be read .No such file"),
    "empty": (lambda p: put(p / "x.png", b""), "the file is empty .0 bytes"),
    "text": (lambda p: put(p / "x.png", b"Not an image, but these words.\n"), "this is text"),
    "a web page": (lambda p: put(p / "x.jpg", b"<html><body>404 not found"), "a download that failed"),
    "a sound": (lambda p: put(p / "x.png", recording()), "this is a WAV sound"),
    "svg": (lambda p: put(p / "x.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "a web page or XML"),
    "zeros": (lambda p: put(p / "x.jpg", bytes(4000)), "nothing but zeros"),
    "0 pixels": (lambda p: put(p / "x.png", png(0, 5)), "damaged, or cut short"),
    "50,000 x 50,000": (lambda p: put(p / "x.png", png(50_000, 50_000)), "50000|2500000000|declares"),
    "9,000 x 9,000": (lambda p: put(p / "x.png", png(9_000, 9_000)), "declares 9,000 x 9,000 pixels"),
    "a bomb": (lambda p: put(p / "x.png", png(20_000, 20_000, bytes(10**7))), "20,?000|400000000"),
    "png cut short": (lambda p: put(p / "x.png", picture(size=(64, 64))[:120]), "damaged, or cut short"),
    "png header alone": (lambda p: put(p / "x.png", picture()[:20]), "damaged, or cut short"),
    "png with too few rows": (lambda p: put(p / "x.png", png(10, 10, bytes(30))), "image file is truncated"),
    "png with a wrong checksum": (
        lambda p: put(p / "x.png", patched(picture(), 20, b"\x09")),
        "damaged, or cut short",
    ),
    "jpeg cut short": (lambda p: put(p / "x.jpg", picture("JPEG", (64, 64))[:400]), "damaged, or cut short"),
    "jpeg header alone": (lambda p: put(p / "x.jpg", picture("JPEG")[:30]), "damaged, or cut short"),
    "gif cut short": (lambda p: put(p / "x.gif", picture("GIF", (64, 64))[:820]), "damaged, or cut short"),
    "bmp of 0 pixels": (lambda p: put(p / "x.bmp", patched(picture("BMP"), 18, bytes(8))), "x.bmp"),
    "several pictures": (lambda p: put(p / "x.gif", film()), "several pictures in one file"),
    "32-bit values": (lambda p: put(p / "x.tif", picture("TIFF", mode="F")), "32-bit values a pixel"),
    "pgm of 0 pixels": (lambda p: put(p / "x.pgm", b"P5 0 0 255\n"), "x.pgm: (damaged|0 x 0 pixels)"),
    "ppm of letters": (lambda p: put(p / "x.ppm", b"P6 many by several 255\n"), "damaged, or cut short"),
    "webp cut short": (lambda p: put(p / "x.webp", picture("WEBP", (64, 64))[:60]), "damaged, or cut short"),
    "a folder": (lambda p: folder(p / "x.png", {}), "a folder, not a file"),
    "a link to itself": (lambda p: linked(p / "x.png", "x.png"), "cannot be read .Too many levels"),
}

WAV, PNG = recording(), picture()
FOLDERS: dict[str, tuple[Build, str]] = {
    "missing": (lambda p: p / "data", "not there. Expected a folder or a zip"),
    "empty": (lambda p: folder(p / "data", {}), "found no files at all"),
    "empty classes": (lambda p: folder(p / "data", {"a/.keep": b"", "b/.keep": b""}), "found 2 files that are hidden"),
    "only text": (lambda p: folder(p / "data", {"a/1.txt": b"x", "b/2.txt": b"x"}), "found 2 .txt"),
    "a plain file": (lambda p: put(p / "data", WAV), "a file. Expected a folder or a zip"),
    "named like a file": (lambda p: folder(p / "x.wav", {}), "x.wav: no sound and no images"),
    "a loop of links": (lambda p: linked(folder(p / "data", {}) / "again", ".").parent, "1 file whose link leads back"),
    "a link to itself": (lambda p: linked(folder(p / "data", {}) / "me", "me").parent, "broken links, pipes"),
    "broken links": (lambda p: linked(p / "data/a/x.wav", "gone.wav").parents[1], "1 file that are broken links"),
    "a pipe": (lambda p: a_pipe(folder(p / "data", {}) / "x.wav").parent, "broken links, pipes"),
    "too deep": (lambda p: folder(p / "data", {"/".join("abcdefghij") + "/1.wav": WAV}), "more than 8 folders deep"),
    "a frame twice": (
        lambda p: folder(p / "data", {f"{c}/c/{n}": PNG for c in "EN" for n in ("1.png", "01.png")}),
        "frame 1 is there twice, as 01.png too",
    ),
    "two bad clips": (
        lambda p: folder(p / "data", {f"{c}/{n}": PNG for c in ("E/c", "N/d") for n in ("1.png", "01.png")}),
        "/c/.*\n.*/d/",
    ),
}  # fmt: skip

ZIPS: dict[str, tuple[Build, str]] = {
    "empty file": (lambda p: put(p / "x.zip", b""), "the file is empty"),
    "empty zip": (lambda p: put(p / "x.zip", zipped({})), "no files at all"),
    "text": (lambda p: put(p / "x.zip", b"not a zip"), "not a whole zip file"),
    "cut short": (lambda p: put(p / "x.zip", zipped({"a/1.wav": WAV})[:900]), "not a whole zip file"),
    "no sound inside": (lambda p: put(p / "x.zip", zipped({"a/1.txt": b"x"})), "found 1 .txt"),
    "nested": (lambda p: put(p / "x.zip", zipped({"in.zip": zipped({"a/1.wav": WAV})})), "zips inside the zip"),
    "encrypted": (lambda p: put(p / "x.zip", locked()), "1 of 1 members are encrypted"),
    "a bomb": (lambda p: put(p / "x.zip", zipped({"a/1.wav": bytes(30 << 20)})), "unpack to 31,457,280: a decompression"),
    "declares 4 GB": (lambda p: put(p / "x.zip", lying(0xFFFFFFF0)), "declares 4,295 MB"),
    "declares too little": (lambda p: put(p / "x.zip", lying(100)), "this member is damaged|cut short"),
    "declares too much": (lambda p: put(p / "x.zip", lying(20_000)), "this member is damaged"),
    "a wrong checksum": (
        lambda p: put(p / "x.zip", patched(zipped({"a/1.wav": WAV}, 0), 200, b"\xff\xff")), "Bad CRC-32"
    ),
    "a rare method": (lambda p: put(p / "x.zip", zipped({"a/1.wav": WAV}, zipfile.ZIP_LZMA)), "packed by method 14"),
    "leads out": (lambda p: put(p / "x.zip", zipped({"../../a/1.wav": WAV, "/b/2.wav": WAV})), "2 files with a name"),
    "a huge table of contents": (
        lambda p: put(p / "x.zip", b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 9, 9, 9 << 20, 0, 0)), "table of contents has"
    ),
    "a broken member": (lambda p: put(p / "x.zip", zipped({"a/1.wav": b""})), "x.zip/a/1.wav: the file is empty"),
    "named zip, a folder": (lambda p: folder(p / "x.zip", {}), "found no files at all"),
}  # fmt: skip

CASES = [
    *(pytest.param(build, says, read_sound, id=f"sound: {name}") for name, (build, says) in SOUNDS.items()),
    *(pytest.param(build, says, read_image, id=f"image: {name}") for name, (build, says) in IMAGES.items()),
]


def read_all(path: Path) -> list[Any]:
    return [load(record) for record in class_folder(path)]


CASES += [
    pytest.param(build, says, read_all, id=f"{kind}: {name}")
    for kind, table in (("folder", FOLDERS), ("zip", ZIPS))
    for name, (build, says) in table.items()
]


@pytest.mark.parametrize(("build", "says", "read"), CASES)
def test_a_broken_file_is_answered_in_words(build: Build, says: str, read: Any, tmp_path: Path) -> None:
    path = build(tmp_path)
    began = time.monotonic()
    with pytest.raises(UserError, match=says) as caught:
        read(path)
    assert time.monotonic() - began < 2
    message = str(caught.value)
    assert str(path) in message, "the file is named"
    assert re.search(
        r"Expected|[Ff]etch|save it again|[Cc]heck|[Uu]npack|smaller|[Cc]ut |[Rr]ecord|[Mm]ix|[Ee]xport|[Gg]ive|[Ll]eave",
        message,
    )
    assert not re.search(r"0x[0-9a-f]{6}|_io\.|Traceback|object at", message), "no innards"


def test_each_kind_has_twelve() -> None:
    assert min(map(len, (SOUNDS, IMAGES, FOLDERS, ZIPS))) >= 12


MEASURE = """
import sys, time
from pathlib import Path
from unrolled.datasets.folders import class_folder, load
from unrolled.errors import UserError
for path in map(Path, sys.argv[1:]):
    began = time.monotonic()
    try:
        for record in class_folder(path):
            load(record)
    except UserError:
        assert time.monotonic() - began < 2, path
    else:
        raise SystemExit(f"{path} was read")
assert "torch" not in sys.modules
# not ru_maxrss, which a child takes over from its parent
print(int(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]) // 1024)
"""


def test_everything_broken_is_refused_within_300_mb(tmp_path: Path) -> None:
    """The worst of each kind in one fresh process: what it took at most is the system's own figure."""
    worst = [
        folder(tmp_path / "wav", {"a/1.wav": wav_header(declared=2_000_000_000, held=9)}),
        folder(tmp_path / "flac", {"a/1.flac": recording("FLAC")[:2000]}),
        folder(tmp_path / "huge", {"a/1.png": png(50_000, 50_000)}),
        folder(tmp_path / "bomb", {"a/1.png": png(20_000, 20_000, bytes(10**7))}),
        folder(tmp_path / "rows", {"a/1.png": png(5_000, 5_000, bytes(10**6))}),
        put(tmp_path / "bomb.zip", zipped({"a/1.wav": bytes(200 << 20)})),
        put(tmp_path / "lie.zip", lying(0xFFFFFFF0)),
    ]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, worst)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 300


def test_a_file_at_the_caps_is_read_and_one_above_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "PIXELS", 64)
    assert read_image(put(tmp_path / "at.png", picture())).shape == (8, 8)
    with pytest.raises(UserError, match="declares 8 x 9 pixels"):
        read_image(put(tmp_path / "above.png", picture(size=(9, 8))))
    monkeypatch.setattr(sound, "FRAMES", 8000)
    assert len(read_sound(put(tmp_path / "at.wav", recording())).samples) == 8000
    with pytest.raises(UserError, match="declares 8,001 frames"):
        read_sound(put(tmp_path / "above.wav", recording(samples=np.zeros(8001))))
    monkeypatch.setattr(archives, "MEMBER", len(WAV))
    path = put(tmp_path / "at.zip", zipped({"a": WAV, "b": WAV + b"x"}))
    assert member_bytes(path, "a") == WAV
    with pytest.raises(UserError, match="more than the"):
        member_bytes(path, "b")


def test_the_header_alone_is_read_before_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image above the cap is never decoded: its decoder isn't called."""
    path = put(tmp_path / "x.png", png(9_000, 9_000))
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda *_: pytest.fail("decoded"))
    for read in (read_image, image_header):
        with pytest.raises(UserError, match="declares"):
            read(path)


def test_an_endless_wav_is_read_to_its_end(tmp_path: Path) -> None:
    """What a recorder writes to a pipe declares the largest length there is."""
    path = put(tmp_path / "x.wav", patched(wav_header(held=200), 40, b"\xff\xff\xff\xff"))
    assert len(read_sound(path).samples) == 100


def test_frames_that_are_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = folder(tmp_path / "sizes", {"1.png": PNG, "2.png": picture(size=(8, 9))})
    nameless = folder(tmp_path / "nameless", {"one.png": PNG})
    for path, says in (
        (sizes, "2.png: 9 x 8 pixels where 1.png has 8 x 8"),
        (nameless, "no number in this frame's name"),
        (folder(tmp_path / "none", {}), "no frames"),
        (tmp_path / "gone", "not there"),
        (put(tmp_path / "a.png", PNG), "a file. Expected a folder of numbered images"),
    ):
        with pytest.raises(UserError, match=says):
            read_frames(path)
    monkeypatch.setattr(images, "VIDEO", 127)
    with pytest.raises(UserError, match="2 frames of 8 x 8"):
        read_frames(folder(tmp_path / "long", {"1.png": PNG, "2.png": PNG}))


def test_missing_packages_are_named_with_their_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, seen = put(tmp_path / "x.wav", WAV), put(tmp_path / "x.png", PNG)
    for package, extra, use in (
        ("soundfile", "audio", lambda: read_sound(heard)),
        ("soxr", "audio", lambda: sound.resampled(read_sound(heard), 4000)),
        ("PIL", "images", lambda: read_image(seen)),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(MissingExtra, match=rf'pip install "unrolled\[{extra}\]"'):
                use()


def test_broken_input_is_refused_without_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a header of our own reading refuses needs no decoder."""
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UserError, match="cut short"):
        read_sound(put(tmp_path / "x.wav", WAV[:9000]))


def test_a_member_is_never_read_beyond_what_is_declared(tmp_path: Path) -> None:
    path = put(tmp_path / "x.zip", zipped({"a/1.wav": WAV}))
    names, left = members(path)
    assert (names, left) == (["a/1.wav"], {})
    assert MediaFile(path, "a/1.wav").open().read() == WAV
    with pytest.raises(UserError, match="no member 'b'"):
        member_bytes(path, "b")


def test_a_text_folder_is_not_ours(tmp_path: Path) -> None:
    assert media_records(folder(tmp_path / "a", {"1.txt": b"x", "2.txt": b"x", "cover.png": PNG})) is None
    assert media_records(put(tmp_path / "b.txt", b"x")) is None
    with wave.open(str(tmp_path / "c.wav"), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(struct.pack("<4h", 16384, 0, -16384, 0))
    assert read_sound(tmp_path / "c.wav").samples.tolist() == [0.25, -0.25]


WHOLE: dict[str, bytes] = {
    **{f"{kind}.{kind}": recording(kind.upper()) for kind in ("wav", "flac", "ogg", "mp3")},
    **{
        f"x.{kind.lower()}": picture(kind, (40, 40)) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
    },
    "x.zip": zipped({"a/1.wav": WAV, "b/2.wav": WAV}),
}


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(WHOLE)),
    bytes_changed=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    head=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=3),
    tail=st.lists(st.tuples(st.integers(1, 140), st.integers(0, 255)), max_size=3),
    kept=st.sampled_from([1.0, 1.0, 0.9, 0.5, 0.1]),
)
def test_any_damage_is_read_or_refused_in_words(
    name: str, bytes_changed: list[Any], head: list[Any], tail: list[Any], kept: float
) -> None:
    data = bytearray(WHOLE[name])
    for where, value in bytes_changed:
        data[int(where * len(data))] = value
    for at, value in head:
        data[at] = value
    for at, value in tail:
        data[-at] = value
    with tempfile.TemporaryDirectory() as place:
        path = put(Path(place) / name, bytes(data[: int(kept * len(data))]))
        with contextlib.suppress(UserError):
            assert [load(record) for record in media_records(path) or []]


def test_a_name_that_differs_within_a_zip_is_damage(tmp_path: Path) -> None:
    data = zipped({"a/1.wav": WAV})
    marked = patched(data, 6, b"\x00\x08")  # the member's own header says that its name is UTF-8
    with pytest.raises(UserError, match="this member is damaged"):
        read_all(put(tmp_path / "x.zip", patched(marked, 32, b"\x80")))
