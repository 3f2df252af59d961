"""The glass box: a run's model reads a sequence while a probe listens, and all that it named goes to the page."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from unrolled.errors import NumericalFailure, UserError
from unrolled.inspection.probe import probe
from unrolled.page.layers import heard, layers_of
from unrolled.page.odds import following
from unrolled.page.passages import Passage, passages
from unrolled.running.sampling import Draw
from unrolled.running.writer import BOUNDARY, Writer
from unrolled.tasks.translate import Translate
from unrolled.training.example import prompt
from unrolled.training.run import Run

MOST = 256  # steps that are shown at once
WRITTEN = 48  # tokens that a box shows before anybody types
MODELS = 3  # held in memory
READINGS = 12  # whose predictions are held, for the sliders
CLASSES = 40  # of which the probabilities are shown
COLUMNS = 96  # of steps that are numbers


class Asked(BaseModel):
    """What is to be read: token `ids`, a `text`, or the `sample` of this number. Of a translator `ids` is what it has
    written so far. known: steps that the page has already. at: the step after which the next token is asked for.
    """

    model_config = ConfigDict(extra="forbid")
    run: str = Field(max_length=300)
    ids: list[int] | None = Field(None, max_length=MOST)
    text: str | None = Field(None, max_length=20_000)
    sample: int | None = Field(None, ge=0)
    known: int = Field(0, ge=0)
    at: int | None = Field(None, ge=0)
    temperature: float = Field(1.0, ge=0, le=100)
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1)
    uniform: float | None = Field(None, ge=0, le=1)


@dataclass
class Opened:
    """A run's model, as long as its file stays the same."""

    stamp: tuple[int, int]
    model: Any
    predictions: OrderedDict[tuple[Any, ...], Tensor] = field(default_factory=OrderedDict)
    samples: list[Passage] | None = None

    @property
    def task(self) -> Any:
        """What it was trained for."""
        return self.model.task

    @property
    def writes(self) -> bool:
        """Whether it draws tokens."""
        return self.task.kind in ("generate", "translate")

    @property
    def spells(self) -> bool:
        """Whether it reads tokens that a text can be made into."""
        return self.task.kind == "generate" or (
            hasattr(self.task.codec, "token_text") and len(self.task.inputs) == 1
        )


class Glass:
    """The models that are being looked into; one reads at a time."""

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._held: OrderedDict[Path, Opened] = OrderedDict()
        self._lock = threading.RLock()

    def _of(self, run: Run) -> Opened:
        """The run's best model so far. Raises UserError where there is none."""
        file = run.path / "model" / "model.safetensors"
        try:
            told = file.stat()
        except OSError as error:
            raise UserError(f"{run.name}: there is no model yet ({error.strerror}: {file.name}).") from error
        stamp = (told.st_mtime_ns, told.st_size)
        found = self._held.get(run.path)
        if found is None or found.stamp != stamp:
            found = self._held[run.path] = Opened(stamp, run.model(self._device).eval())
        self._held.move_to_end(run.path)
        while len(self._held) > MODELS:
            self._held.popitem(last=False)
        return found

    def open(self, run: Run) -> dict[str, Any]:
        """What the model reads and how it is built, with something to begin with."""
        with self._lock, torch.inference_mode():
            opened = self._of(run)
            model, task = opened.model, opened.task
            told: dict[str, Any] = {
                "task": task.kind, "writes": opened.writes, "spells": opened.spells, "streams": model.reach.future == 0,
                "codec": task.codec.kind, "parameters": model.parameter_count(), "layers": layers_of(model),
                "classes": _classes(task), "inputs": list(getattr(task, "inputs", ())), "most": MOST,
                "targets": list(getattr(task, "targets", ())), "vocabulary": getattr(task.codec, "size", None),
            }  # fmt: skip
            if task.kind == "generate":
                told |= {"temperature": task.temperature, "prompt": prompt(task), "ids": _begun(model, task)}
            return told

    def samples(self, run: Run) -> list[dict[str, Any]]:
        """Held-out sequences by number, with what is right. Raises UserError where the data can't be read any more."""
        with self._lock:
            found = self._passages(run, self._of(run))
            return [{"label": one.label, "truth": one.truth, "steps": len(one.steps)} for one in found]

    @staticmethod
    def _passages(run: Run, opened: Opened) -> list[Passage]:
        if opened.samples is None:
            opened.samples = passages(run, opened.task)
        return opened.samples

    def read(self, run: Run, asked: Asked) -> dict[str, Any]:
        """The steps from `known` on, with all that was heard. Raises UserError for what can't be read, and
        NumericalFailure where the model's own numbers are none.
        """
        with self._lock:
            opened = self._of(run)
            if isinstance(opened.task, Translate):
                return self._translated(run, opened, asked)
            steps, cut = self._steps(run, opened, asked)
            trace = probe(opened.model, steps, only=())
            known = min(asked.known, steps.shape[1] - 1) if opened.model.reach.future == 0 else 0
            layers = heard(opened.model, trace, known)  # names the first that breaks
            told: dict[str, Any] = {"known": known, "cut": cut, "layers": layers}
            prediction = _finite(run, trace.prediction[0])
            if steps.ndim == 2:
                ids = steps[0].tolist()
                told |= {"ids": ids, "labels": _labels(opened.task, ids, opened.writes)}
            else:
                told |= {
                    "ids": None,
                    "labels": _numbered(steps.shape[1]),
                    "input": _image(steps[0]),
                }
            if opened.writes:
                self._keep(opened, (None, tuple(told["ids"][1:])), prediction)
                told["surprise"] = _surprise(prediction, told["ids"])
            else:
                told["answers"] = _answers(opened.task, prediction)
                if opened.task.kind == "transcribe":
                    told["heard"] = _growing(opened.task, prediction)
            if asked.sample is not None and asked.ids is None:
                told["truth"] = self._passages(run, opened)[asked.sample].truth
            return told

    def _steps(self, run: Run, opened: Opened, asked: Asked) -> tuple[Tensor, int]:
        """(1, T) ids or (1, T, D) numbers, and how many steps were too many."""
        task = opened.task
        if asked.ids is not None:
            steps = np.asarray(asked.ids, np.int64)
        elif asked.sample is not None:
            steps = self._sample(run, opened, asked.sample).steps
        elif asked.text is not None and opened.spells:
            steps = np.asarray(task.steps(asked.text))
        else:
            raise UserError("nothing to read: give ids, a sample, or a text to a model that reads texts.")
        if opened.writes:
            steps = np.concatenate(([BOUNDARY], steps))
        if not len(steps):
            raise UserError("nothing to read: the text has no token.")
        cut = max(0, len(steps) - MOST)
        x = torch.from_numpy(np.ascontiguousarray(steps[:MOST]))[None]
        x = x.float() if x.is_floating_point() else x.long()
        opened.model.embedder.accept(x)
        opened.model.embedder.within(x)
        return x.to(opened.model.core.anchor.device), cut

    def _sample(self, run: Run, opened: Opened, number: int) -> Passage:
        found = self._passages(run, opened)
        if number >= len(found):
            raise UserError(f"sample={number}: there are {len(found)}.")
        return found[number]

    def _translated(self, run: Run, opened: Opened, asked: Asked) -> dict[str, Any]:
        """A source, and a target that is read while it looks back; the model's own where none is given."""
        task, model = opened.task, opened.model
        source = self._source(run, opened, asked)
        if asked.ids is None:
            with torch.inference_mode():
                written = list(task.hypotheses(model, [source], beam=1)[0][0].tokens)[: MOST - 1]
        else:
            written = asked.ids
        ids = torch.tensor([[BOUNDARY, *written]])
        model.embedder.within(ids)
        device = model.core.anchor.device
        raw = torch.from_numpy(source)[None]
        raw = (raw.float() if raw.is_floating_point() else raw.long()).to(device)
        trace = probe(model, ids.to(device), source=raw)
        layers = heard(model, trace, 0)
        prediction = _finite(run, trace.prediction[0])
        self._keep(opened, (asked.sample, asked.text, tuple(written)), prediction)
        read = [BOUNDARY, *written]
        spelt = source.ndim == 1
        told: dict[str, Any] = {
            "known": 0, "cut": 0, "layers": layers, "ids": read,
            "labels": _labels(task, read, True, task.answers), "surprise": _surprise(prediction, read),
            "source": _labels(task, source.tolist(), False) if spelt else _numbered(len(source)),
            "said": task.answers.decode(written),
        }  # fmt: skip
        if asked.sample is not None:
            told["truth"] = self._passages(run, opened)[asked.sample].truth
        return told

    def _source(self, run: Run, opened: Opened, asked: Asked) -> np.ndarray:
        if asked.sample is not None:
            source = self._sample(run, opened, asked.sample).steps
        elif asked.text is not None and asked.text.strip():
            source = np.asarray(opened.task.codec.encode(asked.text))
        else:
            raise UserError("nothing to translate: give a text or a sample.")
        if len(source) > MOST:
            raise UserError(f"a source of {len(source)} steps; the glass box shows up to {MOST}.")
        return np.asarray(source)

    def _keep(self, opened: Opened, key: tuple[Any, ...], prediction: Tensor) -> None:
        opened.predictions[key] = prediction
        opened.predictions.move_to_end(key)
        while len(opened.predictions) > READINGS:
            opened.predictions.popitem(last=False)

    def next(self, run: Run, asked: Asked) -> dict[str, Any]:
        """The next token's probabilities after step `at` of `ids`, and with `uniform` the one that is drawn.

        Raises UserError for a model that writes nothing and for ids that leave no room, NumericalFailure where its
        prediction isn't a number.
        """
        with self._lock:
            opened = self._of(run)
            if not opened.writes:
                raise UserError(f"{run.name}: its task is {opened.task.kind}, which draws no tokens.")
            ids = tuple(asked.ids or ())
            if len(ids) >= MOST:
                raise UserError(f"ids: {len(ids)} tokens; the glass box writes on after at most {MOST - 1}.")
            translates = isinstance(opened.task, Translate)
            key = (asked.sample, asked.text, ids) if translates else (None, ids)
            if key not in opened.predictions:
                self.read(run, asked.model_copy(update={"ids": list(ids), "known": 0}))
            prediction = opened.predictions[key]
            logits = prediction[min(len(prediction) - 1, len(ids) if asked.at is None else asked.at)].float()
            draw = Draw(asked.temperature, asked.top_k, asked.top_p)
            codec = opened.task.answers if translates else opened.task.codec
            return following(logits, draw, asked.uniform, lambda i: _label(codec, i))


def _finite(run: Run, prediction: Tensor) -> Tensor:
    if not bool(prediction.isfinite().all()):
        raise NumericalFailure(f"{run.name}: the model's prediction isn't a number.")
    return prediction


def _begun(model: Any, task: Any) -> list[int]:
    """What the model makes of its usual beginning: something to look at before anybody types."""
    given = [int(i) for i in task.codec.encode(prompt(task))]
    writer = Writer(model, given, length=WRITTEN, draw=Draw(task.temperature, seed=0))
    drawn = [token for pairs in writer for _, token in pairs if token != BOUNDARY]
    return [*given, *drawn][: MOST - 1]


def _label(codec: Any, token: int) -> str:
    return "∎" if token == BOUNDARY and codec.kind != "items" else str(codec.token_text(token))


def _labels(task: Any, ids: list[int], begun: bool, codec: Any = None) -> list[str]:
    codec = codec or task.codec
    if not hasattr(codec, "token_text"):
        return [str(i) for i in ids]
    names = [_label(codec, i) for i in ids]
    return ["▸", *names[1:]] if begun else names


def _numbered(steps: int) -> list[str]:
    return [str(i + 1) for i in range(steps)]


def _image(steps: Tensor) -> dict[str, Any]:
    """(T, D) numbers from 0 to 255: of the columns that change, at most `COLUMNS`, evenly chosen."""
    values = steps.double().cpu()
    changing = torch.nonzero(values.amax(0) > values.amin(0))[:, 0].tolist() or list(range(values.shape[1]))
    count = min(COLUMNS, len(changing))
    shown = values[:, [changing[i * len(changing) // count] for i in range(count)]]
    low, high = float(shown.min()), float(shown.max())
    grey = ((shown - low) / (high - low + 1e-12)).mul(255).round().long().tolist()
    return {"columns": count, "of": values.shape[1], "low": low, "high": high, "values": grey}


def _surprise(prediction: Tensor, ids: list[int]) -> list[float]:
    """Bits of each token given those before it; 0 for the first, which nothing precedes."""
    nats = -prediction[:-1].double().log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return [0.0, *(round(bit, 3) for bit in (nats / np.log(2)).tolist())]


def _classes(task: Any) -> list[str]:
    if task.kind in ("classify", "tag"):
        return [str(name) for name in task.answers.names][:CLASSES]
    if task.kind == "transcribe":
        return ["·", *(task.answers.decode([i]) for i in range(1, task.answers.size))][:CLASSES]
    return list(task.targets) if task.kind == "regress" else []


def _answers(task: Any, prediction: Tensor) -> list[list[float]]:
    """(T, C): what the model would say had the sequence ended at each step."""
    said = task.settled(prediction.double())
    return [[float(f"{value:.4g}") for value in row] for row in said[:, :CLASSES].tolist()]


def _growing(task: Any, prediction: Tensor) -> list[str]:
    """The transcript after each step."""
    said = task.settled(prediction.double()).numpy()
    memo, texts = None, []
    for step, answer in zip(said, task.shown(said), strict=True):
        answer, memo = task.continued(answer, step, memo)
        texts.append(str(answer[task.target]))
    return texts
