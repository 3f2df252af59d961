"""A text that the model goes on with, printed as it is written."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner, Stream


def drawn(
    logits: NDArray[Any], temperature: float, top_k: int | None, top_p: float | None, rng: np.random.Generator
) -> int:
    """The next token: the likeliest at temperature 0, else drawn from the likeliest k, or those that reach p."""
    if temperature < 1e-6:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")[: top_k or None]
    shares = np.exp((logits[order].astype(float) - logits.max()) / temperature)
    shares /= shares.sum()
    if top_p:
        shares = np.where(np.cumsum(shares) - shares < top_p, shares, 0)
    return int(order[rng.choice(len(order), p=shares / shares.sum())])


def tokens(
    runner: Runner,
    ids: Iterable[int],
    length: int,
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> Iterator[int]:
    """Continues the ids until the end token 0, at most `length` tokens."""
    stream, rng = Stream(runner), np.random.default_rng(seed)
    answer = [stream.push(step) for step in [0, *ids]][-1]
    for number in range(length):
        token = drawn(answer, temperature, top_k, top_p, rng)
        if token == 0:
            return
        yield token
        if number < length - 1:
            answer = stream.push(token)


OPTIONS: dict[str, tuple[Any, float, float, str]] = {
    "length": (int, 1, inf, "tokens at most"),
    "temperature": (float, 0, inf, "of the draw; 0: always the likeliest token"),
    "top_k": (int, 1, inf, "draws from so many of the likeliest"),
    "top_p": (float, 1e-9, 1, "draws from the likeliest that reach this share together"),
    "seed": (int, 0, inf, "of the draw"),
}  # kind, least, most, what it is


def options(arguments: list[str], usual: dict[str, Any]) -> dict[str, Any]:
    """What the command line asks for. Ends the program, in words, for a number that is out of range."""
    parser = argparse.ArgumentParser(description="Goes on with a text.")
    parser.add_argument("prompt", nargs="?", default="", help="the text; nothing begins a new one")
    for name, (kind, _, _, help) in OPTIONS.items():
        default = usual.get(name, 0)
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"{help} (unless given: {default})")
    parser.add_argument("--next", action="store_true", help="only the ten likeliest next tokens, as JSON")
    asked = vars(parser.parse_args(arguments))
    for name, (_, least, most, help) in OPTIONS.items():
        if asked[name] is not None and not least <= asked[name] <= most:
            limit = f"at least {least:g}" if most == inf else f"{least:g} to {most:g}"
            parser.error(f"--{name} {asked[name]}: {help}; expected {limit}")
    return asked


def main(kind: Any, arguments: list[str]) -> None:
    """Writes the text, or with --next the ten likeliest tokens."""
    runner = Runner(Path(__file__).parent)
    asked = options(arguments, runner.told["sampling"])
    codec = kind(runner)
    ids = codec.encode(asked.pop("prompt"))
    if asked.pop("next"):
        answer = runner.answers(np.array([0, *ids], np.int64))[-1].astype(float)
        shares = np.exp(answer - answer.max())
        shares /= shares.sum()
        best = np.argsort(-shares, kind="stable")[:10].tolist()
        print(
            json.dumps({"next": [[codec.decode([at]), float(shares[at])] for at in best]}, ensure_ascii=False)
        )
        return
    held, written = [], ""
    for token in tokens(runner, ids, **asked):
        held.append(token)
        text = codec.decode(held)
        if not text.endswith("\ufffd"):  # half a character so far
            sys.stdout.write(text[len(written) :])
            sys.stdout.flush()
            written = text
    print()
