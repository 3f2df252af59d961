"""Reading tables: megabytes and rows a second, and the most memory that it took.

`python -m benchmarks.reading [megabytes]` prints the table: files of 200 MB (or as many as named) are generated in
a temporary folder, and each is read to its end in a process of its own, records thrown away as they come.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from unrolled.datasets.assemble import gather, group_rows, numbered
from unrolled.datasets.labels import Labels
from unrolled.datasets.readers import records
from unrolled.datasets.store import Store
from unrolled.datasets.words import Words

MEGABYTES = 200
ROWS = 100  # encoded at a time, as in training
BLOCK = 20_000  # rows that are generated once and written again and again


def reviews(path: Path, size: int) -> None:
    """Sentences, a third of them quoted, with a label and a source."""
    words = [
        "the",
        "a",
        "food",
        "place",
        "good",
        "bad",
        "never",
        "service",
        "phone",
        "battery",
        "acting",
        "great",
    ]
    rows = []
    for number in range(BLOCK):
        text = " ".join(random.choices(words, k=random.randint(5, 30)))
        rows.append(f'"{text}, ""so"" it is"' if number % 3 == 0 else text)
    block = "".join(f"{text},{random.choice('pn')},shop\n" for text in rows)
    _fill(path, size, "text,label,source\n", lambda _: block)


def digits(path: Path, size: int) -> None:
    """A label and 64 small whole numbers a row."""
    block = "".join(",".join(str(random.randrange(17)) for _ in range(65)) + "\n" for _ in range(BLOCK // 4))
    _fill(path, size, "label," + ",".join(f"p{n:02}" for n in range(64)) + "\n", lambda _: block)


def tracks(path: Path, size: int) -> None:
    """Long format: 100 rows an id, of a time and four numbers."""

    def block(turn: int) -> str:
        return "".join(
            f"{turn * BLOCK // 100 + row // 100},{row % 100 * 10},{46 + row / 1e5:.5f},{7 + row / 1e5:.5f},{row},43.1\n"
            for row in range(BLOCK)
        )

    _fill(path, size, "id,time_s,lat,lon,altitude,speed\n", block)


def lists(path: Path, size: int) -> None:
    """JSON lines: a label and a list of 100 numbers."""
    block = "".join(
        json.dumps({"label": "a", "x": [round(random.gauss(0, 1), 4) for _ in range(100)]}) + "\n"
        for _ in range(BLOCK // 10)
    )
    _fill(path, size, "", lambda _: block)


def _fill(path: Path, size: int, head: str, block: Callable[[int], str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        written, turn = file.write(head), 0
        while written < size:
            written, turn = written + file.write(block(turn)), turn + 1


def read(path: Path) -> Iterable[object]:
    """The records as they stand."""
    return records(path)


def gathered(path: Path) -> Iterator[object]:
    """The records with their 64 columns as one series."""
    columns = numbered(next(records(path)))
    return gather(records(path), "p", columns["p"])


def grouped(path: Path) -> Iterator[object]:
    """The records of each id as one, in two readings."""
    return group_rows(lambda: records(path), "id", "time_s", ["lat", "lon", "altitude", "speed"])


def encoded(path: Path) -> Iterator[object]:
    """Texts as ids of words and labels as numbers, in the store that training reads from."""
    words = Words().fit(row["text"] for row in islice(records(path), BLOCK))
    labels = Labels().fit(row["label"] for row in islice(records(path), BLOCK))
    answers, store = array("q"), Store()
    found = records(path)
    while rows := list(islice(found, ROWS)):
        answers.extend(labels.encode_many([row["label"] for row in rows], [row["origin"] for row in rows]))
        store.extend(words.encode_many([row["text"] for row in rows]))
    return iter(range(len(store.ragged())))


CASES: dict[str, tuple[str, Callable[[Path, int], None], Callable[[Path], Iterable[object]]]] = {
    "text, label": ("reviews.csv", reviews, read),
    "text, label, encoded": ("reviews.csv", reviews, encoded),
    "65 numbers": ("digits.csv", digits, read),
    "65 numbers, gathered": ("digits.csv", digits, gathered),
    "6 columns": ("tracks.csv", tracks, read),
    "6 columns, grouped": ("tracks.csv", tracks, grouped),
    "JSON lines of series": ("lists.jsonl", lists, read),
}


def measure(case: str, path: Path) -> dict[str, float]:
    """Seconds by the clock and of processor time, records, and peak memory in MB, of this process."""
    begun, worked = time.perf_counter(), time.process_time()
    count = sum(1 for _ in CASES[case][2](path))
    seconds, worked = time.perf_counter() - begun, time.process_time() - worked
    return {"seconds": seconds, "worked": worked, "records": count, "megabytes": peak_megabytes()}


def peak_megabytes() -> float:
    """The most memory that this process has held. Linux counts it in `getrusage` from the parent on, so the kernel's
    own figure goes first.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Prints the table."""
    if len(sys.argv) == 3:  # one case in its own process
        print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
        return
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else MEGABYTES
    random.seed(0)
    print(
        f"reading files of {megabytes} MB, load {os.getloadavg()[0]:.2f}; numpy and reader alone hold ~40 MB"
    )
    print(f"{'':22} {'MB/s':>7} {'MB/CPU s':>9} {'records/s':>10} {'records':>10} {'peak RSS, MB':>13}")
    with tempfile.TemporaryDirectory() as folder:
        for case, (name, write, _) in CASES.items():
            path = Path(folder, name)
            if not path.exists():
                for other in Path(folder).iterdir():
                    other.unlink()
                write(path, megabytes * 1_000_000)
            command = [sys.executable, "-m", "benchmarks.reading", case, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            size = path.stat().st_size / 1e6
            rates = size / found["seconds"], size / found["worked"], found["records"] / found["seconds"]
            print(
                f"{case:22} {rates[0]:7.1f} {rates[1]:9.1f} {rates[2]:10,.0f} {found['records']:10,} "
                f"{found['megabytes']:13.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
