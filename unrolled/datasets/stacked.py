"""Log-mel frames side by side: fewer, wider steps, which a stream can follow while the sound comes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.sound import Sound
from unrolled.datasets.spectra import Audio, LogMel, Steps
from unrolled.errors import UserError, positive


class StackedMel(LogMel):
    """(T, bands x stack): log-mel bands of `stack` frames side by side, a step each 30 ms: a third of the steps to read, as
    in H. Sak et al., "Fast and Accurate Recurrent Neural Network Acoustic Models for Speech Recognition", Interspeech
    2015, arXiv:1507.06947, section 2.5. A band's frames are neighbours; the last step is filled with its last frame.

    Loudness stays, so that a sound can be read while it comes: see `follow`.
    """

    kind: ClassVar[str] = "stacked_mel"
    says: ClassVar[str] = "stacked log-mel bands"

    def __init__(self, *, stack: int = 3, loudness: bool = True, **settings: Any) -> None:
        positive(self.kind, stack=stack)
        self.stack = stack
        super().__init__(loudness=loudness, **settings)

    @property
    def width(self) -> int:
        """D: values a step."""
        return self.bands * self.stack

    @property
    def scaled(self) -> int:
        """Numbers of a frame, each scaled by itself."""
        return self.bands

    def encode(self, value: Audio) -> Steps:
        """(T, width) float32, T at least 1."""
        return self.stacked(super().encode(value))

    def stacked(self, frames: Steps) -> Steps:
        """Frames (F, bands) -> steps (ceil(F / stack), width)."""
        count = -(-len(frames) // self.stack)
        filled = np.concatenate([frames, frames[-1:].repeat(count * self.stack - len(frames), 0)])
        sides = filled.reshape(count, self.stack, self.bands).transpose(0, 2, 1)
        return np.ascontiguousarray(sides.reshape(count, self.width))

    def follow(self) -> Followed:
        """Reads one sound as it comes. Raises UserError where the codec takes out each sound's own mean level."""
        return Followed(self)

    def describe(self, encoded: Steps) -> str:
        """The length and what a step holds, in words."""
        steps, hop = len(encoded), self.hop * self.stack
        return f"{steps * hop:.2f} s as {steps} steps of {hop * 1000:g} ms, {self.width} {self.says} at {self.rate} Hz"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""
        return super().to_dict() | {"stack": self.stack}


class Followed:
    """The steps of one sound that comes in pieces: what `push` and `end` give, one after another, is what `encode` gives
    of the whole, whatever the pieces.
    """

    def __init__(self, codec: StackedMel) -> None:
        if not codec.loudness:
            raise UserError(
                f"this {codec.kind} takes out each sound's own mean level, which isn't known before the sound's end. "
                "Train with loudness kept to read a sound as it comes."
            )
        self.codec, self.held = codec, np.zeros(0, np.float32)  # samples that a later frame needs
        self._window, self._hop = (round(seconds * codec.rate) for seconds in (codec.window, codec.hop))

    def push(self, samples: NDArray[np.float32], rate: int | None = None) -> Steps:
        """The steps (T, width), T at least 0, that these samples complete. Raises UserError for another rate."""
        if rate is not None and rate != self.codec.rate:
            raise UserError(
                f"a piece of sound at {rate} Hz; this model hears {self.codec.rate} Hz. Resample the whole sound."
            )
        self.held = np.concatenate([self.held, np.asarray(samples, np.float32)])
        # One frame is held back: the sound may end in it.
        frames = (len(self.held) - 1 - self._window) // self._hop + 1 if len(self.held) > self._window else 0
        steps = frames // self.codec.stack
        if steps < 1:
            return np.zeros((0, self.codec.width), np.float32)
        used = steps * self.codec.stack * self._hop
        found = self.codec.encode(Sound(self.held[: used - self._hop + self._window], self.codec.rate))
        self.held = self.held[used:]
        return found

    def end(self) -> Steps:
        """The last steps. The next piece begins another sound."""
        rest, self.held = self.held, np.zeros(0, np.float32)
        if not len(rest):
            return np.zeros((0, self.codec.width), np.float32)
        return self.codec.encode(Sound(rest, self.codec.rate))
