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
from unrolled.page.spoken import answers, begun, classes, growing, image, label, labels, numbered, surprise
from unrolled.running.sampling import Draw
from unrolled.running.writer import BOUNDARY
from unrolled.tasks.translate import Translate
from unrolled.training.example import prompt
from unrolled.training.run import Run

MOST = 256  # steps that are shown at once
MODELS = 3  # held in memory
READINGS = 12  # whose predictions are held, for the sliders


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
    """The models that are being looked into; one reads at a time, at most `most` steps."""

    def __init__(self, device: str = "cpu", most: int = MOST) -> None:
        self._device, self._most = device, most
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

    def task(self, run: Run) -> Any:
        """What the run's model was trained for. Raises UserError where there is no model yet."""
        with self._lock:
            return self._of(run).task

    def open(self, run: Run) -> dict[str, Any]:
        """What the model reads and how it is built, with something to begin with."""
        with self._lock, torch.inference_mode():
            opened = self._of(run)
            model, task = opened.model, opened.task
            told: dict[str, Any] = {
                "task": task.kind, "writes": opened.writes, "spells": opened.spells, "streams": model.reach.future == 0,
                "codec": task.codec.kind, "parameters": model.parameter_count(), "layers": layers_of(model),
                "classes": classes(task), "inputs": list(getattr(task, "inputs", ())), "most": self._most,
                "targets": list(getattr(task, "targets", ())), "vocabulary": getattr(task.codec, "size", None),
            }  # fmt: skip
            if task.kind == "generate":
                ids = begun(model, task)[: self._most - 1]
                told |= {"temperature": task.temperature, "prompt": prompt(task), "ids": ids}
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
                told |= {"ids": ids, "labels": labels(opened.task, ids, opened.writes)}
            else:
                told |= {
                    "ids": None,
                    "labels": numbered(steps.shape[1]),
                    "input": image(steps[0]),
                }
            if opened.writes:
                self._keep(opened, (None, tuple(told["ids"][1:])), prediction)
                told["surprise"] = surprise(prediction, told["ids"])
            else:
                told["answers"] = answers(opened.task, prediction)
                if opened.task.kind == "transcribe":
                    told["heard"] = growing(opened.task, prediction)
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
        cut = max(0, len(steps) - self._most)
        x = torch.from_numpy(np.ascontiguousarray(steps[: self._most]))[None]
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
                written = list(task.hypotheses(model, [source], beam=1)[0][0].tokens)[: self._most - 1]
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
            "labels": labels(task, read, True, task.answers), "surprise": surprise(prediction, read),
            "source": labels(task, source.tolist(), False) if spelt else numbered(len(source)),
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
        if len(source) > self._most:
            raise UserError(f"a source of {len(source)} steps; the glass box shows up to {self._most}.")
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
            if len(ids) >= self._most:
                raise UserError(
                    f"ids: {len(ids)} tokens; the glass box writes on after at most {self._most - 1}."
                )
            translates = isinstance(opened.task, Translate)
            key = (asked.sample, asked.text, ids) if translates else (None, ids)
            if key not in opened.predictions:
                self.read(run, asked.model_copy(update={"ids": list(ids), "known": 0}))
            prediction = opened.predictions[key]
            logits = prediction[min(len(prediction) - 1, len(ids) if asked.at is None else asked.at)].float()
            draw = Draw(asked.temperature, asked.top_k, asked.top_p)
            codec = opened.task.answers if translates else opened.task.codec
            return following(logits, draw, asked.uniform, lambda i: label(codec, i))


def _finite(run: Run, prediction: Tensor) -> Tensor:
    if not bool(prediction.isfinite().all()):
        raise NumericalFailure(f"{run.name}: the model's prediction isn't a number.")
    return prediction
