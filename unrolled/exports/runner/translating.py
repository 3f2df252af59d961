"""A text for each source: the source is read once, then the likeliest token is written step by step."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.exports.runner.core import Runner, Stream
from unrolled.exports.runner.reading import TABLES, values


class Target:
    """What the codec of the target asks a runner for."""

    def __init__(self, runner: Runner) -> None:
        self.told = {**runner.told, "codec": runner.told["target"]}


def longest(lengths: dict[str, Any], source: int) -> int:
    """The tokens at which a text is closed: more than any of training's needed, in proportion to the source."""
    most: float = 1.5 * lengths["target"] * max(1.0, source / max(lengths["source"], 1)) + 10
    tokens: int = math.ceil(min(lengths["stretch"] * source + lengths["more"], most))
    return tokens


def translate(runner: Runner, codec: Any, target: Any, value: Any) -> str:
    """The text for one source (a text, a file's content); of nothing it is empty."""
    source = np.zeros(0) if value is None else np.asarray(codec.encode(value))
    if not len(source):
        return ""
    stream, token, said = Stream(runner, source), 0, list[int]()
    for _ in range(longest(runner.told["task"]["lengths"], len(source))):
        logits = stream.push(token)
        if runner.told["target"]["kind"] == "symbols":
            logits[1] = -math.inf  # the unknown symbol says nothing
        if not said:
            logits[0] = -math.inf  # no text of training's was empty
        token = int(logits.argmax())
        if token == 0:
            break
        said.append(token)
    text: str = target.decode(said)
    return text


def sources(argument: str, told: dict[str, Any], codec: Any) -> Iterator[Any]:
    """The sources of an argument: the lines of a text file, else as everywhere."""
    if argument.lower().endswith(".txt") and Path(argument).is_file():
        yield from Path(argument).read_text("utf-8-sig").splitlines()
    else:
        yield from values(argument, told, codec)


def main(kind: Any, written: Any, arguments: list[str]) -> None:
    """Writes a text for each argument: a text, the lines of a text file, the rows of a table, a sound."""
    runner = Runner(Path(__file__).parent)
    usual, typed = ", ".join([*kind.reads, *TABLES]), "" if ".wav" in kind.reads else "TEXT | "
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            f"python run.py WHAT ...  writes a text for each, as lines of JSON\nWHAT: {typed}a file ({usual})"
        )
        raise SystemExit(0 if arguments else 2)
    codec, target = kind(runner), written(Target(runner))
    (column,) = runner.told["task"]["targets"]
    for argument in arguments:
        try:
            for value in sources(argument, runner.told, codec):
                print(json.dumps({column: translate(runner, codec, target, value)}, ensure_ascii=False))
        except (ValueError, EOFError, OSError) as error:
            raise SystemExit(
                f"{argument}: this model can't read it ({type(error).__name__}: {error})"
            ) from None
