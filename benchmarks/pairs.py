"""Models that write texts for texts: the score on held-out pairs beside simple writers, by length of the source.

`python -m benchmarks.pairs [ROW ...] [seeds=1] [threads=2] [budget=]` trains each row's command anew. `run=FOLDER ROW`:
only scores a run that there is. Rows of public sets need UNROLLED_DATA; without them they are left out, aloud.
"""

from __future__ import annotations

import sys
import tempfile
from os import getloadavg
from pathlib import Path
from typing import Any

import torch

from unrolled import train
from unrolled.errors import UserError
from unrolled.inspection.by_length import judge
from unrolled.training.progress import Talk
from unrolled.training.rows import prepare_rows
from unrolled.training.run import Run

BINS = {"reverse": ((1, 30), (31, 40)), "copy": ((1, 30), (31, 40))}
_SENTENCES: dict[str, Any] = {"model": "gru", "budget": "30m", "patience": 10}
_ENGLISH_GERMAN = {"data": "multi30k", "input": "en", "target": "de", **_SENTENCES}
ROWS: dict[str, dict[str, Any]] = {
    "reverse": {"data": "reverse", "model": "gru", "budget": "3m"},
    "reverse-none": {"data": "reverse", "model": {"kind": "gru", "attention": "none"}, "budget": "3m"},
    "copy": {"data": "copy", "model": "gru", "budget": "3m"},
    "copy-none": {"data": "copy", "model": {"kind": "gru", "attention": "none"}, "budget": "3m"},
    "dates": {"data": "dates", "model": "gru", "budget": "1m"},
    "cmudict": {
        "data": "cmudict", "model": {"kind": "lstm", "layers": 2, "dropout": 0.3}, "smoothing": 0.1, "batch": 128,
        "budget": "30m",
    },
    "cmudict-transformer": {"data": "cmudict", "model": "transformer", "batch": 128, "budget": "30m"},
    "verses": {"data": "verses_en_es", **_SENTENCES},
    "multi30k": _ENGLISH_GERMAN,
    "multi30k-none": _ENGLISH_GERMAN | {"model": {"kind": "gru", "attention": "none"}},
    "apt": {"data": "apt_en_fr", **_SENTENCES},
    "summaries": {"data": "summaries", **_SENTENCES},
}  # fmt: skip


def measured(name: str, keys: dict[str, Any], run: Run | None) -> str:
    """A row of the table: what was reached, beside what, and by length."""
    done = run or train(**keys, talk=Talk(quiet=True))
    score, strong = done.test or {}, done.baseline or {}
    low, high = score["interval"]
    line = f"{name:<20} {score['unit']} {score['value']:.4f} ({low:.4f} to {high:.4f}), {done.step} steps"
    line += f"\n{'':<20} {score['values']}"
    line += f"\n{'':<20} beside the {strong['name']}: {strong['value']:.4f}"
    for low, high, rows, value in score.get("by_length", []):
        line += f"\n{'':<20} {value:.4f} of {rows} sources of {low} to {high} steps"
    line += "".join(f"\n{'':<20} {note}" for note in score.get("notes", []))
    kind = name.partition("-")[0]
    if kind in BINS:
        judged = judge(done.model(), prepare_rows(done.recipe).examples("test"))  # type: ignore[arg-type]
        for first, last in BINS[kind]:
            part = judged.within(first, last)
            line += f"\n{'':<20} {first}-{last} letters: exact {part.exact.mean():.4f} of {len(part)}"
    return line


def main(words: list[str]) -> int:
    """Prints the rows named, or all."""
    options = dict(word.split("=", 1) for word in words if "=" in word)
    names = [word for word in words if "=" not in word] or list(ROWS)
    threads = int(options.get("threads", 2))
    torch.set_num_threads(threads)
    print(f"torch {torch.__version__}, {threads} threads, load {getloadavg()[0]:.1f}", flush=True)
    known = Run.open(str(Path(options["run"]))) if "run" in options else None
    for name in names:
        for seed in range(int(options.get("seeds", 1))):
            with tempfile.TemporaryDirectory() as folder:
                more = {"seed": seed, "runs": folder, "threads": threads, "task": "translate"}
                given = {"budget": options["budget"]} if "budget" in options else {}
                try:
                    print(measured(name, ROWS[name] | more | given, known), flush=True)
                except UserError as error:
                    print(f"{name:<20} left out: {error}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
