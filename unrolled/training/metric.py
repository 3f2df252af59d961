"""What written texts are scored by, unless it is said: by what the answers look like."""

from __future__ import annotations

from itertools import islice

import numpy as np

from unrolled.datasets.dealt import Dealt
from unrolled.datasets.pair_codecs import kind_for, text_of
from unrolled.tasks.measures.overlap import have_sacrebleu

SUMMARY, LONG = (
    4.0,
    30.0,
)  # a target is a summary where sources are so many times as long, and have so many words


def choose_metric(dealt: Dealt, asked: str) -> tuple[str, str]:
    """What a run is scored by, and why. Raises MissingExtra where BLEU is asked for and can't be computed."""
    if asked != "auto":
        return asked, "as asked"
    some = list(islice(dealt.pairs("train"), 2000))
    words = [np.mean([len(text_of(value).split()) for value in side]) for side in zip(*some, strict=True)]
    kind = kind_for([target for _, target in some])
    if kind == "symbols":
        return "per", "the answers are symbols: errors a symbol"
    if kind == "characters":
        return "exact", "short answers are right or wrong"
    if words[0] >= LONG and words[0] >= SUMMARY * words[1]:
        return "rouge", f"answers {words[0] / words[1]:.2g} times shorter than what is read: summaries"
    if not have_sacrebleu():
        return (
            "cer",
            'BLEU needs the package sacrebleu (pip install "unrolled[translate]"); errors a character instead',
        )
    return "bleu", "the answers are sentences"
