"""What one vector of fixed size lets through: quality by the source's length, state size and attention.

Every cell of the grid is a GRU that turns words round, trained in a process of its own on one thread:
`python -m unrolled.comparison.bottleneck FOLDER ATTENTION WIDTH` writes `ATTENTION-WIDTH.json` into the folder that holds
the settings. So a grid that was broken off goes on with the cells that are missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
import torch

from unrolled.datasets.pairs import PairBundles, Pairs
from unrolled.datasets.store import Ragged
from unrolled.datasets.synthetic_pairs import letters
from unrolled.errors import RunFailed
from unrolled.inspection.by_length import Judged, judge
from unrolled.model import Seq2Seq, build, paired
from unrolled.state import nbytes
from unrolled.training import folder
from unrolled.training.budget import Plan
from unrolled.training.learner import Learner, Progress, Settings
from unrolled.training.optimizer import adamw
from unrolled.training.tuning import plain

ATTENTIONS = ("none", "dot", "additive")
WIDTHS = (64, 128, 256, 512)
ALPHABET = 26
EVERY = 0.2  # seconds between looks at the processes


@dataclass(frozen=True)
class Grid:
    """What all cells have in common. Words of 1 to `longest` random letters are learnt; the held-out ones of them, and
    others of up to `tested` letters, are written. rate: of learning, at 128 units; it falls with the root of the width.
    """

    widths: tuple[int, ...] = WIDTHS
    attentions: tuple[str, ...] = ATTENTIONS
    steps: int = 800
    batch: int = 32  # pairs, in the mean
    words: int = 40_000
    longest: int = 20
    beyond: int = 1000
    tested: int = 30
    embedding: int = 32
    rate: float = 5e-3
    seed: int = 0

    @property
    def cells(self) -> list[tuple[str, int]]:
        """(attention, width) of every cell, the slowest first: no process is left alone at the end for long."""
        wide = sorted(self.widths, reverse=True)
        return [(attention, width) for width in wide for attention in reversed(self.attentions)]

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """The lengths that are scored together, in letters, the last one longer than any trained on."""
        quarter = self.longest // 4
        return [*((1 + quarter * i, quarter * (i + 1)) for i in range(4)), (self.longest + 1, self.tested)]


QUICK = Grid(widths=(16,), steps=3, words=600, longest=8, beyond=20, tested=12)  # exercises the path


@dataclass(frozen=True)
class Cell:
    """What one network came to. exact, symbols: by stretch of lengths, the share of held-out words without a mistake and
    the mean share of letters in their right place; counts: these words. state: bytes that the writer is given of the
    longest trained source.
    """

    attention: str
    width: int
    weights: int
    state: int
    seconds: float
    exact: list[float]
    symbols: list[float]
    counts: list[int]

    @property
    def name(self) -> str:
        """`none-64`."""
        return f"{self.attention}-{self.width}"


def measure(
    grid: Grid, runs: Path, at_once: int | None, say: Callable[[str], object]
) -> tuple[Path, list[Cell]]:
    """Every cell, `at_once` at a time (as many as there are processors, if not given), in a folder of `runs` that holds the
    settings and a file a cell: the latest one that was broken off with these settings, or a new one.

    Raises RunFailed, with what it said, when a cell's process ends without a result; the others' are kept.
    """
    at_once = at_once or os.cpu_count() or 1
    path, lock = _folder(grid, runs, say)
    try:
        return path, _measured(grid, path, at_once, say)
    finally:
        lock.release()


def _measured(grid: Grid, path: Path, at_once: int, say: Callable[[str], object]) -> list[Cell]:
    """The cells in the order of the grid; those whose file isn't there yet are trained."""
    missing = [cell for cell in grid.cells if not _file(path, *cell).is_file()]
    say(
        f"{len(missing)} of {len(grid.cells)} networks to train, {grid.steps} steps each, {at_once} at a time, in {path}"
    )
    _processes(path, missing, at_once, say)
    places = [(attention, width) for attention in grid.attentions for width in grid.widths]
    return [Cell(**json.loads(_file(path, *place).read_bytes())) for place in places]


def train_cell(grid: Grid, attention: str, width: int) -> Cell:
    """One network of the grid, on one thread. Nothing but `attention` and `width` differs, and with the width the rate."""
    torch.set_num_threads(1)
    torch.manual_seed(grid.seed)
    train, test = words(grid)
    source = {"kind": "tokens", "vocabulary": 1 + ALPHABET}
    model = build(
        paired("gru", source, 1 + ALPHABET, attention=attention, width=width, embedding=grid.embedding)
    )
    assert isinstance(model, Seq2Seq)
    rate = grid.rate * (128 / width) ** 0.5
    plan = Plan()
    plan.settle_on(grid.steps, 0)
    settings = Settings(grid.seed, rate, (0.9, 0.99), 0.01, 20, 1.0, 0.0, 1, False)
    optimizer = adamw(plain(model).parts, rate, settings.betas, settings.weight_decay)
    learner = Learner(model, optimizer, PairBundles(train, grid.batch, grid.seed), settings, Progress(plan))
    model.train()
    begun = perf_counter()
    for _ in range(grid.steps):
        learner.update(learner.next_batch())
    seconds = perf_counter() - begun
    model.eval()
    with torch.no_grad():
        state = nbytes(model.read_source(torch.ones(1, grid.longest, dtype=torch.long)))
    exact, symbols, counts = by_stretch(judge(model, test), grid)
    return Cell(attention, width, model.parameter_count(), state, seconds, exact, symbols, counts)


def by_stretch(judged: Judged, grid: Grid) -> tuple[list[float], list[float], list[int]]:
    """The mean of both measures in every stretch of lengths, and of how many words."""
    parts = [judged.within(low, high) for low, high in grid.stretches]
    exact, symbols = ([float(np.mean(getattr(p, name))) for p in parts] for name in ("exact", "symbols"))
    return exact, symbols, [len(part) for part in parts]


@lru_cache(maxsize=1)
def words(grid: Grid) -> tuple[Pairs, Pairs]:
    """To train on and to test with: words and the same words backwards, ids from 1."""
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"train": [], "valid": [], "test": []}
    for row in letters("reverse", grid.words, grid.longest, grid.beyond, grid.tested, grid.seed):
        parts[row["split"]].append((_ids(row["source"]), _ids(row["target"])))
    train, test = (
        Pairs(*(Ragged.of(pair[side] for pair in parts[part]) for side in (0, 1)))
        for part in ("train", "test")
    )
    return train, test


def _ids(word: str) -> np.ndarray:
    return np.frombuffer(word.encode(), np.uint8).astype(np.int64) - ord("a") + 1


def _folder(grid: Grid, runs: Path, say: Callable[[str], object]) -> tuple[Path, folder.Lock]:
    """The latest folder of these settings that isn't finished and that nobody writes to, or a new one; locked."""
    wanted = json.loads(json.dumps(asdict(grid)))
    found = sorted(runs.glob("bottleneck-*/grid.json"), key=lambda file: file.stat().st_mtime)
    for file in reversed(found):
        if json.loads(file.read_bytes()) == wanted and not (file.parent / "reproduce.json").exists():
            with suppress(RunFailed):
                lock = folder.Lock(file.parent)
                say(f"going on in {file.parent}, which was broken off")
                return file.parent, lock
    path = folder.make(runs, "bottleneck")
    lock = folder.Lock(path)
    folder.write_json(path / "grid.json", wanted)
    return path, lock


def _file(path: Path, attention: str, width: int) -> Path:
    return path / f"{attention}-{width}.json"


def _processes(
    path: Path, cells: Iterable[tuple[str, int]], at_once: int, say: Callable[[str], object]
) -> None:
    """Runs a process a cell. However this ends, none is left behind."""
    package = str(Path(__file__).parents[2])
    known = os.environ.get("PYTHONPATH")
    around = os.environ | {"PYTHONPATH": os.pathsep.join([package, known] if known else [package])}
    waiting, running = list(cells), dict[tuple[str, int], subprocess.Popen[str]]()
    total, begun = len(waiting), perf_counter()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                cell = waiting.pop(0)
                command = [sys.executable, "-m", __name__, str(path), cell[0], str(cell[1])]
                running[cell] = subprocess.Popen(command, env=around, stderr=subprocess.PIPE, text=True)
            sleep(EVERY)
            for cell, process in [(c, p) for c, p in running.items() if p.poll() is not None]:
                said = process.communicate()[1]
                del running[cell]
                if not _file(path, *cell).is_file():
                    last = said.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
                    raise RunFailed(
                        f"{path}: {cell[0]} attention, {cell[1]} units: {last[0]} What is finished is kept: run it again."
                    )
                _told(path, cell, total - len(waiting) - len(running), total, perf_counter() - begun, say)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.communicate()


def _told(
    path: Path, cell: tuple[str, int], done: int, total: int, seconds: float, say: Callable[[str], object]
) -> None:
    """A line on a cell that is finished, and what is left by the pace so far."""
    found: dict[str, Any] = json.loads(_file(path, *cell).read_bytes())
    exact = ", ".join(f"{share:.3f}" for share in found["exact"])
    say(
        f"{done} of {total} after {seconds:.0f} s: {cell[0]}, {cell[1]} units: {exact} exact by length, "
        f"{found['seconds']:.0f} s"
    )


def main(path: Path, attention: str, width: int) -> None:
    """One cell of the grid that `path` describes, into its file there."""
    kept: dict[str, Any] = json.loads((path / "grid.json").read_bytes())
    grid = Grid(**(kept | {key: tuple(kept[key]) for key in ("widths", "attentions")}))
    folder.write_json(_file(path, attention, width), asdict(train_cell(grid, attention, width)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
