"""The generation loop, one for every model: read the prompt in one call, then draw, push, draw, push."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
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
        noise = Noise(self.count, self.draw.seed, stream.device)
        for step in range(self.length):
            assert stream.prediction is not None
            banned = self.ends if step < self.shortest else ()
            ids = _drawn(stream.prediction, self.draw, noise.next(rows), sorted(banned))
            yield self._account(samples, stream.prediction, ids)
            staying = [row for row, sample in enumerate(samples) if self._running[sample]]
            if not staying or step == self.length - 1:
                self._tally.settled()
                return
            if 2 * len(staying) <= len(samples):  # ended rows cost time: leave them behind
                keep = torch.tensor(staying, device=stream.device)
                stream, ids, samples = stream.pick(keep), ids[keep], [samples[row] for row in staying]
                rows = torch.tensor(samples, device=stream.device)
            stream.push(ids[:, None])

    def _account(self, samples: list[int], prediction: Tensor, ids: Tensor) -> list[tuple[int, int]]:
        """Names the tokens that belong to a running sample, and counts them."""
        running = self._running
        written = [(i, token) for i, token in zip(samples, ids.tolist(), strict=True) if running[i]]
        owners = samples if len(written) == len(samples) else [i if running[i] else NOBODY for i in samples]
        self._tally.add(prediction, ids, owners)
        for sample, token in written:
            running[sample] = token not in self.ends
        return written


class Tally:
    """Log-likelihoods of what is drawn, some steps at once: step by step they would cost as much as drawing."""

    def __init__(self, count: int) -> None:
        self._nats = [0.0] * count
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
            drawn = nats.gather(2, torch.stack(ids)[..., None])[..., 0].double().tolist()
            for row_owners, row in zip(owners, drawn, strict=True):
                for sample, value in zip(row_owners, row, strict=True):
                    if sample != NOBODY:
                        self._nats[sample] += value
        if any(value != value for value in self._nats):
            raise NumericalFailure(
                "the model's prediction is not a number (NaN): nothing can be drawn. Its weights left "
                "the finite numbers in training; generate from an earlier checkpoint."
            )
        return self._nats


@torch.inference_mode()
def _drawn(
    logits: Float[Tensor, "rows vocabulary"], draw: Draw, uniform: Float[Tensor, " rows"], banned: list[int]
) -> Int[Tensor, " rows"]:
    """The drawn ids."""
    if banned:
        logits = logits.clone()
        logits[:, banned] = -torch.inf
    return pick_at(logits.float(), draw, uniform)
