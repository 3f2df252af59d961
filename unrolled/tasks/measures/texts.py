"""Texts that were written beside those that were wanted: the report, with intervals over rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import UserError, unknown
from unrolled.tasks.measures.bootstrap import Numbers, Statistic
from unrolled.tasks.measures.edits import edit_distance
from unrolled.tasks.measures.overlap import (
    bleu_counts,
    bleu_of,
    bleu_signature,
    chrf_counts,
    chrf_of,
    have_sacrebleu,
    rouge,
)  # fmt: skip
from unrolled.tasks.measures.ranking import ratio
from unrolled.tasks.measures.report import Measure, Report, headed, short, shown
from unrolled.tasks.units import Units

Of = Callable[[Numbers], Numbers]  # sums (R, K) -> values (R,)


def _ratio(sums: Numbers) -> Numbers:
    """First over second; NaN where that is 0, as of texts that are all empty."""
    return ratio(sums[:, 0], sums[:, 1])


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
EXAMPLES, WIDE = 3, 60  # texts shown beside what was wanted, and their characters
BUCKETS = 5  # of source lengths


class Bucket(NamedTuple):
    """The rows whose source has `low` to `high` steps, and the value of the measure that decides among them."""

    low: int
    high: int
    rows: int
    value: float


@dataclass(frozen=True)
class TextReport(Report):
    """A report on written texts: `items` are rows. `shown`: the first wrong ones, each (said, wanted). `by_length`: of
    shorter and of longer sources, where their lengths are known and differ.
    """

    kind: ClassVar[str] = "text"
    measures: ClassVar[Mapping[str, Measure]] = MEASURES

    shown: list[tuple[str, str]] = field(default_factory=list)
    by_length: list[Bucket] = field(default_factory=list)

    def body(self) -> list[str]:
        """The value by the source's length, and what was said where something else was wanted."""
        lines = [
            f"{MEASURES[self.primary].words} {shown(each.value)} of {each.rows} sources of {each.low} to {each.high} steps"
            for each in self.by_length
        ]
        return lines + [f"said {short(one, WIDE)!r} for {short(other, WIDE)!r}" for one, other in self.shown]

    @property
    def error(self) -> float:
        """What is lacking to perfection, 0 or more: what a run lowers."""
        value = self.value / 100 if self.primary in PERCENT else self.value
        return 1 - value if self.higher_is_better else value


def measure_texts(
    said: Sequence[str], truth: Sequence[str], primary: str, *, lengths: Sequence[int] = (), seed: int = 0
) -> TextReport:
    """The report on one text a row. BLEU's and chrF's are of the whole part (their counts are added up), as are error
    rates; the others are means over rows. Intervals resample rows. lengths: the steps of each row's source.

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
    wrong = [(one, other) for one, other in zip(said, truth, strict=True) if one.strip() != other.strip()]
    each = _each(counts[primary], made[primary])
    buckets = _buckets(counts[primary], np.asarray(lengths)) if len(lengths) else []
    return replace(TextReport(**found), each=each, notes=notes, shown=wrong[:EXAMPLES], by_length=buckets)


def _buckets(counts: Numbers, lengths: NDArray[np.int64]) -> list[Bucket]:
    """Up to BUCKETS of about as many rows, equal lengths together; none where all are equal."""
    ends = np.unique(np.quantile(lengths, np.linspace(0, 1, BUCKETS + 1)[1:], method="higher"))
    places, of, found = np.searchsorted(ends, lengths), _OF[counts.shape[1]], []
    for place in range(len(ends)):
        own = places == place
        value = float(of(counts[own].sum(0, keepdims=True))[0])
        found.append(Bucket(int(lengths[own].min()), int(lengths[own].max()), int(own.sum()), value))
    return found if len(found) > 1 else []


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
            found[name] = edits(said, truth, str.split)
        elif name == "cer":
            found[name] = edits(said, truth, str.strip)
        elif name in ("exact", "wrong"):
            found[name] = np.stack([hit if name == "exact" else 1 - hit, ones], 1)
        elif name in PERCENT:
            found[name] = (bleu_counts if name == "bleu" else chrf_counts)(said, truth)
    return found


def edits(said: Sequence[str], truth: Sequence[str], cut: Callable[[str], Sequence[str]]) -> Numbers:
    """(N, 2): of each text the edits that make it what was wanted, both cut by `cut`, and how many pieces were wanted."""
    cuts = [(cut(one), cut(other)) for one, other in zip(said, truth, strict=True)]
    return np.array([(edit_distance(*both), len(both[1])) for both in cuts], np.float64).reshape(-1, 2)


def _each(counts: Numbers, statistic: Statistic) -> Units | None:
    """What each row adds. Of a measure that is no ratio of sums: its value, and how far the row draws it up or down, which
    is (N - 1) times what leaving the row out changes (Efron and Tibshirani 1993, ch. 11: the jackknife's influence values).
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


_OF: dict[int, Of] = {2: _ratio, 10: bleu_of, 18: chrf_of}  # by how many counts a row adds
