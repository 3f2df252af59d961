"""A model as its files tell it: what it says of a whole sequence, or step by step with its state kept."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray


class Runner:
    """`told` is model.json. `answers(raw)` says something after each step of raw (T,) ids or (T, D) numbers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: dict[str, Any] = json.loads((self.folder / "model.json").read_text("utf-8"))
        graphs = {name: self.session(name) for name in self.told["graphs"]}
        self.step: Any = graphs.get("step.onnx")
        self.sequence: Any = graphs.get("sequence.onnx")
        self.source: Any = graphs.get("source.onnx")

    def session(self, name: str) -> Any:
        """A graph of the folder in ONNX Runtime."""
        return onnxruntime.InferenceSession(self.folder / name, providers=["CPUExecutionProvider"])

    def answers(self, raw: NDArray[Any]) -> NDArray[Any]:
        """(T, C): of the whole sequence in one call where there is a graph of it, else a step after the other."""
        if self.sequence is not None:
            found: NDArray[Any] = self.sequence.run(None, {"raw": raw[None]})[0][0]
            return found
        stream = Stream(self)
        return np.stack([stream.push(step) for step in raw])


class Stream:
    """One sequence as it comes: `push(step)`, an id or (D,) numbers, gives the answer so far; the state is kept. source:
    of a model that writes a text for it, its (S,) ids or (S, D) numbers.
    """

    def __init__(self, runner: Runner, source: NDArray[Any] | None = None) -> None:
        if runner.step is None:
            raise SystemExit("this model sees a sequence as a whole: it has no steps")
        self.runner, self.context, self.told = runner, runner.told["context"], dict[str, NDArray[Any]]()
        if source is not None:
            names = [output.name for output in runner.source.get_outputs()]
            self.told = dict(zip(names, runner.source.run(None, {"raw": source[None]}), strict=True))
        self.reset()

    def reset(self) -> None:
        """Forgets everything: the next push begins anew."""
        self.used = 0
        self.recent: list[Any] = []
        self.state: dict[str, NDArray[Any]] = dict(self.told)
        for leaf in self.runner.told["states"]:
            if leaf["before"] in self.told:
                continue
            shape = [{"batch": 1, "capacity + 1": 33}.get(size, size) for size in leaf["shape"]]
            start = leaf["start"]
            if isinstance(start, dict):
                start = np.frombuffer(base64.b64decode(start["base64"]), leaf["dtype"]).reshape(shape)
            self.state[leaf["before"]] = np.full(shape, start, leaf["dtype"])

    def push(self, step: Any) -> NDArray[Any]:
        """The answer (C,) after one more step."""
        if self.context:
            if self.used == self.context:  # as in training: begin anew with the last half of the context
                again = [*self.recent, step][-max(1, self.context // 2) :]
                self.reset()
                return [self.push(each) for each in again][-1]
            self.recent.append(step)
        self.used += 1
        for leaf in self.runner.told["states"]:
            name, held = leaf["before"], self.state[leaf["before"]]
            if "capacity + 1" in leaf["shape"] and self.used >= held.shape[2]:
                room = [(0, 0), (0, 0), (0, held.shape[2]), (0, 0)]
                self.state[name] = np.pad(held, room)
        raw = np.asarray(step, self.runner.told["input"]["dtype"])[None]
        answer, *after = self.runner.step.run(None, {"raw": raw, **self.state})
        changed = [leaf["before"] for leaf in self.runner.told["states"] if leaf["after"]]
        self.state |= dict(zip(changed, after, strict=True))
        said: NDArray[Any] = answer[0]
        return said
