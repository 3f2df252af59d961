"""Models that answer rows: the score on held-out rows, the mean of several seeds, beside the simple rivals.

`python -m benchmarks.answers [ROW ...] [seeds=3] [first=0] [threads=2]` trains each row's command anew with each seed
and prints a table. Rows of public sets need UNROLLED_DATA, or `unrolled data get NAME` first; without them they are left
out, aloud.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from os import getloadavg
from statistics import fmean
from typing import Any

import torch

from unrolled import train
from unrolled.datasets.samples import resolve
from unrolled.errors import UserError
from unrolled.training.progress import Talk

PAIRS = ("fsdd_theo_yweweler", "fsdd_george_jackson", "fsdd_lucas_nicolas")


@dataclass(frozen=True)
class Row:
    """One line of the table: `keys` are those of `unrolled train`, once for each set in `data`; the mean is shown."""

    data: tuple[str, ...]
    keys: dict[str, Any]
    asked: float | None  # the score; None: the strong rival's
    at_most: float | None = None  # where order is taken away, chance and no more


def _row(*data: str, asked: float | None, **keys: Any) -> Row:
    return Row(data, keys, asked)


_ENDS = {"patience": 10}  # the time is the most it may take: it ends when validation stops improving
ROWS: dict[str, Row] = {
    "sentiment": _row(
        "sentiment", asked=0.825, model="bilstm", split=(0.72, 0.08, 0.2), budget="3m", **_ENDS
    ),
    "vowels": _row("japanese_vowels", asked=0.98, model="gru", budget="2m", **_ENDS),
    "digits-rows": _row("digits", asked=0.975, model="lstm", budget="1m", **_ENDS),
    "digits-patches": _row("digits", asked=0.96, model="encoder", codec="patches", budget="2m", **_ENDS),
    "spoken": _row(
        "spoken_digits", asked=None, model="conv", group=None, split=(0.6, 0.1, 0.3), budget="2m", **_ENDS
    ),
    "ball": _row("ball", asked=0.95, model="gru", budget="2m", **_ENDS),
    "ball-shuffled": Row(("ball",), {"model": "gru", "budget": "2m", "shuffled": True} | _ENDS, None, 0.125),
    "stress": _row("stress", asked=None, model="bigru", budget="3m", **_ENDS),
    "fsdd-speakers": _row(*PAIRS, asked=0.80, model="gru", budget="5m", **_ENDS),
    "fsdd-random": _row("fsdd", asked=0.97, model="gru", group=None, budget="5m", **_ENDS),
    "mnist": _row("mnist", asked=0.985, model={"kind": "lstm", "width": 128}, budget="10m", **_ENDS),
    "GunPoint": _row("GunPoint", asked=None, model="conv", budget="5m", patience=20),
    "ItalyPowerDemand": _row("ItalyPowerDemand", asked=None, model="conv", budget="5m", patience=20),
    "ArrowHead": _row("ArrowHead", asked=None, model="conv", budget="5m", patience=20),
    "OSULeaf": _row("OSULeaf", asked=None, model="conv", budget="5m", patience=20),
}


def main(names: list[str], seeds: range, threads: int) -> None:
    """Prints the table, a line as soon as it is known."""
    which = f"seeds {seeds.start} to {seeds.stop - 1}, load {getloadavg()[0]:.2f}"
    print(f"rows with answers; torch {torch.__version__}, {threads} thread(s), {which}")
    print("| row | keys | test | seeds | asked | strong rival | naive | seconds | steps |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names or ROWS:
        row = ROWS[name]
        try:
            for data in row.data:
                resolve(data)
        except UserError as error:
            print(f"| {name} | left out: {str(error).partition(':')[2].strip()} |", flush=True)
            continue
        print(_line(name, row, seeds, threads), flush=True)


def _line(name: str, row: Row, seeds: range, threads: int) -> str:
    runs = [_trained(data, row.keys, seed, threads) for seed in seeds for data in row.data]
    per_seed = [
        fmean(run["test"] for run in runs[at : at + len(row.data)])
        for at in range(0, len(runs), len(row.data))
    ]
    rival, naive = (fmean(run[key] for run in runs) for key in ("strong", "naive"))
    asked = f"above {rival:.4f}" if row.asked is None else f">= {row.asked}"
    if row.at_most is not None:
        asked = f"chance, {row.at_most}"
    keys = " ".join(f"{key}={_shown(value)}" for key, value in row.keys.items())
    return (
        f"| {name} | data={','.join(row.data)} {keys} | {fmean(per_seed):.4f} | "
        f"{' '.join(f'{value:.4f}' for value in per_seed)} | {asked} | {rival:.4f} | {naive:.4f} | "
        f"{fmean(run['seconds'] for run in runs):.0f} | {fmean(run['steps'] for run in runs):.0f} |"
    )


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return str(value["kind"]) + "".join(f" model.{k}={v}" for k, v in value.items() if k != "kind")
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()


def _trained(data: str, keys: dict[str, Any], seed: int, threads: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        run = train(data=data, seed=seed, threads=threads, runs=folder, talk=Talk(quiet=True), **keys)
        assert run is not None and run.test is not None and run.baseline is not None and run.naive is not None
        return {
            "test": run.test["value"], "strong": run.baseline["value"], "naive": run.naive["value"],
            "seconds": run.seconds, "steps": run.step,
        }  # fmt: skip


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    first = int(given.get("first", 0))
    main(
        [word for word in sys.argv[1:] if "=" not in word],
        range(first, first + int(given.get("seeds", 3))),
        int(given.get("threads", torch.get_num_threads())),
    )
