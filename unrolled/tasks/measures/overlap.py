"""What a written text shares with the one that was wanted: n-grams of words and of characters. Each measure is a function
of counts that add up over rows, so that a resample of rows is scored from sums.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from unrolled.errors import MissingExtra
from unrolled.tasks.measures.bootstrap import Numbers
from unrolled.tasks.measures.edits import common

ORDER = 4  # of BLEU's n-grams of words
CHARACTERS = 6  # of chrF's n-grams of characters
BETA = 2.0  # what recall weighs against precision in chrF
WORD = re.compile(r"[^\W_]+")


def have_sacrebleu() -> bool:
    """Whether BLEU can be computed here."""
    return find_spec("sacrebleu") is not None


def bleu_counts(said: Sequence[str], truth: Sequence[str]) -> Numbers:
    """(N, 10) of each row: matching n-grams of order 1 to 4, all n-grams of them, words said, words wanted; by sacrebleu's
    tokens. Raises MissingExtra without sacrebleu.
    """
    counter = _sacrebleu().BLEU()
    rows = []
    for one, other in zip(said, truth, strict=True):
        score = counter.corpus_score([one], [[other]])
        rows.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    return np.array(rows, np.float64).reshape(-1, 2 * ORDER + 2)


def bleu_signature() -> str:
    """What was computed, as sacrebleu says it (Post 2018, arXiv:1804.08771, sec. 4)."""
    counter = _sacrebleu().BLEU()
    counter.corpus_score(["a"], [["a"]])
    return str(counter.get_signature())


def bleu_of(sums: Numbers) -> Numbers:
    """BLEU in percent (Papineni et al. 2002, sec. 2.3) from sums (R, 10) of `bleu_counts`; orders without a match count as
    1/2, 1/4, ... of one, as sacrebleu's "exp" does.
    """
    hits, all_, said, wanted = sums[:, :ORDER], sums[:, ORDER : 2 * ORDER], sums[:, -2], sums[:, -1]
    halved = np.cumsum(hits == 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(hits > 0, hits, 0.5**halved) / all_
        short = np.where(said < wanted, np.exp(1 - wanted / said), 1.0)
        value = 100 * short * np.exp(np.log(precision).mean(1))
    something = (all_ > 0).all(1) & (hits > 0).any(1)
    return np.where(something, value, 0.0)


def chrf_counts(said: Sequence[str], truth: Sequence[str]) -> Numbers:
    """(N, 18) of each row: n-grams of characters said, wanted and matching, of order 1 to 6, without spaces."""
    rows = []
    for one, other in zip(said, truth, strict=True):
        first, second = "".join(one.split()), "".join(other.split())
        row = []
        for n in range(1, CHARACTERS + 1):
            left, right = (Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (first, second))
            row += [left.total() if right else 0, right.total(), (left & right).total()]
        rows.append(row)
    return np.array(rows, np.float64).reshape(-1, 3 * CHARACTERS)


def chrf_of(sums: Numbers) -> Numbers:
    """chrF2 in percent (Popović 2015) from sums (R, 18) of `chrf_counts`, averaged over the orders that both have."""
    said, wanted, hits = (sums[:, place::3] for place in range(3))
    there = (said > 0) & (wanted > 0)
    orders = np.maximum(there.sum(1), 1)
    precision = np.where(there, hits / np.maximum(said, 1e-300), 0.0).sum(1) / orders
    recall = np.where(there, hits / np.maximum(wanted, 1e-300), 0.0).sum(1) / orders
    below = BETA**2 * precision + recall
    return 100 * (1 + BETA**2) * precision * recall / np.where(below > 0, below, 1.0)


def rouge(said: Sequence[str], truth: Sequence[str]) -> dict[str, Numbers]:
    """F1 (N,) of each row in ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), of words in lower case, without stemming. Words may
    have any letters, where the reference implementation knows those of ASCII alone.
    """
    found: dict[str, list[float]] = {"rouge1": [], "rouge2": [], "rouge": []}
    for one, other in zip(said, truth, strict=True):
        words = [WORD.findall(text.lower()) for text in (one, other)]
        for n, name in ((1, "rouge1"), (2, "rouge2")):
            left, right = (Counter(zip(*(w[i:] for i in range(n)), strict=False)) for w in words)
            found[name].append(_f1((left & right).total(), left.total(), right.total()))
        found["rouge"].append(_f1(common(*words), len(words[0]), len(words[1])))
    return {name: np.array(values) for name, values in found.items()}


def _f1(hits: int, said: int, wanted: int) -> float:
    return 2 * hits / (said + wanted) if hits else 0.0


def _sacrebleu() -> Any:
    if not have_sacrebleu():
        raise MissingExtra("sacrebleu", "translate", "BLEU")
    import sacrebleu

    return sacrebleu
