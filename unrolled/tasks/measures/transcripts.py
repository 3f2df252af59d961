"""Transcripts: character and word error rates. Texts are resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from unrolled.errors import UserError
from unrolled.tasks.measures.bootstrap import Statistic
from unrolled.tasks.measures.error_rates import Edits, characters, edits, words
from unrolled.tasks.measures.ranking import ratio
from unrolled.tasks.measures.report import Measure, Report, headed, short
from unrolled.tasks.units import Units

EXAMPLES = 3  # texts shown beside their truths
WIDE = 60


def error_rate(found: Edits) -> Statistic:
    """Errors a symbol of truth, over all texts: long ones weigh more."""
    return lambda weights: ratio(weights @ found.errors, weights @ found.lengths)


def exact(said: Sequence[str], truth: Sequence[str]) -> Statistic:
    """The share of texts without an error."""
    hits = np.array(
        [one.strip() == other.strip() for one, other in zip(said, truth, strict=True)], np.float64
    )
    return lambda weights: weights @ hits / weights.sum(1)


MEASURES: dict[str, Measure] = {
    "cer": Measure("character error rate", "", False, error_rate),
    "wer": Measure("word error rate", "", False, error_rate),
    "exact": Measure("whole texts right", "", True, exact),
}
CUTS = {"cer": characters, "wer": words}


@dataclass(frozen=True)
class TranscriptReport(Report):
    """A report on texts. `shown`: the first wrong ones, each (said, truth)."""

    kind: ClassVar[str] = "transcribe"
    measures: ClassVar[dict[str, Measure]] = MEASURES

    shown: list[tuple[str, str]] = field(default_factory=list)

    def body(self) -> list[str]:
        """What was said where something else was right."""
        return [f"said {short(a, WIDE)!r} for {short(b, WIDE)!r}" for a, b in self.shown]


def measure_transcripts(
    said: Sequence[str], truth: Sequence[str], *, primary: str = "cer", seed: int = 0
) -> TranscriptReport:
    """The report on texts and their truths. Raises UserError for no texts and unequal numbers of them."""
    if len(said) != len(truth):
        raise UserError(f"{len(said)} texts and {len(truth)} truths. Expected one of each an item.")
    found = {name: edits(said, truth, cut) for name, cut in CUTS.items()}
    made: dict[str, Statistic] = {name: error_rate(one) for name, one in found.items()}
    made["exact"] = exact(said, truth)
    wrong = [(a, b) for a, b in zip(said, truth, strict=True) if a != b][:EXAMPLES]
    report = TranscriptReport(**headed(MEASURES, primary, made, len(truth), None, seed), shown=wrong)
    return replace(report, each=Units(*found[primary])) if primary in found else report
