"""Texts that were written beside those that were wanted: the report, with intervals over rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np

from unrolled.errors import UserError, unknown
from unrolled.tasks.measures.bootstrap import Numbers, Statistic
from unrolled.tasks.measures.edits import edits
from unrolled.tasks.measures.overlap import (
    bleu_counts, bleu_of, bleu_signature, chrf_counts, chrf_of, have_sacrebleu, rouge,
)  # fmt: skip
from unrolled.tasks.measures.report import Measure, Report, headed
from unrolled.tasks.units import Units

Of = Callable[[Numbers], Numbers]  # sums (R, K) -> values (R,)


def _ratio(sums: Numbers) -> Numbers:
    """First over second."""
    values: Numbers = sums[:, 0] / np.maximum(sums[:, 1], 1e-300)
    return values


def _statistic(counts: Numbers, of: Of) -> Statistic:
    """The measure as a function of how often each row counts: counts (N, K) add up."""
    return lambda weights: of(weights @ counts)


def _measure(words: str, higher: bool, of: Of) -> Measure:
    return Measure(words, "", higher, partial(_statistic, of=of))


MEASURES: dict[str, Measure] = {
    "bleu": _measure("BLEU", True, bleu_of),
    "chrf": _measure("chrF2", True, chrf_of),
    "wer": _measure("word error rate", False, _ratio),
    "per": _measure("symbol error rate", False, _ratio),
    "cer": _measure("character error rate", False, _ratio),
    "exact": _measure("exact match", True, _ratio),
    "wrong": _measure("whole answers wrong", False, _ratio),
    "rouge": _measure("ROUGE-L F1", True, _ratio),
    "rouge1": _measure("ROUGE-1 F1", True, _ratio),
    "rouge2": _measure("ROUGE-2 F1", True, _ratio),
}
PRIMARY = ("bleu", "chrf", "wer", "per", "cer", "exact", "rouge")  # what metric= takes
BESIDE: dict[str, tuple[str, ...]] = {
    "bleu": ("chrf", "exact"), "chrf": ("bleu", "exact"), "wer": ("cer", "exact"), "per": ("wrong",),
    "cer": ("wer", "exact"), "exact": ("cer",), "rouge": ("rouge1", "rouge2"),
}  # fmt: skip
PERCENT = ("bleu", "chrf")  # from 0 to 100; the others are shares of 1


@dataclass(frozen=True)
class TextReport(Report):
    """A report on written texts: `items` are rows."""

    kind: ClassVar[str] = "text"
    measures: ClassVar[Mapping[str, Measure]] = MEASURES

    @property
    def error(self) -> float:
        """What is lacking to perfection, 0 or more: what a run lowers."""
        value = self.value / 100 if self.primary in PERCENT else self.value
        return 1 - value if self.higher_is_better else value


def measure_texts(said: Sequence[str], truth: Sequence[str], primary: str, *, seed: int = 0) -> TextReport:
    """The report on one text a row. BLEU's and chrF's are of the whole part (their counts are added up), as are error rates;
    the others are means over rows. Intervals resample rows.

    Raises UserError for no rows, unequal numbers of them and an unknown measure, MissingExtra for BLEU without sacrebleu.
    """
    if primary not in PRIMARY:
        raise unknown("metric", primary, PRIMARY)
    if len(said) != len(truth):
        raise UserError(f"{len(said)} texts said where {len(truth)} are wanted. Expected one a row.")
    if not truth:
        raise UserError("nothing to score: 0 texts. Expected at least 1: give this part more data (split=).")
    named = [primary, *(name for name in BESIDE[primary] if name != "bleu" or have_sacrebleu())]
    counts = counts_of(said, truth, named)
    made = {name: MEASURES[name].of(counts[name]) for name in named}
    found = headed(MEASURES, primary, made, len(truth), None, seed)
    notes = [f"BLEU: {bleu_signature()}"] if "bleu" in named else []
    return replace(TextReport(**found), each=_each(counts[primary], made[primary]), notes=notes)


def counts_of(said: Sequence[str], truth: Sequence[str], names: Sequence[str]) -> dict[str, Numbers]:
    """(N, K) of each of these measures: what a row adds."""
    found: dict[str, Numbers] = {}
    pairs = list(zip(said, truth, strict=True))
    ones = np.ones(len(pairs))
    hit = np.array([one.strip() == other.strip() for one, other in pairs], np.float64)
    if {"rouge", "rouge1", "rouge2"} & {*names}:
        found |= {name: np.stack([values, ones], 1) for name, values in rouge(said, truth).items()}
    for name in names:
        if name in ("wer", "per"):
            found[name] = _edited([(one.split(), other.split()) for one, other in pairs])
        elif name == "cer":
            found[name] = _edited([(one.strip(), other.strip()) for one, other in pairs])
        elif name in ("exact", "wrong"):
            found[name] = np.stack([hit if name == "exact" else 1 - hit, ones], 1)
        elif name in PERCENT:
            found[name] = (bleu_counts if name == "bleu" else chrf_counts)(said, truth)
    return found


def _edited(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Numbers:
    """(N, 2) edits and items wanted."""
    return np.array([(edits(one, other), len(other)) for one, other in pairs], np.float64).reshape(-1, 2)


def _each(counts: Numbers, statistic: Statistic) -> Units | None:
    """What each row adds. Of a measure that is no ratio of sums: its value, and how far the row draws it up or down, which is
    (N - 1) times what leaving the row out changes (Efron and Tibshirani 1993, ch. 11: the jackknife's influence values).
    """
    if counts.shape[1] == 2:
        return Units(counts[:, 0], counts[:, 1]) if counts[:, 1].sum() else None
    count = len(counts)
    if count < 2:
        return None
    whole = counts.sum(0)
    value = float(statistic(np.ones((1, count)))[0])
    without = _OF[counts.shape[1]](whole - counts)
    return Units(value + (count - 1) * (without.mean() - without), np.ones(count))


_OF: dict[int, Of] = {10: bleu_of, 18: chrf_of}
