"""Transcriber: texts that grow while their sounds come, of a CTC model that reads in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import UserError
from unrolled.layout import Layout, admit
from unrolled.model.ctc import CTCHead
from unrolled.running.ctc import collapse, likeliest_path
from unrolled.running.raw import steps_of
from unrolled.state import State, grow

if TYPE_CHECKING:
    from unrolled.model import Model

LONGEST = 1024  # steps read in one call: bounds the memory that a long sound's scores take


class Transcriber:
    """`rows` sounds heard at once by one model. All that it remembers lies open: `state` of the model, `last` of the
    collapsing (B,), `symbols` said so far. What is said stays said: a later step only adds.

    At the end of a sound its text is that of the whole read at once and collapsed (greedy). Raises UserError for a model
    that transcribes nothing and one that sees a sound as a whole.
    """

    def __init__(self, model: Model, rows: int = 1) -> None:
        if not isinstance(model.head, CTCHead) or model.task is None:
            raise UserError("a Transcriber takes a model of the task transcribe: un.load(RUN).")
        if rows < 1:
            raise UserError(f"rows={rows}: expected at least 1 sound.")
        model.start(1)  # refuses in its own words what can't stream
        self.model, self.rows, self._slots = model, rows, not model.fixed_state
        self.reset()

    @torch.inference_mode()
    def reset(self) -> None:
        """Forgets everything: the next push begins a sound in every row."""
        self.state: State = self.model.start(self.rows)
        self.last = torch.zeros(self.rows, dtype=torch.long, device=self.model.core.anchor.device)
        self.symbols: list[list[int]] = [[] for _ in range(self.rows)]
        self._steps = 0
        self._sound: Any = None

    @property
    def texts(self) -> list[str]:
        """The transcript of each row so far."""
        return [self.model.task.answers.decode(row) for row in self.symbols]

    @torch.inference_mode()
    def push(self, x: Any, layout: Layout | None = None) -> list[str]:
        """Reads further steps -> the transcripts so far.

        x: steps (T, D) for all rows alike or (rows, T, D), as the codec makes them. layout: which steps are real, and
        which rows begin a new sound (in the first column). Raises UserError for what doesn't fit.
        """
        steps = steps_of(self.model, torch.as_tensor(x)).to(self.last.device)
        if steps.ndim == self.model.embedder.sides - 1:
            steps = steps.expand(self.rows, *steps.shape)
        if steps.ndim != self.model.embedder.sides or len(steps) != self.rows:
            raise UserError(f"pushed steps of shape {tuple(steps.shape)}; expected ({self.rows}, T, D).")
        if layout is not None:
            layout = admit(layout, *steps.shape[:2])
            if layout.packed:
                raise UserError("push: a sound begins within a push. Push what comes before it first.")
            for row in layout.start[:, 0].nonzero()[:, 0].tolist():
                self.symbols[row] = []
        training = self.model.training
        self.model.eval()
        try:
            for begin in range(0, steps.shape[1], LONGEST):
                part = slice(begin, begin + LONGEST)
                self._read(steps[:, part], layout and Layout(layout.valid[:, part], layout.start[:, part]))
        finally:
            self.model.train(training)
        return self.texts

    def _read(self, steps: Tensor, layout: Layout | None) -> None:
        self._steps += steps.shape[1]
        if self._slots:
            self.state = grow(self.state, self._steps)
        scores, self.state = self.model(steps, self.state, layout)
        more, self.last = collapse(likeliest_path(scores, layout), self.last, layout)
        for said, new in zip(self.symbols, more, strict=True):
            said += new

    def hear(self, samples: np.ndarray, rate: int | None = None) -> str:
        """Reads the next piece of one sound, (n,) samples -> its transcript so far. What a step needs of later samples is
        held back: say `finish` at the sound's end.

        Raises UserError for another rate than the model's and for a codec that has to know the whole sound.
        """
        if self._sound is None:
            codec = self.model.task.codec
            if not hasattr(codec, "follow") or self.rows != 1:
                raise UserError(
                    f"hear: one sound at a time, of a model that reads stacked_mel; this one has {self.rows} rows and "
                    f"reads {codec.kind}. Push its steps."
                )
            self._sound = codec.follow()
        return self.push(self._sound.push(samples, rate))[0]

    def finish(self) -> str:
        """The sound that was heard has ended -> its transcript. The next `hear` begins another one."""
        text = self.texts[0] if self._sound is None else self.push(self._sound.end())[0]
        self.reset()
        return text
