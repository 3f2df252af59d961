"""Every kind of mixer by name. The table is open: `un.MIXERS["mine"] = Mine`, or an entry point of the group
`unrolled.mixers` in a package of your own, joins training, streaming, comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from unrolled.mixer import Mixer
from unrolled.mixers.attention import Attention
from unrolled.mixers.bahdanau import Bahdanau
from unrolled.mixers.bidirectional import Bidirectional
from unrolled.mixers.convolution import CausalConv
from unrolled.mixers.cross import CrossAttention
from unrolled.mixers.feedforward import FeedForward
from unrolled.mixers.linear import MinGRU
from unrolled.mixers.norm import Norm
from unrolled.mixers.pool import Pool
from unrolled.mixers.positions import LearnedPositions
from unrolled.mixers.recurrent import GRU, LSTM, RNN
from unrolled.mixers.window import Window

MIXERS: dict[str, type[Mixer]] = {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "mingru": MinGRU,
    "conv": CausalConv,
    "window": Window,
    "attention": Attention,
    "cross": CrossAttention,
    "bahdanau": Bahdanau,
    "ffn": FeedForward,
    "positions": LearnedPositions,
    "norm": Norm,
    "pool": Pool,
    "bidirectional": Bidirectional,
}

for entry in entry_points(group="unrolled.mixers"):
    MIXERS[entry.name] = entry.load()


def kind_of(part: object, *others: Mapping[str, type]) -> str:
    """The name of a part's type in `MIXERS` as it is now, or in one of `others`; else the type's own, in small letters."""
    kinds = {type_: kind for table in (MIXERS, *others) for kind, type_ in table.items()}
    return kinds.get(type(part), type(part).__name__.lower())


__all__ = [
    "GRU",
    "LSTM",
    "MIXERS",
    "RNN",
    "Attention",
    "Bahdanau",
    "Bidirectional",
    "CausalConv",
    "CrossAttention",
    "FeedForward",
    "LearnedPositions",
    "MinGRU",
    "Mixer",
    "Norm",
    "Pool",
    "Window",
    "kind_of",
]
