"""Answers as people read them, a JSON line each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.exports.runner.core import Runner
from unrolled.exports.runner.reading import TABLES, values


def shown(told: dict[str, Any], answers: NDArray[Any]) -> dict[str, Any]:
    """What is said after each step (T, C) -> the answer with its probabilities."""
    task, names, last = told["task"], told["labels"], answers[-1]
    target = ", ".join(task["targets"])
    if task["kind"] == "regress":
        return dict(zip(names, last.tolist(), strict=True))
    if task["kind"] == "tag":
        sure = min(answers.max(1).tolist())
        return {target: " ".join(names[at] for at in answers.argmax(1)), "least sure": sure}
    if task["kind"] == "transcribe":  # runs become one symbol, blanks (0) go
        path = answers.argmax(1)
        new = path != np.concatenate([[0], path[:-1]])
        return {target: "".join(names[at] for at in path[new & (path > 0)])}
    chances = {f"p({name})": p for name, p in zip(names, last.tolist(), strict=True)}
    limit = task["threshold"] if isinstance(task["threshold"], float) else None
    if task["kind"] == "classify_several":
        held = [name for name, p in zip(names, last, strict=True) if p >= (0.5 if limit is None else limit)]
        return {target: told["separator"].join(held), **chances}
    said = int(last.argmax())
    if limit is not None:  # between two classes: the rarer one is said from there on
        said = told["rarer"] if last[told["rarer"]] >= limit else 1 - told["rarer"]
    return {target: names[said], **chances}


def predict(runner: Runner, codec: Any, value: Any) -> dict[str, Any]:
    """The answer to one raw value: a text, a list, a dict of columns, a file's content. Of nothing it is empty."""
    raw = np.zeros(0) if value is None else np.asarray(codec.encode(value))
    return (
        shown(runner.told, runner.answers(raw))
        if len(raw)
        else dict.fromkeys(runner.told["task"]["targets"], "")
    )


def main(kind: Any, arguments: list[str]) -> None:
    """Answers each argument: a text, or the rows of a file."""
    runner = Runner(Path(__file__).parent)
    names, usual = runner.told["task"]["inputs"], ", ".join([*kind.reads, *TABLES])
    several = f"a row of CSV ({','.join(names)}) | a JSON object of these columns | "
    typed = several if len(names) > 1 else "" if ".wav" in kind.reads else "TEXT | "
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"python run.py WHAT ...  answers each, as lines of JSON\nWHAT: {typed}a file ({usual})")
        raise SystemExit(0 if arguments else 2)
    codec = kind(runner)
    for argument in arguments:
        try:
            for value in values(argument, runner.told, codec):
                print(json.dumps(predict(runner, codec, value), ensure_ascii=False))
        except (ValueError, EOFError, OSError) as error:
            raise SystemExit(
                f"{argument}: this model can't read it ({type(error).__name__}: {error})"
            ) from None
