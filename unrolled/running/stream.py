"""Stream: a model that reads sequences as they come, one step or a long stretch at a time.

What a model with a state of fixed size holds stays constant, however much is pushed. Slots (full attention)
are grown before they are full; a model trained on windows of `context` steps slides when they are used up:
it begins anew and reads the last half of the context again in one call, which is how its training windows
began too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from unrolled.errors import UserError
from unrolled.layout import Layout, admit
from unrolled.running.kept import Kept
from unrolled.running.raw import steps_of
from unrolled.running.recent import Recent
from unrolled.running.sampling import likeliest
from unrolled.state import State, grow, pick, put

if TYPE_CHECKING:
    from unrolled.model import Model

FIRST = 512  # slots reserved at first; they grow as they are filled
LONGEST = 1024  # steps read in one call: bounds the memory that a long prompt's predictions take


class Stream:
    """`rows` sequences of one model, each continued by what is pushed.

    `push` returns what the head says after the last step pushed: of a model that writes, the logits of the next token;
    of one that answers, its answer so far, which `answers` shows as people see it; of a forecast what comes, after each
    observation, in the scale that training or the first push fixed. `context` (steps, of models with
    Slots only) defaults to the length the model was trained on.

    Raises UserError for a model that sees a sequence as a whole.
    """

    def __init__(self, model: Model, rows: int = 1, context: int | None = None) -> None:
        if isinstance(model, (str, Path)):
            raise UserError(f"Stream takes a model: un.Stream(un.load({str(model)!r})).")
        if rows < 1:
            raise UserError(f"rows={rows}: a stream needs at least 1.")
        limit = context or getattr(model.task, "context", None)
        self.model, self.rows = model, rows
        model.start(1)  # refuses in its own words what can't stream
        self._slots = not model.fixed_state
        self.context: int | None = limit if self._slots else None
        # Of forecasts: what turns observations into steps.
        self._observe: Any = getattr(model.task, "observed", None)
        self.reset()

    @torch.inference_mode()
    def reset(self) -> None:
        """Forgets everything: the next push begins a document in every row."""
        self.state: State = self.model.start(self.rows, self._reserved)
        self.prediction: Tensor | None = None
        self.recent = Recent(self.rows, self.context)
        self.observed: Any = self._observe() if self._observe and self.rows == 1 else None

    @torch.inference_mode()
    def push(self, x: Any, layout: Layout | None = None) -> Float[Tensor, "rows answer"]:
        """Continues the rows by `x` -> what the head says after each row's last step (rows, C).

        x: the model's own steps, as a tensor or ids: an id, (T,) ids or (T, D) numbers for all rows alike, (rows, T) or
        (rows, T, D); or what people have (a text, a list of events, readings, a sound), which goes through the codec.
        A text to go on from begins with the document boundary, token 0.

        layout: which steps are real, where rows get unequally many, and which rows begin anew (in the first column). A
        row without a real step stays as it is. Raises UserError for what doesn't fit.
        """
        steps = self._fitting(x, layout)
        self.model.accept(steps, self.state, None)  # the state is open to whoever holds the stream
        self.model.core.check(self.state.core, self.rows)
        if layout is not None:
            layout = admit(layout, *steps.shape[:2])
            if layout.packed:
                raise UserError("push: a row begins anew within a push. Push what comes before it first.")
        self.model.embedder.within(steps if layout is None else steps[layout.valid][None])
        training = self.model.training
        if training:
            self.model.eval()
        try:
            for begin in range(0, steps.shape[1], LONGEST):
                part = slice(begin, begin + LONGEST)
                cut = layout and Layout(layout.valid[:, part], layout.start[:, part])
                self.read(steps[:, part], cut)
        finally:
            if training:
                self.model.train()
        assert self.prediction is not None
        return self.prediction

    def read(self, steps: Shaped[Tensor, "rows time *features"], layout: Layout | None = None) -> None:
        """`push` for a loop: steps that fit, on the model's device, the model in eval mode, no gradient recorded."""
        if steps.shape[1] == 0:
            return
        if self._slots:
            steps, layout = self._make_room(steps, layout)
            if layout is not None and not bool(layout.valid.any()):
                return  # each row was read by itself
        prediction, self.state = self.model.read(steps, self.state, layout)
        if layout is not None:
            before = prediction.new_zeros(()) if self.prediction is None else self.prediction
            prediction = torch.where(layout.valid[:, :1], prediction, before)
        self.prediction = prediction

    def _make_room(self, steps: Tensor, layout: Layout | None) -> tuple[Tensor, Layout | None]:
        """Grows the Slots for these steps, or slides rows; returns what is left to read."""
        recent, time = self.recent, steps.shape[1]
        if layout is None:
            if self.context is not None and recent.alike and recent.most + time > self.context:
                steps = recent.tail(steps)
                self.state = self.model.start(self.rows, self._reserved)
                recent.forget()
                time = steps.shape[1]
            lengths = [time] * self.rows
        else:
            recent.forget([row for row, fresh in enumerate(layout.start[:, 0].tolist()) if fresh])
            lengths = layout.lengths.tolist()
        for row in recent.overflowing(lengths):
            layout = layout or Layout.of_lengths(torch.tensor(lengths, device=steps.device))
            self._slide(row, steps[row : row + 1, : lengths[row]])
            lengths[row] = 0
            others = torch.ones(self.rows, 1, dtype=torch.bool, device=steps.device)
            others[row] = False
            layout = Layout(layout.valid & others, layout.start & others)
        recent.add(steps, lengths)
        self.state = grow(self.state, recent.most)
        return steps, layout

    def _slide(self, row: int, steps: Tensor) -> None:
        """Begins one row anew with the last half of its context."""
        tail = self.recent.tail(steps, row)
        prediction, state = self.model.read(tail, self.model.start(1, max(tail.shape[1], self._reserved)))
        self.state = put(self.state, torch.tensor([row], device=steps.device), state)
        if self.prediction is None:
            self.prediction = prediction.new_zeros(self.rows, prediction.shape[1])
        self.prediction = self.prediction.clone()
        self.prediction[row] = prediction[0]
        self.recent.forget([row])
        self.recent.set(row, tail)

    def _fitting(self, x: Any, layout: Layout | None) -> Tensor:
        """The steps (rows, T) or (rows, T, D) that `x` stands for."""
        if self.observed is not None and not isinstance(x, Tensor):
            steps: Tensor = self.observed.steps(x).to(self.device)
        else:
            steps = steps_of(self.model, x, begins=self.prediction is None).to(self.device)
        sides = self.model.embedder.sides
        if steps.ndim == sides - 1:
            steps = steps.expand(self.rows, *steps.shape)
        empty = steps.ndim < 2 or (steps.shape[1] == 0 and self.prediction is None)
        if steps.ndim != sides or steps.shape[0] != self.rows or empty:
            wanted = f"({self.rows}, T) or (T,)" if sides == 2 else f"({self.rows}, T, D) or (T, D)"
            raise UserError(f"pushed steps of shape {tuple(steps.shape)}; expected {wanted}, not empty.")
        if layout is not None and self.prediction is None and not bool(layout.valid.any()):
            raise UserError("pushed padding only; the first push holds at least one real step.")
        return steps

    @property
    def _reserved(self) -> int:
        """Slots to begin with."""
        return min(self.context or 0, FIRST)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.model.core.anchor.device

    @property
    def used(self) -> list[int]:
        """Steps that each row's Slots hold; of a state of fixed size, which doesn't count them, nothing."""
        return list(self.recent.used) if self._slots else []

    def answers(self) -> list[dict[str, Any]]:
        """What each row's latest prediction says, as people see it: the class with probabilities, the tag, the numbers, the
        likeliest next tokens.
        """
        if self.prediction is None or self.model.task is None:
            raise UserError("push something first: nothing is predicted yet.")
        task = self.model.task
        if self.observed is not None:
            return [self.observed.forecast(self.prediction[0], self.model.head)]
        return list(task.shown(task.settled(self.prediction.double().cpu()).numpy()))

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
        other = self._of(len(rows))
        other.state = pick(self.state, rows)
        other.prediction = None if self.prediction is None else self.prediction[rows]
        other.recent = self.recent.pick(rows.tolist())
        other.observed = self.observed.copy() if self.observed is not None and len(rows) == 1 else None
        return other

    @torch.inference_mode()
    def put(self, rows: Int[Tensor, " taken"], other: Stream) -> None:
        """These rows become those of `other`, a stream of the same model: sequences join or leave a batch."""
        if other.model is not self.model or other.context != self.context or len(rows) != other.rows:
            raise UserError(
                f"put: {other.rows} rows with a context of {other.context} for {len(rows)} rows with {self.context}; both "
                "must be streams of one model with one context."
            )
        other = other.fork() if other is self else other  # rows change places: what is written isn't read
        self.state = put(self.state, rows, other.state)
        if other.prediction is not None:
            if self.prediction is None:
                self.prediction = other.prediction.new_zeros(self.rows, *other.prediction.shape[1:])
            self.prediction = self.prediction.index_copy(0, rows, other.prediction)
        self.recent.put(rows.tolist(), other.recent)

    def fork(self) -> Stream:
        """An independent copy: both go on from here."""
        return self.pick(torch.arange(self.rows, device=self.device))

    def save(self, path: str | Path) -> None:
        """Writes the state and all that goes with it to a safetensors file, with the digest of the model's weights."""
        if self.observed is not None:
            raise UserError(
                "a forecast's stream isn't kept in a file: keep its observations, and push them again."
            )
        kept = Kept(self.state, self.prediction, self.recent)
        kept.write(Path(path), self.model)

    @classmethod
    def load(cls, path: str | Path, model: Model) -> Stream:
        """The stream that `save` wrote: it goes on exactly there. Raises UserError for a file that isn't one, or is one of
        another model.
        """
        kept = Kept.read(Path(path), model)
        other = object.__new__(cls)
        other.model, other.rows, other.context = model, kept.recent.rows, kept.recent.context
        other._slots, other._observe, other.observed = not model.fixed_state, None, None
        other.state, other.prediction, other.recent = kept.state, kept.prediction, kept.recent
        return other

    def _of(self, rows: int) -> Stream:
        other = object.__new__(Stream)
        other.model, other.context, other._slots, other.rows = self.model, self.context, self._slots, rows
        other._observe = self._observe
        return other
