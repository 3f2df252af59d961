"""Changes to training sequences that leave their meaning as it is: pure functions of (seed, epoch, sample).

`augmented(x, steps, seed, epoch, sample)` applies named changes in order. Each draws from a stream of its own, so
that adding one changes nothing about the others. Values are those of an encoded sequence, (T, D) with mean 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.spelling import BOUNDARY, Ids
from unrolled.errors import UserError, unknown

Steps = NDArray[np.float32]
Draw = np.random.Generator
Change = Callable[..., NDArray[Any]]
Changes = Sequence[tuple[str, Mapping[str, Any]]]


def draw_for(name: str, seed: int, epoch: int, sample: int | str) -> Draw:
    """The random stream of one change of one sample in one epoch, the same in every process."""
    key = hashlib.blake2b(
        f"{name}\0{seed}\0{epoch}\0{sample}".encode("utf-8", "surrogatepass"), digest_size=16
    )
    return np.random.default_rng(int.from_bytes(key.digest(), "little"))


def augmented(
    x: NDArray[Any],
    changes: Changes,
    *,
    seed: int,
    epoch: int,
    sample: int | str,
) -> NDArray[Any]:
    """The sequence after the named changes, each with its settings; `x` stays as it is.

    `sample` is the sample's number or name, whatever batch or worker it is in. Raises UserError for a name that
    isn't in `AUGMENTATIONS` and for settings out of range.
    """
    for place, (name, settings) in enumerate(changes):
        if name not in AUGMENTATIONS:
            raise unknown("augmentation", name, AUGMENTATIONS)
        earlier = sum(other == name for other, _ in changes[:place])  # the same twice draws twice
        x = AUGMENTATIONS[name](x, draw_for(f"{name}.{earlier}", seed, epoch, sample), **settings)
    return x


def time_mask(x: Steps, draw: Draw, *, count: int = 2, longest: int = 40, share: float = 0.2) -> Steps:
    """(T, D) with `count` stretches of up to `longest` steps, and up to `share` of T, set to the mean 0 (D. S. Park et
    al., "SpecAugment", Interspeech 2019, arXiv:1904.08779, section 2: T, p and m_T).
    """
    _within("time_mask", share=(share, 0, 1), longest=(longest, 0, np.inf), count=(count, 0, np.inf))
    return _masked(x, draw, 0, count, min(longest, int(share * len(x))))


def frequency_mask(x: Steps, draw: Draw, *, count: int = 2, widest: int = 8) -> Steps:
    """(T, D) with `count` runs of up to `widest` neighbouring bands set to the mean 0 (SpecAugment, section 2: F, m_F)."""
    _within("frequency_mask", widest=(widest, 0, np.inf), count=(count, 0, np.inf))
    return _masked(x, draw, 1, count, min(widest, x.shape[1]))


def noise(x: Steps, draw: Draw, *, deviation: float = 0.2, channels: int | None = None) -> Steps:
    """(T, D) with normal noise added to each value, or to those of the first `channels` only."""
    _within("noise", deviation=(deviation, 0, np.inf))
    noisy = x.copy()
    noisy[:, :channels] += draw.normal(0, deviation, x[:, :channels].shape)
    return noisy


def shift(x: Steps, draw: Draw, *, most: int = 5) -> Steps:
    """(T, D) moved by up to `most` steps either way; what comes in is the mean 0, what goes out is lost."""
    _within("shift", most=(most, 0, np.inf))
    by = int(np.clip(draw.integers(-most, most + 1), -len(x), len(x)))
    moved = np.zeros_like(x)
    moved[max(by, 0) : len(x) + min(by, 0)] = x[max(-by, 0) : len(x) + min(-by, 0)]
    return moved


def crop(x: NDArray[Any], draw: Draw, *, least: float = 0.8) -> NDArray[Any]:
    """(S, ...) for S from `least` of T to T: a stretch that begins anywhere. At least one step stays."""
    _within("crop", least=(least, 0, 1))
    shortest = min(len(x), max(1, int(np.ceil(least * len(x)))))
    length = int(draw.integers(shortest, len(x) + 1))
    begin = int(draw.integers(0, len(x) - length + 1))
    return x[begin : begin + length].copy()


def word_dropout(x: Ids, draw: Draw, *, rate: float = 0.1, blank: int | None = None) -> Ids:
    """(S,) ids with each one gone, or replaced by `blank`, at this rate (M. Iyyer et al., "Deep Unordered Composition",
    ACL 2015, section 3). Document boundaries stay, and at least one id does.
    """
    _within("word_dropout", rate=(rate, 0, 1))
    gone = (draw.random(len(x)) < rate) & (x != BOUNDARY)
    if len(x) and gone.all():
        gone[draw.integers(len(x))] = False
    if blank is None:
        kept: Ids = x[~gone]
        return kept
    return np.asarray(np.where(gone, blank, x), x.dtype)


def _masked(x: Steps, draw: Draw, axis: int, count: int, most: int) -> Steps:
    masked = x.copy()
    for _ in range(count):
        length = int(draw.integers(0, most + 1))
        begin = int(draw.integers(0, x.shape[axis] - length + 1))
        if axis == 0:
            masked[begin : begin + length] = 0
        else:
            masked[:, begin : begin + length] = 0
    return masked


def _within(name: str, **settings: tuple[float, float, float]) -> None:
    for key, (value, low, high) in settings.items():
        if not low <= value <= high:
            raise UserError(f"{name}: {key} = {value}. Expected {low} to {high}.")


AUGMENTATIONS: dict[str, Change] = {
    "time_mask": time_mask,
    "frequency_mask": frequency_mask,
    "noise": noise,
    "shift": shift,
    "crop": crop,
    "word_dropout": word_dropout,
}

MOVING = ("shift", "crop", "word_dropout")  # after them a step is another, or none
OF_TOKENS = ("crop", "word_dropout")  # what can be done to ids
OF_NUMBERS = ("time_mask", "frequency_mask", "noise", "shift", "crop")


def for_codec(wanted: str, kind: str, channels: int | None = None) -> Changes:
    """The changes that `wanted` names, "none", "auto" or names with commas between, for inputs of a codec's kind.
    channels: columns that are values, where others follow that mark the missing ones.

    Raises UserError for a name that there isn't, and for one that doesn't suit the codec.
    """
    if wanted == "none":
        return ()
    names = OWN.get(kind, ()) if wanted == "auto" else [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in AUGMENTATIONS:
            raise unknown("augmentation", name, AUGMENTATIONS)
        if name not in (OF_NUMBERS if kind in NUMBERS else () if kind == "together" else OF_TOKENS):
            raise UserError(f"augment={name}: it doesn't suit what the codec {kind} gives.")
    own = SETTINGS.get(kind, {})
    return [(name, own.get(name, {}) | ({"channels": channels} if name == "noise" else {})) for name in names]


NUMBERS = (
    "values", "log_mel", "mfcc", "stacked_mel", "waveform", "pixels", "pixel_steps", "patches", "frame_vectors",
)  # fmt: skip
OWN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("pixels", "patches"), ("noise",)),
    "stacked_mel": ("time_mask", "frequency_mask", "noise"),
}
"""By codec: what pays on the shipped and the public sets."""
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    # Three frames stand in a step: masks of 120 ms, which leave something of every word, and of 4 bands.
    "stacked_mel": {"time_mask": {"longest": 4}, "frequency_mask": {"widest": 12}},
}
"""By codec: settings other than the changes' own."""
