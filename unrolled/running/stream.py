"""Stream: a model that reads a sequence as it comes, one token or a long stretch at a time.

What a model with a state of fixed size holds stays constant, however much is pushed. Slots (full attention)
are grown before they are full; a model trained on windows of `context` tokens slides when they are used up:
it begins anew and reads the last half of the context again in one call, which is how its training windows
began too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrolled.errors import UserError
from unrolled.running.sampling import likeliest
from unrolled.state import State, grow, pick

if TYPE_CHECKING:
    from unrolled.model import Model

LONGEST = 1024  # tokens read in one call: bounds the memory that a long prompt's predictions take


class Stream:
    """`rows` sequences of one model, each continued by what is pushed.

    `push` returns the prediction for the token after the last one pushed. Text is encoded by the model's
    codec and begins with the document boundary, token 0; token ids are read as they are. `context` (tokens,
    of models with Slots only) defaults to the length the model was trained on.
    """

    def __init__(self, model: Model, rows: int = 1, context: int | None = None) -> None:
        if rows < 1:
            raise UserError(f"rows={rows}: a stream needs at least 1.")
        limit = context or getattr(model.task, "context", None)
        self.model, self.rows = model, rows
        self._slots = not model.fixed_state
        self.context: int | None = limit if self._slots else None
        self.reset()

    @torch.inference_mode()
    def reset(self) -> None:
        """Forgets everything: the next push begins a document."""
        self.state: State = self.model.start(self.rows, self.context or 0)
        self.used = 0  # tokens in the state, never more: known without asking the device
        self.prediction: Tensor | None = None
        self._recent: list[Tensor] = []  # the context's ids, (rows, T) each; only kept where it can slide

    @torch.inference_mode()
    def push(self, x: str | int | Sequence[int] | np.ndarray | Tensor) -> Float[Tensor, "rows vocabulary"]:
        """Text, an id, ids (T,) for all rows alike, or ids (rows, T) -> logits (rows, V) of what comes next."""
        ids = self._ids(x)
        self.model.accept(ids, self.state, None)  # the state is open to whoever holds the stream
        self.model.core.check(self.state.core, self.rows)
        training = self.model.training
        if training:
            self.model.eval()
        try:
            for piece in torch.split(ids, LONGEST, 1) if ids.shape[1] > LONGEST else (ids,):
                self.read(piece)
        finally:
            if training:
                self.model.train()
        assert self.prediction is not None
        return self.prediction

    def read(self, ids: Int[Tensor, "rows time"]) -> None:
        """`push` for a loop: ids on the model's device, the model in eval mode, no gradient recorded."""
        if ids.shape[1] == 0:
            return
        if self._slots:
            ids = self._make_room(ids)
        self.prediction, self.state = self.model.read(ids, self.state)

    def _make_room(self, ids: Int[Tensor, "rows time"]) -> Int[Tensor, "rows read"]:
        """Grows the Slots for `ids`, or slides; returns the ids to read now."""
        if self.context is not None:
            if self.used + ids.shape[1] > self.context:
                ids = torch.cat([*self._recent, ids], 1)[:, -max(1, self.context // 2) :]
                self.state, self.used, self._recent = self.model.start(self.rows, self.context), 0, []
            self._recent.append(ids)
        self.used += ids.shape[1]
        self.state = grow(self.state, self.used)
        return ids

    def _ids(self, x: str | int | Sequence[int] | np.ndarray | Tensor) -> Int[Tensor, "rows time"]:
        device = self.device
        if isinstance(x, Tensor) and x.ndim == 2 and x.dtype == torch.long and x.device == device:
            ids = x
        else:
            ids = self._encoded(x).to(device)
        if ids.shape[0] != self.rows or (ids.shape[1] == 0 and self.prediction is None):
            raise UserError(
                f"pushed ids of shape {tuple(ids.shape)}; expected ({self.rows}, T) or (T,), not empty."
            )
        return ids

    def _encoded(self, x: str | int | Sequence[int] | np.ndarray | Tensor) -> Int[Tensor, "rows time"]:
        if isinstance(x, str):
            if self.model.task is None:
                raise UserError("this model has no codec, so it can't read text: push token ids.")
            goes_on = (
                self.model.task.kind == "generate"
            )  # documents of a text to be continued begin with a boundary
            begin = [0] if self.prediction is None and goes_on else []
            x = [*begin, *self.model.task.codec.encode(x).tolist()]
        ids = torch.as_tensor([x] if isinstance(x, int) else x, dtype=torch.long)
        return ids if ids.ndim == 2 else ids.expand(self.rows, -1)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.model.core.anchor.device

    def likeliest(self, n: int = 10, row: int = 0) -> list[tuple[str, float]]:
        """The n likeliest next tokens of a row as text, or the classes of a model that names these, with probabilities."""
        if self.prediction is None or self.model.task is None:
            raise UserError("push text first: nothing is predicted yet.")
        task = self.model.task
        if task.kind not in ("generate", "classify", "tag"):
            raise UserError(
                f"likeliest: this model's task is {task.kind}, which names nothing. Use what push returns."
            )
        name = task.codec.token_text if task.kind == "generate" else task.answers.decode
        return [(name(token), p) for token, p in likeliest(self.prediction[row], n)]

    @torch.inference_mode()
    def pick(self, rows: Int[Tensor, " kept"]) -> Stream:
        """A stream of these rows, in this order, repeated where a row is named twice; this one lives on."""
        other = object.__new__(Stream)
        other.model, other.context, other._slots = self.model, self.context, self._slots
        other.used, other.rows = self.used, len(rows)
        other.state = pick(self.state, rows)
        other.prediction = None if self.prediction is None else self.prediction[rows]
        other._recent = [ids[rows] for ids in self._recent]
        return other

    def fork(self) -> Stream:
        """An independent copy: both go on from here."""
        return self.pick(torch.arange(self.rows, device=self.device))
