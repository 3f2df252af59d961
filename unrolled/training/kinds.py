"""Defaults by kind of model and by what it reads: measured values, so that a recipe's are the verb's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Reads = Literal["text", "tokens", "numbers", "pairs", "speech", "series"]
"""A corpus to be continued; to answer rows, tokens or numbers a step; a source, to write its target; sound; or series to be
foretold.
"""


@dataclass(frozen=True)
class Defaults:
    """Of one kind of model. None: the model's own preset decides."""

    reason: str
    lr: float
    width: int | None = None
    layers: int | None = None
    heads: int | None = None
    hidden: int | None = None
    embedding: int | None = None
    dropout: float | None = None
    weight_drop: float | None = None
    tied: bool | None = None
    pool: str | None = None
    attention: str | None = None
    reader: str | None = None
    patch: int | None = None
    batch: int = 32
    length: int = 128
    warmup: int = 50
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    ema: float = 0.0


_RECURRENT = "carried state, so short rows of a contiguous stream"
_TEXT: dict[str, Defaults] = {
    "rnn": Defaults(_RECURRENT, lr=1.5e-3, dropout=0.1),
    "lstm": Defaults(_RECURRENT, lr=5e-3, dropout=0.5, weight_drop=0.3),
    "gru": Defaults(_RECURRENT, lr=5e-3, dropout=0.5, weight_drop=0.3),
    "mingru": Defaults(_RECURRENT, lr=5e-3, dropout=0.35),
    "conv": Defaults(_RECURRENT, lr=2e-3, dropout=0.1),
    "window": Defaults("sees a fixed number of tokens", lr=2e-3, dropout=0.2),
    "transformer": Defaults(
        "windows without state: a row is all it ever sees", lr=4e-3, length=256, batch=16, dropout=0.1
    ),
}
OTHERS = Defaults("a kind without measured defaults: cautious ones", lr=1e-3)


_ROWS = "rows of similar length, each with one answer"
_BAG = Defaults("each step by itself, then the mean", lr=2e-3, width=128, dropout=0.3, warmup=20)
_TOKENS: dict[str, Defaults] = (
    {
        kind: Defaults(_ROWS, lr=2e-3, width=128, dropout=0.3, warmup=20)
        for kind in ("rnn", "lstm", "gru", "bilstm", "bigru")
    }
    | {
        kind: Defaults(_ROWS, lr=1e-3, width=96, layers=2, dropout=0.2, warmup=100)
        for kind in ("transformer", "encoder", "mingru", "conv")
    }
    | {"bag": _BAG}
)
_NUMBERS: dict[str, Defaults] = {
    kind: replace(defaults, pool="max") for kind, defaults in _TOKENS.items()
} | {
    "conv": Defaults(_ROWS, lr=4e-3, width=64, layers=6, dropout=0.1, pool="max", warmup=50),
    "bag": _BAG,
}
_PAIRED = "pairs of similar length, batches of as many tokens"
_WRITER = Defaults(
    _PAIRED, lr=2e-3, width=256, layers=1, dropout=0.2, attention="dot", batch=64, warmup=50, weight_decay=0.0
)
_PAIRS: dict[str, Defaults] = {kind: _WRITER for kind in ("rnn", "lstm", "gru")} | {
    kind: replace(_WRITER, lr=1e-3, width=192, layers=2, dropout=0.1, attention="scaled", warmup=200)
    for kind in ("transformer", "mingru", "conv")
}
_HEARD = "sounds of similar length, each with its text"
_SPEECH: dict[str, Defaults] = {
    kind: Defaults(_HEARD, lr=3e-3, width=192, layers=2, dropout=0.2, warmup=100, batch=16)
    for kind in ("rnn", "lstm", "gru", "bilstm", "bigru")
} | {
    kind: Defaults(_HEARD, lr=1e-3, width=128, layers=4, dropout=0.1, warmup=200, batch=16)
    for kind in ("transformer", "encoder", "mingru", "conv")
}
_WINDOWS = "windows of the series, each with the steps to come"
_SERIES: dict[str, Defaults] = {
    kind: Defaults(_WINDOWS, lr=2e-3, width=64, layers=1, dropout=0.1, warmup=50)
    for kind in ("rnn", "lstm", "gru", "bilstm", "bigru")
} | {
    kind: Defaults(_WINDOWS, lr=1e-3, width=64, layers=2, dropout=0.1, warmup=100)
    for kind in ("transformer", "encoder", "mingru", "conv")
} | {
    kind: Defaults("one linear map of the look-back", lr=1e-3, warmup=20, weight_decay=0.0) for kind in ("dlinear",
    "nlinear")
}  # fmt: skip
TABLES: dict[Reads, dict[str, Defaults]] = {
    "text": _TEXT, "tokens": _TOKENS, "numbers": _NUMBERS, "pairs": _PAIRS, "speech": _SPEECH,
    "series": _SERIES,
}  # fmt: skip

_SUITS = "`unrolled compare` finds what suits your data better"
AUTO: dict[Reads, tuple[str, str]] = {
    "text": ("lstm", f"quick to train and small to run; {_SUITS}"),
    "tokens": ("gru", f"reads in order and can answer after every step; {_SUITS}"),
    "numbers": ("gru", f"reads in order and can answer after every step; {_SUITS}"),
    "pairs": ("gru", f"quick to train, and looks back at its source; {_SUITS}"),
    "speech": ("gru", f"reads in order and can transcribe while the sound comes; {_SUITS}"),
    "series": ("gru", f"reads in order and can foretell after every step; {_SUITS}"),
}
