"""Lets a model compose several tunes and picks the one to play: of those whose bars add up, that last no longer than
LONGEST, have ENOUGH bars and were ended by the model, the likeliest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unrolled.errors import UserError
from unrolled.music import bars, parse, piano_roll, unfold
from unrolled.music import check as check_bars
from unrolled.running.generate import generate
from unrolled.tasks.tunes import TuneReport

if TYPE_CHECKING:
    from unrolled.model import Model

TEMPERATURE = 0.7  # a young model is surer of the next bar than of the whole tune: below 1 more bars add up
ENOUGH = 8  # bars: what is shorter isn't yet a tune
LONGEST = 150.0  # seconds: nobody listens longer


@dataclass(frozen=True)
class Composition:
    """One tune, and the company it was chosen from. `likelihood`: nats a token under its model, the mean."""

    abc: str
    title: str
    number: int  # of `report.count`, from 1
    likelihood: float
    bars: int
    all_right: bool  # every bar has the right length
    ended: bool  # the model closed the tune itself
    report: TuneReport

    @property
    def said(self) -> str:
        """`9 of 16 parsed, 7 of 16 with every bar of the right length`, and which was chosen."""
        wanted = f"{ENOUGH} bars or more and an end"
        if not self.all_right:
            why = f"no tune of {LONGEST:.0f} s or less has bars that all add up"
        elif self.bars >= ENOUGH and self.ended:
            why = f"the likeliest whose bars add up, of those with {wanted}, {LONGEST:.0f} s or less"
        else:
            why = f"the likeliest whose bars add up, {LONGEST:.0f} s or less; none has {wanted}"
        return f"{self.report}; tune {self.number}: {why}"


def compose(
    model: Model,
    count: int = 16,
    *,
    temperature: float = TEMPERATURE,
    seed: int = 0,
    length: int | None = None,
) -> Composition | None:
    """`count` tunes from nothing, and the one to play; None when none can be played."""
    written = generate(model, count=count, temperature=temperature, seed=seed, length=length)
    order = [i for i in written.ranked if written.tokens[i]]
    chosen = min(
        order, key=lambda i: (_rank(written.texts[i], written.ended[i]), order.index(i)), default=None
    )
    if chosen is None or not _can_play(written.texts[chosen]):
        return None
    text, verdict = written.texts[chosen], check_bars(written.texts[chosen])
    return Composition(
        abc=text.rstrip("\n") + "\n",
        title=parse(text).title or "Untitled",
        number=chosen + 1,
        likelihood=written.log_likelihoods[chosen] / written.tokens[chosen],
        bars=verdict.bars,
        all_right=verdict.all_right,
        ended=written.ended[chosen],
        report=written.report,
    )


def _rank(text: str, ended: bool) -> tuple[bool, bool, bool, float]:
    """Less is better: unplayable or too long last; then bars that don't add up; then scraps and tunes without an end."""
    verdict = check_bars(text)
    wrong = 1 - verdict.bars_right / verdict.bars if verdict.bars else 1.0
    return (not _can_play(text), not verdict.all_right, verdict.bars < ENOUGH or not ended, wrong)


def _can_play(text: str) -> bool:
    try:
        performance = unfold(parse(text))
    except UserError:
        return False
    return bool(performance.sounds) and performance.seconds <= LONGEST


def bar_times(abc: str) -> list[float]:
    """When the bar lines are passed, in seconds; empty where meter or tempo change on the way."""
    tune = parse(abc)
    played, measured = unfold(tune), bars(tune)
    if len(played.tempos) != 1 or len(played.meters) != 1 or not measured or not tune.meter.length:
        return []
    second = 60 / played.tempos[0][1]  # of a quarter note
    whole = 4 * float(tune.meter.length) * second
    first = 4 * float(measured[0].length) * second
    count = int((played.seconds - first) / whole + 1e-6)
    return [first + whole * i for i in range(count + 1) if first + whole * i < played.seconds - 1e-6]


def roll_of(abc: str) -> list[tuple[float, float, int]]:
    """The notes as the report draws and plays them."""
    return [(start, length, int(pitch)) for start, length, pitch in piano_roll(parse(abc))]


def first_bar(text: str) -> str:
    """The first whole bar of a tune's body: what stands between two bar lines; "" when there is none."""
    body = text.split("\nK:", 1)[-1].partition("\n")[2] if "\nK:" in text else text
    return next((bar.strip() for bar in _between(body) if any(c in "abcdefgABCDEFG" for c in bar)), "")


def _between(body: str) -> Sequence[str]:
    return [piece.strip(":[]") for piece in body.replace("\n", " ").replace("!", " ").split("|")[1:-1]]


def a_bar(
    model: Model, seed: int, header: str = "X:1\nT:\nM:6/8\nL:1/8\nK:G Major\n", length: int = 48
) -> str:
    """One bar as the model would write it now; "" when it has none to offer yet."""
    written: Any = generate(model, header, length=length, seed=seed, temperature=TEMPERATURE)
    return first_bar(written.texts[0])
