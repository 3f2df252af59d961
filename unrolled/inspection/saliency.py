"""Which inputs an answer came from: integrated gradients, with the two checks that say how far to trust them."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from unrolled.inspection.agreement import SHUFFLES, Checked, checked, deleted, first_row
from unrolled.inspection.finding import Finding
from unrolled.inspection.held_out import Held, between
from unrolled.model import Seq2Seq, TokenEmbedder
from unrolled.model.heads import LabelHead, NumberHead
from unrolled.report import ColouredText, LineChart, Section, Sentence, Series
from unrolled.report.heat import visible

POINTS = 128  # of the path from nothing to the input
FITTED = ("classify", "tag")  # tasks whose probabilities have a fitted temperature
LONGEST = 200  # steps of what is explained


@dataclass(frozen=True, kw_only=True)
class Saliency(Finding):
    """scores: what each step adds to the answer's log-probability (of numbers: to the answer); answer: which; value: that
    log-probability, base: the same of nothing.

    gap: how far the scores' sum is from value - base, as a share of it: 0 is exact. agreement: the rank correlation of
    |scores| with how far the answer moves when a step is taken out, None where that can't be said.
    """

    title = "Saliency"

    tokens: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    answer: str = ""
    value: float = 0.0
    base: float = 0.0
    gap: float = 0.0
    agreement: Checked = Checked(None, None)
    words: bool = field(default=True, repr=False)
    between: str = field(default="", repr=False)  # tokens, where they are written

    def to_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().to_dict().items() if k not in ("words", "between")}

    def _top(self, count: int = 5) -> list[tuple[str, float]]:
        order = sorted(range(len(self.scores)), key=lambda i: -abs(self.scores[i]))[:count]
        return [(self.tokens[i], self.scores[i]) for i in order]

    def lines(self) -> list[str]:
        said = [f"answer    {self.answer}"]
        said += [f"{score:+8.3f}  {visible(token)}" for token, score in self._top(8)]
        check = "–" if self.agreement.agreement is None else f"{self.agreement.agreement:+.2f}"
        return [
            *said,
            "",
            f"gap       {self.gap:.1%} of what the scores should add up to is missing or too much",
            f"agreement {check} with taking the step out",
        ]

    def lead(self) -> str:
        token, score = self._top(1)[0]
        way = "for" if score > 0 else "against"
        return f"{self.answer}. What spoke loudest {way} it: “{visible(token)}”."

    def blocks(self) -> list[Section]:
        most = max((abs(s) for s in self.scores), default=1.0) or 1.0
        how = (
            "Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365, eq. 1) along the straight path from the "
            f"mean input to this one, {POINTS} points."
        )
        made: list[Section] = []
        if self.words:
            spaced = [f"{token}{self.between}" for token in self.tokens]
            made.append(
                ColouredText(
                    spaced, [s / most for s in self.scores], "against", "for", title="What the answer came from",
                    caption=f"{self.answer}. {how}",
                )
            )  # fmt: skip
        made.append(
            LineChart(
                [Series("score", list(range(len(self.scores))), self.scores)], "what a step adds", "step",
                title="Step by step", caption="" if self.words else how,
            )
        )  # fmt: skip
        sums = (
            f"The scores add up to {sum(self.scores):.3f}; the answer's value is {self.value:.3f}, that of the mean input "
            f"{self.base:.3f}, so they should add up to {self.value - self.base:.3f} (gap {self.gap:.1%})."
        )
        check = (
            "Taking steps out one by one was not possible."
            if self.agreement.agreement is None
            else f"Rank correlation of the scores' size with how far the answer moves when a step is taken out: "
            f"{self.agreement.agreement:+.2f} (as good by chance: {self.agreement.chance:.3f})."
        )
        return [*made, Sentence(f"{sums}\n\n{check}", title="How far to trust it")]


def saliency(held: Held, points: int = POINTS) -> Saliency:
    """Of the answer at the last step of the first sequence (of a writer, the likeliest next token)."""
    one = first_row(held, LONGEST)
    with torch.no_grad():
        embedded = one.model.embedder(one.batch.x, one.model.embedder.start(1))[0]
        said = one.predict()[0, -1]
    number = isinstance(one.model.head, NumberHead)
    chosen = 0 if number else int(said.argmax())
    base = _mean_input(one, embedded)
    scores = np.zeros(embedded.shape[1])
    for at in range(0, points, 32):
        shares = (torch.arange(at, min(at + 32, points)) + 0.5) / points
        path = (base + shares[:, None, None].to(embedded) * (embedded - base)).requires_grad_()
        value = _value(one, path, chosen).sum()
        (grad,) = torch.autograd.grad(value, path)
        scores += (grad * (embedded - base)).sum(-1).sum(0).double().numpy() / points
    with torch.no_grad():
        end, nothing = (float(_value(one, part, chosen)[0]) for part in (embedded, base))
    whole = end - nothing
    moved = None if isinstance(one.model, Seq2Seq) else deleted(one)[-1:]
    agreement = Checked(None, None) if moved is None else checked(np.abs(scores)[None], moved, SHUFFLES)
    return Saliency(
        tokens=_names(one), scores=scores.tolist(), answer=_answer(one, chosen, end), value=end, base=nothing,
        gap=abs(float(scores.sum()) - whole) / max(abs(whole), 1e-9), agreement=agreement,
        words=isinstance(one.model.embedder, TokenEmbedder), between=between(_read_by(one)), notes=one.notes,
    )  # fmt: skip


def _mean_input(held: Held, embedded: Tensor) -> Tensor:
    """Nothing in particular: the mean of all tokens' vectors, or of numbers their mean (0, as they are standardised)."""
    embedder = held.model.embedder
    if isinstance(embedder, TokenEmbedder):
        return embedder.table.weight.detach().mean(0).expand_as(embedded)
    with torch.no_grad():
        nothing: Tensor = embedder(torch.zeros_like(held.batch.x), embedder.start(1))[0]
    return nothing


def _value(held: Held, embedded: Tensor, chosen: int) -> Tensor:
    """(N,) the log-probability of the answer (of numbers the first of them) after embedded inputs (N, T, width), as the run
    says it: classes at the temperature that was fitted for them, each by itself where several may hold.
    """
    model, state = held.model, None
    if held.batch.source is not None:
        assert isinstance(model, Seq2Seq)
        repeated = held.batch.source.expand(len(embedded), *held.batch.source.shape[1:])
        with torch.no_grad():
            state = model.condition(repeated).core
    last: Tensor = model.head(model.core(embedded, state)[0][:, -1])
    if isinstance(model.head, NumberHead):
        return last[:, 0]
    if isinstance(model.head, LabelHead) and model.head.several:
        return logsigmoid(last[:, chosen])
    fitted = model.task.temperature if model.task.kind in FITTED else 1.0
    return (last / fitted).log_softmax(-1)[:, chosen]


def _answer(held: Held, chosen: int, value: float) -> str:
    """The answer that is explained, in words."""
    task, head = held.model.task, held.model.head
    if isinstance(head, NumberHead):
        return "The first number of the answer"
    codec = task.codec if task.kind == "generate" else task.answers
    if hasattr(codec, "token_text"):
        name = f"next “{visible(codec.token_text(chosen))}”"
    else:
        name = f"“{codec.names[chosen]}”" if hasattr(codec, "names") else f"symbol {chosen}"
    return f"The answer: {name}, with probability {exp(value):.2f}"


def _read_by(held: Held) -> Any:
    """The codec of the steps that are explained."""
    return held.model.task.answers if isinstance(held.model, Seq2Seq) else held.model.task.codec


def _names(held: Held) -> list[str]:
    codec, x = _read_by(held), held.batch.x[0]
    if x.ndim == 1 and hasattr(codec, "token_text"):
        return [codec.token_text(int(i)) for i in x]
    return [f"step {t}" for t in range(len(x))]
