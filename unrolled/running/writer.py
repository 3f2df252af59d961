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


class Writer:
    """Writes `count` continuations of one prompt; iterate to receive them token by token.

    Each step yields the (sample, token id) pairs just drawn, of the samples that still run; a sample ends
    after a token of `ends` (which is yielded too), after `length` tokens, or when `finish` is called.
    `shortest`: tokens before which no end may be drawn. Sample i depends on the seed and i, not on how many
    are written beside it. `log_likelihoods`: nats of each sample's tokens under the model itself, whatever
    temperature drew them.

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
        self.log_likelihoods = [0.0] * count
        self._running = [True] * count

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
            ids, numbers = _drawn(stream.prediction, self.draw, noise.next(rows), sorted(banned))
            written = self._account(samples, numbers)
            yield written
            staying = [row for row, sample in enumerate(samples) if self._running[sample]]
            if not staying or step == self.length - 1:
                return
            if 2 * len(staying) <= len(samples):  # ended rows cost time: leave them behind
                keep = torch.tensor(staying, device=stream.device)
                stream, ids, samples = stream.pick(keep), ids[keep], [samples[row] for row in staying]
                rows = torch.tensor(samples, device=stream.device)
            stream.push(ids[:, None])

    def _account(self, samples: list[int], numbers: list[list[float]]) -> list[tuple[int, int]]:
        written: list[tuple[int, int]] = []
        for sample, token, log_probability in zip(samples, *numbers, strict=True):
            if not self._running[sample]:
                continue
            if log_probability != log_probability:
                raise NumericalFailure(
                    "the model's prediction is not a number (NaN): nothing can be drawn. Its weights left "
                    "the finite numbers in training; generate from an earlier checkpoint."
                )
            self.log_likelihoods[sample] += log_probability
            written.append((sample, int(token)))
            self._running[sample] = int(token) not in self.ends
        return written


@torch.inference_mode()
def _drawn(
    logits: Float[Tensor, "rows vocabulary"], draw: Draw, uniform: Float[Tensor, " rows"], banned: list[int]
) -> tuple[Int[Tensor, " rows"], list[list[float]]]:
    """The drawn ids (rows,), and [ids, log-probabilities] as numbers: one transfer a step."""
    log_probabilities = logits.float().log_softmax(-1)
    allowed = log_probabilities
    if banned:
        allowed = log_probabilities.clone()
        allowed[:, banned] = -torch.inf
    ids = pick_at(allowed, draw, uniform)
    chosen = log_probabilities.gather(1, ids[:, None])[:, 0]
    return ids, torch.stack((ids.double(), chosen.double())).tolist()
