"""What a model sees of one value: its tokens with their borders, its channels as lines, its bands or pixels as shades."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.images import frames_of
from unrolled.datasets.inputs import TOKENS, InputCodec
from unrolled.datasets.media_codecs import OF_COLUMN
from unrolled.datasets.sketch import shades, sparkline, spectrogram, waveform
from unrolled.datasets.sound import sound_of
from unrolled.datasets.standard import Values
from unrolled.datasets.words import UNKNOWN, Words

WIDTH = 92  # columns of a drawing
LINES = 4  # of tokens
TOKENS_SHOWN = 200
CHANNELS = 8
FRAMES = 3
BORDER = "·"
VISIBLE = str.maketrans({"\n": "⏎", "\r": "␍", "\t": "⇥", " ": "␣"})


@dataclass(frozen=True)
class Seen:
    """One input of one row, encoded. `shape` of what the model gets; `says` it in words; `lines` draw it."""

    origin: str
    column: str
    answer: str
    shape: tuple[int, ...]
    says: str
    lines: list[str]


def seen(origin: str, column: str, answer: str, value: Any, codec: InputCodec) -> Seen:
    """How a value looks to a model behind this codec. Raises UserError as the codec does."""
    encoded = np.asarray(codec.encode(value))
    says, lines = _drawn(value, encoded, codec)
    return Seen(origin, column, answer, encoded.shape, says, lines)


def _drawn(value: Any, encoded: NDArray[Any], codec: Any) -> tuple[str, list[str]]:
    if codec.kind in TOKENS:
        unknown = int((encoded == UNKNOWN).sum()) if isinstance(codec, Words) else 0
        more = f", {unknown} of them unknown to training: [?]" if unknown else ""
        return f"{len(encoded)} tokens{more}", _wrapped(_tokens(encoded[:TOKENS_SHOWN], codec))
    if isinstance(codec, Values):
        return _series(encoded, codec)
    says = codec.describe(encoded)
    if codec.kind in OF_COLUMN["sound"]:
        samples = sound_of(value).samples
        if codec.kind == "waveform":
            return says, [waveform(samples, WIDTH)]
        return says, [waveform(samples, min(WIDTH, len(encoded))), *spectrogram(encoded, WIDTH)]
    if codec.kind == "frame_vectors":
        return says, _frames(frames_of(value))
    whole = (
        encoded if codec.kind == "patches" else encoded.reshape(codec.height, codec.width_pixels, -1).mean(-1)
    )
    return says, _picture(whole)


def _tokens(ids: NDArray[Any], codec: Any) -> list[str]:
    names = [codec.token_text(number).translate(VISIBLE) for number in ids.tolist()]
    return [
        "[?]" if isinstance(codec, Words) and n == UNKNOWN else t for n, t in zip(ids, names, strict=True)
    ]


def _wrapped(tokens: list[str]) -> list[str]:
    """Tokens with a dot between them, broken at a dot."""
    lines, line = list[str](), ""
    for token in (
        textwrap.shorten(token, 40, placeholder="…") if len(token) > 40 else token for token in tokens
    ):
        if line and len(line) + len(token) + 1 > WIDTH:
            lines.append(line + BORDER)
            line = ""
        line = f"{line}{BORDER}{token}" if line else token
    lines.append(line)
    return lines if len(lines) <= LINES else [*lines[: LINES - 1], lines[LINES - 1].rstrip(BORDER) + " …"]


def _series(encoded: NDArray[Any], codec: Values) -> tuple[str, list[str]]:
    """Standardised values and, in the channels behind them, where one is missing."""
    values, missing = encoded[:, : codec.channels], encoded[:, codec.channels :] > 0
    shown = min(codec.channels, CHANNELS)
    edge = len(str(shown - 1))
    lines = [
        f"{channel:>{edge}} {sparkline(np.where(missing[:, channel], np.nan, values[:, channel]), WIDTH - edge - 1)}"
        for channel in range(shown)
    ]
    if codec.channels > shown:
        lines.append(f"and {codec.channels - shown} more channels")
    gaps = f", {int(missing.sum()):,} values missing" if missing.any() else ""
    several = f"{codec.channels} channel{'s' * (codec.channels != 1)}, standardised, each with a mask of what is missing"
    return f"{len(encoded)} steps of {several}{gaps}", lines


def _picture(values: NDArray[Any], rows: int = 14) -> list[str]:
    """(H, W) as shades, a pixel two characters wide, since characters are twice as high as wide."""
    height, width = values.shape
    high = min(rows, height, max(1, WIDTH * height // (2 * width)))
    return shades(np.repeat(values, 2, 1), round(2 * width * high / height), high)


def _frames(frames: NDArray[Any]) -> list[str]:
    """The first, the middle and the last frame beside each other, with one scale of shades for all."""
    few = frames[np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int))]
    grey = few.reshape(*few.shape[:3], -1).mean(-1)
    return _picture(np.concatenate(list(grey), 1))
