"""The generation loop, one for every model: read the prompt in one call, then draw, push, draw, push."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from unrolled.errors import NumericalFailure, UserError
from unrolled.running.sampling import Draw, Noise, pick_at
from unrolled.running.stream import Stream

if TYPE_CHECKING:
    from unrolled.model import Model

BOUNDARY = 0  # the token that begins and closes every document
UNSETTLED = 32  # steps whose log-likelihoods are computed at once
NOBODY = -1  # owner of a row whose sample has ended
PREDICTIONS = 2**22  # logits kept for that, at most


class Writer:
    """Writes `count` continuations of one prompt; iterate to receive them token by token.

    Each step yields the (sample, token id) pairs just drawn, of the samples that still run; a sample ends
    after a token of `ends` (which is yielded too), after `length` tokens, or when `finish` is called.
    `shortest`: tokens before which no end may be drawn. Sample i depends on the seed and i, not on how many
    are written beside it.

    Raises NumericalFailure, at most `UNSETTLED` tokens late, when the predictions aren't numbers.

    A model with a state of fixed size needs constant memory. A Transformer goes on past the length it was
    trained on: see `Stream`.
    """

    def __init__(
        self,
        model: Model,
        prompt: Sequence[int] | np.ndarray = (),
        *,
        count: int = 1,
        length: int = 400,
        draw: Draw = Draw(),  # noqa: B008 - frozen
        shortest: int = 0,
        ends: Collection[int] = (BOUNDARY,),
        context: int | None = None,
    ) -> None:
        for name, value in (("count", count), ("length", length)):
            if value < 1:
                raise UserError(f"{name}={value}: expected a whole number of at least 1.")
        self.model, self.prompt, self.count, self.length = model, prompt, count, length
        self.draw, self.shortest, self.ends, self.context = draw, shortest, frozenset(ends), context
        self._tally = Tally(count)
        self._running = [True] * count

    @property
    def log_likelihoods(self) -> list[float]:
        """Nats of each sample's tokens under the model itself, whatever temperature drew them."""
        return self._tally.settled()

    def finish(self, sample: int) -> None:
        """Ends a sample before its time: nothing more is written to it."""
        self._running[sample] = False

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        training = self.model.training
        self.model.eval()
        try:
            yield from self._write()
        finally:
            self.model.train(training)

    def _write(self) -> Iterator[list[tuple[int, int]]]:
        stream = Stream(self.model, context=self.context)
        stream.push([BOUNDARY, *self.prompt])
        samples = list(range(self.count))  # which sample each row of the batch is
        rows: Tensor | None = None  # the same as a tensor, once some have left
        stream = stream.pick(torch.zeros(self.count, dtype=torch.long, device=stream.device))
        assert stream.prediction is not None
        noise = Noise(self.count, self.draw.seed, stream.device)
        ids: Tensor | None = None
        for step in range(self.length):
            ids = self._step(stream, ids, noise.next(rows), banned=step < self.shortest and bool(self.ends))
            yield self._account(samples, stream.prediction, ids)
            if step < self.length - 1 and all(self._running):
                continue
            staying = [row for row, sample in enumerate(samples) if self._running[sample]]
            if not staying or step == self.length - 1:
                self._tally.settled()
                return
            if 2 * len(staying) <= len(samples):  # ended rows cost time: leave them behind
                keep = torch.tensor(staying, device=stream.device)
                stream, ids, samples = stream.pick(keep), ids[keep], [samples[row] for row in staying]
                rows = torch.tensor(samples, device=stream.device)

    @torch.inference_mode()
    def _step(
        self, stream: Stream, last: Int[Tensor, " rows"] | None, uniform: Tensor, banned: bool
    ) -> Int[Tensor, " rows"]:
        """Reads the ids drawn last, if any, and draws the next."""
        if self.model.training:  # whoever receives the tokens may train it between two of them
            self.model.eval()
        if last is not None:
            stream.read(last[:, None])
        assert stream.prediction is not None
        logits = stream.prediction.float()
        if banned:
            logits = logits.index_fill(-1, torch.tensor(sorted(self.ends), device=logits.device), -torch.inf)
        return pick_at(logits, self.draw, uniform)

    def _account(self, samples: list[int], prediction: Tensor, ids: Tensor) -> list[tuple[int, int]]:
        """Names the tokens that belong to a running sample, and counts them."""
        running, tokens = self._running, ids.tolist()
        owners = samples if all(running) else [i if running[i] else NOBODY for i in samples]
        self._tally.add(prediction, ids, owners)
        written = [(owner, token) for owner, token in zip(owners, tokens, strict=True) if owner != NOBODY]
        if not self.ends.isdisjoint(tokens):
            for sample, token in written:
                running[sample] = token not in self.ends
        return written


class Tally:
    """Log-likelihoods of what is drawn, some steps at once: step by step they would cost as much as drawing."""

    def __init__(self, count: int) -> None:
        self._nats = torch.zeros(count + 1, dtype=torch.double)  # the last: of rows that belong to NOBODY
        self._steps: list[tuple[Tensor, Tensor, list[int]]] = []

    def add(self, prediction: Tensor, ids: Tensor, owners: list[int]) -> None:
        """One step: logits (R, V), drawn ids (R,), and the sample each row belongs to, or NOBODY."""
        if self._steps and len(self._steps[0][1]) != len(ids):
            self.settled()
        self._steps.append((prediction, ids, owners))
        if len(self._steps) >= min(UNSETTLED, 1 + PREDICTIONS // prediction.numel()):
            self.settled()

    @torch.inference_mode()
    def settled(self) -> list[float]:
        """Nats of each sample so far. Raises NumericalFailure when a prediction was not a number."""
        if self._steps:
            predictions, ids, owners = zip(*self._steps, strict=True)
            self._steps = []
            nats = torch.stack(predictions).float().log_softmax(-1)  # (steps, rows, V)
            drawn = nats.gather(2, torch.stack(ids)[..., None]).flatten().cpu().double()
            whose = torch.tensor(owners).flatten() % len(self._nats)
            self._nats.index_add_(0, whose, drawn)
        nats_each = self._nats[:-1]
        if bool(nats_each.isnan().any()):
            raise NumericalFailure(
                "the model's prediction is not a number (NaN): nothing can be drawn. Its weights left "
                "the finite numbers in training; generate from an earlier checkpoint."
            )
        return nats_each.tolist()
