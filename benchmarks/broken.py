"""Broken files through the command line: every kind is refused with exit code 2, soon, in little memory, in words.

`python -m benchmarks.broken [train | look]` makes every broken file that the tests know, runs `unrolled train data=FILE`
and `unrolled data look FILE` on each, and prints for every format how many kinds there are, the slowest and the
largest run, and how many were answered as they should be. It ends with 1 where one was not, and names it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

SECONDS, MEGABYTES = 2.0, 300
VERBS = {"train": ["train"], "look": ["data", "look"]}
LEFT_OUT = (
    "missing",
    "a folder",
    "a link to itself",
    "a link to nothing",
    "a pipe",
)  # of a folder: counted aloud
GOOD = 12  # whole files beside the broken one
MEASURED = """
import sys, time
from pathlib import Path
from unrolled.cli.main import main
code = main(sys.argv[1:])
status = Path("/proc/self/status")
peak = int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024 if status.exists() else 0
print(time.process_time(), peak, file=sys.stderr)
sys.exit(code)
"""
MEANING = {  # whole tables that say too little
    "one class.csv": "text,label\n" + "".join(f"word {n},a\n" for n in range(40)),
    "no label.csv": "text,label\n" + "".join(f"word {n},\n" for n in range(40)),
    "no text.csv": "text,label\n" + "".join(f",{'ab'[n % 2]}\n" for n in range(40)),
    "two rows.csv": "text,label\nI like it a lot,a\nI do not like it,b\n",
    "no input.csv": "label\na\nb\na\nb\n",
    "no answer.csv": "text\nI like it a lot\nI do not like it\n",
    "split.csv": "text,label,split\n" + "".join(f"word {n} is,{'ab'[n % 2]},dev\n" for n in range(40)),
    "word in a series.csv": "x0,x1,x2,x3,label\n" + "1,2,3,4,a\n" * 9 + "1,2,three,4,b\n",
    "all missing.csv": "x0,x1,x2,x3,label\n" + "".join(f"NaN,NaN,,,{'ab'[n % 2]}\n" for n in range(40)),
    "beyond.csv": "x0,x1,x2,x3,label\n" + "1,2,3,4,a\n" * 9 + "1,2,1e300,4,b\n",
    "new class.csv": "text,label,split\n" + "".join(
        f"word {n} is,{'ab'[n % 2]},train\n" for n in range(40)) + "word is new,c,test\n",
    "empty series.jsonl": '{"x": [], "label": "a"}\n{"x": [], "label": "b"}\n' * 20,
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What one run of the command did."""

    kind: str
    name: str  # of the file, or of what is broken in it
    code: int
    seconds: float  # by the clock
    worked: float  # seconds of the processor, which other work doesn't lengthen
    megabytes: float
    message: str

    @property
    def good(self) -> bool:
        """Exit code 2, and a message that is no traceback and names the file."""
        return self.code == 2 and "Traceback" not in self.message and self.name in self.message


def kinds() -> dict[str, dict[str, Callable[[Path], Path]]]:
    """Format -> kind -> what makes the file or folder below a new folder and returns its path."""
    from test_bad_media import FOLDERS, IMAGES, SOUNDS, ZIPS
    from test_bad_tables import ARRAYS, CSV, JSON_LINES, PARQUET, SERIES

    found: dict[str, dict[str, Callable[[Path], Path]]] = {}
    tables = {"csv, tsv": CSV, "jsonl": JSON_LINES, "ts": SERIES, "npz": ARRAYS, "parquet": PARQUET}
    for name, table in tables.items():
        found[name] = {file: _file(file, data) for file, data, _ in table}
    found["tables that say too little"] = {file: _file(file, text) for file, text in MEANING.items()}
    found["sound alone"] = {kind: build for kind, (build, _) in SOUNDS.items()}
    found["sound in a folder"] = _beside(
        SOUNDS, {f"{n}.wav": _tone(n) for n in range(GOOD)}, "{label}/{name}"
    )
    found["image alone"] = {kind: build for kind, (build, _) in IMAGES.items()}
    pictures = {f"{n}.png": _shade(n) for n in range(GOOD)}
    found["image in a folder"] = _beside(IMAGES, pictures, "{label}/{name}")
    found["frames"] = _beside(IMAGES, pictures, "{label}/clip{name}/1.png", "b/broken/1{suffix}")
    found["folder"] = {kind: build for kind, (build, _) in FOLDERS.items() if kind != "a plain file"}
    found["zip"] = {kind: build for kind, (build, _) in ZIPS.items()}
    return found


def _file(name: str, data: bytes | str | Callable[[], bytes]) -> Callable[[Path], Path]:
    def build(place: Path) -> Path:
        made = data() if callable(data) else data
        (place / name).write_bytes(made.encode() if isinstance(made, str) else made)
        return place / name

    return build


def _beside(
    cases: dict[str, Any], whole: dict[str, bytes], where: str, broken: str = "b/broken{suffix}"
) -> dict[str, Callable[[Path], Path]]:
    """Each broken file in a folder of two classes, beside whole ones."""

    def among(build: Callable[[Path], Path]) -> Callable[[Path], Path]:
        def made(place: Path) -> Path:
            folder = place / "data"
            for number, (name, data) in enumerate(whole.items()):
                path = folder / where.format(label="ab"[number % 2], name=name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            one = build(place)
            path = folder / broken.format(suffix=one.suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            one.rename(path)
            return folder

        return made

    return {kind: among(build) for kind, (build, _) in cases.items() if kind not in LEFT_OUT}


def _tone(number: int) -> bytes:
    from test_bad_media import TONE, recording

    return recording(samples=TONE * (1 - number / 20))


def _shade(number: int) -> bytes:
    from test_bad_media import picture

    return picture(size=(8 + number % 2, 8 + number))


def ask(verb: str, format: str, kind: str, build: Callable[[Path], Path]) -> Answer:
    """One run of the command, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = build(Path(folder))
        words = [*VERBS[verb], f"data={path}", *(["--dry-run"] if verb == "train" else [])]
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *words], capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - begun
        inside = format in ("sound in a folder", "image in a folder", "frames")
        *said, measured = done.stderr.splitlines()
        worked, peak = map(float, measured.split())
        name = "broken" if inside else path.name
        return Answer(kind, name, done.returncode, seconds, worked, peak, "\n".join(said) + done.stdout)


def main() -> int:
    """Prints the tables."""
    wrong = 0
    for verb in sys.argv[1:] or list(VERBS):
        print(f"unrolled {' '.join(VERBS[verb])} data=BROKEN, load {os.getloadavg()[0]:.2f}")
        print(
            f"{'':27} {'kinds':>5} {'as they should':>14} {'slowest, s':>10} {'CPU s':>6} {'largest, MB':>11}"
        )
        for format, cases in kinds().items():
            if verb == "look" and cases.keys() == MEANING.keys():
                continue  # whole files: a look says why they can't be trained on
            answers = [ask(verb, format, kind, build) for kind, build in cases.items()]
            bad = [answer for answer in answers if not answer.good]
            slowest, worked, largest = (
                max(getattr(answer, key) for answer in answers) for key in ("seconds", "worked", "megabytes")
            )
            print(
                f"{format:27} {len(answers):5} {len(answers) - len(bad):14} {slowest:10.2f} {worked:6.2f} {largest:11.0f}",
                flush=True,
            )
            for answer in bad:
                print(f"    {answer.kind}: exit {answer.code}: {answer.message[:160]!r}")
            wrong += len(bad) + (worked > SECONDS) + (largest > MEGABYTES)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
